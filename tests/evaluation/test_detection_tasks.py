"""Every task gives ensembles in which the signal is where it is said to be, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from stand_in import GaussianNoise, smooth

from quell.errors import QuellError
from quell.evaluation.observers.auc import auc
from quell.evaluation.observers.scores import d_prime
from quell.evaluation.tasks.catalogue import TASKS, channels_for, detection_task, observe, tasks_of
from quell.evaluation.tasks.ct_low_contrast import ct_low_contrast
from quell.evaluation.tasks.task import Signal
from quell.image import Image, Modality
from quell.phantoms.uniform import MITA_INSERTS

BACKGROUNDS = ("uniform", "anatomy")


def far_signal(signal: Signal) -> Signal:
    """Return the signal with a contrast that no anatomy hides."""
    return signal.times(20.0)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("name", TASKS)
def test_signal_lies_in_the_middle_of_its_regions(name: str, background: str) -> None:
    task = detection_task(name, background)  # type: ignore[arg-type]
    scene = task.scene(np.random.default_rng(3))
    signal = task.signals[0]
    change = task.with_signals(scene, signal).voxels - scene.truth.voxels
    assert scene.sites and len(set(scene.sites)) == len(scene.sites)
    spacing = scene.truth.geometry.spacing
    near = np.zeros(scene.truth.shape, np.bool_)
    for _, row, column in scene.sites:
        y, x = (np.arange(n) - at for n, at in zip(scene.truth.shape[1:], (row, column), strict=True))
        distance = np.hypot(y[:, None] * spacing[1], x * spacing[2])
        near |= distance <= 0.75 * signal.diameter_mm + 2 * max(spacing[1:])
        assert change[scene.sites[0][0], row, column] * signal.contrast > 0
    assert not change[~near].any()


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("name", TASKS)
def test_scenes_repeat_with_the_seed_and_name_their_modality(name: str, background: str) -> None:
    task = detection_task(name, background)  # type: ignore[arg-type]
    one, same, other = (task.scene(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.truth.voxels, same.truth.voxels) and one.sites == same.sites
    assert np.array_equal(one.truth.voxels, other.truth.voxels) == (background == "uniform")
    assert one.truth.modality is task.modality and one.truth.geometry.known
    assert len(one.sites) == len(other.sites)
    assert np.isfinite(one.truth.voxels).all()
    if task.modality in (Modality.PT, Modality.NM, Modality.XR, Modality.MR):
        assert one.truth.voxels.min() >= 0


@pytest.mark.parametrize("name", TASKS)
def test_regions_of_uniform_scenes_do_not_overlap(name: str) -> None:
    task = detection_task(name)
    scene = task.scene(np.random.default_rng(0))
    side = task.region_mm / scene.truth.geometry.spacing[1]
    for i, (_, row, column) in enumerate(scene.sites):
        assert all(max(abs(row - y), abs(column - x)) >= 0.75 * side for _, y, x in scene.sites[:i])


def test_tasks_are_those_of_the_field() -> None:
    signals = [(one.diameter_mm, one.contrast) for one in detection_task("ct-low-contrast").signals]
    assert signals == [tuple(kind) for kind in MITA_INSERTS]
    assert tasks_of(Modality.CT) == ("ct-low-contrast", "ct-lung-nodule")
    covered = {detection_task(name).modality for name in TASKS}
    assert covered == {m for m in Modality if m is not Modality.UNKNOWN}


@pytest.mark.parametrize("name", ["ct-low-contrast", "spect-perfusion", "xray-contrast-detail"])
def test_an_observer_sees_a_strong_signal_and_none_where_there_is_none(name: str) -> None:
    task = detection_task(name)
    strong = task.signals[2]
    step = abs(strong.contrast) * (1000 if task.modality is Modality.XR else 1)
    rng = np.random.default_rng(4)
    found = []
    for signal in (strong, strong.times(1e-9)):
        pairs = task.make_pairs(signal, 56, 1.0, GaussianNoise(step), rng)
        found.append(auc(observe(task, pairs).scores))
    assert found[0] > 0.95
    # An area of 56 pairs without a signal has a standard deviation of about 0.055.
    assert 0.28 < found[1] < 0.68


def test_detection_grows_with_dose_contrast_and_size() -> None:
    task = ct_low_contrast(pixels=128)
    rng = np.random.default_rng(5)

    def seen(signal: Signal, dose: float) -> float:
        return d_prime(observe(task, task.make_pairs(signal, 160, dose, GaussianNoise(14.0), rng)).scores)

    middle = Signal(8.0, 6.0)
    base = seen(middle, 0.5)
    # One d' has a standard error of about 0.15.
    assert seen(middle, 2.0) > base + 0.5
    assert seen(middle.times(2), 0.5) > base + 0.5
    assert seen(Signal(13.0, 6.0), 0.5) > base + 0.3


def test_denoisers_read_the_same_cases_and_see_whole_images() -> None:
    task = ct_low_contrast(pixels=128)
    cases = task.acquire(task.signals[1], 12, 1.0, GaussianNoise(5.0), np.random.default_rng(6))
    shapes = []

    def note(image: Image) -> Image:
        shapes.append(image.shape)
        return image

    plain, same, changed = cases.pairs(), cases.pairs(note), cases.pairs(smooth)
    assert np.array_equal(plain.present, same.present) and np.array_equal(plain.absent, same.absent)
    assert changed.present.std() < plain.present.std()
    assert shapes == [(1, 128, 128)] * 4
    assert plain.present.shape == plain.absent.shape == (12, 19, 19)
    assert plain.groups.tolist() == [0] * 8 + [1] * 4
    assert plain.warnings == ("a stand-in",)
    assert not np.array_equal(plain.present, plain.absent)


def test_neighbouring_slices_hold_the_rod_too() -> None:
    task = ct_low_contrast(pixels=128, slices=3)
    scene = task.scene(np.random.default_rng(7))
    change = task.with_signals(scene, Signal(8.0, 10.0)).voxels - scene.truth.voxels
    assert scene.truth.volume and scene.sites[0][0] == 1
    assert np.array_equal(change[0], change[1]) and np.array_equal(change[1], change[2])
    ball = task.with_signals(scene, Signal(8.0, 10.0, "ball")).voxels - scene.truth.voxels
    assert 0 < ball[0].sum() < ball[1].sum()


def test_channels_fit_the_signal() -> None:
    task = ct_low_contrast(pixels=128)
    rng = np.random.default_rng(8)
    small, large = (
        channels_for(task, task.make_pairs(Signal(size, 5.0), 2, 1.0, GaussianNoise(1.0), rng))
        for size in (3.0, 10.0)
    )
    assert small.parameters["width"] < large.parameters["width"]  # type: ignore[operator]


def test_bad_requests_are_refused() -> None:
    with pytest.raises(QuellError, match="known are ct-low-contrast"):
        detection_task("ct-tumour")
    with pytest.raises(QuellError, match="known are uniform, anatomy"):
        detection_task("ct-low-contrast", "lumpy")  # type: ignore[arg-type]
    task = ct_low_contrast(pixels=128)
    rng = np.random.default_rng(9)
    with pytest.raises(ValueError, match="positive"):
        task.acquire(task.signals[0], 0, 1.0, GaussianNoise(1.0), rng)
    cases = task.acquire(task.signals[0], 8, 1.0, GaussianNoise(1.0), rng)
    with pytest.raises(QuellError, match="the denoiser turned"):
        cases.pairs(lambda image: Image(image.voxels[:, ::2]))
    with pytest.raises(QuellError, match="needs at least 20 pairs, got 8"):
        observe(task, cases.pairs())
