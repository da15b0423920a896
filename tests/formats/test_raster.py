from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import PngImagePlugin, TiffImagePlugin

from quell.errors import InputError
from quell.formats.contracts import OutputKind, Provenance, WriteOptions
from quell.formats.png_chunks import SIGNATURE
from quell.formats.raster import open_jpeg, open_png
from quell.formats.source import Source, UnsuitableError
from quell.formats.tiff import open_tiff
from quell.formats.tiff_ifd import PageOut, read_pages, write_pages
from quell.image import Modality

PROVENANCE = Provenance("universal.fast", "1.0", "ab" * 32, 0.7)
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def png(path):
    return open_png(Source.of(Path(path)))


def tiff(path):
    return open_tiff(Source.of(Path(path)))


def written(series, voxels, out, kind=OutputKind.DENOISED, **options):
    return series.write(voxels, Path(out), kind, PROVENANCE, WriteOptions(**options))


def grey(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1e3, shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


def pixels(path):
    with Pillow.open(path) as image:
        frames = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append(np.asarray(image).copy())
    return np.stack(frames)


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, dtype=st.sampled_from([np.uint8, np.uint16]), seed=st.integers(0, 999))
def test_png_round_trip(shape, dtype, seed):
    array = grey(shape, dtype, seed)
    with TemporaryDirectory() as folder:
        Pillow.fromarray(array).save(Path(folder) / "a.png")
        series = png(Path(folder) / "a.png")
        image = series.read()
        assert series.shape == image.shape == (1, *shape)
        assert np.array_equal(image.voxels[0], array)
        assert not image.geometry.known and not image.volume and not series.volume
        result = written(series, image.voxels, Path(folder) / "out")
        after = pixels(result.files[0])[0]
        assert after.dtype == dtype and np.array_equal(after, array) and result.clamped == 0


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES,
    pages=st.integers(1, 4),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    compression=st.sampled_from([None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]),
    seed=st.integers(0, 999),
)
def test_tiff_round_trip(shape, pages, dtype, compression, seed):
    array = grey((pages, *shape), dtype, seed)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        first, *rest = [Pillow.fromarray(frame) for frame in array]
        first.save(path, save_all=True, append_images=rest, compression=compression)
        series = tiff(path)
        image = series.read()
        assert series.shape == image.shape == (pages, *shape)
        assert np.array_equal(image.voxels, array.astype(np.float32))
        result = written(series, image.voxels, Path(folder) / "out")
        after = pixels(result.files[0])
        assert after.dtype == dtype and np.array_equal(after, array)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("compress", [False, True])
def test_our_tiff_is_read_by_pillow(order, dtype, compress, tmp_path):
    array = grey((3, 5, 7), dtype)
    stored = array.astype(np.dtype(dtype).newbyteorder(order))
    pages = [PageOut(f.tobytes(), 7, 5, 8 * array.itemsize, dtype == "f4", {}) for f in stored]
    for total in (stored.nbytes, 2**33):
        # Pillow reads neither of these two.
        if order == ">" and (total > 2**32 or (dtype == "f4" and compress)):
            continue
        path = tmp_path / f"{total}.tif"
        with path.open("wb") as file:
            write_pages(file, pages, order, total, compress)
        assert np.array_equal(pixels(path), array)
        assert np.array_equal(tiff(path).read().voxels, array)


def test_tiff_keeps_resolution_description_and_byte_order(tmp_path):
    ratio = TiffImagePlugin.IFDRational(1234567, 98765)
    tags = {270: "ImageJ=1.5\nimages=2\nslices=2\nspacing=2.5", 282: ratio, 283: ratio, 296: 3, 305: "X"}
    frames = [Pillow.fromarray(grey((4, 5), np.uint16, i)) for i in range(2)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:], tiffinfo=tags)
    series = tiff(tmp_path / "a.tif")
    image = series.read()
    assert image.volume and series.volume
    path = written(series, image.voxels, tmp_path / "out").files[0]
    with path.open("rb") as file:
        after = read_pages(file, Source.of(path))
    for one, other in zip(series.pages, after, strict=True):
        for code in (270, 282, 283, 296):
            assert one.tags[code] == other.tags[code]
        assert other.text(305).startswith("Quell")
    with pytest.raises(UnsuitableError, match="Quell"):
        tiff(path)


