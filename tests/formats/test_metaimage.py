from __future__ import annotations

import itertools
import zlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.errors import InputError, OutputError
from quell.formats.contracts import OutputKind, Provenance, WriteOptions
from quell.formats.metaimage import open_metaimage
from quell.formats.source import Source, UnsuitableError
from quell.image import Modality

PROVENANCE = Provenance("universal.fast", "1.0", "ab" * 32, 0.7)
TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


def opened(path):
    return open_metaimage(Source.of(Path(path)))


def written(series, voxels, out, kind=OutputKind.DENOISED, **options):
    return series.write(voxels, Path(out), kind, PROVENANCE, WriteOptions(**options))


def save(path, array, msb=False, compressed=False, data_file="LOCAL", **fields):
    """Write `array` (slowest axis first) the way other programs do, but with any field changed."""
    kind = next(name for name, code in TYPES.items() if np.dtype(code) == array.dtype)
    lines = {
        "ObjectType": "Image",
        "NDims": array.ndim,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": msb,
        "CompressedData": compressed,
        "ElementSpacing": " ".join(["1"] * array.ndim),
        "DimSize": " ".join(str(n) for n in array.shape[::-1]) + "   ",
        "ElementType": kind,
        **fields,
        "ElementDataFile": data_file,
    }
    head = "".join(f"{key} = {value}\n" for key, value in lines.items() if value is not None).encode(
        "latin-1"
    )
    body = array.astype(array.dtype.newbyteorder(">" if msb else "<")).tobytes()
    body = zlib.compress(body) if compressed else body
    path = Path(path)
    if data_file == "LOCAL":
        path.write_bytes(head + body)
    else:
        path.write_bytes(head)
        if data_file.endswith(".raw") and "/" not in data_file:
            (path.parent / data_file).write_bytes(body)
    return path


def fields_of(path):
    head = Path(path).read_bytes().split(b"ElementDataFile")[0].decode("latin-1")
    return [tuple(part.strip() for part in line.split("=", 1)) for line in head.splitlines()]


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(TYPES)),
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    msb=st.booleans(),
    compressed=st.booleans(),
    apart=st.booleans(),
    seed=st.integers(0, 999),
)
def test_round_trip_keeps_voxels_and_fields(name, shape, msb, compressed, apart, seed):
    rng = np.random.default_rng(seed)
    kind = np.dtype(TYPES[name])
    if kind.kind == "f":
        array = rng.normal(size=shape).astype(np.float32).astype(kind)
    else:
        low, high = max(np.iinfo(kind).min, -(2**20)), min(np.iinfo(kind).max, 2**20)
        array = rng.integers(low, high, shape, endpoint=True).astype(kind)
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("a.mhd" if apart else "a.mha")
        extra = {"ElementType": name, "Zebra": "kept = as it is", "Comment": "by hand"}
        save(path, array, msb, compressed, "a.raw" if apart else "LOCAL", **extra)
        series = opened(path)
        image = series.read()
        assert series.shape == image.shape
        assert np.array_equal(image.voxels, array.astype(np.float32).reshape(image.shape))
        result = written(series, image.voxels, Path(folder) / "out")
        assert len(result.files) == 1 + apart and result.clamped == 0
        again = opened_again(result.files[0])
        assert np.array_equal(again.read().voxels, image.voxels)
        assert again.stored == series.stored
        kept = [pair for pair in fields_of(path) if pair[0] != "Comment"]
        after = fields_of(result.files[0])
        assert [pair for pair in after if pair[0] not in ("Comment", "CompressedDataSize")] == kept
        assert dict(after)["Comment"].endswith("; by hand")


def opened_again(path):
    """Open what Quell wrote, which it does not take for a source."""
    with pytest.raises(UnsuitableError, match="Quell"):
        opened(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Comment = Quell", b"Comment = quell"))
    return opened(path)


AXES = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


@pytest.mark.parametrize(("order", "signs"), AXES)
def test_geometry_of_all_48_orientations(order, signs, tmp_path):
    directions = np.eye(3)[list(order)] * np.array(signs)[:, np.newaxis]
    matrix = " ".join(f"{v:g}" for v in directions.ravel())
    path = save(
        tmp_path / "a_T1w.mha",
        np.zeros((2, 3, 4), np.int16),
        TransformMatrix=matrix,
        Offset="10 20 30",
        ElementSpacing="0.5 0.75 3",
    )
    geometry = opened(path).read().geometry
    assert geometry.known and geometry.origin == (10, 20, 30) and geometry.spacing == (3, 0.75, 0.5)
    # Each group of three is the direction of one axis of the file, x first.
    assert np.array_equal(np.array(geometry.direction)[::-1], directions)


def test_a_sequence_is_frames_over_time(tmp_path):
    path = save(
        tmp_path / "a.igs.mha",
        np.zeros((6, 4, 5), np.uint8),
        compressed=True,
        Kinds="domain domain list",
        UltrasoundImageType="BRIGHTNESS",
        Seq_Frame0000_Timestamp="1.5",
    )
    series = opened(path)
    image = series.read()
    assert series.modality is Modality.US
    assert image.shape == (6, 4, 5) and image.gaps == ()
    assert not image.volume and not series.volume
    assert written(series, image.voxels, tmp_path / "out").files[0].name == "a_denoised.igs.mha"


def test_volumes_over_time_are_apart(tmp_path):
    series = opened(save(tmp_path / "a_bold.mha", np.zeros((3, 4, 2, 2), np.int16)))
    image = series.read()
    assert image.volume and series.volume and image.gaps == (3, 7) and image.shape == (12, 2, 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"ElementNumberOfChannels": 3},
        {"UltrasoundImageType": "RF_IQ_LINE"},
        {"UltrasoundImageType": "RGB_COLOR"},
        {"BinaryData": "False"},
        {"ObjectType": "Tube"},
        {"data_file": "LIST"},
        {"data_file": "slice%03d.raw 1 3 1"},
        {"Kinds": "list domain domain"},
    ],
)
def test_what_is_no_grey_image_is_passed_over(fields, tmp_path):
    with pytest.raises(UnsuitableError):
        opened(save(tmp_path / "a.mha", np.zeros((2, 3, 4), np.int16), **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"DimSize": "100000 100000 100000"},
        {"DimSize": "100000 100000 100000", "compressed": True},
        {"DimSize": "4 3"},
        {"DimSize": "4 0 2"},
        {"DimSize": "4 -3 2"},
        {"DimSize": "a b c"},
        {"NDims": "x"},
        {"ElementType": "MET_STRANGE"},
        {"ElementType": None},
        {"data_file": "missing/../a.raw"},
        {"data_file": "/etc/hostname"},
        {"data_file": ".."},
        {"ElementToIntensityFunctionSlope": "0"},
        {"ElementToIntensityFunctionSlope": "nan"},
    ],
)
def test_headers_that_lie_are_refused(fields, tmp_path):
    path = save(tmp_path / "a_T1w.mha", np.zeros((2, 3, 4), np.int16), **fields)
    with pytest.raises(InputError) as caught:
        opened(path).read()
    assert "\n" not in str(caught.value)


