"""What the tests of the writer share: a sample of every kind of object, and how to write it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian

from quell.formats.contracts import Origin, OutputKind, Provenance, Simulation, WriteOptions, Written
from quell.formats.dicom.discover import find_series
from quell.formats.dicom.series import DicomSeries
from quell.formats.dicom.write import write_derived
from quell.image import FloatArray
from samples import dicom, dicom_enhanced
from samples.dicom_parts import Pixels, save, series

PROVENANCE = Provenance("quell.test", "1.2", "0123456789abcdef" * 4, strength=0.75)
SIMULATION = Simulation("quell.noise.test", "1.2", "0123456789abcdef" * 4, "dose", 0.25, 7)
NOW = datetime(2026, 3, 4, 15, 6, 7, tzinfo=timezone.utc)

Maker = Callable[..., list[Path]]


def pixels(*shape: int, dtype: type = np.int16, top: int = 1500, seed: int = 0) -> Pixels:
    """Return random stored values from 1 to `top`."""
    return np.random.default_rng(seed).integers(1, top, shape).astype(dtype)


def _stack(make: Callable[..., FileDataset], dtype: type, top: int, **options: Any) -> Maker:
    def maker(folder: Path, syntax: str = ExplicitVRLittleEndian, **more: Any) -> list[Path]:
        values = pixels(3, 12, 10, dtype=dtype, top=top)
        return series(make, values, folder, syntax, **{**options, **more})

    return maker


def _single(
    make: Callable[..., FileDataset], shape: tuple[int, ...], dtype: type, top: int, **options: Any
) -> Maker:
    def maker(folder: Path, syntax: str = ExplicitVRLittleEndian, **more: Any) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        dataset = make(pixels(*shape, dtype=dtype, top=top), **{**options, **more})
        return [save(dataset, folder / "object.dcm", syntax)]

    return maker


SAMPLES: dict[str, Maker] = {
    "CT": _stack(dicom.ct, np.int16, 3000),
    "CT unsigned 12 bit": _stack(dicom.ct, np.uint16, 3000, bits=12),
    "MR": _stack(dicom.mr, np.uint16, 3000, bits=12),
    "PT": _stack(dicom.pt, np.int16, 30000, slope=[1.7141, 0.31, 2.5]),
    "NM static": _single(dicom.nm, (2, 12, 10), np.uint16, 90, kind="STATIC"),
    "NM whole body": _single(dicom.nm, (2, 24, 10), np.uint16, 90, kind="WHOLE BODY"),
    "NM reconstructed": _single(dicom.nm, (4, 12, 10), np.int16, 900, kind="RECON TOMO"),
    "US": _single(dicom.us, (12, 10), np.uint8, 255),
    "US grey in RGB": _single(dicom.us, (12, 10), np.uint8, 255, colour=True),
    "US clip": _single(dicom.us, (3, 12, 10), np.uint8, 255),
    "CR": _single(dicom.cr, (12, 10), np.uint16, 1000, bits=10),
    "DX": _single(dicom.dx, (12, 10), np.uint16, 4000, bits=12),
    "Enhanced CT": _single(dicom_enhanced.enhanced_ct, (3, 12, 10), np.int16, 3000),
    "Enhanced MR": _single(
        dicom_enhanced.enhanced_mr, (3, 12, 10), np.uint16, 4000, bits=12, slopes=[1.0, 0.5, 2.25]
    ),
}


def found(paths: list[Path]) -> DicomSeries:
    """Return the one series that the reader finds in files."""
    result = find_series(paths, paths[0].parent)
    assert len(result.series) == 1, result
    return result.series[0]


def write(
    source: DicomSeries,
    voxels: FloatArray,
    out: Path,
    kind: OutputKind = OutputKind.DENOISED,
    provenance: Origin | None = None,
    **options: Any,
) -> Written:
    """Write with fixed settings and time."""
    if provenance is None:
        provenance = SIMULATION if kind is OutputKind.SIMULATED else PROVENANCE
    return write_derived(source, voxels, out, kind, provenance, WriteOptions(**options), now=NOW)


def of_kind(voxels: FloatArray, kind: OutputKind, seed: int = 1) -> FloatArray:
    """Return values that look like an output of `kind` for an image with `voxels`."""
    noise = np.random.default_rng(seed).normal(0, max(float(voxels.std()) / 20, 1), voxels.shape)
    if kind is OutputKind.RESIDUAL:
        return noise.astype(np.float32)
    if kind in (OutputKind.NOISE_MAP, OutputKind.SPREAD):
        return np.abs(noise).astype(np.float32)
    return (voxels + noise / 10).astype(np.float32)


def stored(path: Path) -> Pixels:
    """Return the stored values of a file as pydicom reads them, without any rescale."""
    return np.asarray(pydicom.dcmread(path).pixel_array)
