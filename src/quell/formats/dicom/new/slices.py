"""New CT, MR and PET objects: one for each slice."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from quell.formats.dicom import codes
from quell.formats.dicom.new import pixels as px
from quell.formats.dicom.new.phantom import (
    DATE,
    Phantom,
    base,
    orient_by_codes,
    place,
    set_image_type,
)

_UNITS = {"Bq/ml": "BQML", "g/ml": "GML", "counts": "CNTS"}
_INJECTED = "110000"
_F18_HALF_LIFE = 6586.2


def ct(phantom: Phantom, stored: px.NewPixels, z: int) -> Dataset:
    """Return the header of one CT slice (PS3.3 A.3)."""
    image = phantom.image
    ds = _slice(phantom, "2", "CT", z)
    set_image_type(ds, "AXIAL")
    said = image.acquisition
    ds.KVP, ds.AcquisitionNumber = said.voltage, 1
    if said.exposure is not None:
        ds.Exposure = round(said.exposure)
    if said.kernel:
        ds.ConvolutionKernel = said.kernel[:16]
    px.describe(ds, stored)
    px.rescale(ds, stored.scales[z], "HU")
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    return ds


def mr(phantom: Phantom, stored: px.NewPixels, z: int) -> Dataset:
    """Return the header of one MR slice (PS3.3 A.4)."""
    ds = _slice(phantom, "4", "MR", z)
    set_image_type(ds, "OTHER")
    # Type 1 and 2 of the MR Image module; no sequence was run (RM: research mode, NONE).
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "RM", "NONE", "", ""
    ds.RepetitionTime = ds.EchoTime = ds.EchoTrainLength = ""
    px.describe(ds, stored)
    if stored.rescaled:
        px.rescale(ds, stored.scales[z], "US")
    px.window(ds, phantom.image.voxels[z])
    return ds


def pt(phantom: Phantom, stored: px.NewPixels, z: int) -> Dataset:
    """Return the header of one PET slice (PS3.3 A.21)."""
    image = phantom.image
    ds = _slice(phantom, "128", "PT", z)
    del ds.PatientPosition
    set_image_type(ds)
    orient_by_codes(ds)
    ds.PatientWeight, ds.PatientSize, ds.DecayCorrection = "70", "1.7", "START"
    ds.Units, ds.CountsSource, ds.SeriesType = (
        _UNITS.get(image.units, "PROPCNTS"),
        "EMISSION",
        ["STATIC", "IMAGE"],
    )
    if ds.Units == "GML":
        ds.SUVType = "BW"
    ds.NumberOfSlices, ds.ImageIndex, ds.CollimatorType = image.shape[0], z + 1, "NONE"
    ds.CorrectedImage = list(image.acquisition.corrections) or ["DECY", "ATTN", "SCAT", "RAN", "NORM"]
    ds.FrameReferenceTime, ds.ActualFrameDuration, ds.DecayFactor = "0", 180000, "1"
    ds.ReconstructionMethod = image.acquisition.reconstruction
    ds.RadiopharmaceuticalInformationSequence = DicomSequence([_fdg()])
    px.describe(ds, stored)
    px.rescale(ds, stored.scales[z], "")
    px.window(ds, phantom.image.voxels[z])
    return ds


def _slice(phantom: Phantom, sop_class: str, modality: str, z: int) -> Dataset:
    ds = base(phantom, sop_class, modality, z + 1)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = phantom.shared_uid("frame of reference"), ""
    ds.PatientPosition = "HFS"
    place(ds, phantom.image, z)
    return ds


def _fdg() -> Dataset:
    """Return the tracer; the dose makes the activity of an SUV of 1 in 70 kg 5 kBq/ml."""
    item = Dataset()
    item.Radiopharmaceutical = "Fluorodeoxyglucose (computed)"
    item.RadiopharmaceuticalStartTime = _INJECTED
    item.RadiopharmaceuticalStartDateTime = f"{DATE}{_INJECTED}"
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = "350000000", str(_F18_HALF_LIFE)
    item.RadionuclidePositronFraction = "0.967"
    fluorine = codes.Code("77004003", "SCT", "^18^Fluorine").item()
    tracer = codes.Code("35321007", "SCT", "Fluorodeoxyglucose F^18^").item()
    item.RadionuclideCodeSequence = DicomSequence([fluorine])
    item.RadiopharmaceuticalCodeSequence = DicomSequence([tracer])
    return item
