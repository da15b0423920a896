"""What a user may choose about a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quell.errors import QuellError
from quell.image import Modality

FEWEST_PAIRS = 30
MOST_LOOKS = 32
"""The references of ultrasound have 64."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """Choices of the user about a benchmark.

    Attributes
    ----------
    modalities : tuple of Modality
        Empty for all of them.
    denoisers : tuple of str
        See `quell.evaluation.denoisers.find_denoiser`; empty for the models that ship and every classical
        method that is at hand, each where it is in use.
    data : Path or None
        Folder of real images; None for drawn anatomy and test objects.
    doses : tuple of float
        Fractions, and whole numbers of looks for ultrasound; a modality that none of them is for keeps those
        of `quell.evaluation.benchmark.cases.DOSES`.
    images, tuning_images : int
        At most so many of each modality.
    budget : int
        Settings that each classical method is tried with.
    rounds : int
        Of the timing; 0 for none.
    task : bool
        Let an observer read a detection task of each modality, at the middle dose.
    pairs : int
        Of the observer.
    seed : int
    engine : str
        Of the networks.
    threads : int
        Slices side by side, and threads of networks. One, so that times are those of one core.
    timeout : float
        Seconds for each call of a command.
    command : str
        What was typed, for the record.
    """

    modalities: tuple[Modality, ...] = ()
    denoisers: tuple[str, ...] = ()
    data: Path | None = None
    doses: tuple[float, ...] = ()
    images: int = 6
    tuning_images: int = 2
    budget: int = 12
    rounds: int = 5
    task: bool = False
    pairs: int = 100
    seed: int = 0
    engine: str = "auto"
    threads: int = 1
    timeout: float = 600.0
    command: str = ""

    def check(self) -> None:
        """Raise QuellError for values that make no sense, before any work is done."""
        least = {"images": 2, "tuning_images": 1, "budget": 1, "rounds": 0, "seed": 0, "threads": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise QuellError(f"{name.replace('_', ' ')}: at least {low}, got {getattr(self, name)}")
        if self.task and self.pairs < FEWEST_PAIRS:
            raise QuellError(f"an observer needs at least {FEWEST_PAIRS} pairs, got {self.pairs}")
        # Written so that NaN fails too.
        if not self.timeout > 0:
            raise QuellError(f"the time limit must be positive, got {self.timeout:g} s")
        for dose in self.doses:
            if not (0 < dose < 1 or is_looks(dose)):
                raise QuellError(
                    f"a dose lies between 0 and 1, or is a whole number of looks for ultrasound, got {dose:g}"
                )


def is_looks(dose: float) -> bool:
    """Whether a dose is a number of looks, which only ultrasound understands."""
    return 1 <= dose <= MOST_LOOKS and float(dose).is_integer()
