"""New nuclear-medicine objects: planar frames, projections and reconstructions, one object for all frames."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from quell.formats.dicom import codes
from quell.formats.dicom.new import pixels as px
from quell.formats.dicom.new.phantom import (
    Phantom,
    base,
    decimal_string,
    decimals,
    orient_by_codes,
    orientation,
    position,
    set_image_type,
    thickness,
)
from quell.formats.dicom.reconstruction import PROJECTIONS

_ENERGY_WINDOW, _DETECTOR, _ROTATION, _ANGULAR_VIEW, _SLICE = (
    *(0x00540010, 0x00540020, 0x00540050, 0x00540090),
    0x00540080,
)
_FRAME_MS = 20000


def nm(phantom: Phantom, stored: px.NewPixels) -> Dataset:
    """Return the header of one nuclear-medicine object (PS3.3 A.5).

    ``RECON TOMO`` for a volume, ``TOMO`` for raw projections over a full turn, ``STATIC`` for other frames.
    """
    image = phantom.image
    ds = base(phantom, "20", "NM", 1)
    orient_by_codes(ds)
    px.describe(ds, stored)
    if stored.rescaled:
        px.rescale(ds, stored.scales[0], "")
    ds.PixelSpacing, ds.SliceThickness = decimals(image.geometry.spacing[1:]), thickness(image)
    ds.NumberOfFrames = image.shape[0]
    ds.CountsAccumulated = _counts(image.acquisition.counts, image.voxels)
    ds.EnergyWindowInformationSequence, ds.NumberOfEnergyWindows = DicomSequence([_window()]), 1
    ds.RadiopharmaceuticalInformationSequence = DicomSequence([_technetium()])
    if image.acquisition.reconstruction.startswith(PROJECTIONS):
        _projections(ds, phantom)
    elif image.volume:
        _reconstruction(ds, phantom)
    else:
        _planar(ds, image.shape[0])
    return ds


def _counts(told: float | None, voxels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> int:
    total = float(voxels.sum(dtype=np.float64)) if told is None else told
    return min(max(round(total), 0), 2**31 - 1)


def _planar(ds: Dataset, frames: int) -> None:
    set_image_type(ds, "STATIC", "EMISSION")
    del ds.SliceThickness
    ds.FrameIncrementPointer = [_ENERGY_WINDOW, _DETECTOR]
    ds.EnergyWindowVector, ds.DetectorVector = [1] * frames, list(range(1, frames + 1))
    ds.NumberOfDetectors, ds.ActualFrameDuration = frames, 600000
    ds.DetectorInformationSequence = DicomSequence([_planar_detector() for _ in range(frames)])


def _planar_detector() -> Dataset:
    item = _detector()
    item.ImagePositionPatient = item.ImageOrientationPatient = None
    item.ViewCodeSequence = DicomSequence([codes.Code("399348003", "SCT", "antero-posterior").item()])
    return item


def _projections(ds: Dataset, phantom: Phantom) -> None:
    frames = phantom.image.shape[0]
    set_image_type(ds, "TOMO", "EMISSION")
    del ds.SliceThickness
    ds.FrameIncrementPointer = [_ENERGY_WINDOW, _DETECTOR, _ROTATION, _ANGULAR_VIEW]
    ds.EnergyWindowVector = ds.DetectorVector = ds.RotationVector = [1] * frames
    ds.AngularViewVector = list(range(1, frames + 1))
    ds.NumberOfDetectors, ds.NumberOfRotations = 1, 1
    ds.RotationInformationSequence = DicomSequence([_rotation(frames)])
    item = _detector()
    item.ImagePositionPatient = item.ImageOrientationPatient = None
    item.StartAngle = "0"
    ds.DetectorInformationSequence = DicomSequence([item])


def _reconstruction(ds: Dataset, phantom: Phantom) -> None:
    image = phantom.image
    frames = image.shape[0]
    set_image_type(ds, "RECON TOMO", "EMISSION")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = phantom.shared_uid("frame of reference"), ""
    ds.FrameIncrementPointer = _SLICE
    ds.SliceVector, ds.NumberOfSlices = list(range(1, frames + 1)), frames
    ds.NumberOfDetectors, ds.NumberOfRotations = 1, 1
    z, y, x = (np.array(axis) for axis in image.geometry.direction)
    # PS3.3 C.8.4.15: the sign says whether slices follow the normal of the first or run against it.
    sign = 1.0 if float(np.cross(x, y) @ z) >= 0 else -1.0
    ds.SpacingBetweenSlices = decimal_string(sign * image.geometry.spacing[0])
    ds.RotationInformationSequence = DicomSequence([_rotation(120)])
    if image.acquisition.reconstruction:
        ds.ReconstructionMethod = image.acquisition.reconstruction[:64]
    item = _detector()
    item.ImagePositionPatient = decimals(position(image, 0))
    item.ImageOrientationPatient = orientation(image)
    ds.DetectorInformationSequence = DicomSequence([item])


def _rotation(views: int) -> Dataset:
    item = Dataset()
    item.StartAngle, item.AngularStep, item.RotationDirection = "0", decimal_string(360 / views), "CW"
    item.ScanArc, item.ActualFrameDuration, item.RadialPosition = "360", _FRAME_MS, "200"
    item.NumberOfFramesInRotation = views
    return item


def _detector() -> Dataset:
    item = Dataset()
    item.CollimatorType, item.CollimatorGridName = "PARA", "LEHR"
    item.FieldOfViewShape, item.FocalDistance = "RECTANGLE", "0"
    return item


def _window() -> Dataset:
    limits = Dataset()
    limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = "126", "154"
    item = Dataset()
    item.EnergyWindowName = "Tc99m"
    item.EnergyWindowRangeSequence = DicomSequence([limits])
    return item


def _technetium() -> Dataset:
    item = Dataset()
    item.Radiopharmaceutical = "computed"
    technetium = codes.Code("72454007", "SCT", "^99m^Technetium").item()
    item.RadionuclideCodeSequence = DicomSequence([technetium])
    return item
