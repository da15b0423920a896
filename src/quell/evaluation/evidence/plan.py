"""What is measured for a modality, and with how many realisations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from quell.errors import QuellError
from quell.evaluation.observers.splits import pairs_needed
from quell.evaluation.tasks.catalogue import CHANNELS, TASKS, tasks_of
from quell.evaluation.tasks.task import Background, DetectionTask
from quell.image import Image, Modality
from quell.noise.contracts import NoiseModel

SPECT_COUNTS = 60_000
"""Counts of one slice: the share of it in a perfusion study (see `spect_perfusion`)."""

FEWEST_REPEATS = 4
ENOUGH_IMAGES = 15
"""With fewer, tests that take the regions of one image together are surer than they should be."""
_GABOR_CHANNELS = 16
"""Of the perfusion defect, see `quell.evaluation.tasks.catalogue.channels_for`."""
_VOLUMES = (Modality.CT, Modality.MR, Modality.PT)


@dataclass(frozen=True)
class Inserts:
    """Rods in a flat object for the transfer function: on a ring, one of each contrast."""

    diameter_mm: float
    contrasts: tuple[float, ...]
    ring_mm: float


@dataclass(frozen=True)
class Lesions:
    """Balls for anatomy, and what counts as a false spot."""

    anatomy: str
    diameters_mm: tuple[float, ...]
    contrasts: tuple[float, ...]
    resolution_mm: float
    threshold: float
    spot_mm: float
    low: float
    high: float
    """Range of values of the tissue in which they are put."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how much of it.

    Attributes
    ----------
    modality : Modality
    doses : tuple of float
        Rising; as the noise model counts them. The highest is the full dose.
    task_doses : mapping of str to tuple of float
        For tasks that are measured at fewer doses.
    flat : str
        The task whose uniform object serves as the flat one.
    inserts : Inserts or None
        None where a transfer function means nothing (speckle).
    lesions : Lesions or None
    pairs : int
        Pairs of regions for each signal and dose.
    images : int
        Images with each signal, at least; several regions come from one image.
    repeats : int
        Acquisitions of the flat object at each dose.
    anatomies : int
    slices : int
        Neighbours that each acquisition has; the middle one is read.
    seed : int
    """

    modality: Modality
    doses: tuple[float, ...]
    flat: str
    inserts: Inserts | None
    lesions: Lesions | None
    task_doses: tuple[tuple[str, tuple[float, ...]], ...] = ()
    pairs: int = 120
    repeats: int = 12
    images: int = ENOUGH_IMAGES
    anatomies: int = 3
    slices: int = 1
    seed: int = 0

    @property
    def low(self) -> float:
        """Return the dose at which pictures are made and bars apply: a quarter, or the lowest."""
        return 0.25 if 0.25 in self.doses else self.doses[0]

    def doses_of(self, task: str) -> tuple[float, ...]:
        """Return the doses at which a task is measured."""
        return dict(self.task_doses).get(task, self.doses)

    def tasks(self, background: Background = "uniform") -> tuple[DetectionTask, ...]:
        """Return the detection tasks of the modality."""
        return tuple(self.task(name, background) for name in tasks_of(self.modality))

    def task(self, name: str, background: Background = "uniform") -> DetectionTask:
        """Return one task, with as many slices as the plan has."""
        build: Any = TASKS[name]
        made: DetectionTask = (
            build(background, slices=self.slices) if self.modality in _VOLUMES else build(background)
        )
        return made

    def scanner(self, truth: Image, task: str = "") -> NoiseModel:
        """Return the noise model that images an object."""
        from quell.noise.registry import noise_model

        if task == "spect-perfusion":
            from quell.noise.spect import SPECTNoise

            return SPECTNoise(total_counts=SPECT_COUNTS)
        return noise_model(truth)

    def check(self) -> None:
        """Raise QuellError where there are too few realisations, saying how many are needed."""
        least = pairs_needed(_GABOR_CHANNELS if self.modality is Modality.NM else CHANNELS)
        if self.pairs < least:
            raise QuellError(f"the observer needs at least {least} pairs of regions, got {self.pairs}")
        if self.repeats < FEWEST_REPEATS:
            raise QuellError(f"the noise needs at least {FEWEST_REPEATS} repeats, got {self.repeats}")
        if self.anatomies < 1:
            raise QuellError("the lesions need at least one anatomy")
        if self.seed < 0:
            raise QuellError(f"seed must not be negative, got {self.seed}")


_FRACTIONS = (0.1, 0.25, 0.5, 1.0)

_PLANS: dict[Modality, Plan] = {
    Modality.CT: Plan(
        Modality.CT,
        _FRACTIONS,
        "ct-low-contrast",
        Inserts(20.0, (20.0, 40.0, -100.0, 120.0, 340.0), 55.0),
        Lesions("anatomy-ct", (4.0, 6.0, 10.0), (15.0, 30.0, 60.0), 1.5, 15.0, 6.0, 0.0, 110.0),
        task_doses=(("ct-lung-nodule", (0.1, 0.25, 1.0)),),
    ),
    Modality.PT: Plan(
        Modality.PT,
        _FRACTIONS,
        "pet-hot-lesion",
        Inserts(48.0, (2500.0, 5000.0, 15000.0), 62.0),
        Lesions("anatomy-pet", (10.0, 16.0, 24.0), (2500.0, 5000.0, 15000.0), 6.5, 2500.0, 13.0, 1.0, 1e9),
    ),
    Modality.NM: Plan(
        Modality.NM, _FRACTIONS, "bone-hot-lesion", Inserts(50.0, (5.0, 20.0, 60.0), 75.0), None
    ),
    Modality.US: Plan(Modality.US, (1.0, 2.0, 4.0, 8.0), "ultrasound-cyst", None, None),
    Modality.MR: Plan(Modality.MR, _FRACTIONS, "mr-lesion", Inserts(24.0, (60.0, 200.0, -200.0), 45.0), None),
    Modality.XR: Plan(
        Modality.XR, _FRACTIONS, "xray-contrast-detail", Inserts(8.0, (-0.05, -0.2, -0.5), 14.0), None
    ),
}

_QUICK_PAIRS, _QUICK_REPEATS, _QUICK_CT_IMAGES = 48, 6, 6


def plan_for(
    modality: Modality, *, quick: bool = False, pairs: int | None = None, seed: int = 0, slices: int = 1
) -> Plan:
    """Return the plan for a modality.

    Parameters
    ----------
    modality : Modality
    quick : bool
        Few realisations and three doses: for a first look; the intervals are wide.
    pairs : int, optional
        Pairs of regions for each signal and dose.
    seed : int
    slices : int
        Neighbours that the denoiser reads.

    Raises
    ------
    QuellError
        If there is no plan for the modality, or too few realisations were asked for.
    """
    if modality not in _PLANS:
        known = ", ".join(kind.value for kind in _PLANS)
        raise QuellError(f"no evidence can be made for modality {modality.value}; there is: {known}")
    plan = _PLANS[modality]
    if quick:
        doses = plan.doses[:3] if modality is Modality.US else (0.1, 0.25, 1.0)
        plan = replace(plan, doses=doses, pairs=_QUICK_PAIRS, repeats=_QUICK_REPEATS, anatomies=1)
        if modality is Modality.CT:
            # The only modality whose images take long.
            plan = replace(plan, images=_QUICK_CT_IMAGES)
    chosen = replace(plan, seed=seed, slices=max(slices, 1), pairs=plan.pairs if pairs is None else pairs)
    chosen.check()
    return chosen
