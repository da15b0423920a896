"""What is denoised, what is left alone, and the reason given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import CT, DX, MR, NM, US, ct_slice, dataset, enhanced_mr, item, library_file, save

from quell.formats.contracts import PassedOver
from quell.formats.dicom.classify import class_name, class_reason, header_reason, notes_on
from quell.formats.dicom.discover import find_series
from quell.formats.dicom.origin import made_by_quell
from quell.image import Modality

PIXELS = np.ones((4, 4), np.uint16)


def passed(folder: Path, *datasets: Any) -> PassedOver:
    found = find_series(save(folder, datasets), folder)
    assert not found.series
    (one,) = found.passed_over
    return one


def image(sop_class: str, modality: str, *kinds: str, **elements: Any) -> Any:
    return dataset(sop_class, modality, PIXELS, ImageType=["ORIGINAL", "PRIMARY", *kinds], **elements)


@pytest.mark.parametrize(
    ("sop_class", "name", "reason"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.11", "Basic Text SR", "not an image"),
        ("1.2.840.10008.5.1.4.1.1.88.67", "X-Ray Radiation Dose SR", "not an image"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "Presentation State", "not an image"),
        ("1.2.840.10008.5.1.4.1.1.66.4", "Segmentation", "segmentation"),
        ("1.2.840.10008.5.1.4.1.1.66", "Raw Data", "not an image"),
        ("1.2.840.10008.5.1.4.1.1.481.3", "RT Structure Set", "not an image"),
        ("1.2.840.10008.5.1.4.1.1.88.59", "Key Object Selection", "not an image"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "Encapsulated PDF", "not an image"),
        ("1.2.840.10008.5.1.4.1.1.1.2", "Mammography", "mammograms"),
        ("1.2.840.10008.5.1.4.1.1.1.2.1", "Mammography", "mammograms"),
        ("1.2.840.10008.5.1.4.1.1.13.1.3", "Breast Tomosynthesis", "mammograms"),
        ("1.2.840.10008.5.1.4.1.1.12.1", "Angiographic", "angiography"),
        ("1.2.840.10008.1.3.10", "Directory", "index"),
        ("1.3.6.1.4.1.9999.1/../../x", "private or unknown", "not an image"),
    ],
)
def test_kinds_that_are_left_alone(sop_class: str, name: str, reason: str) -> None:
    assert name in class_name(sop_class)
    assert reason in str(class_reason(sop_class))


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        (("LOCALIZER",), "a localizer"),
        (("AXIAL", "SCREEN SAVE"), "a dose or protocol screen"),
        (("OTHER", "CT_SOM5 PROT"), "a dose or protocol screen"),
        (("PROJECTION IMAGE",), "a projection through the volume, not a slice"),
        (("AXIAL", "CBF"), "a parameter map, not an image of measured noise"),
    ],
)
def test_ct_types_that_are_left_alone(tmp_path: Path, kinds: tuple[str, ...], reason: str) -> None:
    one = passed(tmp_path, *(image(CT, "CT", *kinds) for _ in range(3)))
    assert one == PassedOver("CT series 3", reason, count=3, error=False)


@pytest.mark.parametrize(
    ("kinds", "word"),
    [
        (("P", "ND"), "phase"),
        (("PHASE MAP", "P", "FFE"), "phase"),
        (("R", "SE"), "real"),
        (("IMAGINARY",), "imaginary"),
        (("ADC", "NORM"), "parameter map"),
        (("DIFFUSION", "FA"), "parameter map"),
        (("M", "T1 MAP"), "parameter map"),
        (("T2_MAP",), "parameter map"),
    ],
)
def test_mr_types_that_are_left_alone(kinds: tuple[str, ...], word: str) -> None:
    assert word in str(header_reason(image(MR, "MR", *kinds)))


@pytest.mark.parametrize("kinds", [("M", "ND", "NORM"), ("M_FFE", "M", "FFE"), ("DIFFUSION", "TRACEW"), ()])
def test_magnitudes_are_denoised(kinds: tuple[str, ...]) -> None:
    assert header_reason(image(MR, "MR", *kinds)) is None


def test_t2_star_is_a_contrast_as_value_3_and_a_map_as_value_4() -> None:
    # PS3.3 C.8.16.1.3 and C.8.16.1.4: image flavor and derived pixel contrast.
    ds = enhanced_mr(np.ones((1, 4, 4), np.uint16), [0])
    ds.ImageType = ["ORIGINAL", "PRIMARY", "T2_STAR", "NONE"]
    assert header_reason(ds) is None
    ds.ImageType = ["DERIVED", "PRIMARY", "M", "T2_STAR"]
    assert "parameter map" in str(header_reason(ds))


@pytest.mark.parametrize(("kind", "word"), [(0, None), (1, "phase"), (2, "real"), (3, "imaginary")])
def test_ge_says_the_component_in_a_private_element(kind: int, word: str | None) -> None:
    ds = image(MR, "MR", "OTHER")
    ds.add_new(0x00430010, "LO", "GEMS_PARM_01")
    ds.add_new(0x0043102F, "SS", kind)
    reason = header_reason(ds)
    assert reason is None if word is None else word in str(reason)


def test_material_maps_are_left_alone() -> None:
    assert "not of HU" in str(header_reason(ct_slice(0, RescaleType="MGML")))
    assert header_reason(ct_slice(0, RescaleType="HU")) is None


def test_raw_projections_are_left_alone_and_reconstructions_are_not() -> None:
    for kind, denoised in [("TOMO", False), ("GATED TOMO", False), ("RECON TOMO", True), ("STATIC", True)]:
        reason = header_reason(image(NM, "NM", kind, "EMISSION"))
        assert (reason is None) is denoised, kind
        assert denoised or "keep the counts" in str(reason)


def test_secondary_captures_are_left_alone_unless_they_are_scintigrams(tmp_path: Path) -> None:
    capture = "1.2.840.10008.5.1.4.1.1.7"
    assert "secondary capture" in passed(tmp_path, image(capture, "CT", "AXIAL")).reason
    scintigram = image(capture, "NM", "WHOLE BODY", "EMISSION")
    (series,) = find_series(save(tmp_path / "nm", [scintigram]), tmp_path).series
    assert series.modality is Modality.NM
    assert any("secondary capture" in note for note in series.notes)


def test_m_mode_alone_is_left_alone() -> None:
    m_mode = image(US, "US", SequenceOfUltrasoundRegions=item(RegionSpatialFormat=2))
    tissue = image(US, "US", SequenceOfUltrasoundRegions=item(RegionSpatialFormat=1))
    assert "two-dimensional" in str(header_reason(m_mode))
    assert header_reason(tissue) is None


def test_own_output_is_left_alone() -> None:
    by_code = image(CT, "CT", "AXIAL")
    by_code.DerivationCodeSequence = item(CodeValue="DENOISE", CodingSchemeDesignator="99QUELL")
    by_name = image(CT, "CT", "AXIAL")
    by_name.ContributingEquipmentSequence = item(Manufacturer="Quell", ManufacturerModelName="Quell ct.fast")
    assert made_by_quell(by_code) and made_by_quell(by_name)
    assert not made_by_quell(image(CT, "CT", "AXIAL", Manufacturer="Quellmann"))
    assert header_reason(by_name) == "made by Quell already"


def test_phase_frames_of_a_mixed_object_are_left_out(tmp_path: Path) -> None:
    pixels = np.arange(4, dtype=np.uint16).repeat(16).reshape(4, 4, 4)
    mixed = enhanced_mr(pixels, [0, 0, 2, 2], component=["MAGNITUDE", "PHASE"] * 2)
    (series,) = find_series(save(tmp_path, [mixed]), tmp_path).series
    np.testing.assert_array_equal(series.read().voxels[:, 0, 0], [0, 2])
    assert series.volume and not series.is_whole(0) and series.stored_frames(0) == (0, 2)
    assert "2 frames passed over: a phase image, not a magnitude" in series.notes


def test_object_of_phase_frames_alone_is_passed_over(tmp_path: Path) -> None:
    phase = enhanced_mr(np.ones((2, 4, 4), np.uint16), [0, 2], component=["PHASE"] * 2)
    assert passed(tmp_path, phase) == PassedOver("MR series 3", "a phase image, not a magnitude")


def test_notes_on_radiographs_and_lossy_images() -> None:
    radiograph = image(DX, "DX", PresentationIntentType="FOR PRESENTATION", LossyImageCompression="01")
    notes = " ".join(notes_on(radiograph))
    assert "for presentation" in notes and "compressed with losses" in notes


def test_localizers_of_a_real_study_are_told_from_slices() -> None:
    folder = library_file("dicomdirtests")
    found = find_series([p for p in folder.rglob("*") if p.is_file()], folder)
    reasons = {one.reason: one.count for one in found.passed_over}
    assert reasons["a localizer"] == 2
    assert reasons["a projection through the volume, not a slice"] == 7
    assert any(series.name.startswith("CT 16x16x5") for series in found.series)


def test_no_identity_in_any_message(tmp_path: Path) -> None:
    good = [ct_slice(z) for z in (0, 3)]
    bad = [
        image(CT, "CT", "LOCALIZER"),
        ct_slice(6, Rows=None),
        ct_slice(9, RescaleSlope=None, SOPInstanceUID=None),
        image(MR, "Canary^Patient", "P"),
    ]
    found = find_series(save(tmp_path, good + bad), tmp_path)
    said = " ".join(
        [*(f"{s.name} {s.notes}" for s in found.series), *(f"{p.what} {p.reason}" for p in found.passed_over)]
    )
    assert "canary" not in said.lower() and said