def hand_made_tiff(array, photometric=1, **changed):
    tags = {256: array.shape[1], 257: array.shape[0], 258: 8 * array.itemsize, 259: 1, 262: photometric}
    tags |= {273: 8, 277: 1, 278: array.shape[0], 279: array.nbytes, 339: 1}
    tags |= {int(code[1:]): value for code, value in changed.items()}
    directory = struct.pack("<H", len(tags))
    for code, value in sorted(tags.items()):
        directory += struct.pack("<HHII", code, 4, 1, value)
    data = array.tobytes()
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + struct.pack("<I", 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_as_zero_is_turned_round_for_every_depth(dtype, tmp_path):
    array = grey((3, 4), dtype)
    path = tmp_path / "a.tif"
    path.write_bytes(hand_made_tiff(array, photometric=0))
    series = tiff(path)
    image = series.read()
    shown = np.iinfo(dtype).max - array
    assert np.array_equal(image.voxels[0], shown)
    assert np.array_equal(pixels(written(series, image.voxels, tmp_path / "out").files[0])[0], shown)


@pytest.mark.parametrize(
    "lie",
    [
        {"t256": 2**31},
        {"t256": 8000, "t257": 8000},
        {"t256": 0},
        {"t256": 8000, "t257": 8000, "t259": 5},
    ],
)
def test_tiff_that_lies_is_refused(lie, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(hand_made_tiff(grey((3, 4), np.uint8), **lie))
    with pytest.raises(InputError, match=r"promises|claims"):
        tiff(path)


@pytest.mark.parametrize(
    "kind", [{"t277": 3}, {"t262": 2}, {"t262": 3}, {"t258": 1}, {"t339": 2, "t258": 16}, {"t274": 6}]
)
def test_tiff_of_other_kinds_is_passed_over(kind, tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(hand_made_tiff(grey((3, 4), np.uint8), **kind))
    with pytest.raises(UnsuitableError):
        tiff(path)


def test_tiff_whose_directories_form_a_loop(tmp_path):
    content = hand_made_tiff(grey((3, 4), np.uint8))
    start = content[4:8]
    (tmp_path / "a.tif").write_bytes(content[:-4] + start)
    with pytest.raises(InputError, match="loop"):
        tiff(tmp_path / "a.tif")


def test_what_pillow_would_misread_is_passed_over(tmp_path):
    frame = PageOut(bytes(16), 2, 2, 32, True, {})
    for name, total, compress in (("swapped.tif", 16, True), ("big.tif", 2**33, False)):
        with (tmp_path / name).open("wb") as file:
            write_pages(file, [frame], ">", total, compress)
        with pytest.raises(UnsuitableError, match="big-endian"):
            tiff(tmp_path / name)


def test_float_output_of_a_compressed_big_endian_source_is_readable(tmp_path):
    array = grey((4, 5), np.uint16)
    with (tmp_path / "a.tif").open("wb") as file:
        write_pages(file, [PageOut(array.astype(">u2").tobytes(), 5, 4, 16, False, {})], ">", 40, True)
    series = tiff(tmp_path / "a.tif")
    image = series.read()
    assert np.array_equal(image.voxels[0], array)
    result = written(series, image.voxels + 0.25, tmp_path / "out", float_output=True)
    assert np.array_equal(pixels(result.files[0])[0], array + np.float32(0.25))


def test_tiff_with_nan(tmp_path):
    Pillow.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="finite"):
        tiff(tmp_path / "a.tif").read()


def test_imagej_images_that_cannot_be_reached_are_said(tmp_path):
    Pillow.fromarray(grey((4, 4), np.uint16)).save(
        tmp_path / "a.tif", tiffinfo={270: "ImageJ=1.5\nimages=9\n"}
    )
    with pytest.raises(InputError, match="9 images"):
        tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_grey_in_colour_keeps_its_mode_and_transparency(mode, tmp_path):
    array = grey((5, 6), np.uint8)
    alpha = np.full((5, 6), 255, np.uint8)
    alpha[0] = 0
    bands = {"LA": (array, alpha), "RGB": (array,) * 3, "RGBA": (array,) * 3 + (alpha,)}[mode]
    Pillow.merge(mode, [Pillow.fromarray(b) for b in bands]).save(tmp_path / "a.png")
    series = png(tmp_path / "a.png")
    image = series.read()
    assert np.array_equal(image.voxels[0], array)
    assert (image.padding is not None) == (mode != "RGB")
    if image.padding is not None:
        assert np.array_equal(image.padding[0], alpha == 0)
    after = pixels(written(series, image.voxels, tmp_path / "out").files[0])[0]
    assert np.array_equal(after, np.stack(bands, -1))


def test_what_is_no_grey_png_is_passed_over(tmp_path):
    colour = grey((5, 6, 3), np.uint8)
    Pillow.fromarray(colour).save(tmp_path / "rgb.png")
    Pillow.fromarray(colour).quantize(16).save(tmp_path / "palette.png")
    Pillow.fromarray(colour[..., 0] > 99).save(tmp_path / "bits.png")
    frames = [Pillow.fromarray(grey((5, 6), np.uint8, i)) for i in range(2)]
    frames[0].save(tmp_path / "animation.png", save_all=True, append_images=frames[1:])
    ihdr = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    deep = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
        for k, d in ((b"IHDR", ihdr), (b"IDAT", zlib.compress(bytes(7))), (b"IEND", b""))
    )
    (tmp_path / "deep.png").write_bytes(SIGNATURE + deep)
    for path in sorted(tmp_path.glob("*.png")):
        with pytest.raises(UnsuitableError):
            png(path)


def test_png_keeps_resolution_and_texts(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "left hand")
    info.add_itxt("Title", "Ünïcode")
    Pillow.fromarray(grey((5, 6), np.uint16)).save(
        tmp_path / "a.png", pnginfo=info, dpi=(254, 300), gamma=0.5
    )
    series = png(tmp_path / "a.png")
    path = written(series, series.read().voxels, tmp_path / "out").files[0]
    with Pillow.open(tmp_path / "a.png") as before, Pillow.open(path) as after:
        assert after.info["dpi"] == before.info["dpi"]
        assert after.text["Comment"] == "left hand" and after.text["Title"] == "Ünïcode"
        assert after.text["Software"].startswith("Quell denoised: universal.fast")
        after.load()
    with pytest.raises(UnsuitableError, match="Quell"):
        png(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_maps_are_float32_tiff(suffix, tmp_path):
    Pillow.fromarray(grey((5, 6), np.uint8)).save(tmp_path / f"a{suffix}")
    series = (png if suffix == ".png" else tiff)(tmp_path / f"a{suffix}")
    voxels = np.linspace(-3, 3, 30, dtype=np.float32).reshape(1, 5, 6)
    for kind, ending in ((OutputKind.RESIDUAL, "residual"), (OutputKind.NOISE_MAP, "noise")):
        result = written(series, voxels, tmp_path / "out", kind)
        assert result.files[0].name == f"a_{ending}.tif"
        assert np.array_equal(pixels(result.files[0]), voxels)


def test_clamping_and_float_output(tmp_path):
    voxels = np.array([[[-4, 300.5], [17.4, 255]]], np.float32)
    for suffix, opener in ((".png", png), (".tif", tiff)):
        Pillow.fromarray(grey((2, 2), np.uint8)).save(tmp_path / f"a{suffix}")
        series = opener(tmp_path / f"a{suffix}")
        result = written(series, voxels, tmp_path / "out")
        assert result.clamped == 2
        assert pixels(result.files[0])[0].tolist() == [[0, 255], [17, 255]]
        floats = written(series, voxels, tmp_path / "float", float_output=True)
        if suffix == ".tif":
            assert np.array_equal(pixels(floats.files[0]), voxels)
        else:
            assert floats.warnings


def test_jpeg_is_read_with_a_note_and_written_as_png(tmp_path):
    array = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (16, 1))
    exif = Pillow.Exif()
    exif[274] = 6
    Pillow.fromarray(array).save(tmp_path / "hand_xr.jpg", quality=95, exif=exif, dpi=(100, 100))
    series = open_jpeg(Source.of(tmp_path / "hand_xr.jpg"))
    assert series.modality is Modality.XR and any("lossy" in note for note in series.notes)
    image = series.read()
    assert series.shape == image.shape == (1, 32, 16)
    result = written(series, image.voxels, tmp_path / "out")
    assert result.files[0].name == "hand_xr_denoised.png"
    assert np.array_equal(pixels(result.files[0]), image.voxels)
    Pillow.fromarray(grey((9, 9, 3), np.uint8)).save(tmp_path / "colour.jpg")
    with pytest.raises(UnsuitableError, match="colour"):
        open_jpeg(Source.of(tmp_path / "colour.jpg"))


def test_decompression_bombs_are_refused(tmp_path):
    for side in (2**16, 8000):
        ihdr = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))
        path = tmp_path / "a.png"
        path.write_bytes(SIGNATURE + chunk + bytes(100))
        with pytest.raises(InputError, match=r"claims|can hold"):
            png(path)


