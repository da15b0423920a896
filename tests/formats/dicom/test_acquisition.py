"""What the headers say of the acquisition, and that it identifies nobody."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from writing import SAMPLES, found, pixels

from quell.formats.dicom.acquisition import acquisition_of
from quell.formats.dicom.instance import FrameRef, Instance
from quell.formats.dicom.reconstruction import reconstruction_of
from quell.image import Acquisition
from samples import dicom, dicom_enhanced


def of(*datasets: Any) -> Acquisition:
    """Return what is read from single-frame objects in memory."""
    instances = [Instance(Path("x"), dataset) for dataset in datasets]
    return acquisition_of(instances, [FrameRef(i) for i in range(len(datasets))])


def ct(**more: Any) -> Any:
    return dicom.ct(pixels(4, 5), **more)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"Exposure": 120}, 120.0),
        ({"ExposureInuAs": 2500}, 2.5),
        ({"XRayTubeCurrent": 200, "ExposureTime": 500}, 100.0),
        ({"XRayTubeCurrentInuA": 150000, "ExposureTimeInuS": 2000}, 0.3),
        ({"Exposure": 0, "XRayTubeCurrent": 200, "ExposureTime": 500}, 100.0),
        ({"XRayTubeCurrent": 200}, None),
        ({}, None),
    ],
)
def test_exposure_in_mas(said: dict[str, Any], expected: float | None) -> None:
    assert of(ct(**said)).exposure == (None if expected is None else pytest.approx(expected))


def test_under_tube_current_modulation_the_median_counts() -> None:
    assert of(*(ct(Exposure=mas) for mas in (10, 300, 40))).exposure == 40


def test_a_classic_ct() -> None:
    said = of(ct(ConvolutionKernel=["Br40d", "0"], KVP=100))
    assert (said.voltage, said.kernel, said.reconstruction, said.bits) == (100, "Br40d 0", "", 16)
    assert (said.thickness, said.manufacturer, said.scanner) == (3.0, "Maker", "Scanner")


def test_an_enhanced_ct_speaks_in_its_functional_groups() -> None:
    header = dicom_enhanced.enhanced_ct(pixels(2, 4, 5))
    said = acquisition_of([Instance(Path("x"), header)], [FrameRef(0, 0), FrameRef(0, 1)])
    assert (said.exposure, said.voltage, said.kernel) == (100, 120, "B30f")
    assert said.reconstruction == "FILTER_BACK_PROJ"
    assert said.thickness == 3.0


GE = {"Manufacturer": "GE MEDICAL SYSTEMS"}
SIEMENS = {"Manufacturer": "Siemens Healthineers"}
CANON = {"Manufacturer": "TOSHIBA"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({**SIEMENS, "ConvolutionKernel": ["I31f", "3"]}, "ITERATIVE"),
        ({**SIEMENS, "ConvolutionKernel": "J40f"}, "ITERATIVE"),
        ({**SIEMENS, "ConvolutionKernel": ["Br40d", "3"]}, "ITERATIVE"),
        ({**SIEMENS, "ConvolutionKernel": "Qr40"}, "ITERATIVE"),
        ({"SeriesDescription": "Thorax 1.0 iDose (3)"}, "ITERATIVE"),
        ({"ConvolutionKernel": "IMR1"}, "ITERATIVE"),
        ({"SeriesDescription": "AIDR 3D STD"}, "ITERATIVE"),
        ({**CANON, "ConvolutionKernel": "FIRST BODY"}, "ITERATIVE"),
        ({"SeriesDescription": "abdomen ASIR-V 50%"}, "ITERATIVE"),
        ({**CANON, "ConvolutionKernel": "AiCE BODY SHARP"}, "DEEP LEARNING"),
        ({"SeriesDescription": "chest TrueFidelity"}, "DEEP LEARNING"),
        ({"SeriesDescription": "DLIR-H"}, "DEEP LEARNING"),
        ({"SeriesDescription": "Precise Image Smoother"}, "DEEP LEARNING"),
    ],
)
def test_iterative_and_learned_reconstructions_are_revealed(said: dict[str, Any], kind: str) -> None:
    assert of(ct(**said)).reconstruction.startswith(kind)


@pytest.mark.parametrize(
    "said",
    [
        {**SIEMENS, "ConvolutionKernel": "B30f"},
        {**SIEMENS, "ConvolutionKernel": ["Br40d", "0"]},
        {**GE, "ConvolutionKernel": "STANDARD"},
        {**GE, "ConvolutionKernel": "LUNG", "SeriesDescription": "first scan Pi, Iris"},
        {**CANON, "ConvolutionKernel": "FC12"},
        {"SeriesDescription": "Admired cases"},
    ],
)
def test_filtered_back_projection_is_not_taken_for_another(said: dict[str, Any]) -> None:
    assert of(ct(**said)).reconstruction == ""


def test_the_annotation_of_ge_is_read() -> None:
    header = ct(**GE)
    block = header.private_block(0x0053, "GEHC_CT_ADVAPP_001", create=True)
    block.add_new(0x40, "SH", "SS50")
    assert reconstruction_of(header).startswith("ITERATIVE")


def test_pet_and_counts() -> None:
    said = of(dicom.pt(pixels(4, 5), ReconstructionMethod="3D-OSEM TOF"))
    assert said.reconstruction == "3D-OSEM TOF"
    assert {"DECY", "ATTN", "SCAT"} <= set(said.corrections)
    header = dicom.nm(pixels(2, 4, 5, dtype=np.uint16, top=90), CountsAccumulated=1234)
    assert acquisition_of([Instance(Path("x"), header)], [FrameRef(0, 0), FrameRef(0, 1)]).counts == 1234


def test_raw_projections_are_named() -> None:
    header = dicom.nm(pixels(2, 4, 5, dtype=np.uint16, top=90))
    header.ImageType = ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    assert reconstruction_of(header) == "PROJECTIONS"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"PresentationIntentType": "FOR PRESENTATION"}, True),
        ({"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationship": "LIN"}, False),
        ({"PresentationIntentType": "", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, False),
    ],
)
def test_radiographs_for_viewing_and_for_processing(said: dict[str, Any], expected: bool) -> None:
    read = of(dicom.dx(pixels(4, 5, dtype=np.uint16), **said))
    assert (read.presentation, read.intensity) == (expected, said.get("PixelIntensityRelationship", "LOG"))


def test_computed_radiographs_say_it_by_their_intensity() -> None:
    linear = dicom.cr(pixels(4, 5, dtype=np.uint16), PixelIntensityRelationship="LIN")
    assert (of(linear).presentation, of(dicom.cr(pixels(4, 5, dtype=np.uint16))).presentation) == (
        False,
        None,
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_identifies_the_patient(name: str, tmp_path: Path) -> None:
    image = found(SAMPLES[name](tmp_path)).read()
    told = repr(astuple(image.acquisition)).lower()
    assert image.acquisition.scanner == "Scanner"
    for canary in ("müller", "test", "id-1", "1960", "source series", "a1", "hospital"):
        assert canary not in told


def test_unreadable_values_say_nothing() -> None:
    header = Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    assert of(header) == Acquisition()
