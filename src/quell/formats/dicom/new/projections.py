"""New ultrasound images and clips, and radiographs for processing."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from quell.formats.dicom import codes
from quell.formats.dicom.new import pixels as px
from quell.formats.dicom.new.phantom import Phantom, base, decimals, set_image_type
from quell.image import BoolArray, Image

_CENTIMETRES = 3
_FRAME_MS = "40"
_FRAME_TIME = 0x00181063


def us(phantom: Phantom, stored: px.NewPixels) -> Dataset:
    """Return the header of an ultrasound image or clip (PS3.3 A.6, A.7)."""
    frames = phantom.image.shape[0]
    ds = base(phantom, "3.1" if frames > 1 else "6.1", "US", 1)
    set_image_type(ds, "SMALL PARTS", "0001")
    ds.LossyImageCompression, ds.PatientOrientation = "00", ""
    px.describe(ds, stored)
    if stored.rescaled:
        px.rescale(ds, stored.scales[0], "US")
    if frames > 1:
        ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = frames, _FRAME_MS, _FRAME_TIME
    if phantom.image.geometry.known:
        ds.SequenceOfUltrasoundRegions = DicomSequence([_region(phantom.image)])
    return ds


def _region(image: Image) -> Dataset:
    """Return the calibration of the scan (PS3.3 C.8.5.5): its rectangle and its centimetres per pixel."""
    top, bottom, left, right = _bounds(image)
    item = Dataset()
    # Tissue, two-dimensional; flags 0: opaque, not protected.
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = _CENTIMETRES
    item.PhysicalDeltaX = image.geometry.spacing[2] / 10
    item.PhysicalDeltaY = image.geometry.spacing[1] / 10
    return item


def _bounds(image: Image) -> tuple[int, int, int, int]:
    """Return first and last row and column that hold a measurement."""
    _, rows, columns = image.shape
    if image.padding is None or image.padding.all():
        return 0, rows - 1, 0, columns - 1
    inside: BoolArray = np.logical_not(np.all(image.padding, axis=0))
    y, x = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return int(y[0]), int(y[-1]), int(x[0]), int(x[-1])


def dx(phantom: Phantom, stored: px.NewPixels, z: int) -> Dataset:
    """Return the header of one radiograph for processing (PS3.3 A.26)."""
    image, said = phantom.image, phantom.image.acquisition
    ds = base(phantom, "1.1.1", "DX", z + 1)
    set_image_type(ds, "")
    ds.PresentationIntentType = "FOR PROCESSING"
    ds.PixelIntensityRelationship = "LOG" if said.intensity == "LOG" else "LIN"
    # 1: more X-rays make higher values (PS3.3 C.8.11.3.1.2).
    ds.PixelIntensityRelationshipSign = 1
    px.describe(ds, stored)
    px.rescale(ds, stored.scales[z], "US")
    ds.LossyImageCompression, ds.BurnedInAnnotation, ds.PresentationLUTShape = "00", "NO", "IDENTITY"
    ds.ImageLaterality, ds.PatientOrientation, ds.DetectorType, ds.PositionerType = (
        "U",
        ["L", "F"],
        "DIRECT",
        "",
    )
    ds.ImagerPixelSpacing = decimals(image.geometry.spacing[1:])
    ds.AcquisitionContextSequence = DicomSequence([])
    ds.AnatomicRegionSequence = DicomSequence([codes.Code("38266002", "SCT", "Entire body").item()])
    view = codes.Code("399348003", "SCT", "Antero-posterior projection").item()
    view.ViewModifierCodeSequence = DicomSequence([])
    ds.ViewCodeSequence = DicomSequence([view])
    if said.voltage is not None:
        ds.KVP = said.voltage
    if said.exposure is not None:
        ds.ExposureInuAs = round(1000 * said.exposure)
    return ds
