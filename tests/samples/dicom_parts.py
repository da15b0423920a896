"""What the synthetic DICOM objects have in common: place, pixels, patient, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

Pixels = npt.NDArray[np.integer[Any]]

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ROOT = "1.2.826.0.1.3680043.8.498.77"
_STORAGE = "1.2.840.10008.5.1.4.1.1."


@dataclass(frozen=True)
class Place:
    """Where a slice or frame lies: number, position, orientation, spacing (y, x), thickness in mm."""

    number: int = 1
    position: tuple[float, float, float] = (-120.0, -130.0, 40.0)
    orientation: tuple[float, ...] = AXIAL
    spacing: tuple[float, float] = (0.8, 0.8)
    thickness: float = 3.0

    def moved(self, step: int) -> Place:
        """Return the place `step` slices further along the normal."""
        row, column = np.array(self.orientation[:3]), np.array(self.orientation[3:])
        moved = np.array(self.position) + step * self.thickness * np.cross(row, column)
        position = (float(moved[0]), float(moved[1]), float(moved[2]))
        return Place(self.number + step, position, self.orientation, self.spacing, self.thickness)


def save(dataset: FileDataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a dataset in a transfer syntax: native ones, and those that pydicom can compress to."""
    dataset.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    if syntax == ExplicitVRBigEndian:
        words = np.frombuffer(dataset.PixelData, f"<u{dataset.BitsAllocated // 8}")
        dataset.PixelData = words.astype(words.dtype.newbyteorder(">")).tobytes()
    if UID(syntax).is_compressed:
        dataset.compress(UID(syntax), generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    # Not by the dataset's own method, which refuses to change the byte order.
    dcmwrite(path, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return path


def series(
    make: Callable[..., FileDataset],
    pixels: Pixels,
    folder: Path,
    syntax: str = ExplicitVRLittleEndian,
    place: Place | None = None,
    **options: Any,
) -> list[Path]:
    """Write the slices of `pixels` (z, y, x) as one file each; return the paths in the order of z."""
    first = place or Place()
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for z, plane in enumerate(pixels):
        per_slice = {key: value[z] if isinstance(value, list) else value for key, value in options.items()}
        dataset = make(plane, place=first.moved(z), **per_slice)
        if "NumberOfSlices" in dataset:
            dataset.NumberOfSlices = len(pixels)
        paths.append(save(dataset, folder / f"{z:04d}.dcm", syntax))
    return paths


def with_more(ds: FileDataset, more: dict[str, Any]) -> FileDataset:
    for keyword, value in more.items():
        if keyword not in ("bits",):
            setattr(ds, keyword, value)
    return ds


def image(
    sop_class: str, modality: str, pixels: Pixels, at: Place, more: dict[str, Any], colour: bool = False
) -> FileDataset:
    """Return what all objects have: patient, study, series, equipment, plane, pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = meta.MediaStorageSOPClassUID = UID(_STORAGE + sop_class)
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = UID(f"{ROOT}.3.{len(modality)}.{at.number}")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{ROOT}.4", ""
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Müller^Test", "ID-1", "19600101", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20240301", "100000", "S1", "A1"
    ds.ReferringPhysicianName, ds.StudyDescription = "", "Test study"
    ds.Modality, ds.SeriesNumber, ds.SeriesDescription = modality, 3, "Source series"
    ds.SeriesDate, ds.SeriesTime, ds.PatientPosition = "20240301", "100500", "HFS"
    ds.BodyPartExamined, ds.Laterality = "ABDOMEN", ""
    ds.Manufacturer, ds.ManufacturerModelName, ds.DeviceSerialNumber = "Maker", "Scanner", "42"
    ds.SoftwareVersions, ds.InstitutionName, ds.StationName = "1.0", "Hospital", "ST1"
    ds.InstanceNumber, ds.ContentDate, ds.ContentTime = at.number, "20240301", "101000"
    ds.AcquisitionDate, ds.AcquisitionTime = "20240301", "100900"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = list(at.position), list(at.orientation)
    ds.PixelSpacing, ds.SliceThickness = list(at.spacing), at.thickness
    _set_pixels(ds, pixels, more.get("bits"), colour)
    del ds.Laterality
    return ds


def _set_pixels(ds: FileDataset, pixels: Pixels, bits: int | None, colour: bool) -> None:
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    # Values of fewer bits than allocated: the sign must not reach into the unused bits.
    unused = ds.BitsAllocated - ds.BitsStored
    masked = pixels.view(f"u{pixels.dtype.itemsize}") & ((1 << (ds.BitsAllocated - unused)) - 1)
    data = masked.astype(f"<u{pixels.dtype.itemsize}").tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"


def made(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    return made(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def orientation() -> Dataset:
    item = code("102538", "DCM", "recumbent")
    item.PatientOrientationModifierCodeSequence = [code("40199007", "SCT", "supine")]
    return item
