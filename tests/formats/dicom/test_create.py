"""New DICOM objects of computed images: valid, plainly synthetic, and read back as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from writing import PROVENANCE, SIMULATION, write

from quell.errors import InputError, OutputError
from quell.formats.contracts import OutputKind, Purpose
from quell.formats.dicom.create import write_new
from quell.formats.open import open_study
from quell.image import Acquisition, Geometry, Image, Modality
from validators import dcentvfy, dciodvfy, needs_dciodvfy

NOW = datetime(2026, 3, 4, 15, 6, 7, tzinfo=timezone.utc)
TILT = np.deg2rad(20)
OBLIQUE = (
    (0.0, float(-np.sin(TILT)), float(np.cos(TILT))),
    (0.0, float(np.cos(TILT)), float(np.sin(TILT))),
    (1.0, 0.0, 0.0),
)
GEOMETRY = Geometry((2.5, 0.8, 0.7), (-12.5, 3.25, 40.0), known=True)


def voxels(low: float, high: float, shape: tuple[int, int, int] = (3, 12, 10), whole: bool = True) -> Any:
    values = np.random.default_rng(0).uniform(low, high, shape)
    return (np.rint(values) if whole else values).astype(np.float32)


def image(modality: Modality, values: Any, **fields: Any) -> Image:
    return Image(values, modality, geometry=GEOMETRY, **fields)


PROJECTIONS = Acquisition(reconstruction="PROJECTIONS")
IMAGES = {
    "CT": image(Modality.CT, voxels(-1000, 1500), units="HU", volume=True),
    "CT exact": image(Modality.CT, voxels(-1000, 1500, whole=False), units="HU", volume=True),
    "CT oblique": replace(
        image(Modality.CT, voxels(-1000, 1500), units="HU", volume=True),
        geometry=replace(GEOMETRY, direction=OBLIQUE),
        acquisition=Acquisition(voltage=120, exposure=80.4, kernel="B30f", thickness=3.0),
    ),
    "MR": image(Modality.MR, voxels(0, 3000), volume=True),
    "MR small values": image(Modality.MR, voxels(0, 1, whole=False), volume=True),
    "PT": image(Modality.PT, voxels(0, 31000, whole=False), units="Bq/ml", volume=True),
    "PT SUV": image(Modality.PT, voxels(0, 12, whole=False), units="g/ml", volume=True),
    "PT counts": image(Modality.PT, voxels(0, 90), units="counts", volume=True),
    "PT arbitrary": image(Modality.PT, voxels(0, 90), volume=True),
    "NM planar": image(Modality.NM, voxels(0, 300, (2, 24, 10)), units="counts"),
    "NM projections": image(Modality.NM, voxels(0, 90, (6, 12, 10)), units="counts", acquisition=PROJECTIONS),
    "NM SPECT": image(Modality.NM, voxels(0, 40, whole=False), units="counts", volume=True),
    "NM SPECT, downwards": replace(
        image(Modality.NM, voxels(0, 40), units="counts", volume=True),
        geometry=replace(GEOMETRY, direction=((0.0, 0.0, -1.0), *GEOMETRY.direction[1:])),
    ),
    "US": image(Modality.US, voxels(0, 255, (1, 12, 10))),
    "US clip": image(Modality.US, voxels(0, 255)),
    "US in dB": image(Modality.US, voxels(-60, 12, (1, 12, 10), whole=False)),
    "XR": image(Modality.XR, voxels(0, 9000, (1, 12, 10))),
    "XR frames": image(Modality.XR, voxels(0, 60000, (2, 12, 10))),
}


def made(key: str, out: Path, **options: Any) -> tuple[Path, ...]:
    settings = {"name": "test object", "description": "25 % dose", "seed": 3, "now": NOW, **options}
    return write_new(IMAGES[key], out, **settings).files


@needs_dciodvfy
@pytest.mark.parametrize("name", IMAGES)
def test_no_validator_finds_an_error(name: str, tmp_path: Path) -> None:
    files = made(name, tmp_path)
    assert [message for file in files for message in dciodvfy(file)] == []
    assert dcentvfy(files) == []


@needs_dciodvfy
@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("kind", [OutputKind.DENOISED, OutputKind.SIMULATED])
def test_what_is_derived_of_it_is_valid_too(name: str, kind: OutputKind, tmp_path: Path) -> None:
    made(name, tmp_path / "in")
    source = open_study(tmp_path / "in", Purpose.SIMULATE).series[0]
    origin = SIMULATION if kind is OutputKind.SIMULATED else PROVENANCE
    files = write(source, source.read().voxels, tmp_path / "out", kind, origin).files  # type: ignore[arg-type]
    assert [message for file in files for message in dciodvfy(file)] == []


@pytest.mark.parametrize("name", IMAGES)
def test_it_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    given = IMAGES[name]
    made(name, tmp_path)
    found = open_study(tmp_path, Purpose.SIMULATE).series
    images = [series.read() for series in found]
    # Radiographs stay single images.
    assert len(images) == (given.shape[0] if given.modality is Modality.XR else 1)
    assert all(any("simulated by Quell" in note for note in series.notes) for series in found)
    back = np.concatenate([one.voxels for one in images])
    step = 0.0 if np.array_equal(given.voxels, np.rint(given.voxels)) else float(given.voxels.max()) / 15000
    if given.modality is Modality.US and step:
        step = 0.5
    if given.modality is Modality.PT:
        step = float(given.voxels.max()) / 32767
    np.testing.assert_allclose(back, given.voxels, rtol=1e-6, atol=step / 2 + 1e-6)
    assert images[0].modality is given.modality
    assert images[0].units == (given.units if given.modality is not Modality.XR else "arbitrary")
    assert images[0].geometry.spacing[1:] == pytest.approx(given.geometry.spacing[1:])
    if given.volume:
        np.testing.assert_allclose(images[0].geometry.spacing, given.geometry.spacing)
        np.testing.assert_allclose(images[0].geometry.origin, given.geometry.origin, atol=1e-6)
        np.testing.assert_allclose(images[0].geometry.direction, given.geometry.direction, atol=1e-6)
    assert images[0].volume == given.volume


def test_what_is_told_of_the_acquisition_comes_back(tmp_path: Path) -> None:
    made("CT oblique", tmp_path)
    said = open_study(tmp_path).series[0].read().acquisition
    assert (said.voltage, said.exposure, said.kernel, said.thickness) == (120, 80, "B30f", 3.0)
    made("NM projections", tmp_path / "nm")
    said = open_study(tmp_path / "nm", Purpose.SIMULATE).series[0].read().acquisition
    assert said.reconstruction == "PROJECTIONS"
    assert said.counts == IMAGES["NM projections"].voxels.sum()
    made("XR", tmp_path / "xr")
    said = open_study(tmp_path / "xr").series[0].read().acquisition
    assert (said.presentation, said.intensity) == (False, "LIN")


@pytest.mark.parametrize("name", IMAGES)
def test_nobody_takes_it_for_a_patient(name: str, tmp_path: Path) -> None:
    header = pydicom.dcmread(made(name, tmp_path)[0])
    assert str(header.PatientName) == "QUELL^PHANTOM" and header.PatientID == "PHANTOM"
    assert header.ImageType[0] == "DERIVED"
    assert header.QualityControlImage == "YES"
    assert header.SeriesDescription == "[Quell phantom test object] 25 % dose"
    for words in (header.ImageComments, header.DerivationDescription):
        assert "SIMULATED" in words and "RESEARCH USE ONLY" in words
    assert "seed 3" in header.DerivationDescription


def test_the_same_image_gives_the_same_objects_and_another_gives_others(tmp_path: Path) -> None:
    def uids(**options: Any) -> set[str]:
        headers = [pydicom.dcmread(file) for file in made("CT", tmp_path, **options)]
        return {header.SOPInstanceUID for header in headers} | {headers[0].SeriesInstanceUID}

    first = uids()
    assert len(first) == 4 and uids() == first
    for changes in ({"seed": 4}, {"name": "other"}, {"description": "50 % dose"}):
        assert not uids(**changes) & first
    study = {pydicom.dcmread(file).StudyInstanceUID for file in tmp_path.rglob("*.dcm")}
    assert len(study) == 3, "doses of one object and seed belong to one study"


def test_a_repeat_is_the_same_to_the_byte(tmp_path: Path) -> None:
    one, two = (made("PT", tmp_path / folder) for folder in ("a", "b"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


def test_what_lies_outside_an_ultrasound_scan_is_outside_its_region(tmp_path: Path) -> None:
    padding = np.ones((1, 12, 10), bool)
    padding[:, 2:9, 1:8] = False
    write_new(replace(IMAGES["US"], padding=padding), tmp_path, name="x")
    back = open_study(tmp_path).series[0].read()
    assert back.padding is not None
    np.testing.assert_array_equal(back.padding, padding)


def test_values_that_have_no_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no place"):
        write_new(image(Modality.XR, voxels(-5, 5)), tmp_path, name="x")
    with pytest.raises(OutputError, match="finite"):
        write_new(image(Modality.CT, voxels(0, 1) + np.float32("inf")), tmp_path, name="x")
    with pytest.raises(InputError, match="modality"):
        write_new(image(Modality.UNKNOWN, voxels(0, 1)), tmp_path, name="x")
    assert not list(tmp_path.iterdir())


def test_rounding_and_a_missing_spacing_are_said(tmp_path: Path) -> None:
    rounded = write_new(image(Modality.XR, voxels(0, 9, whole=False)), tmp_path, name="x")
    assert rounded.warnings == ("values were rounded to whole numbers",)
    unplaced = write_new(Image(voxels(0, 9), Modality.CT, "HU"), tmp_path, name="y")
    assert any("1 mm" in warning for warning in unplaced.warnings)


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    (file, *_) = write_new(IMAGES["CT"], tmp_path / "out", name="../../Ä x/y").files
    assert file.parent.parent == tmp_path / "out"
    assert file.parent.name.startswith("CT_phantom_x_y_")
