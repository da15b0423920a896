"""What a run leaves to be told: the values that the report shows, and nothing that it computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from quell.formats.contracts import PassedOver
from quell.image import FloatArray


class Status(str, Enum):
    """How a series ended."""

    DONE = "done"
    FAILED = "failed"
    PLANNED = "planned"
    """Only looked at (``--dry-run``)."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One slice before and after.

    Attributes
    ----------
    before, after : ndarray of float32, shape (y, x)
        In the units of the image.
    window : tuple of float
        Lower and upper display limit, the same for both.
    difference_limit : float
        The difference (before minus after) is shown from minus to plus this value.
    aspect : float
        Height of a pixel over its width.
    caption : str
    """

    before: FloatArray
    after: FloatArray
    window: tuple[float, float]
    difference_limit: float
    aspect: float = 1.0
    caption: str = ""


@dataclass(frozen=True)
class NoiseSummary:
    """The noise of a series in numbers.

    Attributes
    ----------
    level : float
        Median over the image of the local standard deviation, in the units of the image.
    level_p5, level_p95 : float
        Its 5th and 95th percentile over the image.
    frequencies : tuple of float
        Centres of the radial bins of the power spectrum, cycles per pixel.
    power : tuple of float
        Share of the noise power in each bin; sums to 1.
    """

    level: float
    level_p5: float
    level_p95: float
    frequencies: tuple[float, ...] = ()
    power: tuple[float, ...] = ()


@dataclass(frozen=True)
class SeriesRecord:
    """One series, from its headers to the written files.

    Attributes
    ----------
    name, format, modality, units : str
    shape : tuple of int
        Slices or frames, rows, columns.
    spacing : tuple of float or None
        mm, (z, y, x); None when the source does not say.
    status : Status
    reason : str
        Why it failed; empty otherwise.
    model, model_version, model_sha256, engine : str
        ``engine`` names the runtime, the device and the precision, e.g. ``"OpenVINO CPU bf16"``.
    strength, grain : float
        Share of the estimated noise that goes, and of its fine part that stays.
    sigma : float or None
        The level that the user gave, None when it was estimated.
    amount : str
        Of a simulation: what it was lowered to, such as ``"25 % dose"``.
    seed : int or None
        Of a simulation.
    parameters : dict
        Of a simulation: everything that a repeat needs; of a method that learned from the series: what it
        tells of its work.
    noise_before, noise_after : NoiseSummary or None
    pictures : tuple of Picture
    files : tuple of Path
    clamped : int
        Voxels clamped to the range of the stored type.
    notes : tuple of str
        What was found in the input (gaps, duplicates, lossy compression).
    warnings : tuple of str
    seconds : dict of str to float
        Wall time of the steps ``read``, ``estimate``, ``network`` (or ``simulate``), ``write``.
    """

    name: str
    format: str
    modality: str
    units: str
    shape: tuple[int, int, int]
    status: Status
    spacing: tuple[float, float, float] | None = None
    reason: str = ""
    model: str = ""
    model_version: str = ""
    model_sha256: str = ""
    engine: str = ""
    strength: float = 1.0
    grain: float = 0.0
    sigma: float | None = None
    amount: str = ""
    seed: int | None = None
    parameters: dict[str, float | int | str] = field(default_factory=dict)
    noise_before: NoiseSummary | None = None
    noise_after: NoiseSummary | None = None
    pictures: tuple[Picture, ...] = ()
    files: tuple[Path, ...] = ()
    clamped: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyRecord:
    """One run of the job over everything found at a path.

    Attributes
    ----------
    source : Path
    out : Path
    series : tuple of SeriesRecord
    passed_over : tuple of PassedOver
    started : str
        ISO 8601 with time zone.
    seconds : float
        Wall time of the whole run.
    version : str
        Of Quell.
    machine : str
        Processor, cores, memory.
    """

    source: Path
    out: Path
    series: tuple[SeriesRecord, ...]
    passed_over: tuple[PassedOver, ...]
    started: str
    seconds: float
    version: str
    machine: str = ""

    @property
    def exit_code(self) -> int:
        """0 when everything was done, 1 when something failed."""
        failed = any(s.status is Status.FAILED for s in self.series)
        return int(failed or any(p.error for p in self.passed_over))
