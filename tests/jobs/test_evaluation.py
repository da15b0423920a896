"""Evaluations from door to door: numbers as scikit-image has them, intervals, noise, page, and bad input."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
from evaluation_samples import AFFINE, SHAPE, derive, save, three, truth
from PIL import Image as Pillow

import quell
from quell.errors import InputError, QuellError
from quell.evaluation.metrics.statistics import Interval
from quell.evaluation.report.evaluation_html import render_evaluation, tables
from quell.evaluation.report.evaluation_record import EvaluationRecord, Row
from quell.evaluation.report.record import Status
from quell.formats.contracts import OutputKind
from quell.image import Geometry, Image, Modality
from quell.jobs.evaluation import EvaluationSettings, run_evaluation
from quell.jobs.evaluation_case import digest

skimage = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
WINDOW = (-160.0, 240.0)


def row(record: EvaluationRecord, metric: str, region: str | None = None) -> Row:
    return next(one for one in record.rows if (one.metric, one.region) == (metric, region))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a CT volume as reference, noisy and test, and a map of regions."""
    place = tmp_path_factory.mktemp("evaluation")
    for name, voxels in zip(("full", "low", "clean"), three(), strict=True):
        save(voxels, place / name / f"{name}_ct.nii.gz")
    labels = np.zeros(SHAPE)
    labels[:, 20:60, 25:55] = 4
    save(labels, place / "regions_seg.nii.gz")
    return place


@pytest.fixture(scope="module")
def record(folder: Path) -> EvaluationRecord:
    settings = EvaluationSettings(regions=folder / "regions_seg.nii.gz", names={4: "liver"}, seed=3)
    return run_evaluation(folder / "full", folder / "clean", folder / "low", folder / "out", settings)


def test_psnr_and_ssim_are_those_of_scikit_image(record: EvaluationRecord, folder: Path) -> None:
    full, clean = (
        np.clip(nibabel.load(folder / name / f"{name}_ct.nii.gz").get_fdata().T, *WINDOW)
        for name in ("full", "clean")
    )
    (case,) = record.cases
    found = {(s.metric, s.slice): s.value for s in case.scores if s.region is None}
    for z in range(SHAPE[0]):
        psnr = skimage.peak_signal_noise_ratio(full[z], clean[z], data_range=400)
        # What its documentation asks for to match Wang et al. 2004.
        how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        ssim = skimage.structural_similarity(full[z], clean[z], data_range=400, **how)
        assert found["PSNR", z] == pytest.approx(psnr, abs=1e-6)
        assert found["SSIM", z] == pytest.approx(ssim, abs=1e-6)
    assert row(record, "PSNR").test.value == pytest.approx(
        np.mean([found["PSNR", z] for z in range(SHAPE[0])]), abs=1e-9
    )


def test_every_image_of_png_is_compared_as_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(60, 180, (40, 50)).astype(np.uint8)
    other = (one + rng.integers(-9, 9, one.shape)).astype(np.uint8)
    for name, pixels in (("a", one), ("b", other)):
        Pillow.fromarray(pixels).save(tmp_path / f"{name}.png")
    found = run_evaluation(
        tmp_path / "a.png",
        tmp_path / "b.png",
        settings=EvaluationSettings(window=(0, 255), noisy_reference=True),
    )
    assert row(found, "PSNR").test.value == pytest.approx(
        skimage.peak_signal_noise_ratio(one, other, data_range=255), abs=1e-6
    )


def test_the_noisy_image_is_measured_beside_the_test(record: EvaluationRecord) -> None:
    psnr, bias = row(record, "PSNR"), row(record, "HU bias", "liver")
    assert psnr.noisy is not None and psnr.difference is not None
    assert psnr.difference.value == pytest.approx(psnr.test.value - psnr.noisy.value)
    assert psnr.test.low <= psnr.test.value <= psnr.test.high
    assert (psnr.test.groups, psnr.wilcoxon) == (SHAPE[0], None)
    assert abs(bias.test.value) < 1 and bias.unit == "HU" and bias.per == "region and slice"
    reduction = row(record, "noise reduction", "liver")
    assert reduction.noisy is None and reduction.test.value > 0


