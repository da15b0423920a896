"""Whether an image comes out of Quell, and whether it was only simulated by it."""

from __future__ import annotations

from pydicom.dataset import Dataset

from quell.formats.dicom import tags

SIMULATOR = "Quell simulation"
"""What simulated images name as the equipment that made them."""
_NO_IMAGES = {("DCM", "113062"), ("99QUELL", "NOISE_MAP"), ("99QUELL", "SPREAD")}
_SIMULATED_CODES = {"SIMULATED_DOSE", "TEST_OBJECT"}


def made_by_quell(header: Dataset) -> bool:
    """Whether an image comes out of Quell: it bears its code or names it as its processor.

    What was only simulated does not count: it is there to be denoised.
    """
    codes = {tags.word(code, "CodeValue") for code in _quell_codes(header)}
    names = [name for name in _quell_equipment(header) if not name.startswith(SIMULATOR.upper())]
    return bool(codes - _SIMULATED_CODES or names)


def is_denoised(header: Dataset) -> bool:
    """Whether an image is what Quell's denoising left, and no residual, noise map or spread."""
    steps = [header]
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in tags.items(header, groups):
            steps += tags.items(group, "DerivationImageSequence")
    codes = {
        (tags.word(code, "CodingSchemeDesignator"), tags.word(code, "CodeValue"))
        for step in steps
        for code in tags.items(step, "DerivationCodeSequence")
    }
    return ("99QUELL", "DENOISE") in codes and not codes & _NO_IMAGES


def is_simulated(header: Dataset) -> bool:
    """Whether the noise or the whole of an image is simulated."""
    coded = any(tags.word(code, "CodeValue") in _SIMULATED_CODES for code in _quell_codes(header))
    named = any(name.startswith(SIMULATOR.upper()) for name in _quell_equipment(header))
    return coded or named or tags.word(header, "ManufacturerModelName").startswith(SIMULATOR.upper())


def _quell_codes(header: Dataset) -> list[Dataset]:
    return [
        code
        for keyword in ("DerivationCodeSequence", "PurposeOfReferenceCodeSequence")
        for code in tags.items(header, keyword)
        if tags.word(code, "CodingSchemeDesignator") == "99QUELL"
    ]


def _quell_equipment(header: Dataset) -> list[str]:
    """Return what the contributing equipment of ours is called, in capitals."""
    names = []
    for item in tags.items(header, "ContributingEquipmentSequence"):
        maker, model = tags.word(item, "Manufacturer"), tags.word(item, "ManufacturerModelName")
        if maker == "QUELL" or any(name.startswith("QUELL ") for name in (maker, model)):
            names.append(model)
    return names
