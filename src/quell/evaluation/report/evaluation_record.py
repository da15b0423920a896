"""What an evaluation leaves to be told: the values that page, JSON and table show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quell.evaluation.report.record import Status
from quell.formats.contracts import PassedOver
from quell.image import FloatArray

if TYPE_CHECKING:
    from quell.evaluation.metrics.statistics import Interval
    from quell.evaluation.metrics.table import Score
    from quell.evaluation.noise_texture import NoiseTexture, TextureShift

REFERENCE, NOISY, TEST = "reference", "noisy", "test"
"""What the images of a case are called."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One slice of the images of a case.

    Attributes
    ----------
    images : mapping of str to ndarray of float32, shape (y, x)
        By `REFERENCE`, `NOISY`, `TEST`, in the units of the images.
    window : tuple of float
        Display limits, the same for all.
    limit : float
        Differences are shown from minus to plus this value, all of them.
    aspect : float
        Height of a pixel over its width.
    caption : str
    squares : tuple of (row, column, side)
        Where the noise was measured.
    """

    images: Mapping[str, FloatArray]
    window: tuple[float, float]
    limit: float
    aspect: float = 1.0
    caption: str = ""
    squares: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Spectrum:
    """A radial noise power spectrum.

    Attributes
    ----------
    frequency : tuple of float
        1/mm, or cycles per pixel where the size of a pixel is unknown.
    power : tuple of float
        Units^2 mm^2 (or pixel^2).
    """

    frequency: tuple[float, ...]
    power: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class NoiseFound:
    """The noise in the plain parts of a case.

    Attributes
    ----------
    side, squares, slices : int
        Side of the squares in pixels, how many there are, and in how many slices.
    length : str
        ``"mm"`` or ``"pixel"``.
    spectra : mapping of str to Spectrum
        By `REFERENCE`, `NOISY`, `TEST`.
    textures : mapping of str to NoiseTexture
    shift : TextureShift or None
        Of the test against the noisy image, in %.
    """

    side: int
    squares: int
    slices: int
    length: str
    spectra: Mapping[str, Spectrum]
    textures: Mapping[str, NoiseTexture]
    shift: TextureShift | None = None


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """One test image beside its reference.

    Attributes
    ----------
    name, format, modality, units : str
        Of the test image.
    partners : mapping of str to str
        Names of the reference and the noisy image.
    paired_by : str
        How they were found to belong together.
    shape : tuple of int
    spacing : tuple of float or None
        mm, (z, y, x).
    status : Status
    reason : str
        Why it failed.
    window : tuple of float or None
        Values that were looked at; their span is the data range.
    sha256 : mapping of str to str
        Of the voxels of each image and of the regions; see `quell.jobs.evaluation_case.digest`.
    scores, noisy_scores : tuple of Score
        Every number of the test image, and the same of the noisy image.
    noise : NoiseFound or None
    pictures : tuple of Shown
    notes, warnings : tuple of str
    seconds : float
    """

    name: str
    format: str
    modality: str
    units: str
    shape: tuple[int, int, int]
    partners: Mapping[str, str] = field(default_factory=dict)
    paired_by: str = ""
    spacing: tuple[float, float, float] | None = None
    status: Status = Status.PLANNED
    reason: str = ""
    window: tuple[float, float] | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    noisy_scores: tuple[Score, ...] = ()
    noise: NoiseFound | None = None
    pictures: tuple[Shown, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    """One metric over all cases of a kind.

    Attributes
    ----------
    group : str
        Modality and units of the cases, such as ``"CT, HU"``.
    metric, unit, direction, source : str
    per : str
        ``"slice"``, ``"region"`` or ``"region and slice"``: what the values are of.
    region : str or None
    test : Interval
    noisy : Interval or None
    difference : Interval or None
        Test minus noisy, in pairs.
    wilcoxon, student, wilcoxon_holm : float or None
        p values over cases, the last adjusted for the number of rows of the group; None for one case.
    parts : int
        Values that it rests on.
    warnings : tuple of str
    """

    group: str
    metric: str
    unit: str
    direction: str
    source: str
    per: str
    region: str | None
    test: Interval
    noisy: Interval | None = None
    difference: Interval | None = None
    wilcoxon: float | None = None
    student: float | None = None
    wilcoxon_holm: float | None = None
    parts: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class EvaluationRecord:
    """An evaluation.

    Attributes
    ----------
    cases : tuple of CaseRecord
    rows : tuple of Row
    passed_over : tuple of PassedOver
    level : float
        Nominal coverage of all intervals.
    seed : int
        Of all bootstrap samples.
    started : str
        ISO 8601.
    seconds : float
    version, machine : str
    """

    cases: tuple[CaseRecord, ...]
    rows: tuple[Row, ...]
    passed_over: tuple[PassedOver, ...] = ()
    level: float = 0.95
    seed: int = 0
    started: str = ""
    seconds: float = 0.0
    version: str = ""
    machine: str = ""

    @property
    def exit_code(self) -> int:
        """0 where all is well, 1 where a case or a file failed."""
        failed = any(case.status is Status.FAILED for case in self.cases)
        return int(failed or any(item.error for item in self.passed_over))
