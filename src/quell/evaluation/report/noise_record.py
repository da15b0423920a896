"""What a survey of noise leaves to be told: the values of its report, and nothing that it computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from quell.evaluation.report.record import Status
from quell.formats.contracts import PassedOver


@dataclass(frozen=True)
class Level:
    """The local standard deviation over the patient, in the units of the image.

    Attributes
    ----------
    median, p5, p25, p75, p95 : float
    source : str
        What measured it.
    classical, network : float or None
        Median by each of the two estimates that `median` is made of; None where there was none.
    """

    median: float
    p5: float
    p25: float
    p75: float
    p95: float
    source: str
    classical: float | None = None
    network: float | None = None


@dataclass(frozen=True)
class SpectrumNumbers:
    """The noise power spectrum in numbers.

    Attributes
    ----------
    length : str
        ``"mm"``, or ``"pixel"`` where the size of a pixel is unknown: frequencies are per length.
    frequency, power : tuple of float
        The radial curve: 1/length, and units^2 length^2.
    power_2d : tuple of tuple of float
        The whole spectrum, zero frequency in the middle, rows = fy.
    spacing : tuple of float
        Height and width of a pixel, in `length`.
    first_moment, peak : float
        1/length.
    correlation_length : float
        In `length`.
    anisotropy, ramp_ratio : float
    ramp_like : bool
    regions : int
    """

    length: str
    frequency: tuple[float, ...]
    power: tuple[float, ...]
    power_2d: tuple[tuple[float, ...], ...]
    spacing: tuple[float, float]
    first_moment: float
    peak: float
    correlation_length: float
    anisotropy: float
    ramp_ratio: float
    ramp_like: bool
    regions: int


@dataclass(frozen=True)
class LawNumbers:
    """How the variance goes with the signal; see `quell.noise.law.Law`."""

    kind: str
    constant: float
    linear: float
    quadratic: float
    explained: float
    blocks: int
    lowest: float
    highest: float


@dataclass(frozen=True)
class Expected:
    """What to expect at a lower dose.

    Attributes
    ----------
    dose : float
        Fraction of the dose of the study.
    level : float
        Median level in the units of the image as it would come out.
    relative : float or None
        Level over signal, where the values are proportional to a signal.
    exposure : float or None
        Tube current time product, mAs, where the study says its own.
    """

    dose: float
    level: float
    relative: float | None = None
    exposure: float | None = None


@dataclass(frozen=True)
class Equivalent:
    """A number that says the noise in terms of the modality, such as quanta or looks.

    Attributes
    ----------
    name : str
        ``"snr"``, ``"relative_noise"``, ``"quanta_per_pixel"``, ``"equivalent_looks"``, ``"exposure"``,
        ``"air_level"`` or ``"coils"``.
    value : float
    unit : str
    meaning : str
        In words.
    """

    name: str
    value: float
    unit: str
    meaning: str


@dataclass(frozen=True)
class RepeatNumbers:
    """What a repeat says; see `quell.noise.repeat.Repeat`.

    Attributes
    ----------
    against : str
        What the series was compared with.
    level, shared, excess : float
    shift : tuple of float
        Pixels, along y and x.
    growth : float or None
    still : bool
    remarks : tuple of str
    """

    against: str
    level: float
    shared: float
    shift: tuple[float, float]
    excess: float
    growth: float | None
    still: bool
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoiseRecord:
    """The noise of one series.

    Attributes
    ----------
    name, format, modality, units : str
    shape : tuple of int
    spacing : tuple of float or None
        mm, (z, y, x); None when the source does not say.
    status : Status
    reason : str
        Why it failed; empty otherwise.
    level : Level or None
    spectrum : SpectrumNumbers or None
        None where too little of the image is plain.
    law : LawNumbers or None
    expected : tuple of Expected
    equivalents : tuple of Equivalent
    repeat, frames : RepeatNumbers or None
        Against the other study, and among the frames of the series itself.
    picture : Path or None
    notes, warnings : tuple of str
    seconds : dict of str to float
        Wall time of ``read``, ``network``, ``classical`` and ``repeat``.
    """

    name: str
    format: str
    modality: str
    units: str
    shape: tuple[int, int, int]
    status: Status
    spacing: tuple[float, float, float] | None = None
    reason: str = ""
    level: Level | None = None
    spectrum: SpectrumNumbers | None = None
    law: LawNumbers | None = None
    expected: tuple[Expected, ...] = ()
    equivalents: tuple[Equivalent, ...] = ()
    repeat: RepeatNumbers | None = None
    frames: RepeatNumbers | None = None
    picture: Path | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class NoiseSurvey:
    """One run over everything found at a path.

    Attributes
    ----------
    source : Path
    series : tuple of NoiseRecord
    passed_over : tuple of PassedOver
    started : str
        ISO 8601 with time zone.
    seconds : float
    version, machine : str
    """

    source: Path
    series: tuple[NoiseRecord, ...]
    passed_over: tuple[PassedOver, ...]
    started: str
    seconds: float
    version: str
    machine: str = ""

    @property
    def exit_code(self) -> int:
        """0 when everything was measured, 1 when something failed."""
        failed = any(series.status is Status.FAILED for series in self.series)
        return int(failed or any(item.error for item in self.passed_over))
