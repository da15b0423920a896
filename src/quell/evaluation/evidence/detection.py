"""Cases for the model observer: the same images before and after the denoiser, for every signal and dose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quell.evaluation.evidence.subject import Subject
from quell.evaluation.observers.hotelling import InternalNoise
from quell.evaluation.observers.scores import Scores
from quell.evaluation.tasks.catalogue import observe
from quell.evaluation.tasks.task import Cases, DetectionTask, Pairs, Scan, Signal
from quell.image import FloatArray
from quell.noise.contracts import NoiseModel

READER_NOISE = 0.5
"""Noise of the reader per pixel over that of the undenoised images at the highest dose."""


@dataclass(frozen=True, eq=False)
class Detected:
    """One signal at one dose, before and after the denoiser.

    Attributes
    ----------
    task : DetectionTask
    signal : Signal
    dose : float
    before, after : Pairs
        Regions of the same cases.
    plain : tuple of Scores
        Of the observer without noise of its own, before and after.
    human : tuple of Scores
        Of the observer with noise of its own.
    shown : tuple of ndarray, shape (y, x)
        One image with the signal, before and after.
    """

    task: DetectionTask
    signal: Signal
    dose: float
    before: Pairs
    after: Pairs
    plain: tuple[Scores, Scores]
    human: tuple[Scores, Scores]
    shown: tuple[FloatArray, FloatArray]

    @property
    def round(self) -> bool:
        """Whether the signal is a disc."""
        return self.task.name != "spect-perfusion"


def detect_all(subject: Subject) -> tuple[Detected, ...]:
    """Make and read the cases of all tasks, signals and doses of the plan."""
    found: list[Detected] = []
    for t, task in enumerate(subject.plan.tasks()):
        level = 0.0
        # The highest dose comes first: it sets the noise of the reader.
        for d, dose in enumerate(reversed(subject.plan.doses_of(task.name))):
            rng = subject.rng(3, t, d)
            cases = _cases(subject, task, dose, rng)
            for signal, one in cases:
                before, after = one.pairs(), one.pairs(subject.denoise)
                level = level or READER_NOISE * float(before.absent.std(axis=0).mean())
                scan = one.present[0]
                z = scan.sites[0][0]
                shown = (scan.image.voxels[z], subject.denoise(scan.image).voxels[z])
                plain, human = _read(task, (before, after), level)
                found.append(Detected(task, signal, dose, before, after, plain, human, shown))
    places = {(t.name, s): k for t in subject.plan.tasks() for k, s in enumerate(t.signals)}
    return tuple(sorted(found, key=lambda one: (one.task.name, places[one.task.name, one.signal], one.dose)))


def _cases(
    subject: Subject, task: DetectionTask, dose: float, rng: np.random.Generator
) -> list[tuple[Signal, Cases]]:
    """Scan every signal, and one set without, which all signals share: the objects are the same."""
    first = task.scene(rng)
    model = subject.plan.scanner(first.truth, task.name)
    images = max(math.ceil(subject.plan.pairs / len(first.sites)), subject.plan.images)

    def scans(signal: Signal | None) -> tuple[Scan, ...]:
        subject.step(f"{task.name}, dose {dose:g}, {signal.name if signal else 'no signal'}")
        return tuple(_scan(task, signal, dose, model, rng) for _ in range(images))

    absent = scans(None)
    spacing = first.truth.geometry.spacing[1]
    side = 2 * math.floor(task.region_mm / spacing / 2) + 1
    count = images * len(first.sites)
    return [(s, Cases(scans(s), absent, count, side, s, dose, _warnings(absent))) for s in task.signals]


def _scan(
    task: DetectionTask, signal: Signal | None, dose: float, model: NoiseModel, rng: np.random.Generator
) -> Scan:
    scene = task.scene(rng)
    truth = scene.truth if signal is None else task.with_signals(scene, signal)
    found = model.acquire(truth, dose, rng)
    return Scan(found.image, scene.sites, found.warnings)


def _warnings(scans: tuple[Scan, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for scan in scans for text in scan.warnings))


def _read(
    task: DetectionTask, both: tuple[Pairs, Pairs], level: float
) -> tuple[tuple[Scores, Scores], tuple[Scores, Scores]]:
    plain = [observe(task, pairs).scores for pairs in both]
    noise = InternalNoise(level=level)
    # The same draws for both: what the reader adds must not make a difference of its own.
    human = [
        observe(task, pairs, internal_noise=noise, rng=np.random.default_rng(0)).scores for pairs in both
    ]
    return (plain[0], plain[1]), (human[0], human[1])