def test_noise_is_measured_in_plain_parts(record: EvaluationRecord) -> None:
    (case,) = record.cases
    assert case.noise is not None and case.noise.shift is not None
    # Squares of 16 pixels in three slices: the SD of white noise is good to a few per cent.
    assert case.noise.textures["noisy"].sd.value == pytest.approx(20, rel=0.1)
    assert case.noise.textures["reference"].sd.value == pytest.approx(2, rel=0.1)
    assert case.noise.shift.sd.value == pytest.approx(-70, abs=1)
    assert case.noise.shift.mean.value == pytest.approx(0, abs=1)
    # White noise; small squares lose their lowest frequencies to the trend.
    assert case.noise.textures["test"].mean.value == pytest.approx(0.25 / 0.7, rel=0.12)


def test_json_and_table_hold_every_number(record: EvaluationRecord, folder: Path) -> None:
    text = (folder / "out" / "evaluation.json").read_text("utf-8")
    assert "NaN" not in text and str(folder) not in text
    values = json.loads(text)
    assert (values["schema"], values["seed"], values["level"]) == ("quell-evaluation", 3, 0.95)
    (case,) = values["cases"]
    assert len(case["scores"]) == len(record.cases[0].scores)
    assert case["window"] == list(WINDOW)
    stored = nibabel.load(folder / "clean" / "clean_ct.nii.gz").get_fdata().T.astype(np.float32)
    assert case["sha256"]["test"] == digest(stored)
    assert set(case["sha256"]) == {"reference", "noisy", "test", "regions"}
    with (folder / "out" / "evaluation.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(case["scores"])
    psnr = [float(one["test"]) for one in lines if one["metric"] == "PSNR" and not one["region"]]
    assert np.mean(psnr) == row(record, "PSNR").test.value


def test_the_page_is_whole_and_needs_nothing_from_outside(folder: Path, record: EvaluationRecord) -> None:
    page = (folder / "out" / "evaluation.html").read_text("utf-8")
    root = ElementTree.fromstring(page.replace("<!DOCTYPE html>", ""))
    pictures = [one.get("src", "") for one in root.iter() if one.tag.endswith("img")]
    assert len(pictures) >= 6 and all(one.startswith("data:image/png;base64,") for one in pictures)
    assert "http" not in page.replace("http://www.w3.org/1999/xhtml", "").replace("http-equiv", "")
    for words in ("liver", "PSNR", "Noise power spectrum", "RESEARCH USE ONLY", "Test − noisy"):
        assert words in page


def test_names_from_headers_are_escaped(record: EvaluationRecord) -> None:
    hostile = replace(record.cases[0], name="<script>x</script>\x1b", notes=("<b>",))
    page = render_evaluation(replace(record, cases=(hostile,)))
    assert "<script>" not in page and "\x1b" not in page and "<b>" not in page.split("Notes")[1][:300]


def test_the_same_seed_gives_the_same_intervals() -> None:
    # Eight slices: of fewer, all ways to draw them are soon drawn.
    sides = [np.stack(side) for side in zip(*((x[0] for x in three(k)) for k in range(8)), strict=True)]
    full, low, clean = (side[:, 20:60] for side in sides)
    one, same, other = (repr(quell.evaluate(full, clean, low, modality="CT", seed=s).rows) for s in (1, 1, 2))
    assert one == same and one != other


def test_arrays_files_and_images_give_the_same_numbers(record: EvaluationRecord, folder: Path) -> None:
    full, low, clean = (
        nibabel.load(folder / name / f"{name}_ct.nii.gz").get_fdata().T for name in ("full", "low", "clean")
    )
    labels = np.zeros(SHAPE, int)
    labels[:, 20:60, 25:55] = 4
    found = quell.evaluate(
        full, clean, low, labels, modality="CT", spacing=(3, 0.7, 0.7), names={4: "liver"}, seed=3
    )
    assert [one.test.value for one in found.rows] == [one.test.value for one in record.rows]
    assert found.cases[0].sha256 == record.cases[0].sha256


def patients(count: int) -> list[list[np.ndarray]]:
    """Return references, noisy and test images of patients, two slices each."""
    triples = [[one[:2, 16:80] for one in three(seed, shift=seed)] for seed in range(count)]
    return [list(side) for side in zip(*triples, strict=True)]


def test_cases_are_tested_in_pairs() -> None:
    full, low, clean = patients(6)
    found = quell.evaluate(full, clean, low, modality="CT")
    psnr = row(found, "PSNR")
    assert (psnr.test.groups, psnr.parts) == (6, 12)
    assert psnr.noisy is not None and psnr.difference is not None
    assert psnr.difference.value == pytest.approx(psnr.test.value - psnr.noisy.value)
    # All six patients agree: the smallest p value that six pairs can give on two sides.
    assert psnr.wilcoxon == pytest.approx(2 / 2**6)
    assert psnr.wilcoxon_holm is not None and psnr.wilcoxon_holm >= psnr.wilcoxon
    assert psnr.student is not None and psnr.student < 1e-3


@pytest.mark.parametrize(
    ("direction", "before", "gap", "groups", "verdict"),
    [
        ("higher is better", 30.0, (2.0, 1.0, 3.0), 6, "better"),
        ("higher is better", 30.0, (2.0, 1.0, 3.0), 5, ""),
        ("higher is better", 30.0, (2.0, -1.0, 3.0), 6, ""),
        ("lower is better", 30.0, (2.0, 1.0, 3.0), 6, "worse"),
        ("nearer to zero is better", -5.0, (2.0, 1.0, 3.0), 6, "better"),
        ("nearer to one is better", 0.9, (-0.1, -0.2, -0.05), 6, "worse"),
    ],
)
def test_better_and_worse_are_said_where_the_interval_leaves_out_zero(
    direction: str, before: float, gap: tuple[float, float, float], groups: int, verdict: str
) -> None:
    one = Interval(before, before, before, 0.95, groups)
    row = Row("CT, HU", "m", "", direction, "", "slice", None, one, one, Interval(*gap, 0.95, groups))
    assert tables(EvaluationRecord((), (row,)))[0].lines[0].verdict == verdict


def test_equal_images_have_no_error() -> None:
    _, _, clean = three()
    found = quell.evaluate(clean, clean, modality="CT")
    assert row(found, "PSNR").test.value == float("inf") and row(found, "RMSE").test.value == 0
    assert "∞" in render_evaluation(found)


def test_a_truth_without_noise_may_be_the_reference() -> None:
    _, low, clean = three()
    found = quell.evaluate(truth(), clean, low, modality="CT")
    noise = found.cases[0].noise
    assert noise is not None and "reference" not in noise.textures
    assert noise.textures["noisy"].sd.value == pytest.approx(20, rel=0.1)


def test_without_a_reference_only_what_needs_none() -> None:
    _, low, clean = three()
    found = quell.evaluate(None, clean, low, modality="CT")
    assert {one.metric for one in found.rows} == {"HU bias"}
    noise = found.cases[0].noise
    assert noise is not None and noise.shift is not None
    assert noise.shift.sd.value == pytest.approx(-70, abs=2)
    assert any("no reference" in line for line in found.cases[0].warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"voxels": np.zeros((3, 96, 70), np.float32)}, "shape"),
        ({"units": "arbitrary"}, "is in"),
        ({"modality": Modality.MR}, "is CT"),
        ({"geometry": Geometry((3, 0.8, 0.8), known=True)}, "voxels of"),
        ({"geometry": Geometry((3, 0.7, 0.7), (9, 0, 0), known=True)}, "elsewhere"),
        ({"voxels": np.full(SHAPE, np.nan, np.float32)}, "not finite"),
    ],
)
def test_what_differs_is_refused(change: dict[str, object], words: str) -> None:
    full, _, clean = three()
    place = Geometry((3, 0.7, 0.7), known=True)
    test = Image(clean.astype(np.float32), Modality.CT, "HU", place, name="test")
    reference = replace(test, **{"voxels": full.astype(np.float32), "name": "full", **change})
    with pytest.raises(InputError, match=words):
        quell.evaluate(reference, test)


