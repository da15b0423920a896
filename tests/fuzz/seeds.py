"""Intact DICOM studies to damage: small ones of every kind that is read, and those that pydicom brings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from samples import dicom, dicom_enhanced, dicom_parts

Files = dict[str, bytes]
"""A study: the names of its files and what they hold."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_LARGEST = 160_000
_PADDING = -2000


@cache
def groups() -> tuple[dict[str, Files], ...]:
    """Return three groups of studies by name: made here, brought by pydicom, and relabelled.

    The relabelled ones are pydicom's secondary captures, which would be passed over unread, as
    ultrasound images: so their compressed colours are read.
    """
    bundled = _bundled()
    old, new = (f"{_STORAGE}{tail}\0".encode() for tail in "76")
    relabelled = {
        f"{name} as US": {"a.dcm": files["a.dcm"].replace(old, new)}
        for name, files in bundled.items()
        if old in files["a.dcm"]
    }
    return {**_volumes(), **_compressed(), **_single()}, bundled, relabelled


def _bundled() -> dict[str, Files]:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    paths = [*sorted(folder.glob("*.dcm")), folder / "dicomdirtests" / "DICOMDIR"]
    return {
        f"pydicom {path.name}": {"a.dcm": path.read_bytes()}
        for path in paths
        if path.is_file() and path.stat().st_size <= _LARGEST
    }


def _pixels(shape: tuple[int, ...], low: int, high: int, dtype: type) -> np.ndarray:
    rng = np.random.default_rng(low + high)
    smooth = np.linspace(low, high, int(np.prod(shape))).reshape(shape)
    return np.clip(smooth + rng.normal(0, (high - low) / 20, shape), low, high).astype(dtype)


def _written(write: Callable[[Path], object]) -> Files:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _saved(dataset: FileDataset) -> Files:
    return _written(lambda folder: dicom_parts.save(dataset, folder / "a.dcm"))


def _padded_ct(syntax: str) -> Files:
    pixels = _pixels((3, 40, 36), 0, 3000, np.int16)
    pixels[:, :3, :3] = _PADDING

    def make(plane: np.ndarray, place: dicom_parts.Place) -> FileDataset:
        ds = dicom.ct(plane, place)
        ds.add_new("PixelPaddingValue", "SS", _PADDING)
        block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x39, "IS", [1000, 0, 0, 0])
        ds.ReferencedImageSequence = [dicom_parts.code("121311", "DCM", "Localizer")]
        return ds

    return _written(lambda folder: dicom_parts.series(make, pixels, folder, syntax))


def _volumes() -> dict[str, Files]:
    mr = _pixels((3, 16, 18), 0, 4000, np.uint16)
    pt = _pixels((3, 12, 12), 0, 32767, np.int16)
    return {
        "ct": _padded_ct(pydicom.uid.ExplicitVRLittleEndian),
        "ct implicit": _padded_ct(ImplicitVRLittleEndian),
        "ct big endian": _padded_ct(ExplicitVRBigEndian),
        "mr": _written(lambda folder: dicom_parts.series(dicom.mr, mr, folder, bits=12)),
        "pt": _written(lambda folder: dicom_parts.series(dicom.pt, pt, folder, slope=[0.5, 1.5, 2.5])),
    }


def _compressed() -> dict[str, Files]:
    return {
        "ct rle": _padded_ct(RLELossless),
        "ct jpeg-ls": _padded_ct(JPEGLSLossless),
        "ct jpeg 2000": _padded_ct(JPEG2000Lossless),
        "ct jpeg lossless": _jpeg_lossless(_padded_ct(pydicom.uid.ExplicitVRLittleEndian)),
    }


def _single() -> dict[str, Files]:
    counts = _pixels((4, 16, 12), 0, 60, np.uint16)
    frames = _pixels((4, 12, 14), 0, 4000, np.uint16)
    grey = _pixels((3, 17, 15), 0, 250, np.uint8)
    radiograph = _pixels((26, 22), 0, 4000, np.uint16)
    return {
        "nm static": _saved(dicom.nm(counts)),
        "nm reconstructed": _saved(dicom.nm(counts, "RECON TOMO")),
        "us clip": _saved(dicom.us(grey)),
        "us in colour": _saved(dicom.us(grey[0], colour=True)),
        "us with regions": _saved(dicom.us(grey, SequenceOfUltrasoundRegions=[_region()])),
        "us with palette": _saved(_palette(grey[0])),
        "cr": _saved(dicom.cr(radiograph, bits=12)),
        "dx": _saved(dicom.dx(radiograph, bits=12)),
        "enhanced mr": _saved(dicom_enhanced.enhanced_mr(frames, slopes=[1, 2, 3, 4])),
        "enhanced ct": _saved(dicom_enhanced.enhanced_ct(frames)),
    }


def _region() -> pydicom.Dataset:
    return dicom_parts.made(
        RegionSpatialFormat=1,
        RegionDataType=1,
        RegionLocationMinX0=2,
        RegionLocationMinY0=2,
        RegionLocationMaxX1=12,
        RegionLocationMaxY1=14,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.05,
        PhysicalDeltaY=0.05,
    )


def _palette(pixels: np.ndarray) -> FileDataset:
    ds = dicom.us(pixels)
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", (np.arange(256, dtype="<u2") * 257).tobytes())
    return ds


def _jpeg_lossless(files: Files) -> Files:
    """Compress by GDCM: no other library here writes JPEG lossless."""
    import gdcm

    def pack(folder: Path) -> None:
        for name, data in files.items():
            path = folder / name
            path.write_bytes(data)
            reader = gdcm.ImageReader()
            reader.SetFileName(str(path))
            reader.Read()
            change = gdcm.ImageChangeTransferSyntax()
            change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
            change.SetInput(reader.GetImage())
            change.Change()
            writer = gdcm.ImageWriter()
            writer.SetFileName(str(path))
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            writer.Write()

    return _written(pack)
