"""Bad input through the command: one line that names the file and the reason, and nothing left behind."""

from __future__ import annotations

import errno
import os
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow

from quell.cli import console
from quell.cli.main import main
from samples import dicom, dicom_enhanced
from samples.dicom_parts import Place, save, series

RNG = np.random.default_rng(3)
SLICES = RNG.integers(0, 2000, (4, 24, 20)).astype(np.int16)


@dataclass(frozen=True)
class Ran:
    """How a run of the command ended: the exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """What failed, as the user reads it."""
        said = [line for line in self.err.splitlines() if line != console.NOTICE]
        return [*said, *(line for line in self.out.splitlines() if line.startswith("failed: "))]


Quell = Callable[..., Ran]


@pytest.fixture
def quell(capsys: pytest.CaptureFixture[str]) -> Quell:
    """Return the command, run in this process."""

    def run(*arguments: object) -> Ran:
        code = main(["denoise", *map(str, arguments)])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


def in_its_own_process(*arguments: object, memory: int = 8 << 30) -> tuple[Ran, int]:
    """Run the installed command; return also its peak memory in bytes."""
    # Not ru_maxrss: that begins with what the parent had when it forked.
    script = (
        "import sys; from quell.cli.main import main; code = main(sys.argv[1:]);"
        "lines = open('/proc/self/status').read().splitlines();"
        "print(next(x for x in lines if x.startswith('VmHWM')).split()[1], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "denoise", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )
    *err, peak = done.stderr.splitlines()
    return Ran(done.returncode, done.stdout, "\n".join(err)), int(peak) << 10


def check_refused(ran: Ran, code: int, *words: str) -> None:
    """Check the exit code, that exactly one line complains, and that it holds the words."""
    assert ran.code == code, ran
    assert len(ran.complaints) == 1, ran
    for word in words:
        assert word in ran.complaints[0]
    assert "Traceback" not in ran.out + ran.err
    assert "unexpected error" not in ran.out + ran.err and "bug in Quell" not in ran.err


def check_nothing_written(folder: Path) -> None:
    """Check that no file lies in a folder, not even a hidden or an unfinished one."""
    assert [path for path in folder.rglob("*") if not path.is_dir()] == []
    assert list(folder.rglob("*.part")) == []


def written(out: Path) -> list[Path]:
    """Return the files below the output, of which none may be unfinished."""
    assert list(out.rglob("*.part")) == []
    return sorted(path for path in out.rglob("*") if path.is_file())


def ct_file(path: Path, pixels: np.ndarray = SLICES[0], **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(dicom.ct(pixels, **more), path)


def with_value(path: Path, keyword: str, value: object) -> Path:
    """Write a CT slice whose header has another value than fits its pixels."""
    ds = dicom.ct(SLICES[0])
    pixels = ds.PixelData
    setattr(ds, keyword, value)
    ds.PixelData = pixels
    return save(ds, path)


# --- nothing usable: exit code 2 ---------------------------------------------------------------


def text_file(folder: Path) -> Path:
    (folder / "notes.dcm").write_text("This is no DICOM file, whatever its name says.\n" * 9)
    return folder / "notes.dcm"


def no_pixels(folder: Path) -> Path:
    ds = dicom.ct(SLICES[0])
    del ds.PixelData
    return save(ds, folder / "a.dcm")


def deflated_bomb(folder: Path) -> Path:
    """Write a CT image of 4 GiB of zeros in some megabytes, in the deflated transfer syntax."""
    plain = with_value(folder / "plain", "Rows", 60000).read_bytes()
    ds = pydicom.dcmread(folder / "plain")
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    path = folder / "a.dcm"
    ds.save_as(path)
    meta = path.read_bytes()[: 144 + ds.file_meta.FileMetaInformationGroupLength]
    start, pixels = plain.index(b"\x08\0\x05\0CS"), plain.index(b"\xe0\x7f\x10\0OW\0\0")
    header = plain[start : pixels + 8] + struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(meta + deflated([header], zeros=4096))
    (folder / "plain").unlink()
    assert path.stat().st_size < 8 << 20
    return path


def deflated(parts: list[bytes], zeros: int) -> bytes:
    """Return a raw deflate stream of `parts` and `zeros` MiB of zeros, of which one is compressed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = b"".join(packer.compress(part) for part in parts) + packer.flush(zlib.Z_FULL_FLUSH)
    mebibyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + mebibyte * zeros + packer.flush()


