"""The noise of a study from door to door: records, JSON, pictures, and what goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

import quell
from quell.errors import InputError, OutputError, QuellError
from quell.evaluation.report.noise_record import NoiseRecord, NoiseSurvey
from quell.evaluation.report.noise_wording import lines
from quell.evaluation.report.record import Status
from quell.image import Acquisition, Geometry, Image, Modality
from quell.jobs.noise_equivalents import equivalents, expected_levels
from quell.jobs.noise_measuring import BOTH, CLASSICAL, measure
from quell.jobs.noise_survey import SurveySettings, survey_noise
from quell.noise.law import Law, LawKind

ONE_CORE = {"threads": 1}


def body(seed: int, sigma: float = 12.0, shape: tuple[int, int, int] = (3, 128, 128)) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    truth = np.where(np.hypot(y, x) < 0.8, 40.0, -1000.0)
    return truth + sigma * np.random.default_rng(seed).standard_normal(shape)


def save(voxels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.rint(voxels).astype(np.int16).T, np.diag([0.7, 0.7, 3, 1])), path)
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder with a CT volume and a damaged one."""
    save(body(0), tmp_path / "study" / "ct_body.nii.gz")
    return tmp_path / "study"


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> NoiseSurvey:
    """Return the survey of a CT volume with its repeat, written to a folder."""
    folder = tmp_path_factory.mktemp("survey")
    save(body(0), folder / "study" / "ct_body.nii.gz")
    save(body(1), folder / "again" / "ct_body.nii.gz")
    settings = SurveySettings(repeat=folder / "again", **ONE_CORE)
    return survey_noise(folder / "study", folder / "out", settings)


def test_level_spectrum_and_repeat_are_found(survey: NoiseSurvey) -> None:
    (series,) = survey.series
    assert series.status is Status.DONE and survey.exit_code == 0
    assert series.level is not None and series.spectrum is not None and series.repeat is not None
    assert series.level.median == pytest.approx(12, rel=0.07) and series.level.source == BOTH
    assert series.repeat.level == pytest.approx(12, rel=0.05) and series.repeat.still
    assert series.spectrum.length == "mm"
    assert series.spectrum.first_moment == pytest.approx(0.25 / 0.7, rel=0.05)
    assert series.law is not None and series.law.kind == "constant"
    assert [one.level for one in series.expected] == pytest.approx(
        [series.level.median / np.sqrt(dose) for dose in (0.5, 0.25, 0.1)]
    )


def test_the_json_has_every_number_and_no_path(survey: NoiseSurvey) -> None:
    (series,) = survey.series
    assert series.picture is not None
    text = (series.picture.parent / "noise.json").read_text("utf-8")
    assert str(survey.source) not in text and "NaN" not in text
    values = json.loads(text)
    assert (values["schema"], values["schema_version"]) == ("quell-noise", 1)
    (one,) = values["series"]
    assert one["picture"] == "noise_001.png" and one["spacing_mm"] == pytest.approx([3, 0.7, 0.7])
    power = np.array(one["spectrum"]["power_2d"])
    rows, columns = power.shape
    cell = 1 / (rows * columns * 0.7 * 0.7)
    assert power.sum() * cell == pytest.approx(one["level"]["median"] ** 2, rel=1e-3)
    assert one["seconds"].keys() == {"read", "classical", "network", "repeat"}


def test_the_picture_shows_four_panels(survey: NoiseSurvey) -> None:
    (series,) = survey.series
    assert series.picture is not None
    sheet = np.asarray(Pillow.open(series.picture).convert("RGB"), np.int16)
    coloured = (np.ptp(sheet, axis=2) > 40).any(axis=0)
    # Level map with its scale, spectrum with its scale, curve: colours lie in each quarter but the first.
    quarters = np.array_split(coloured, 4)
    assert [bool(part.any()) for part in quarters[1:]] == [True] * 3
    assert (sheet[62:392, 22:352] == sheet[62:392, 22:352, :1]).all()


def test_every_line_says_something(survey: NoiseSurvey) -> None:
    (series,) = survey.series
    said = lines(series)
    assert all(words for _, words in said)
    names = [name for name, _ in said]
    for name in ("level", "measured by", "spectrum", "shape", "law", "at 25 % dose", "by the repeat"):
        assert name in names


