"""Small synthetic DICOM files for the tests of the reader."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PT = "1.2.840.10008.5.1.4.1.1.128"
NM = "1.2.840.10008.5.1.4.1.1.20"
US = "1.2.840.10008.5.1.4.1.1.6.1"
US_CINE = "1.2.840.10008.5.1.4.1.1.3.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def dataset(sop_class: str, modality: str, pixels: np.ndarray | None = None, **elements: Any) -> FileDataset:
    """Return a dataset of one SOP class; `elements` set or, when None, delete attributes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.Modality = sop_class, modality
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.FrameOfReferenceUID = "1.2.3.5"
    ds.SeriesNumber, ds.InstanceNumber = 3, 1
    ds.PatientName, ds.PatientID = "Canary^Patient", "CANARY-ID"
    if pixels is not None:
        set_pixels(ds, pixels)
    for keyword, value in elements.items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2")
    return ds


def set_pixels(ds: Dataset, pixels: np.ndarray) -> None:
    """Enter pixels of shape (rows, columns), (frames, rows, columns) or (rows, columns, 3)."""
    colour = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    if pixels.ndim == 3 and not colour:
        ds.NumberOfFrames = len(pixels)
    ds.Rows, ds.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OW"


def ct_slice(z: float, pixels: np.ndarray | None = None, **elements: Any) -> FileDataset:
    """Return an axial CT slice of 4 x 5 voxels whose stored values are all the slice's height."""
    if pixels is None:
        pixels = np.full((4, 5), round(z), np.int16)
    defaults: dict[str, Any] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [-10.0, -20.0, z],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [0.7, 0.8],
        "SliceThickness": 3.0,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "InstanceNumber": round(z) + 1000,
    }
    return dataset(CT, "CT", pixels, **{**defaults, **elements})


def save(folder: Path, datasets: Iterable[Dataset], names: Iterable[str] | None = None) -> list[Path]:
    """Write datasets into a folder and return their paths."""
    paths = []
    for i, ds in enumerate(datasets):
        path = folder / (f"{i:04d}.dcm" if names is None else list(names)[i])
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def item(**elements: Any) -> Sequence:
    """Return a sequence of one item."""
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return Sequence([ds])


def enhanced_mr(pixels: np.ndarray, heights: Iterable[float], **per_frame: list[Any]) -> FileDataset:
    """Return an enhanced MR; `per_frame` may hold echo times, components and stack identifiers."""
    ds = dataset(ENHANCED_MR, "MR", pixels, ImageType=["ORIGINAL", "PRIMARY", "M", "NONE"])
    shared = Dataset()
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=list(AXIAL))
    shared.PixelMeasuresSequence = item(PixelSpacing=[1.0, 1.5], SliceThickness=2.0)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for i, height in enumerate(heights):
        group = Dataset()
        group.PlanePositionSequence = item(ImagePositionPatient=[0.0, 0.0, height])
        group.PixelValueTransformationSequence = item(
            RescaleSlope=per_frame.get("slope", [1.0] * 999)[i], RescaleIntercept=0.0, RescaleType="US"
        )
        if "echo" in per_frame:
            group.MREchoSequence = item(EffectiveEchoTime=per_frame["echo"][i])
        if "component" in per_frame:
            group.MRImageFrameTypeSequence = item(
                FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"],
                ComplexImageComponent=per_frame["component"][i],
            )
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return ds


def library_file(name: str) -> Path:
    """Return a file that pydicom brings along; nothing is downloaded."""
    path = Path(pydicom.__file__).parent / "data" / "test_files" / name
    if not path.exists():
        pytest.skip(f"pydicom does not bring {name}")
    return path


def shared_data(*parts: str) -> Path:
    """Return a folder or file of real images, or skip the test."""
    given = os.environ.get("QUELL_SHARED_DATA")
    root = Path(given) if given else Path(__file__).resolve().parents[3].parent / "shared" / "data"
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip("no real images here (set QUELL_SHARED_DATA)")
    return path


def files_in(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
