"""Synthetic but valid DICOM objects of every kind that is denoised; the enhanced ones in `dicom_enhanced`.

Each maker returns a dataset with ``file_meta`` in which dciodvfy finds no error. The pixels, the
bits, the rescale and the place in the patient are parameters, so that a test can ask for the case
it needs; `dicom_parts.save` encodes in any transfer syntax, `dicom_parts.series` makes the slices
of a volume.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset

from samples.dicom_parts import Pixels, Place, code, image, made, orientation, with_more


def ct(
    pixels: Pixels, place: Place | None = None, slope: float = 1, intercept: float = -1024, **more: Any
) -> FileDataset:
    """Return a CT slice; `more` sets further attributes (``bits``: Bits Stored)."""
    ds = image("2", "CT", pixels, place or Place(), more)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = intercept, slope, "HU"
    ds.KVP, ds.AcquisitionNumber, ds.ConvolutionKernel = 120, 1, "B30f"
    ds.WindowCenter, ds.WindowWidth = 40, 400
    return with_more(ds, more)


def mr(pixels: Pixels, place: Place | None = None, **more: Any) -> FileDataset:
    """Return an MR slice."""
    ds = image("4", "MR", pixels, place or Place(), more)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "SK", ""
    ds.MRAcquisitionType, ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = "2D", 500, 12, 1
    ds.MagneticFieldStrength, ds.FlipAngle, ds.PatientPosition = 1.5, 90, "HFS"
    return with_more(ds, more)


def pt(pixels: Pixels, place: Place | None = None, slope: float = 1.7141, **more: Any) -> FileDataset:
    """Return a PET slice in Bq/ml."""
    at = place or Place()
    ds = image("128", "PT", pixels, at, more)
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.RescaleIntercept, ds.RescaleSlope, ds.Units = 0, slope, "BQML"
    ds.CountsSource, ds.SeriesType, ds.DecayCorrection = "EMISSION", ["WHOLE BODY", "IMAGE"], "START"
    ds.NumberOfSlices, ds.ImageIndex, ds.CollimatorType = 1, at.number, "NONE"
    ds.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
    ds.FrameReferenceTime, ds.ActualFrameDuration, ds.DecayFactor = 120000, 240000, 1.01
    ds.RandomsCorrectionMethod, ds.AttenuationCorrectionMethod = "DLYD", "CT"
    ds.ReconstructionMethod, ds.ScatterCorrectionMethod = "OSEM", "MODEL"
    ds.AcquisitionDate, ds.AcquisitionTime = "20240301", "101530"
    ds.SeriesDate, ds.SeriesTime = "20240301", "101500"
    ds.PatientWeight, ds.PatientSize = 71, 1.74
    ds.PatientOrientationCodeSequence = [orientation()]
    ds.PatientGantryRelationshipCodeSequence = [code("102540", "DCM", "headfirst")]
    del ds.PatientPosition
    ds.RadiopharmaceuticalInformationSequence = [_fdg()]
    return with_more(ds, more)


def nm(pixels: Pixels, kind: str = "STATIC", place: Place | None = None, **more: Any) -> FileDataset:
    """Return a scintigram: ``STATIC``, ``WHOLE BODY`` (pixels (frames, y, x)) or ``RECON TOMO`` (z, y, x)."""
    at = place or Place()
    ds = image("20", "NM", pixels, at, more)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PatientPosition"):
        delattr(ds, keyword)
    frames = len(pixels)
    ds.ImageType = ["ORIGINAL", "PRIMARY", kind, "EMISSION"]
    ds.NumberOfFrames, ds.CountsAccumulated = frames, int(pixels.sum())
    ds.SeriesDate, ds.SeriesTime = "20240301", "111500"
    ds.EnergyWindowInformationSequence = [_energy_window()]
    ds.RadiopharmaceuticalInformationSequence = [_technetium()]
    ds.PatientOrientationCodeSequence = [orientation()]
    ds.PatientGantryRelationshipCodeSequence = [code("102540", "DCM", "headfirst")]
    detectors = 1 if kind == "RECON TOMO" else frames
    ds.NumberOfEnergyWindows, ds.NumberOfDetectors = 1, detectors
    ds.EnergyWindowVector, ds.DetectorVector = (
        [1] * frames,
        list(range(1, detectors + 1)) * (frames // detectors),
    )
    ds.DetectorInformationSequence = [_detector(at, kind) for _ in range(detectors)]
    if kind == "RECON TOMO":
        _tomographic(ds, at, frames)
    else:
        ds.FrameIncrementPointer = [0x00540010, 0x00540020]
        ds.ActualFrameDuration = 600000
    if kind == "WHOLE BODY":
        ds.WholeBodyTechnique, ds.ScanVelocity, ds.ScanLength = "1PS", 2.5, 1900
    return with_more(ds, more)


def us(pixels: Pixels, colour: bool = False, **more: Any) -> FileDataset:
    """Return an ultrasound image (y, x) or clip (frames, y, x); `colour` stores it as grey RGB."""
    clip = pixels.ndim == 3
    if colour:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    ds = image("3.1" if clip else "6.1", "US", pixels, Place(), more, colour=colour)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(ds, keyword)
    del ds.PositionReferenceIndicator, ds.SliceThickness, ds.PixelSpacing
    ds.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    ds.LossyImageCompression, ds.PatientOrientation = "00", ""
    if clip:
        ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = len(pixels), 33.3, 0x00181063
        ds.CineRate, ds.StartTrim, ds.StopTrim = 30, 1, len(pixels)
    return with_more(ds, more)


def cr(pixels: Pixels, **more: Any) -> FileDataset:
    """Return a computed radiograph."""
    ds = _radiograph("1", "CR", pixels, more)
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.ViewPosition, ds.PatientOrientation = "PA", ["L", "F"]
    ds.WindowCenter, ds.WindowWidth = 500, 900
    return with_more(ds, more)


def dx(pixels: Pixels, **more: Any) -> FileDataset:
    """Return a digital radiograph for presentation."""
    ds = _radiograph("1.1", "DX", pixels, more)
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.PresentationIntentType, ds.BodyPartExamined = "FOR PRESENTATION", "CHEST"
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape, ds.LossyImageCompression, ds.BurnedInAnnotation = "IDENTITY", "00", "NO"
    ds.WindowCenter, ds.WindowWidth = 2000, 4000
    ds.ImageLaterality, ds.PatientOrientation = "U", ["L", "F"]
    ds.DetectorType, ds.ImagerPixelSpacing = "DIRECT", [0.14, 0.14]
    ds.ViewPosition, ds.AcquisitionContextSequence = "PA", []
    ds.AnatomicRegionSequence = [code("51185008", "SCT", "Chest")]
    ds.ViewCodeSequence = [code("399348003", "SCT", "Antero-posterior projection")]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
    ds.PositionerType = ""
    return with_more(ds, more)


def _radiograph(sop_class: str, modality: str, pixels: Pixels, more: dict[str, Any]) -> FileDataset:
    ds = image(sop_class, modality, pixels, Place(), more)
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "FrameOfReferenceUID",
        "PatientPosition",
    ):
        delattr(ds, keyword)
    del ds.PositionReferenceIndicator, ds.SliceThickness, ds.PixelSpacing
    ds.BodyPartExamined = "CHEST"
    return ds


def _fdg() -> Dataset:
    item = made(
        Radiopharmaceutical="Fluorodeoxyglucose",
        RadiopharmaceuticalStartTime="091500.00",
        RadiopharmaceuticalStartDateTime="20240301091500.00",
        RadionuclideTotalDose=3.5e8,
        RadionuclideHalfLife=6586.2,
        RadionuclidePositronFraction=0.967,
    )
    item.RadionuclideCodeSequence = [code("77004003", "SCT", "^18^Fluorine")]
    item.RadiopharmaceuticalCodeSequence = [code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    return item


def _technetium() -> Dataset:
    item = made(Radiopharmaceutical="MDP", RadionuclideTotalDose=600)
    item.RadionuclideCodeSequence = [code("72454007", "SCT", "^99m^Technetium")]
    return item


def _energy_window() -> Dataset:
    item = made(EnergyWindowName="Tc99m")
    item.EnergyWindowRangeSequence = [made(EnergyWindowLowerLimit=126, EnergyWindowUpperLimit=154)]
    return item


def _detector(at: Place, kind: str) -> Dataset:
    item = made(
        CollimatorType="PARA", CollimatorGridName="LEHR", FieldOfViewShape="RECTANGLE", FocalDistance=0
    )
    if kind == "RECON TOMO":
        item.ImagePositionPatient, item.ImageOrientationPatient = list(at.position), list(at.orientation)
    else:
        item.ImagePositionPatient, item.ImageOrientationPatient = None, None
        item.ViewCodeSequence = [code("399348003", "SCT", "antero-posterior")]
    return item


def _tomographic(ds: FileDataset, at: Place, frames: int) -> None:
    ds.FrameIncrementPointer = 0x00540080
    ds.SliceVector, ds.NumberOfSlices = list(range(1, frames + 1)), frames
    ds.SpacingBetweenSlices, ds.ReconstructionMethod = at.thickness, "OSEM"
    del ds.DetectorVector, ds.EnergyWindowVector
    ds.RotationInformationSequence = [
        made(
            StartAngle=0,
            AngularStep=3,
            RotationDirection="CW",
            ScanArc=360,
            ActualFrameDuration=20000,
            RadialPosition=200,
            NumberOfFramesInRotation=120,
        )
    ]
    ds.NumberOfRotations = 1