def test_a_noisier_reference_is_refused_and_may_be_allowed() -> None:
    full, low, _ = three()
    with pytest.raises(InputError, match="noisier"):
        quell.evaluate(low, full, modality="CT")
    assert quell.evaluate(low, full, modality="CT", noisy_reference=True).cases[0].warnings
    with pytest.raises(InputError, match="noisier than the noisy"):
        quell.evaluate(low, full, full, modality="CT")


@pytest.mark.parametrize(
    "settings", [{"window": (5, 5)}, {"level": 1.5}, {"seed": -1}, {"decibel": -1.0}, {"modality": "XX"}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(QuellError):
        quell.evaluate(truth(), truth(), **settings)


def test_one_of_reference_and_noisy_is_needed(folder: Path) -> None:
    with pytest.raises(QuellError, match="needs a reference"):
        run_evaluation(None, folder / "clean")


@pytest.mark.parametrize("kind", [OutputKind.RESIDUAL, OutputKind.NOISE_MAP])
def test_residuals_and_noise_maps_are_no_images(folder: Path, tmp_path: Path, kind: OutputKind) -> None:
    out = derive(folder / "low", truth(), tmp_path / "out", kind)
    with pytest.raises(InputError, match="residual or a noise map"):
        run_evaluation(folder / "full", out)


def test_what_quell_denoised_is_taken(folder: Path, tmp_path: Path) -> None:
    out = derive(folder / "low", three()[2], tmp_path / "out")
    found = run_evaluation(folder / "full", out, folder / "low")
    assert found.cases[0].status is Status.DONE and found.exit_code == 0
    with pytest.raises(InputError, match="denoised already"):
        quell.read(out)


def test_regions_turned_round_are_laid_on_the_image(record: EvaluationRecord, folder: Path) -> None:
    labels = np.zeros(SHAPE)
    labels[:, 20:60, 25:55] = 4
    # The same grid, stored with its columns from right to left, as many programs do.
    affine = AFFINE.copy()
    affine[0, 0], affine[0, 3] = -0.7, 0.7 * (SHAPE[2] - 1)
    path = save(labels[:, :, ::-1], folder / "turned" / "seg.nii.gz", affine)
    settings = EvaluationSettings(regions=path, names={4: "liver"}, seed=3)
    found = run_evaluation(folder / "full", folder / "clean", folder / "low", settings=settings)
    assert row(found, "MAE", "liver") == row(record, "MAE", "liver")


@pytest.mark.parametrize(
    ("labels", "affine", "words"),
    [
        (np.ones((2, 96, 80)), AFFINE, "shape"),
        (np.full(SHAPE, 0.5), AFFINE, "not whole"),
        (np.ones(SHAPE), np.diag([0.9, 0.7, 3, 1]), "another grid"),
    ],
)
def test_regions_that_do_not_fit_are_refused(
    folder: Path, tmp_path: Path, labels: np.ndarray, affine: np.ndarray, words: str
) -> None:
    settings = EvaluationSettings(regions=save(labels, tmp_path / "labels.nii", affine))
    with pytest.raises(QuellError, match=words):
        run_evaluation(folder / "full", folder / "clean", settings=settings)
