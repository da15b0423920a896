"""What all new objects of one computed image have in common: whom, when, where and by what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.valuerep import format_number_as_ds

from quell.formats.dicom import codes
from quell.formats.dicom.describe import RESEARCH_USE_ONLY, SIMULATED, ascii_only, ascii_text, quell_version
from quell.formats.dicom.iods import iod_of
from quell.formats.dicom.origin import SIMULATOR
from quell.formats.dicom.uids import uid_from
from quell.image import Image

# A day on which nobody was examined. Objects of one study have to agree on it, however often they are
# made again, and the decay of PET refers to it.
DATE, TIME = "20000101", "120000"
STORAGE = "1.2.840.10008.5.1.4.1.1."


@dataclass(frozen=True)
class Phantom:
    """A computed image on its way into DICOM objects.

    Attributes
    ----------
    image : Image
    name : str
        Of the test object.
    description : str
    seed : int
    digest : str
        Over the pixels, so that objects of other contents have other identifiers.
    now : datetime
    """

    image: Image
    name: str
    description: str
    seed: int
    digest: str
    now: datetime

    @property
    def key(self) -> str:
        """What identifies the series."""
        modality = self.image.modality.value
        return f"phantom {self.name} seed={self.seed} {modality} {self.description} {self.digest}"

    def instance_uid(self, number: int) -> str:
        """Return the identifier of one object, the same for the same image."""
        return uid_from(f"{self.key} instance {number}")

    @property
    def series_uid(self) -> str:
        """Identifier of the series."""
        return uid_from(f"{self.key} series")

    @property
    def series_number(self) -> int:
        """A number that most likely no other image of the study has."""
        return 1 + int(self.series_uid.rpartition(".")[2]) % 9999

    def shared_uid(self, what: str) -> str:
        """Return an identifier that all images of the same test object and seed share."""
        return uid_from(f"phantom {self.name} seed={self.seed} {what}")


def base(phantom: Phantom, sop_class: str, modality: str, number: int) -> Dataset:
    """Return what every object has: patient, study, series, equipment, origin."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = STORAGE + sop_class, phantom.instance_uid(number)
    ds.InstanceCreationDate, ds.InstanceCreationTime = f"{phantom.now:%Y%m%d}", f"{phantom.now:%H%M%S}"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "QUELL^PHANTOM", "PHANTOM", "", "O"
    ds.StudyInstanceUID, ds.StudyID, ds.AccessionNumber = phantom.shared_uid("study"), "PHANTOM", ""
    ds.StudyDate, ds.StudyTime, ds.ReferringPhysicianName = DATE, TIME, ""
    ds.StudyDescription = ascii_only(f"Quell phantom {phantom.name}")
    ds.SeriesInstanceUID, ds.SeriesNumber, ds.Modality = phantom.series_uid, phantom.series_number, modality
    ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = DATE
    ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = TIME
    ds.SeriesDescription = ascii_only(f"[Quell phantom {phantom.name}] {phantom.description}")
    ds.BodyPartExamined = "WHOLEBODY"
    ds.InstanceNumber, ds.ImageComments = number, f"{SIMULATED} {RESEARCH_USE_ONLY}"
    _say_how(ds, phantom)
    return ds


def _say_how(ds: Dataset, phantom: Phantom) -> None:
    """Say that the image was computed: in words, by codes, and where the standard has a place for it."""
    # PS3.3 C.7.6.1: of a phantom. Synthetic Data (0008,001C) would say more, but validators and archives
    # of editions before 2023 take an even element that they do not know for an error.
    ds.QualityControlImage = "YES"
    ds.Manufacturer, ds.ManufacturerModelName = "Quell", ascii_only(f"{SIMULATOR} {phantom.name}")
    ds.DeviceSerialNumber, ds.SoftwareVersions = "none", quell_version()
    said = f"Image of the test object {phantom.name}, computed with seed {phantom.seed}."
    more = ascii_text(phantom.description)
    ds.DerivationDescription = f"{RESEARCH_USE_ONLY} {SIMULATED} {ascii_text(said)} {more}"[:1024].strip()
    ds.DerivationCodeSequence = DicomSequence([codes.TEST_OBJECT.item()])
    ds.CodingSchemeIdentificationSequence = DicomSequence([codes.private_scheme_item()])


def set_image_type(ds: Dataset, *flavours: str) -> None:
    """Enter Image Type: no patient was examined, so it is neither ORIGINAL nor, where it may, PRIMARY."""
    ds.ImageType = ["DERIVED", "PRIMARY" if iod_of(ds).must_be_primary else "SECONDARY", *flavours]


def place(ds: Dataset, image: Image, z: int) -> None:
    """Enter the position of a slice, its orientation and spacing (PS3.3 C.7.6.2)."""
    ds.ImagePositionPatient = decimals(position(image, z))
    ds.ImageOrientationPatient = orientation(image)
    ds.PixelSpacing = decimals(image.geometry.spacing[1:])
    ds.SliceThickness = thickness(image)


def position(image: Image, z: int) -> tuple[float, ...]:
    """Return the centre of the first pixel of slice `z` in mm."""
    geometry = image.geometry
    step = z * geometry.spacing[0] * np.array(geometry.direction[0])
    return tuple(float(v) for v in np.array(geometry.origin) + step)


def orientation(image: Image) -> list[str]:
    """Return the directions of rows and columns; those of rows first, as x grows along them."""
    _, y, x = image.geometry.direction
    return decimals((*x, *y))


def thickness(image: Image) -> str:
    """Return the slice thickness, by default the distance of slices."""
    return decimal_string(image.acquisition.thickness or image.geometry.spacing[0])


def decimals(values: tuple[float, ...]) -> list[str]:
    """Return decimal strings of at most 16 characters."""
    return [decimal_string(value) for value in values]


def decimal_string(value: float) -> str:
    """Return a decimal string of at most 16 characters; -0 is 0."""
    return str(format_number_as_ds(float(value) + 0.0))


def supine() -> Dataset:
    """Return the item of Patient Orientation Code Sequence (PS3.3 C.8.4.6)."""
    item = codes.Code("102538", "DCM", "recumbent").item()
    modifier = codes.Code("40199007", "SCT", "supine").item()
    item.PatientOrientationModifierCodeSequence = DicomSequence([modifier])
    return item


def orient_by_codes(ds: Dataset) -> None:
    """Say for nuclear medicine and PET how the patient lies."""
    ds.PatientOrientationCodeSequence = DicomSequence([supine()])
    gantry = codes.Code("102540", "DCM", "headfirst").item()
    ds.PatientGantryRelationshipCodeSequence = DicomSequence([gantry])