def zip_bomb(folder: Path) -> Path:
    """Write an archive whose one member unpacks to nearly 4 GiB."""
    name, packed, size = b"a.dcm", deflated([], zeros=4095), 4095 << 20
    common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(packed), size, len(name), 0)
    local = b"PK\3\4" + common + name + packed
    central = b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    (folder / "a.zip").write_bytes(local + central + end)
    return folder / "a.zip"


def escaping_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        file.writestr("../../evil.dcm", ct_file(folder / "x" / "b.dcm").read_bytes())
    return folder / "a.zip"


def nan_nifti(folder: Path) -> Path:
    values = RNG.normal(size=(8, 9, 3)).astype(np.float32)
    values[2, 3, 1] = np.nan
    nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "a.nii.gz")
    return folder / "a.nii.gz"


def nan_metaimage(folder: Path) -> Path:
    values = RNG.normal(size=(3, 9, 8)).astype("<f4")
    values[1, 2, 3] = np.inf
    return metaimage(folder / "a.mha", values, "MET_FLOAT")


def nan_tiff(folder: Path) -> Path:
    values = RNG.normal(size=(9, 8)).astype(np.float32)
    values[1, 2] = np.nan
    Pillow.fromarray(values).save(folder / "a.tif")
    return folder / "a.tif"


def metaimage(path: Path, values: np.ndarray, kind: str) -> Path:
    size = " ".join(map(str, values.shape[::-1]))
    head = f"ObjectType = Image\nNDims = {values.ndim}\nDimSize = {size}\nElementType = {kind}\n"
    path.write_bytes(head.encode() + b"ElementDataFile = LOCAL\n" + values.tobytes())
    return path


def mammograms(folder: Path) -> Path:
    ds = dicom.dx(SLICES[0].view(np.uint16), bits=12)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    ds.Modality = "MG"
    (folder / "in").mkdir()
    for number in range(3):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        save(ds, folder / "in" / f"{number}.dcm")
    return folder / "in"


def empty_folder(folder: Path) -> Path:
    (folder / "in").mkdir()
    return folder / "in"


def empty_file(folder: Path) -> Path:
    (folder / "a.dcm").touch()
    return folder / "a.dcm"


UNUSABLE: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "empty folder": (empty_folder, ("in: ", "empty")),
    "missing path": (lambda folder: folder / "nowhere", ("nowhere: ", "no such file or folder")),
    "empty file": (empty_file, ("a.dcm", "empty")),
    "text named .dcm": (text_file, ("notes.dcm", "is none")),
    "no pixel data": (no_pixels, ("a.dcm", "no pixel data")),
    "65535 rows": (lambda folder: with_value(folder / "a.dcm", "Rows", 65535), ("a.dcm", "truncated")),
    "65535 columns": (lambda folder: with_value(folder / "a.dcm", "Columns", 65535), ("a.dcm", "truncated")),
    "no rows": (lambda folder: with_value(folder / "a.dcm", "Rows", 0), ("a.dcm", "Rows is 0")),
    "2147483647 frames": (
        lambda folder: with_value(folder / "a.dcm", "NumberOfFrames", 2147483647),
        ("a.dcm", "truncated"),
    ),
    "minus one frame": (
        lambda folder: with_value(folder / "a.dcm", "NumberOfFrames", -1),
        ("a.dcm", "NumberOfFrames is -1"),
    ),
    "ten samples a pixel": (
        lambda folder: with_value(folder / "a.dcm", "SamplesPerPixel", 10),
        ("a.dcm", "10 samples per pixel"),
    ),
    "slope 0": (
        lambda folder: with_value(folder / "a.dcm", "RescaleSlope", 0),
        ("a.dcm", "RescaleSlope is 0"),
    ),
    "slope 1e300": (
        lambda folder: with_value(folder / "a.dcm", "RescaleSlope", 1e300),
        ("a.dcm", "absurdly large"),
    ),
    "archive with ../": (escaping_zip, ("a.zip", "leads out of the archive")),
    "NaN in NIfTI": (nan_nifti, ("a.nii.gz", "NaN")),
    "infinity in MetaImage": (nan_metaimage, ("a.mha", "infinity")),
    "NaN in TIFF": (nan_tiff, ("a.tif", "NaN")),
    "mammograms": (mammograms, ("in: ", "mammograms are not denoised")),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_input_is_one_line_and_leaves_nothing(case: str, quell: Quell, tmp_path: Path) -> None:
    make, words = UNUSABLE[case]
    ran = quell(make(tmp_path), "-o", tmp_path / "out")
    check_refused(ran, ran.code, *words)
    # What only shows while pixels are read is the failure of a series; all else is refused at once.
    assert ran.code == (1 if case in READ_LATE else 2)
    check_nothing_written(tmp_path / "out")


