"""What a model observer sees in the images of each denoiser: one task for each modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from quell.errors import QuellError
from quell.evaluation.benchmark.record import NOISY, Detection, DetectionRow
from quell.evaluation.benchmark.scoring import run
from quell.evaluation.denoisers import CLASSICAL, Entrant
from quell.evaluation.metrics.statistics import Interval
from quell.evaluation.observers.auc import auc_interval
from quell.evaluation.observers.bootstrap import bootstrap_interval, d_prime_figure
from quell.evaluation.observers.comparison import compare
from quell.evaluation.observers.comparison import holm as adjust
from quell.evaluation.observers.scores import Interval as Found
from quell.evaluation.observers.scores import Scores, d_prime
from quell.evaluation.tasks.catalogue import detection_task, observe
from quell.evaluation.tasks.task import Cases, DetectionTask, Signal
from quell.image import Image, Modality
from quell.inference.contracts import Sigma
from quell.noise.contracts import NoiseModel
from quell.noise.registry import noise_model

TASKS: Mapping[Modality, str] = {
    Modality.CT: "ct-low-contrast",
    Modality.MR: "mr-lesion",
    Modality.PT: "pet-hot-lesion",
    Modality.NM: "bone-hot-lesion",
    Modality.US: "ultrasound-mass",
    Modality.XR: "xray-contrast-detail",
}

TARGET = 1.5
"""d' that the noisy images are brought to by scaling the contrast: neither hopeless nor certain."""

_TRIAL_PAIRS = 60
_SCALES = (0.1, 10.0)
_SPLIT_SEED = 77


def measure_detection(
    modality: Modality, dose: float, entrants: Sequence[Entrant], pairs: int, seed: int
) -> Detection:
    """Let the channelized Hotelling observer read the same cases through every denoiser.

    The contrast of the task's middle signal is scaled until the noisy images have a d' of about 1.5.

    Parameters
    ----------
    modality : Modality
    dose : float
    entrants : sequence of Entrant
        Classical methods with their settings.
    pairs : int
        Regions with and without the signal, of each.
    seed : int

    Raises
    ------
    QuellError
        If there are too few pairs; the message says how many are needed.
    """
    task = detection_task(TASKS[modality], "uniform")
    rng = np.random.default_rng([seed, _SPLIT_SEED])
    scanner = _scanner(task, rng)
    signal = _scaled_signal(task, dose, scanner, rng)
    cases = task.acquire(signal, pairs, dose, scanner, rng)
    reference = _scores(task, cases, None)
    rows = [DetectionRow(NOISY, *_figures(reference, rng))]
    for entrant in entrants:
        try:
            found = _scores(task, cases, entrant)
        except Exception as error:
            # As in the tables: somebody else's denoiser must not end the run.
            why = str(error) if isinstance(error, QuellError) else f"{type(error).__name__}: {error}"
            rows.append(DetectionRow(entrant.name, failed=" ".join(why.split())))
            continue
        test = compare(reference, found, rng).d_prime
        difference = _plain(test.difference, pairs)
        rows.append(DetectionRow(entrant.name, *_figures(found, rng), difference, test.p_value))
    kind = "channelized Hotelling, leave-one-out"
    words = f"{signal.name} {task.contrast_units}"
    return Detection(task.name, words, kind, modality, dose, pairs, _adjusted(rows), cases.warnings)


def _scanner(task: DetectionTask, rng: np.random.Generator) -> NoiseModel:
    return noise_model(task.scene(rng).truth)


def _scaled_signal(task: DetectionTask, dose: float, scanner: NoiseModel, rng: np.random.Generator) -> Signal:
    """Return the middle signal with the contrast at which noisy images have about the wanted d'."""
    signal = task.signals[len(task.signals) // 2]
    found = d_prime(_scores(task, task.acquire(signal, _TRIAL_PAIRS, dose, scanner, rng), None))
    factor = float(np.clip(TARGET / max(found, 1e-3), *_SCALES))
    return signal.times(float(f"{factor:.2g}"))


def _scores(task: DetectionTask, cases: Cases, entrant: Entrant | None) -> Scores:
    if entrant is None:
        return observe(task, cases.pairs()).scores
    sigma: Sigma = _level(cases) if entrant.kind == CLASSICAL else "auto"
    seen = cases.pairs(lambda image: _through(entrant, image, sigma))
    return observe(task, seen).scores


def _through(entrant: Entrant, image: Image, sigma: Sigma) -> Image:
    return image.with_voxels(run(entrant.denoiser, image, sigma))


def _level(cases: Cases) -> float:
    """Return the noise level of the regions without the signal, which classical methods are told."""
    absent = cases.pairs().absent
    return float(np.std(absent - absent.mean(axis=0, keepdims=True), dtype=np.float64))


def _figures(scores: Scores, rng: np.random.Generator) -> tuple[Interval, Interval]:
    count = len(scores.present)
    spread = bootstrap_interval(scores, d_prime_figure(scores), rng, count=1000)
    return _plain(spread, count), _plain(auc_interval(scores), count)


def _plain(found: Found, count: int) -> Interval:
    return Interval(found.value, found.low, found.high, found.level, count)


def _adjusted(rows: list[DetectionRow]) -> tuple[DetectionRow, ...]:
    told = [row for row in rows if np.isfinite(row.p)]
    adjusted = dict(zip((row.denoiser for row in told), adjust([row.p for row in told]), strict=True))
    return tuple(replace(row, p_holm=adjusted.get(row.denoiser, float("nan"))) for row in rows)
