"""Real series of every modality through the simulation, judged by rules of DICOM and by dicom3tools.

A few quick ones by default; the whole of the shared data where ``QUELL_EVERY_SERIES`` is set.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest

from quell.evaluation.report.record import SeriesRecord, Status, StudyRecord
from quell.formats.contracts import Purpose
from quell.formats.open import open_study
from quell.image import Image, Modality
from quell.jobs.denoising import run_job
from quell.jobs.simulation import SimulationSettings, run_simulation
from quell.jobs.simulation_record import RECORD_NAME
from validators import dcentvfy, needs_dciodvfy, new_dciodvfy_errors

ROOT = Path(os.environ.get("QUELL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETTINGS = SimulationSettings(dose=0.25, looks=1, seed=1)

pytestmark = pytest.mark.skipif(
    not ROOT.is_dir(), reason="real images are not installed (set QUELL_SHARED_DATA)"
)


@dataclass(frozen=True)
class Case:
    """Files of one study, relative to the shared data, and the module that its noise model is in."""

    files: tuple[str, ...]
    model: str
    modality: Modality | None = None


CASES = {
    "CT": Case(("ct/phantom/ge_ct750hd_qa_imgA.dcm",), "ct"),
    "MR": Case(("mri/pairs/aera_tra_acq1.IMA",), "mri"),
    "MR enhanced": Case(("mri/pairs/sola_knee_acq1.dcm",), "mri"),
    "PET in NIfTI": Case(("pet/sts_crops/sts_005_pet_suv.nii.gz",), "pet"),
    "bone scan": Case(("nm/bone_wholebody_ge_millennium.dcm",), "planar"),
    "echocardiogram": Case(("ultrasound/pydicom/echo_philips_epiq7_jpegll.dcm",), "ultrasound"),
    "CR": Case(("xray/cr_lower_leg_j2k_lossless.dcm",), "radiography"),
    "X-ray in PNG": Case(("xray/hannover_cxr",), "radiography", Modality.XR),
}


@dataclass(frozen=True)
class Done:
    """A study that was simulated from: its copy, the output, what was recorded."""

    source: Path
    out: Path
    record: StudyRecord

    @property
    def series(self) -> SeriesRecord:
        (series,) = self.record.series
        return series

    def image(self) -> Image:
        (series,) = open_study(self.source, Purpose.SIMULATE).series
        return series.read()


@pytest.fixture(scope="module", params=CASES)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    case = CASES[request.param]
    pytest.importorskip(f"quell.noise.{case.model}", reason=f"without the noise model {case.model}")
    folder = tmp_path_factory.mktemp("study")
    source, out = folder / "in", folder / "out"
    source.mkdir()
    for name in case.files:
        given = ROOT / name
        given = next(iter(sorted(given.glob("*.png")))) if given.is_dir() else given
        shutil.copy(given, source)
    settings = SimulationSettings(dose=0.25, looks=1, seed=1, modality=case.modality)
    record = run_simulation(source, out, settings)
    assert [one.reason for one in record.series] == [""]
    return Done(source, out, record)


def simulated(done: Done) -> Image:
    """Return what the reader makes of the written files: simulated images may be read."""
    (series,) = open_study(done.series.files[0].parent, Purpose.SIMULATE).series
    assert any("simulated by Quell" in note for note in series.notes)
    named = done.image().modality
    image = series.read()
    assert image.modality in (named, Modality.UNKNOWN)
    return image


def test_it_is_noisier_and_otherwise_the_same(done: Done) -> None:
    before, after = done.image(), simulated(done)
    assert (after.shape, after.geometry) == (before.shape, before.geometry)
    assert not np.array_equal(after.voxels, before.voxels)
    if before.modality is not Modality.NM:
        span = float(np.ptp(before.voxels))
        change = float(after.voxels.mean(dtype=np.float64) - before.voxels.mean(dtype=np.float64))
        assert abs(change) < 0.02 * span
    if before.padding is not None:
        np.testing.assert_array_equal(after.voxels[before.padding], before.voxels[before.padding])


def test_the_record_tells_how(done: Done) -> None:
    (run,) = json.loads((done.out / RECORD_NAME).read_text())["runs"]
    (told,) = run["series"]
    assert told["status"] == "done" and told["parameters"] and told["seed"] == 1
    assert told["warnings"] == list(done.series.warnings)


@needs_dciodvfy
def test_no_validator_finds_an_error_that_the_source_did_not_have(done: Done) -> None:
    if done.series.format != "DICOM":
        pytest.skip("no DICOM")
    sources = sorted(done.source.iterdir())
    assert new_dciodvfy_errors(sources[0], done.series.files[0]) == []
    assert set(dcentvfy([*sources, *done.series.files])) <= set(dcentvfy(sources))


def test_a_repeat_gives_the_same_pixels_and_identifiers(done: Done) -> None:
    if done.series.modality not in ("NM", "MR"):
        pytest.skip("two modalities are enough")
    before = {file: content(file) for file in done.series.files}
    again = run_simulation(done.source, done.out, SETTINGS)
    assert {file: content(file) for file in again.series[0].files} == before


def content(file: Path) -> tuple[str, str, bytes]:
    header = pydicom.dcmread(file)
    return header.SOPInstanceUID, header.SeriesInstanceUID, header.PixelData


def test_it_may_be_denoised(done: Done, tmp_path: Path) -> None:
    planned = run_job(done.series.files[0].parent, tmp_path / "out", dry_run=True)
    assert [series.status for series in planned.series] == [Status.PLANNED]


def test_the_bone_scan_loses_three_quarters_of_its_counts(done: Done) -> None:
    if done.series.modality != "NM":
        pytest.skip("of the bone scan only")
    header = pydicom.dcmread(done.series.files[0])
    total = int(header.pixel_array.sum(dtype=int))
    before = done.image().voxels.sum(dtype=np.float64)
    # Of 3.6 million counts a quarter is known to 0.09 %.
    assert total == pytest.approx(before / 4, rel=0.005)
    assert header.CountsAccumulated == total


@pytest.mark.slow
@pytest.mark.skipif("QUELL_EVERY_SERIES" not in os.environ, reason="takes minutes (set QUELL_EVERY_SERIES)")
@pytest.mark.parametrize("name", ["ct", "mri", "pet", "nm", "ultrasound", "xray"])
def test_all_series_pass_or_say_why_not(name: str, tmp_path: Path) -> None:
    modality = {"ultrasound": Modality.US, "xray": Modality.XR}.get(name)
    settings = SimulationSettings(dose=0.25, looks=1, seed=1, modality=modality)
    record = run_simulation(ROOT / name, tmp_path, settings)
    assert record.series
    for series in record.series:
        assert series.status is Status.DONE or "unexpected error" not in series.reason, series.reason
    assert sum(series.status is Status.DONE for series in record.series) > 0.8 * len(record.series)