def test_a_damaged_series_leaves_the_others_alone(study: Path, tmp_path: Path) -> None:
    whole = (study / "ct_body.nii.gz").read_bytes()
    (study / "mr_half.nii.gz").write_bytes(whole[: len(whole) // 2])
    survey = survey_noise(study, settings=SurveySettings(**ONE_CORE))
    assert [one.status for one in survey.series].count(Status.DONE) == 1
    assert survey.exit_code == 1
    assert not list(tmp_path.glob("**/*.json"))


@pytest.mark.parametrize("place", ["missing", "study/inside", "file"])
def test_unusable_paths_are_refused_before_any_work(study: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    source = study if place != "missing" else tmp_path / place
    with pytest.raises((InputError, OutputError)):
        survey_noise(source, tmp_path / place)


def test_a_repeat_must_fit(study: Path, tmp_path: Path) -> None:
    other = save(body(0)[:, :64], tmp_path / "other" / "ct_body.nii.gz")
    with pytest.raises(InputError, match="holds no repeat"):
        survey_noise(study, settings=SurveySettings(repeat=other.parent, **ONE_CORE))


def test_a_constant_image_has_no_noise_and_says_so(tmp_path: Path) -> None:
    path = save(np.full((2, 64, 64), 7), tmp_path / "mr.nii.gz")
    (series,) = survey_noise(path, tmp_path / "out", SurveySettings(**ONE_CORE)).series
    assert series.status is Status.DONE and series.level is not None and series.level.median == 0
    assert any("no noise was found" in words for words in series.warnings)
    assert series.picture is not None and series.picture.is_file()


def test_an_image_is_measured_from_python() -> None:
    image = Image(body(0).astype(np.float32), Modality.CT, "HU", volume=True, name="one")
    other = Image(body(1).astype(np.float32), Modality.CT, "HU", volume=True, name="two")
    record = quell.measure_noise(image, repeat=other, **ONE_CORE)
    assert isinstance(record, NoiseRecord) and record.repeat is not None
    assert record.repeat.against == "two" and record.level is not None
    assert record.level.median == pytest.approx(record.repeat.level, rel=0.07)


def test_without_the_network_the_classical_estimate_stands_alone() -> None:
    image = Image(body(0).astype(np.float32), Modality.CT, "HU", volume=True)

    def broken(_: Image) -> None:
        raise QuellError("the engine is not installed")

    alone, failed = measure(image, None), measure(image, broken)  # type: ignore[arg-type]
    assert alone.level.source == failed.level.source == CLASSICAL
    assert alone.level.median == failed.level.median and not alone.warnings
    assert "the engine is not installed" in failed.warnings[0]


# What a level means ---------------------------------------------------------------------------------


def plain(modality: Modality, value: float, units: str, **fields: object) -> Image:
    voxels = np.full((1, 64, 64), value, np.float32)
    voxels[0, 0] = 0
    return Image(voxels, modality, units, Geometry(known=True), **fields)  # type: ignore[arg-type]


def levels(value: float) -> np.ndarray:
    return np.full((1, 8, 8), value, np.float32)


def test_exposures_go_with_the_dose() -> None:
    image = plain(Modality.CT, 40, "HU", acquisition=Acquisition(exposure=200))
    found = expected_levels(image, levels(20))
    assert [(one.dose, one.level, one.exposure) for one in found] == [
        (0.5, pytest.approx(20 * np.sqrt(2)), 100),
        (0.25, pytest.approx(40), 50),
        (0.1, pytest.approx(20 * np.sqrt(10)), 20),
    ]
    (one,) = equivalents(image, levels(20), None)
    # Half of the noise takes four times the quanta.
    assert (one.name, one.value, one.unit) == ("exposure", pytest.approx(800), "mAs")


def test_raw_counts_fall_with_the_dose() -> None:
    image = plain(Modality.NM, 100, "counts")
    (_, quarter, _) = expected_levels(image, levels(10))
    assert quarter.level == pytest.approx(5) and quarter.relative == pytest.approx(0.2)
    law = Law(LawKind.POISSON, 0, 1.0, 0, 1, 100, 10, 100)
    (one,) = equivalents(image, levels(10), law)
    assert (one.name, one.value) == ("quanta_per_pixel", pytest.approx(100))
    assert equivalents(image, levels(10), replace(law, kind=LawKind.CONSTANT)) == ()


def test_speckle_is_told_in_looks() -> None:
    image = plain(Modality.US, -20, "dB")
    (one,) = equivalents(image, levels(5.57), None)
    assert one.value == pytest.approx(1)
    (four,) = equivalents(image, levels(5.57 / 2), None)
    assert four.value == pytest.approx(4)
    grey = plain(Modality.US, 255, "arbitrary")
    (shown,) = equivalents(grey, levels(5.57 / 60 * 255), None)
    assert shown.value == pytest.approx(1) and "if the image shows 60 dB" in shown.meaning
    assert expected_levels(image, levels(5)) == ()


def test_signal_to_noise_and_relative_noise() -> None:
    assert equivalents(plain(Modality.MR, 300, "arbitrary"), levels(10), None)[0].value == pytest.approx(30)
    (one,) = equivalents(plain(Modality.PT, 5000, "Bq/ml"), levels(1000), None)
    assert (one.name, one.value) == ("relative_noise", pytest.approx(0.2))
