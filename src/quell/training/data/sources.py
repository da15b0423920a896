"""What there is to prepare: an image or an object, and how its roles are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quell.image import Image, Modality
from quell.methods.contracts import MethodFacts, Need
from quell.training.data.noise import Roles
from quell.training.data.objects import Points
from quell.training.data.settings import DataSettings


@dataclass(frozen=True, eq=False)
class Made:
    """What a source gives.

    Attributes
    ----------
    roles : Roles
    prior : Image or None
        On the grid of the roles.
    points : ndarray of float64, shape (p, 3), or None
    """

    roles: Roles
    prior: Image | None = None
    points: Points | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """An image or an object, and how to make its roles.

    Attributes
    ----------
    name, patient : str
    split : str
        ``"train"`` or ``"validation"``.
    modality : Modality
    sha256 : str
        Of the files, or of what names an object.
    licence : str
    make : callable
        Raises `quell.training.data.noise.UnsuitableError` where no noise can be added.
    """

    name: str
    patient: str
    split: str
    modality: Modality
    sha256: str
    licence: str
    make: Callable[[], Made]


def realisations_of(settings: DataSettings, facts: MethodFacts) -> int:
    """Return how many noisy images are made of each: an even number where seconds are wanted."""
    count = settings.realisations
    return count if count == 1 and facts.need is not Need.NOISY_PAIRS else count + count % 2
