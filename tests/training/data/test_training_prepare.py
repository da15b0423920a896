"""From settings to batches: what is prepared, kept for a run that goes on, and refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import counts, levels, method, scans, write
from pydantic import ValidationError

from quell.errors import InputError, QuellError
from quell.image import Modality
from quell.methods.contracts import Need, Stage
from quell.training.data.objects import heart, object_seed, spect_cases
from quell.training.data.prepare import prepare
from quell.training.data.settings import DataSettings

CROP = Stage("train", 8, (1, 32, 32))
PAIRS = {"a": (1, 48, 48), "b": (1, 48, 48), "c": (1, 48, 48)}


def settled(folder: Path | None, **fields: Any) -> DataSettings:
    return DataSettings.model_validate({"folder": folder, **fields})


def test_clean_counts_become_pairs(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 5)
    made = prepare(settled(folder, doses=(0.5, 0.25)), method(), tmp_path / "cache")
    batch = made.train.draw(CROP, (0,))
    assert batch.noisy.shape == batch.clean.shape == batch.second.shape == (8, 1, 32, 32)
    assert set(batch.dose.tolist()) == {0.5, 0.25}
    back = batch.noisy * (batch.scale * batch.dose)[:, None, None, None]
    assert torch.allclose(back, back.round(), atol=1e-3)
    splits = {row["name"]: row["split"] for row in made.manifest}
    assert len(splits) == 5 and set(splits.values()) == {"train", "validation"}
    case = made.validation[0]
    assert case.noisy.shape == (1, 64, 64) and case.clean is not None and case.second is not None
    raw = case.noisy * case.scale + case.offset
    assert abs(raw.mean() / (case.clean * case.scale).mean() - 1) < 0.05


def test_facts_are_those_of_the_noise(tmp_path: Path) -> None:
    for role, seed in (("noisy", 1), ("second", 2)):
        levels(tmp_path / "data" / role, PAIRS, seed, sigma=3.0)
    levels(tmp_path / "data" / "clean", PAIRS, sigma=0.0)
    made = prepare(settled(tmp_path / "data"), method("MR"), tmp_path / "cache")
    facts = made.facts
    # Two or three images of 2304 pixels: a standard deviation is known to 1 / sqrt(2 * 4608), or 1 %.
    assert facts.sigma * facts.scale == pytest.approx(3.0, rel=0.06)
    low, high = facts.residual
    assert low == pytest.approx(-3 * 3.09, rel=0.15) and high == pytest.approx(3 * 3.09, rel=0.15)
    assert len(facts.correlation) == 8 and max(map(abs, facts.correlation)) < 0.1
    assert facts.shape == (1, 48, 48) and facts.modality is Modality.MR


def test_without_a_clean_image_the_noise_is_estimated(tmp_path: Path) -> None:
    levels(tmp_path / "data", dict.fromkeys(PAIRS, (1, 96, 96)), sigma=3.0)
    settings = settled(tmp_path / "data", role="noisy")
    made = prepare(settings, method("MR", Need.NOISY_ONLY), tmp_path / "cache")
    assert made.facts.residual is None
    assert made.facts.sigma * made.facts.scale == pytest.approx(3.0, rel=0.25)
    batch = made.train.draw(CROP, (0,))
    assert batch.clean is None and batch.second is None and batch.dose.tolist() == [1.0] * 8


def test_patients_are_on_one_side(tmp_path: Path) -> None:
    for k in range(12):
        scans(tmp_path / "data" / f"patient{k % 4}" / str(k), 1)
    made = prepare(settled(tmp_path / "data", validation=0.4), method(), tmp_path / "cache")
    sides: dict[str, set[str]] = {}
    for row in made.manifest:
        sides.setdefault(row["name"].split("/")[0], set()).add(row["split"])
    assert len(sides) == 4 and all(len(side) == 1 for side in sides.values())


def test_a_run_that_goes_on_finds_the_same_data_without_the_source(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 3)
    first = prepare(settled(folder), method(), tmp_path / "cache")
    shutil.rmtree(folder)
    again = prepare(settled(folder), method(), tmp_path / "cache")
    a, b = first.train.draw(CROP, (5,)), again.train.draw(CROP, (5,))
    assert torch.equal(a.noisy, b.noisy) and torch.equal(a.second, b.second)
    assert first.manifest == again.manifest and first.notes == again.notes
    assert first.facts.correlation == again.facts.correlation


def test_noise_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 2)
    made = [
        prepare(settled(folder, seed=seed), method(), tmp_path / f"cache{n}").train.draw(CROP, (0,)).noisy
        for n, seed in enumerate((1, 1, 2))
    ]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_a_damaged_array_is_made_anew(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 2)
    first = prepare(settled(folder), method(), tmp_path / "cache").train.draw(CROP, (0,)).noisy
    file = sorted((tmp_path / "cache").glob("train-*.npy"))[0]
    content = bytearray(file.read_bytes())
    content[-5] ^= 255
    file.write_bytes(content)
    assert torch.equal(
        first, prepare(settled(folder), method(), tmp_path / "cache").train.draw(CROP, (0,)).noisy
    )


def test_what_was_made_before_a_stop_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scans(tmp_path / "data", 3)
    first = prepare(settled(folder), method(), tmp_path / "cache").train.draw(CROP, (0,)).noisy
    (tmp_path / "cache" / "index.json").unlink()

    def never(*_: object) -> None:
        raise AssertionError("simulated again")

    monkeypatch.setattr("quell.training.data.folder_sources.scan_image", never)
    assert torch.equal(
        first, prepare(settled(folder), method(), tmp_path / "cache").train.draw(CROP, (0,)).noisy
    )


def test_a_folder_to_validate_on(tmp_path: Path) -> None:
    folder, other = scans(tmp_path / "data", 1), tmp_path / "other"
    write(other / "b.nii.gz", counts(np.random.default_rng(9)))
    made = prepare(settled(folder, validation_folder=other), method(), tmp_path / "cache")
    assert len(made.train) == 1 and len(made.validation) == 1
    with pytest.raises(InputError, match="to train on too"):
        prepare(settled(folder, validation_folder=folder), method(), tmp_path / "cache2")


def test_real_pairs_are_scaled_alike_and_the_prior_by_itself(tmp_path: Path) -> None:
    for role, seed in (("noisy", 1), ("clean", 2)):
        levels(tmp_path / "data" / role, PAIRS, seed)
    for name in PAIRS:
        write(
            tmp_path / "data" / "prior" / f"{name}.nii.gz",
            np.random.default_rng(1).normal(0, 1000, (1, 48, 48)),
        )
    wants = method("MR", prior=(Modality.CT,), needs_prior=True)
    made = prepare(settled(tmp_path / "data"), wants, tmp_path / "cache")
    batch = made.train.draw(CROP, (0,))
    assert made.facts.prior and 0.8 < float(batch.prior.std()) < 1.2
    assert abs(float(batch.noisy.mean() - batch.clean.mean())) < 0.01
    alone = prepare(
        settled(tmp_path / "data", prior=False), method("MR", prior=(Modality.CT,)), tmp_path / "c2"
    )
    assert not alone.facts.prior and alone.train.draw(CROP, (0,)).prior is None
    with pytest.raises(InputError, match="in prior/"):
        prepare(settled(tmp_path / "data", prior=False), wants, tmp_path / "c3")


def test_unpaired_images_need_not_match(tmp_path: Path) -> None:
    levels(tmp_path / "data" / "noisy", PAIRS, 1)
    levels(tmp_path / "data" / "clean", {"x": (1, 40, 44), "y": (1, 60, 50)}, 2)
    made = prepare(settled(tmp_path / "data"), method("MR", Need.UNPAIRED), tmp_path / "cache")
    batch = made.train.draw(CROP, (0,))
    assert batch.clean is None and batch.unpaired.shape == batch.noisy.shape


def test_raw_counts_alone_make_noisy_pairs(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 3)
    made = prepare(settled(folder, role="noisy"), method(need=Need.NOISY_PAIRS), tmp_path / "cache")
    batch = made.train.draw(CROP, (0,))
    assert batch.second is not None and batch.dose.tolist() == [0.5] * 8


def test_limits_are_kept(tmp_path: Path) -> None:
    for k in range(5):
        levels(tmp_path / "data", {f"v{k}": (30, 50, 60)}, k)
    settings = settled(tmp_path / "data", role="noisy", most_images=2, most_slices=9, longest_side=40)
    made = prepare(settings, method("MR", Need.NOISY_ONLY), tmp_path / "cache")
    assert len(made.train) == 2
    assert {tuple(row["shape"]) for row in made.manifest} == {(1, 9, 40, 40)}


def test_objects_are_drawn_where_no_folder_is_given(tmp_path: Path) -> None:
    wants = method(objects=("anatomy-nm",), doses=(0.1,))
    made = prepare(settled(None, object_count=2), wants, tmp_path / "cache")
    assert len(made.train) == 2 and len(made.validation) == 1
    batch = made.train.draw(CROP, (0,))
    assert batch.points is not None and batch.points.shape[::2] == (8, 3)


def test_seeds_of_objects_never_meet() -> None:
    sides = [
        {object_seed(n, seed, side) for n in range(2000) for seed in (0, 1, 99)} for side in (False, True)
    ]
    assert not sides[0] & sides[1] and max(sides[0] | sides[1]) < 90_000


def test_a_healthy_heart_tells_where_the_defect_would_be() -> None:
    sick, defect = heart(3, present=True)
    healthy, same = heart(3, present=False)
    assert defect == same and np.array_equal(sick.points, healthy.points)
    missing = healthy.made.truth.voxels - sick.made.truth.voxels
    middle = np.array(np.unravel_index(np.argmax(missing), missing.shape))
    centre = [float((np.indices(missing.shape)[k] * missing).sum() / missing.sum()) for k in range(3)]
    assert np.abs(sick.points[0] - centre).max() < 0.05
    assert missing.max() > 0 and np.abs(middle - sick.points[0]).max() < 6


def test_spect_cases_are_half_with_a_defect() -> None:
    cases = spect_cases(2, 0.25, 1)
    assert [one.present for one in cases] == [True, False]
    assert cases[0].noisy.shape == cases[0].clean.shape == (40, 64, 64)
    assert {one.wall for one in cases} <= {"anterior", "lateral", "inferior"}


REFUSED: list[tuple[str, dict[str, tuple[int, ...]], Need, str]] = [
    ("", {"only": (1, 48, 48)}, Need.PAIRED, "at least 2 patients are needed"),
    ("noisy", PAIRS, Need.PAIRED, "holds noisy images alone"),
    ("noisy", PAIRS, Need.NOISY_PAIRS, "give second/ too"),
    ("noisy", PAIRS, Need.UNPAIRED, "give clean/ too"),
]


@pytest.mark.parametrize(("inside", "names", "need", "why"), REFUSED)
def test_data_that_cannot_serve_is_refused(
    tmp_path: Path, inside: str, names: dict[str, tuple[int, ...]], need: Need, why: str
) -> None:
    levels(tmp_path / "data" / inside, names)
    with pytest.raises(InputError, match=why) as error:
        prepare(settled(tmp_path / "data"), method("MR", need), tmp_path / "cache")
    assert "\n" not in str(error.value) and str(tmp_path / "data") in str(error.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("wrong", [{"spacing": 2.1}, {"origin": 7.0}])
def test_pairs_that_do_not_align_are_refused(tmp_path: Path, wrong: dict[str, float]) -> None:
    levels(tmp_path / "data" / "noisy", PAIRS, 1)
    levels(tmp_path / "data" / "clean", PAIRS, 2, **wrong)
    with pytest.raises(InputError, match="does not align with"):
        prepare(settled(tmp_path / "data"), method("MR"), tmp_path / "cache")


def test_a_method_that_needs_a_prior_is_told_at_once(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 2)
    with pytest.raises(InputError, match="in prior/"):
        prepare(settled(folder), method(prior=(Modality.CT,), needs_prior=True), tmp_path / "cache")


def test_what_is_no_counts_is_refused_by_file(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 2)
    write(folder / "smooth.nii.gz", counts(np.random.default_rng(0)) + 0.25)
    with pytest.raises(InputError, match=r"smooth\.nii\.gz.*no integers"):
        prepare(settled(folder), method(), tmp_path / "cache")


def test_what_cannot_be_read_is_passed_over_until_too_few_are_left(tmp_path: Path) -> None:
    folder = scans(tmp_path / "data", 3)
    for number in range(3):
        broken = counts(np.random.default_rng(0))
        broken[0, 9, 9] = 0
        write(folder / f"scan{number + 3}.nii.gz", np.where(broken == 0, np.nan, broken))
    made = prepare(settled(folder), method(), tmp_path / "cache")
    assert len(made.manifest) == 3 and sum("not finite" in note for note in made.notes) == 3
    for number in range(3):
        (folder / f"scan{number}.nii.gz").unlink()
    with pytest.raises(InputError, match=r"too few images.*not finite"):
        prepare(settled(folder), method(), tmp_path / "cache2")


def test_methods_of_one_study_and_methods_without_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QuellError, match="learns from the study"):
        prepare(settled(None), method(need=Need.ONE_IMAGE), tmp_path)
    with pytest.raises(QuellError, match="give a folder"):
        prepare(settled(None), method(), tmp_path)
    with pytest.raises(InputError, match="no such test object"):
        prepare(settled(None, objects=("teapot",)), method(), tmp_path)
    with pytest.raises(InputError, match="shows CT"):
        prepare(settled(None, objects=("anatomy-ct",)), method(), tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        prepare(settled(tmp_path / "nowhere"), method(), tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"folders": "x"},
        {"folder": "x", "objects": ["anatomy-ct"]},
        {"role": "noisy", "folder": "x", "doses": [0.5]},
        {"doses": [0.0]},
        {"doses": [0.5, 0.5]},
        {"validation": 1.0},
        {"validation_folder": "x"},
        {"use_manifest": True},
        {"modality": "OT"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataSettings.model_validate(wrong)