def test_voxels_are_never_taken_from_outside_the_folder(tmp_path):
    (tmp_path / "secret.raw").write_bytes(bytes(48))
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.raw").symlink_to(tmp_path / "secret.raw")
    path = save(tmp_path / "x.mhd", np.zeros((2, 3, 4), np.int16), data_file="link.raw")
    (tmp_path / "link.raw").unlink()
    path.rename(inside / "x.mhd")
    with pytest.raises(InputError, match="not there"):
        opened(inside / "x.mhd")


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_and_corrupt(compressed, tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (9, 64, 64)).astype(np.uint8)
    path = save(tmp_path / "a_T1w.mha", array, compressed=compressed)
    content = path.read_bytes()
    for length in (0, 5, 90, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            opened(path).read()
    if compressed:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(InputError, match="damaged"):
            opened(path).read()


def test_nan_is_refused(tmp_path):
    path = save(tmp_path / "a_T1w.mha", np.array([[np.nan, 1]], np.float32))
    with pytest.raises(InputError, match="finite"):
        opened(path).read()


def test_skipped_bytes_before_and_voxels_at_the_end(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for size in (10, -1):
        path = save(tmp_path / "a_T1w.mhd", array, data_file="a.raw", HeaderSize=size)
        data = tmp_path / "a.raw"
        data.write_bytes(b"x" * 10 + data.read_bytes())
        series = opened(path)
        assert np.array_equal(series.read().voxels, array)
        result = written(series, series.read().voxels, tmp_path / "out")
        assert result.files[1].read_bytes() == array.tobytes()
        assert b"HeaderSize" not in result.files[0].read_bytes()


def test_scaling_is_applied_and_undone(tmp_path):
    array = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    slope = {"ElementToIntensityFunctionSlope": 2, "ElementToIntensityFunctionOffset": -1024}
    series = opened(save(tmp_path / "a_ct.mha", array, **slope))
    image = series.read()
    assert image.units == "HU" and np.array_equal(image.voxels, array * 2.0 - 1024)
    assert written(series, image.voxels, tmp_path / "out").files[0].read_bytes().endswith(array.tobytes())
    noise = opened_again(written(series, image.voxels, tmp_path / "out", OutputKind.NOISE_MAP).files[0])
    assert noise.stored.dtype == np.float32 and not noise.stored.scaled
    assert np.array_equal(noise.read().voxels, image.voxels)


def test_modality_of_the_header_and_of_the_caller(tmp_path):
    array = np.full((2, 2, 2), 3, np.int16)
    assert opened(save(tmp_path / "a.mha", array, Modality="MET_MOD_CT")).modality is Modality.CT
    unknown = opened(save(tmp_path / "b.mha", array, Modality="MET_MOD_UNKNOWN"))
    assert unknown.modality is Modality.UNKNOWN
    assert replace(unknown, modality=Modality.CT).read().units == "HU"


def test_two_files_or_none(tmp_path):
    series = opened(save(tmp_path / "a_T1w.mhd", np.zeros((2, 3, 4), np.int16), data_file="a.raw"))
    voxels = series.read().voxels
    (tmp_path / "out" / "a_T1w_denoised.raw").mkdir(parents=True)
    with pytest.raises(OutputError):
        written(series, voxels, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_T1w_denoised.raw"]
    with pytest.raises(OutputError):
        written(series, voxels, tmp_path / "a.raw")


def test_real_ultrasound_survives(shared_data, tmp_path):
    refused = []
    for path in sorted((shared_data / "ultrasound" / "plus").glob("*.igs.mh?")):
        try:
            series = opened(path)
        except UnsuitableError:
            refused.append(path.name)
            continue
        image = series.read()
        assert not image.volume and series.modality is Modality.US
        after = written(series, image.voxels, tmp_path).files[0]
        added = ("Comment", "CompressedDataSize")
        before_fields = [pair for pair in fields_of(path) if pair[0] not in added]
        assert [pair for pair in fields_of(after) if pair[0] not in added] == before_fields
        assert np.array_equal(opened_again(after).read().voxels, image.voxels)
    assert refused == ["BkCurvilinearRfData.igs.mhd", "UltrasonixLinearRfData.igs.mha"]
