"""What a benchmark found, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quell.evaluation.metrics.statistics import Interval
from quell.image import FloatArray, Modality

NOISY = "noisy"
"""Name of the row of the images as they are."""


@dataclass(frozen=True)
class Difference:
    """A denoiser against the first, on the same images.

    Attributes
    ----------
    mean : Interval
        PSNR of this one minus that of the first, dB.
    p : float
        Paired t test; NaN where there are too few images.
    p_holm : float
        The same, adjusted for all denoisers of the table by Holm's method.
    p_wilcoxon : float
    """

    mean: Interval
    p: float
    p_holm: float
    p_wilcoxon: float


@dataclass(frozen=True, eq=False)
class Row:
    """A denoiser at one dose of one modality.

    Attributes
    ----------
    denoiser : str
    settings : str
        What tuning chose; empty where nothing is tuned.
    values : mapping of str to Interval
        By the key of the column.
    per_image : mapping of str to mapping of str to float
        Image, column, value.
    difference : Difference or None
        None for the first.
    failed : str
        Why there are no numbers.
    """

    denoiser: str
    settings: str = ""
    values: Mapping[str, Interval] = field(default_factory=dict)
    per_image: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    difference: Difference | None = None
    failed: str = ""


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture of the page: one part of one slice.

    Attributes
    ----------
    title : str
    pixels : ndarray of float32, shape (y, x)
    difference : bool
        Whether it shows what is wrong with a result, on a scale that is the same on both sides of zero.
    """

    title: str
    pixels: FloatArray
    difference: bool = False


@dataclass(frozen=True, eq=False)
class Gallery:
    """Pictures of one case in one window.

    Attributes
    ----------
    caption : str
    window : tuple of float
    limit : float
        Differences go from minus this to this.
    aspect : float
        Height of a pixel over its width.
    shots : tuple of Shot
    """

    caption: str
    window: tuple[float, float]
    limit: float
    aspect: float
    shots: tuple[Shot, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """One modality at one dose.

    Attributes
    ----------
    modality : Modality
    dose : float
    meaning : str
        What the dose is a share or a number of.
    rows : tuple of Row
        The images as they are first, then the denoisers in the order in which they were asked for.
    images : tuple of str
    patients : int
        Independent groups that the intervals rest on.
    grouped : bool
        Whether intervals are drawn over patients; over images where there is one patient.
    own_noise : float
        Noise of the references over what was added.
    ceiling : float
        PSNR of a perfect result, which the noise of the references allows, dB; infinity without.
    tuning_images : tuple of str
    budget : int
        Settings that each classical method was tried with.
    source, data_sha256 : str
    warnings : tuple of str
    gallery : Gallery or None
    """

    modality: Modality
    dose: float
    meaning: str
    rows: tuple[Row, ...]
    images: tuple[str, ...]
    patients: int
    grouped: bool
    own_noise: float
    ceiling: float
    tuning_images: tuple[str, ...]
    budget: int
    source: str
    data_sha256: str
    warnings: tuple[str, ...] = ()
    gallery: Gallery | None = None

    @property
    def title(self) -> str:
        """Dose and what it means."""
        if self.meaning == "looks":
            return f"{self.dose:g} {'look' if self.dose == 1 else 'looks'}"
        return f"{100 * self.dose:g} % {self.meaning}"


@dataclass(frozen=True)
class SpeedRow:
    """Speed and memory of a denoiser, all measured in turn in one run.

    Attributes
    ----------
    denoiser, engine, settings : str
    milliseconds : Interval
        For one slice of 512 x 512 pixels, estimate of the noise included; interval over the rounds.
    per_megapixel : float
        Milliseconds for a million pixels.
    ratio : Interval
        Time over that of the first denoiser, in the same round.
    peak_mib : float or None
        Memory on top of what was held before; None where the system does not say.
    failed : str
    """

    denoiser: str
    engine: str
    settings: str
    milliseconds: Interval | None = None
    per_megapixel: float = float("nan")
    ratio: Interval | None = None
    peak_mib: float | None = None
    failed: str = ""


@dataclass(frozen=True)
class DetectionRow:
    """What an observer sees in the images of a denoiser.

    Attributes
    ----------
    denoiser : str
    d_prime, auc : Interval or None
    difference : Interval or None
        d' of this one minus that of the images as they are; None for those.
    p, p_holm : float
    failed : str
    """

    denoiser: str
    d_prime: Interval | None = None
    auc: Interval | None = None
    difference: Interval | None = None
    p: float = float("nan")
    p_holm: float = float("nan")
    failed: str = ""


@dataclass(frozen=True)
class Detection:
    """One detection task.

    Attributes
    ----------
    task, signal, observer : str
    modality : Modality
    dose : float
    pairs : int
    rows : tuple of DetectionRow
    warnings : tuple of str
    """

    task: str
    signal: str
    observer: str
    modality: Modality
    dose: float
    pairs: int
    rows: tuple[DetectionRow, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Benchmark:
    """All that a run found.

    Attributes
    ----------
    tables : tuple of Table
    speed : tuple of SpeedRow
    detections : tuple of Detection
    denoisers : tuple of dict
        Name, kind, engine and card of each.
    left_out : tuple of str
        What was not done, and why.
    version, started, machine, command : str
    seconds : float
    seed : int
    """

    tables: tuple[Table, ...]
    speed: tuple[SpeedRow, ...]
    detections: tuple[Detection, ...]
    denoisers: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]
    version: str
    started: str
    machine: str
    command: str
    seconds: float
    seed: int

    @property
    def exit_code(self) -> int:
        """0 where every denoiser that was asked for has numbers everywhere, else 1."""
        failed = any(row.failed for table in self.tables for row in table.rows)
        return 1 if failed else 0
