"""The coded terms that a derived object carries."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from quell.formats.contracts import OutputKind

PRIVATE_SCHEME = "99QUELL"


@dataclass(frozen=True)
class Code:
    """A term of a coding scheme (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str

    def item(self) -> Dataset:
        """Return the term as an item of a code sequence."""
        item = Dataset()
        item.CodeValue = self.value
        item.CodingSchemeDesignator = self.scheme
        item.CodeMeaning = self.meaning
        return item


SMOOTHING = Code("113087", "DCM", "Smoothing")
SUBTRACTION = Code("113062", "DCM", "Pixel by pixel subtraction")
DENOISING = Code("DENOISE", PRIVATE_SCHEME, "Noise reduction by neural network")
NOISE_ESTIMATION = Code("NOISE_MAP", PRIVATE_SCHEME, "Map of the local standard deviation of noise")
SPREAD_ESTIMATION = Code("SPREAD", PRIVATE_SCHEME, "Standard deviation of a denoised image")
NOISE_ADDITION = Code("SIMULATED_DOSE", PRIVATE_SCHEME, "Noise added by simulation of a lower dose")
TEST_OBJECT = Code("TEST_OBJECT", PRIVATE_SCHEME, "Computed image of a test object")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
SYNTHESIZING_EQUIPMENT = Code("109100", "DCM", "Synthesizing Equipment")
NO_UNITS = Code("1", "UCUM", "no units")
COUNTS = Code("{counts}", "UCUM", "counts")

_DERIVATION = {
    # CID 7203 has no term for noise reduction; smoothing is the nearest, made exact by our own.
    OutputKind.DENOISED: (SMOOTHING, DENOISING),
    OutputKind.RESIDUAL: (SMOOTHING, DENOISING, SUBTRACTION),
    OutputKind.NOISE_MAP: (NOISE_ESTIMATION,),
    OutputKind.SPREAD: (SPREAD_ESTIMATION,),
    OutputKind.SIMULATED: (NOISE_ADDITION,),
}


def derivation_items(kind: OutputKind) -> list[Dataset]:
    """Return the steps from the source to `kind`, in the order in which they were done."""
    return [code.item() for code in _DERIVATION[kind]]


def private_scheme_item() -> Dataset:
    """Return the item that says whose the private codes are (Coding Scheme Identification Sequence).

    PS3.3 C.12.1 (SOP Common module) asks for it wherever a scheme designator starts with 99.
    """
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = "Quell private codes"
    item.CodingSchemeResponsibleOrganization = "The Quell developers"
    return item
