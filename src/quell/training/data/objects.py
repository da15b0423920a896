"""Objects that are drawn for training, and hearts with defects whose place, extent and severity are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.evaluation.benchmark.cases import FREE
from quell.evaluation.benchmark.subjects import scanner_of
from quell.image import Image
from quell.phantoms.families.cardiac import TERRITORIES, Defect
from quell.phantoms.objects import OBJECTS, TestObject, make_object

TRAIN_SEEDS = (10_000, 50_000)
VALIDATION_SEEDS = (60_000, 80_000)
"""Seeds of objects; those of benchmarks lie above."""

_CASE_SEED = 200_000
_CASES_OF_A_SEED = 10_000

HEART = "spect-cardiac"
EXTENTS = (0.05, 0.1, 0.2)
SEVERITIES = (0.15, 0.3, 0.6)
WALLS = {"LAD": "anterior", "LCX": "lateral", "RCA": "inferior"}
_SOUGHT = ("defect", "lesion")

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drawn:
    """An object, and where in it something is to be found.

    Attributes
    ----------
    made : TestObject
    points : ndarray of float64, shape (p, 3)
        Positions (z, y, x) in voxels of lesions and defects, and of the defect that a healthy heart lacks.
    """

    made: TestObject
    points: Points


@dataclass(frozen=True, eq=False)
class SpectCase:
    """A perfusion scan of a heart with or without a defect.

    Attributes
    ----------
    name : str
    noisy, clean : Image
        At the dose, and at one whose noise is nothing; on one scale.
    point : ndarray of float64, shape (3,)
        Position (z, y, x) in voxels of the middle of the defect, or of where it would be.
    present : bool
    extent : float
        Share of the volume of the wall.
    severity : float
        Share of the uptake that is missing.
    wall : str
        ``"anterior"``, ``"lateral"`` or ``"inferior"``.
    dose : float
    """

    name: str
    noisy: Image
    clean: Image
    point: Points
    present: bool
    extent: float
    severity: float
    wall: str
    dose: float


def check_objects(names: tuple[str, ...]) -> None:
    """Refuse names of objects that are unknown, or of several modalities.

    Raises
    ------
    InputError
    """
    for name in names:
        if name not in OBJECTS:
            raise InputError(name, f"no such test object; known are {', '.join(OBJECTS)}")


def object_seed(number: int, seed: int, validation: bool) -> int:
    """Return the seed of an object; those of training and validation never meet."""
    low, high = VALIDATION_SEEDS if validation else TRAIN_SEEDS
    return low + (1009 * seed + number) % (high - low)


def draw_object(name: str, seed: int) -> Drawn:
    """Draw an object and find its points; a heart has a random defect, or in every second case none.

    Parameters
    ----------
    name : str
        One of `quell.phantoms.objects.OBJECTS`.
    seed : int
    """
    if name == HEART:
        return heart(seed, bool(np.random.default_rng([seed, 1]).random() < 0.5))[0]
    made = make_object(name, seed)
    return Drawn(made, sought(made))


def heart(seed: int, present: bool) -> tuple[Drawn, Defect]:
    """Draw a torso whose left ventricle has a random defect, or is healthy.

    Parameters
    ----------
    seed : int
        The same seed gives the same torso and the same place, extent and severity.
    present : bool

    Returns
    -------
    Drawn
        With one point: where the defect is, or would be.
    Defect
    """
    rng = np.random.default_rng([seed, 2])
    defect = Defect(
        str(rng.choice(list(TERRITORIES))), float(rng.choice(EXTENTS)), float(rng.choice(SEVERITIES))
    )
    sick = make_object(HEART, seed, defects=(defect,))
    made = sick if present else make_object(HEART, seed, defects=())
    return Drawn(made, sought(sick)), defect


def spect_cases(count: int, dose: float, seed: int) -> tuple[SpectCase, ...]:
    """Return perfusion scans that no training has seen, every second one of them with a defect.

    Parameters
    ----------
    count : int
    dose : float
        Fraction of the counts.
    seed : int
        The same seed gives the same hearts at every dose, with noise of their own.
    """
    return tuple(_case(_CASE_SEED + _CASES_OF_A_SEED * seed + n, n % 2 == 0, dose) for n in range(count))


def _case(seed: int, present: bool, dose: float) -> SpectCase:
    drawn, defect = heart(seed, present)
    scanner = scanner_of(drawn.made)
    truth = replace(drawn.made.truth, name=f"{HEART} {seed}")
    # In millionths, so that noise of one dose has nothing in common with that of another.
    rng = np.random.default_rng([seed, 3, round(1e6 * dose)])
    return SpectCase(
        truth.name,
        scanner.acquire(truth, dose, rng).image,
        scanner.acquire(truth, FREE, np.random.default_rng([seed, 4])).image,
        drawn.points[0],
        present,
        defect.extent,
        defect.severity,
        WALLS[defect.territory],
        dose,
    )


def sought(made: TestObject) -> Points:
    """Return the positions (z, y, x) in voxels of the lesions and defects of an object, shape (p, 3)."""
    inserts = [one for one in made.parameters.get("inserts", ()) if one.get("kind") in _SOUGHT]
    if not inserts:
        return np.empty((0, 3))
    middle = (np.array(made.truth.shape) - 1) / 2
    places = np.array([one["centre_mm"] for one in inserts], np.float64)
    return np.asarray(middle + places / np.array(made.truth.geometry.spacing))