READ_LATE = ("NaN in NIfTI", "infinity in MetaImage", "NaN in TIFF", "slope 1e300")


@pytest.mark.parametrize("case", ["65535 rows", "no pixel data", "text named .dcm"])
def test_in_a_folder_the_line_names_the_file(case: str, quell: Quell, tmp_path: Path) -> None:
    make, words = UNUSABLE[case]
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    check_refused(quell(tmp_path / "in", "-o", tmp_path / "out"), 2, *words)


@pytest.mark.parametrize("share", [0.001, 0.03, 0.07, 0.1, 0.3, 0.5, 0.62, 0.7, 0.9, 0.999])
def test_a_file_cut_off_anywhere_is_refused(share: float, quell: Quell, tmp_path: Path) -> None:
    path = ct_file(tmp_path / "a.dcm")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    check_refused(quell(path, "-o", tmp_path / "out"), 2, "a.dcm")
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--strength", "2"], ["strength", "2"]),
        (["--strength", "nan"], ["strength", "nan"]),
        (["--sigma", "-1"], ["sigma", "-1"]),
        (["--sigma", "nan"], ["sigma", "nan"]),
        (["--sigma", "much"], ["sigma", "much"]),
        (["--model", "no.such"], ["no.such"]),
        (["--threads", "0"], ["threads"]),
    ],
)
def test_wrong_arguments(arguments: list[str], words: list[str], quell: Quell, tmp_path: Path) -> None:
    ran = quell(ct_file(tmp_path / "a.dcm"), "-o", tmp_path / "out", *arguments)
    check_refused(ran, 2, *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bomb", [deflated_bomb, zip_bomb])
def test_a_bomb_costs_no_memory(bomb: Callable[[Path], Path], tmp_path: Path) -> None:
    path = bomb(tmp_path)
    ran, peak = in_its_own_process(path, "-o", tmp_path / "out")
    check_refused(ran, 2, path.name, "deflated" if bomb is deflated_bomb else "bomb")
    assert peak < 500 << 20
    check_nothing_written(tmp_path / "out")


@pytest.mark.parametrize("place", ["in", "in/out", "in/a/b"])
def test_output_inside_the_input_is_refused(place: str, quell: Quell, tmp_path: Path) -> None:
    path = ct_file(tmp_path / "in" / "a.dcm")
    check_refused(quell(tmp_path / "in", "-o", tmp_path / place), 2, "lies inside the input")
    assert list((tmp_path / "in").rglob("*")) == [path]


# --- the output cannot be written: exit code 1, the series failed --------------------------------


def test_a_file_in_the_place_of_the_output(quell: Quell, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    ran = quell(ct_file(tmp_path / "a.dcm"), "-o", tmp_path / "out")
    check_refused(ran, 2, str(tmp_path / "out"), "is a file")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc here")
def test_a_place_where_nothing_can_be_made(quell: Quell, tmp_path: Path) -> None:
    check_refused(
        quell(ct_file(tmp_path / "a.dcm"), "-o", "/proc/quell"), 1, "/proc/quell", "cannot be written"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(quell: Quell, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    ran = quell(ct_file(tmp_path / "a.dcm"), "-o", tmp_path / "locked" / "out")
    check_refused(ran, 1, "cannot be written")


@pytest.mark.parametrize("arguments", [[], ["--noise-map", "--residual"]])
def test_a_full_disk(
    arguments: list[str], quell: Quell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    series(dicom.ct, SLICES, tmp_path / "in")
    monkeypatch.setattr("quell.formats.atomic.os.fsync", full)
    ran = quell(tmp_path / "in", "-o", tmp_path / "out", *arguments)
    check_refused(ran, 1, str(tmp_path / "out"), "No space left on device")
    check_nothing_written(tmp_path / "out")


def test_a_disk_that_is_full_in_fact(quell: Quell, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        series(dicom.ct, np.tile(SLICES, (4, 1, 1)), tmp_path / "in")
        ran = quell(tmp_path / "in", "-o", small / "out")
        check_refused(ran, 1, str(small / "out"), "No space left on device")
        check_nothing_written(small)
    finally:
        subprocess.run(["umount", str(small)], check=True)


# --- unusual but usable: exit code 0 -------------------------------------------------------------


def one_value(shape: tuple[int, ...], folder: Path, form: str, value: int) -> Path:
    """Write an image of one value in a format."""
    if form == "DICOM":
        return ct_file(folder / "a.dcm", np.full(shape, value, np.int16))
    if form == "NIfTI":
        nib.save(nib.Nifti1Image(np.full((*shape[::-1], 1), value, np.int16), np.eye(4)), folder / "a.nii")
        return folder / "a.nii"
    if form == "MetaImage":
        return metaimage(folder / "a.mha", np.full(shape, value, "<i2"), "MET_SHORT")
    path = folder / {"PNG": "a.png", "TIFF": "a.tif", "JPEG": "a.jpg"}[form]
    Pillow.fromarray(np.full(shape, value, np.uint8)).save(path, quality=100)
    return path


@pytest.mark.parametrize("form", ["DICOM", "NIfTI", "MetaImage", "PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 16)])
def test_images_of_one_value_and_of_one_pixel(
    shape: tuple[int, int], form: str, quell: Quell, tmp_path: Path
) -> None:
    path = one_value(shape, tmp_path, form, 77)
    ran = quell(path, "-o", tmp_path / "out", "--report", "--noise-map", "--residual")
    assert (ran.code, ran.complaints) == (0, []), ran
    files = [file for file in written(tmp_path / "out") if file.stem != "report"]
    assert len(files) == 3
    if form == "DICOM":
        denoised = next(file for file in files if "denoised" in str(file.parent))
        assert np.unique(pydicom.dcmread(denoised).pixel_array).tolist() == [77]


def test_slices_of_unequal_size_become_two_stacks(quell: Quell, tmp_path: Path) -> None:
    series(dicom.ct, SLICES, tmp_path / "in")
    ds = dicom.ct(SLICES[0, :12, :10].copy(), Place(number=9, position=(0, 0, 99)))
    save(ds, tmp_path / "in" / "other.dcm")
    ran = quell(tmp_path / "in", "-o", tmp_path / "out")
    assert (ran.code, ran.complaints) == (0, []), ran
    assert sorted(len(list(folder.iterdir())) for folder in (tmp_path / "out").iterdir()) == [1, 4]


def test_missing_spacing_and_position_are_noted(quell: Quell, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for z, pixels in enumerate(SLICES):
        ds = dicom.ct(pixels, Place().moved(z))
        del ds.PixelSpacing, ds.ImagePositionPatient
        save(ds, tmp_path / "in" / f"{z}.dcm")
    ran = quell(tmp_path / "in", "-o", tmp_path / "out")
    assert (ran.code, ran.complaints) == (0, []), ran
    assert "pixel spacing is not given" in ran.out
    assert len(written(tmp_path / "out")) == 4


def test_identifiers_and_names_with_path_characters_stay_inside(quell: Quell, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ds = dicom.ct(SLICES[0])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "../../evil"
    ds.SeriesInstanceUID = ds.StudyInstanceUID = "/tmp/evil"
    ds.PatientName = ds.PatientID = "../../../evil\\..\\x"
    ds.SeriesDescription = ds.StudyDescription = "../../evil"
    ds.SeriesNumber = -1
    save(ds, tmp_path / "in" / "a.dcm")
    before = set(tmp_path.parent.rglob("*"))
    ran = quell(tmp_path / "in", "-o", tmp_path / "out")
    assert (ran.code, ran.complaints) == (0, []), ran
    (file,) = written(tmp_path / "out")
    assert file.resolve().is_relative_to((tmp_path / "out").resolve())
    new = set(tmp_path.parent.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "out") for path in new)
    assert "evil" not in "".join(str(path.relative_to(tmp_path)) for path in new)


@pytest.mark.parametrize(
    "text", ["two\nlines\r\nmore", "\x1b[2J\x1b[31mred\x07", "x" * 1_000_000, "{{7*7}}<b>[red]"]
)
def test_hostile_descriptions(text: str, quell: Quell, tmp_path: Path) -> None:
    path = ct_file(tmp_path / "a.dcm")
    ds = pydicom.dcmread(path)
    ds["SeriesDescription"].VR = "LT"
    ds["SeriesDescription"]._value = text
    # A string of a million characters only fits an element of implicit VR.
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(path, ds, implicit_vr=True, little_endian=True)
    ran = quell(path, "-o", tmp_path / "out", "--report")
    assert (ran.code, ran.complaints) == (0, []), ran
    assert all(line.isprintable() for line in (ran.out + ran.err).splitlines())
    assert len(ran.out) < 3000
    (image,) = (tmp_path / "out").rglob("*.dcm")
    described = pydicom.dcmread(image).SeriesDescription
    assert len(described) <= 64 and described.isprintable() and described.endswith("[Quell denoised]")


@pytest.mark.parametrize("slope", [1e-30, 1e-6, 1e6, 1e30])
def test_any_scale_is_denoised_alike(slope: float, quell: Quell, tmp_path: Path) -> None:
    """Doubling the units of an image must not change what is done to it, nor break it."""
    pixels = (1000 + RNG.normal(0, 100, (3, 32, 32))).astype(np.int16)
    for name, value in (("one", 1), ("other", slope)):
        series(dicom.mr, pixels, tmp_path / name, RescaleSlope=value, RescaleIntercept=0)
        # In 32 bits: the rounding of bfloat16 is a percent or two of the noise by itself.
        ran = quell(tmp_path / name, "-o", tmp_path / f"out {name}", "--engine", "onnx")
        assert (ran.code, ran.complaints) == (0, []), ran
    one, other = (
        np.stack([pydicom.dcmread(file).pixel_array for file in written(tmp_path / f"out {name}")]).astype(
            int
        )
        for name in ("one", "other")
    )
    assert not np.array_equal(one, pixels)
    assert np.abs(one - other).max() <= 1


# --- one bad among good: exit code 1, the good is done ---------------------------------------------


def test_a_good_series_beside_a_broken_one_is_done(quell: Quell, tmp_path: Path) -> None:
    series(dicom.ct, SLICES, tmp_path / "in" / "good")
    broken = ct_file(
        tmp_path / "in" / "broken" / "cut.dcm", SeriesInstanceUID="1.2.3", SOPInstanceUID="1.2.4"
    )
    broken.write_bytes(broken.read_bytes()[:-100])
    ran = quell(tmp_path / "in", "-o", tmp_path / "out")
    check_refused(ran, 1, "cut.dcm", "truncated")
    assert len(written(tmp_path / "out")) == 4


def test_a_damaged_stream_fails_its_series_alone(quell: Quell, tmp_path: Path) -> None:
    series(dicom.ct, SLICES, tmp_path / "in" / "good")
    bad = series(dicom.mr, SLICES.view(np.uint16) % 4096, tmp_path / "in" / "bad", "1.2.840.10008.1.2.5")
    data = bytearray(bad[1].read_bytes())
    data[-300:] = bytes(300)
    bad[1].write_bytes(data)
    ran = quell(tmp_path / "in", "-o", tmp_path / "out")
    check_refused(ran, 1, "0001.dcm")
    assert len(written(tmp_path / "out")) == 4


def test_a_damaged_member_of_an_archive_is_named(quell: Quell, tmp_path: Path) -> None:
    paths = series(dicom.ct, SLICES, tmp_path / "in")
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as file:
        for path in paths:
            file.write(path, f"study/{path.name}")
    ran = quell(tmp_path / "study.zip", "-o", tmp_path / "out")
    check_refused(ran, 1, "0002.dcm", "truncated")
    assert len(written(tmp_path / "out")) == 3


def test_deep_nesting_is_one_line_that_names_the_file(quell: Quell, tmp_path: Path) -> None:
    ds = dicom.ct(SLICES[0])
    inner = pydicom.Dataset()
    for _ in range(400):
        outer = pydicom.Dataset()
        outer.ReferencedImageSequence = [inner]
        inner = outer
    ds.ReferencedImageSequence = [inner]
    path = tmp_path / "deep.dcm"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        save(ds, path)
    finally:
        sys.setrecursionlimit(limit)
    ran = quell(path, "-o", tmp_path / "out")
    check_refused(ran, ran.code, "deep.dcm")
    check_nothing_written(tmp_path / "out")


def test_sizes_of_a_wrong_kind_are_put_right(quell: Quell, tmp_path: Path) -> None:
    """A number of frames kept as plain bytes is understood, and written as the text that it should be."""
    path = save(dicom_enhanced.enhanced_ct(SLICES.view(np.uint16)), tmp_path / "a.dcm")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x28\0\x08\0IS\2\0", b"\x28\0\x08\0OB\0\0\2\0\0\0"))
    ran = quell(path, "-o", tmp_path / "out")
    assert (ran.code, ran.complaints) == (0, []), ran
    (file,) = written(tmp_path / "out")
    assert pydicom.dcmread(file).pixel_array.shape == SLICES.shape


def test_elements_that_belong_to_the_file_do_not_follow_into_the_data(quell: Quell, tmp_path: Path) -> None:
    path = ct_file(tmp_path / "a.dcm")
    stray = struct.pack("<HH2sH", 2, 3, b"UI", 6) + b"9.9.9\0"
    data, place = path.read_bytes(), path.read_bytes().index(b"\x08\0\x05\0CS")
    path.write_bytes(data[:place] + stray + data[place:])
    ran = quell(path, "-o", tmp_path / "out")
    assert (ran.code, ran.complaints) == (0, []), ran
    (file,) = written(tmp_path / "out")
    meta, body = file.read_bytes().split(b"\x08\0\x05\0CS", 1)
    assert b"9.9.9" not in body and meta.count(b"\2\0\3\0UI") == 1


# --- the command as users start it -----------------------------------------------------------------


@pytest.mark.parametrize("case", ["empty folder", "text named .dcm", "archive with ../"])
def test_the_command_itself(case: str, tmp_path: Path) -> None:
    make, words = UNUSABLE[case]
    ran, _ = in_its_own_process(make(tmp_path), "-o", tmp_path / "out")
    check_refused(ran, 2, *words)
    check_nothing_written(tmp_path / "out")


def test_nothing_is_heard_of_a_damaged_stream_but_the_one_line(tmp_path: Path) -> None:
    """The JPEG decoders write to the terminal by themselves."""
    source = Path(pydicom.__file__).parent / "data" / "test_files" / "JPEG-lossy.dcm"
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = RNG.bytes(40)
    (tmp_path / "a.dcm").write_bytes(data)
    ran, _ = in_its_own_process(tmp_path / "a.dcm", "-o", tmp_path / "out")
    said = [line for line in ran.err.splitlines() if line not in (console.NOTICE, "")]
    assert len(said) + ran.out.count("failed: ") == (ran.code != 0), ran
