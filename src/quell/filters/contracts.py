"""What a classical method is: pixels in, pixels out, and the settings that it may be tuned over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.filters.level import NoiseLevel
from quell.image import Modality

Pixels: TypeAlias = npt.NDArray[np.float64]
Setting: TypeAlias = float | int | str

EVERY_MODALITY: tuple[Modality, ...] = tuple(Modality)


@dataclass(frozen=True)
class Span:
    """A number between two ends.

    Attributes
    ----------
    low, high : float
        Both positive; the numbers between them are spread evenly over their logarithms.
    whole : bool
        Only whole numbers.
    """

    low: float
    high: float
    whole: bool = False

    def at(self, share: float) -> Setting:
        """Return the setting at a share of the way, 0 to 1."""
        value = float(self.low * (self.high / self.low) ** share)
        return round(value) if self.whole else float(f"{value:.4g}")


@dataclass(frozen=True)
class Choice:
    """One of a few values, in an order that means something where there is one."""

    values: tuple[Setting, ...]

    def at(self, share: float) -> Setting:
        """Return the setting at a share of the way, 0 to 1."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


Space: TypeAlias = Mapping[str, Span | Choice]


@dataclass(frozen=True)
class Facts:
    """What there is to know of a classical method.

    Attributes
    ----------
    name : str
        What ``--denoisers`` takes.
    description : str
        One sentence.
    source : str
        The paper it comes from.
    space : mapping of str to Span or Choice
        Hyper-parameters and where to look for them.
    modalities : tuple of Modality
        Where it is in use.
    dimensions : int
        2 where each slice is filtered by itself, 3 where the volume is.
    package : str
        Package that the user has to install first; empty where Quell's extras suffice.
    limits : tuple of str
    """

    name: str
    description: str
    source: str
    space: Space = field(default_factory=dict)
    modalities: tuple[Modality, ...] = EVERY_MODALITY
    dimensions: int = 2
    package: str = ""
    limits: tuple[str, ...] = ()


class Filter(Protocol):
    """A classical method with its settings; a frozen dataclass whose fields are the settings."""

    @property
    def facts(self) -> Facts: ...

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        """Filter a slice, or a volume where `facts.dimensions` is 3.

        Parameters
        ----------
        pixels : ndarray of float64, shape (y, x) or (z, y, x)
            Finite values; not changed.
        noise : NoiseLevel
            With a positive `sigma`.
        """


def library(module: str, package: str, extra: str = "lab") -> Any:
    """Return a module that is not part of the core.

    Raises
    ------
    QuellError
        If it is not installed; says how to get it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise QuellError(f"this method needs {package}: pip install 'quell[{extra}]'") from error