def test_truncated_files(tmp_path):
    array = grey((64, 64), np.uint16)
    for suffix, opener in ((".png", png), (".tif", tiff)):
        buffer = io.BytesIO()
        Pillow.fromarray(array).save(buffer, {".png": "PNG", ".tif": "TIFF"}[suffix])
        content = buffer.getvalue()
        for share in (0.002, 0.01, 0.5, 0.9):
            path = tmp_path / f"a{suffix}"
            path.write_bytes(content[: int(share * len(content))])
            with pytest.raises(InputError) as caught:
                opener(path).read()
            assert "\n" not in str(caught.value)


def test_one_pixel_and_constant(tmp_path):
    for shape in ((1, 1), (7, 7)):
        Pillow.fromarray(np.full(shape, 9, np.uint8)).save(tmp_path / "a.png")
        assert (png(tmp_path / "a.png").read().voxels == 9).all()
        Pillow.fromarray(np.full(shape, 9, np.uint8)).save(tmp_path / "a.tif")
        assert (tiff(tmp_path / "a.tif").read().voxels == 9).all()


def test_real_images_survive(shared_data, tmp_path):
    for path in sorted((shared_data / "ultrasound" / "hc18").glob("*.png"))[:5]:
        series = png(path)
        result = written(series, series.read().voxels, tmp_path)
        assert np.array_equal(pixels(path), pixels(result.files[0]))


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
def test_the_bits_of_a_pixel_are_told(tmp_path: Path, dtype: type, bits: int) -> None:
    pixels = np.arange(48, dtype=dtype).reshape(6, 8)
    for name in ("a.png", "b.tif"):
        Pillow.fromarray(pixels).save(tmp_path / name)
    for series in (png(tmp_path / "a.png"), tiff(tmp_path / "b.tif")):
        assert series.read().acquisition.bits == bits
