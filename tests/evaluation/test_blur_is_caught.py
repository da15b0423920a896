"""The test that the whole thing works: better PSNR, and the small faint thing is gone."""

from __future__ import annotations

import numpy as np
import pytest
from stand_in import GaussianNoise, median, psnr, smooth

from quell.evaluation.lesion_survival import lesion_study
from quell.evaluation.lesions import Lesion
from quell.evaluation.observers.comparison import compare
from quell.evaluation.observers.hotelling import InternalNoise
from quell.evaluation.observers.scores import Scores
from quell.evaluation.observers.splits import Split
from quell.evaluation.tasks.catalogue import detection_task, observe
from quell.evaluation.tasks.task import Cases, Denoise, DetectionTask, Signal
from quell.image import Geometry, Image

NOISE = GaussianNoise(15.0)
SMALL, LARGE = Signal(2.0, 34.0), Signal(12.0, 8.0)


@pytest.fixture(scope="module")
def task() -> DetectionTask:
    return detection_task("ct-low-contrast")


@pytest.fixture(scope="module")
def cases(task: DetectionTask) -> dict[Signal, Cases]:
    rng = np.random.default_rng(1)
    return {signal: task.acquire(signal, 96, 0.5, NOISE, rng) for signal in (SMALL, LARGE)}


def read(task: DetectionTask, cases: Cases, denoise: Denoise | None, level: float = 0.0) -> Scores:
    rng = np.random.default_rng(2)
    noise = InternalNoise(level=level)
    pairs = cases.pairs(denoise)
    return observe(task, pairs, split=Split("k-fold", 6), internal_noise=noise, rng=rng).scores


def test_median_has_better_psnr_and_loses_the_small_signal(
    task: DetectionTask, cases: dict[Signal, Cases]
) -> None:
    scan = cases[SMALL].absent[0].image
    truth = task.scene(np.random.default_rng(0)).truth
    assert psnr(median(scan), truth) > psnr(scan, truth) + 5
    before, after = (read(task, cases[SMALL], one) for one in (None, median))
    found = compare(before, after, np.random.default_rng(3), count=500)
    assert found.d_prime.difference.high < -0.5
    assert found.auc.p_value < 0.01 and found.auc.difference.value < -0.1


def test_median_keeps_the_large_signal(task: DetectionTask, cases: dict[Signal, Cases]) -> None:
    before, after = (read(task, cases[LARGE], one) for one in (None, median))
    found = compare(before, after, np.random.default_rng(4), count=500)
    assert abs(found.auc.difference.value) < 0.05


def test_blur_loses_the_small_signal_to_a_reader_with_noise_of_its_own(
    task: DetectionTask, cases: dict[Signal, Cases]
) -> None:
    """A linear blur can be undone, and an observer without noise of its own all but undoes it."""
    before, after = (read(task, cases[SMALL], one, level=10.0) for one in (None, smooth))
    found = compare(before, after, np.random.default_rng(5), count=500)
    assert found.d_prime.difference.high < -0.3
    assert found.auc.p_value < 0.05


def test_blur_is_seen_in_what_is_left_of_small_lesions() -> None:
    rng = np.random.default_rng(6)
    voxels = np.zeros((9, 80, 80), np.float32)
    image = Image(voxels, geometry=Geometry((2.0, 1.0, 1.0), known=True), volume=True)
    lesions = (Lesion((4, 20, 20), 3.0, 40.0), Lesion((4, 50, 50), 14.0, 40.0))
    study = lesion_study(image, lesions, NOISE, 0.5, smooth, rng, resolution_mm=1.0, threshold=20.0)
    small, large = study.survivals
    assert small.lost and small.recovery < 0.35 < 0.75 < large.recovery and not large.lost
    assert small.noisy_recovery == pytest.approx(1.0, abs=1e-4)
    # The blur takes false spots away, too: that is what it is liked for.
    assert study.false_after.bright < 0.1 * study.false_before.bright
