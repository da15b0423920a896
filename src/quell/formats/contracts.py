"""What every door offers: series that can be read as images and written back as derived images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from quell.image import FloatArray, Image, Modality


class OutputKind(str, Enum):
    """What a written image shows; decides its description, codes and UIDs."""

    DENOISED = "denoised"
    RESIDUAL = "residual"
    """Source minus denoised, in the units of the source."""
    NOISE_MAP = "noise map"
    """Local standard deviation of the noise, in the units of the source."""
    SPREAD = "spread"
    """Standard deviation of each voxel of the denoised image, in the units of the source."""
    SIMULATED = "simulated"
    """The source as a lower dose would have given it: noise was added. May be denoised like a source."""

    @property
    def like_source(self) -> bool:
        """Whether the values stand for what the source's stood for: same scale, range and padding."""
        return self in (OutputKind.DENOISED, OutputKind.SIMULATED)


class Purpose(str, Enum):
    """What a study is opened for; the values end the sentence "nothing in it can be ..."."""

    DENOISE = "denoised"
    SIMULATE = "simulated from"
    MEASURE = "measured"
    EVALUATE = "evaluated"
    GUIDE = "used as a prior image"

    @property
    def takes_denoised(self) -> bool:
        """Whether what Quell denoised is wanted: it is judged, or guides, but is never denoised again."""
        return self in (Purpose.EVALUATE, Purpose.GUIDE)

    @property
    def takes_projections(self) -> bool:
        """Whether raw projections of SPECT are wanted: their counts can be thinned, not denoised."""
        return self not in (Purpose.DENOISE, Purpose.GUIDE)


@dataclass(frozen=True)
class Provenance:
    """How a derived image came about; all of it enters the deterministic UIDs.

    Attributes
    ----------
    model : str
        ``name.tag`` of the model.
    model_version : str
    model_sha256 : str
        Hash over the model's weights, hexadecimal.
    strength : float
        Share of the estimated noise that was taken away, 0 to 1.
    sigma : float or None
        Noise level given by the user, in the units of the image; None when it was estimated.
    slices_used : int
        How many neighbouring slices fed one output slice (1 when each was treated alone).
    prior : str
        Which other image of the patient was used: its modality and a hash of its values; empty for none.
    grain : float
        Share of the fine part of the estimated noise that stayed, 0 to 1.
    """

    model: str
    model_version: str
    model_sha256: str
    strength: float
    sigma: float | None = None
    slices_used: int = 1
    prior: str = ""
    grain: float = 0.0

    def settings(self) -> str:
        """Return the settings as one canonical line, the same for the same processing."""
        sigma = "auto" if self.sigma is None else repr(float(self.sigma))
        return (
            f"{self.model} {self.model_version} {self.model_sha256} "
            f"strength={float(self.strength)!r} sigma={sigma} slices={self.slices_used}"
            f"{f' prior={self.prior}' if self.prior else ''}"
            f"{f' grain={float(self.grain)!r}' if self.grain else ''}"
        )

    @property
    def details(self) -> str:
        """The settings in words."""
        sigma = "estimated from the image" if self.sigma is None else f"given as {self.sigma:g}"
        prior = f", told of a {self.prior.split()[0]} of the patient" if self.prior else ""
        grain = f", {self.grain:g} of the fine noise kept" if self.grain else ""
        return f"strength {self.strength:g}{grain}, noise level {sigma}, slices {self.slices_used}{prior}"

    @property
    def label(self) -> str:
        """What the name of the kind needs besides, to tell one output from another; nothing here."""
        return ""


@dataclass(frozen=True)
class Simulation:
    """How an image of `OutputKind.SIMULATED` came about; all but the warnings enters its UIDs.

    Attributes
    ----------
    model : str
        The noise model, such as ``"quell.noise.ct.CTNoise"``.
    model_version : str
        Of Quell, to which the model belongs.
    model_sha256 : str
        Hash over the model's name, version and given parameters, hexadecimal.
    measure : str
        What was lowered: ``"dose"`` (a fraction), ``"snr"`` or ``"looks"``.
    amount : float
        To what.
    seed : int
        Of the generator of random numbers.
    warnings : tuple of str
        Why the result is only approximate.
    """

    model: str
    model_version: str
    model_sha256: str
    measure: str
    amount: float
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def slices_used(self) -> int:
        """How many source slices a slice refers to: itself."""
        return 1

    def settings(self) -> str:
        """Return the settings as one canonical line, the same for the same simulation."""
        return (
            f"{self.model} {self.model_version} {self.model_sha256} "
            f"{self.measure}={float(self.amount)!r} seed={int(self.seed)}"
        )

    @property
    def details(self) -> str:
        """The settings in words, and what makes the result approximate."""
        notes = "".join(f" Approximate: {warning.rstrip('.')}." for warning in self.warnings)
        return f"{self.label}, seed {self.seed}.{notes}".rstrip(".")

    @property
    def label(self) -> str:
        """The amount as it stands in a Series Description, such as ``"25 % dose"``; ASCII."""
        if self.measure == "dose":
            return f"{100 * self.amount:.4g} % dose"
        return f"SNR {self.amount:.4g}" if self.measure == "snr" else f"{self.amount:.4g} {self.measure}"

    @property
    def file_label(self) -> str:
        """The amount and the seed as they stand in a file name, such as ``"dose0.25_seed1"``."""
        return f"{self.measure}{float(self.amount):g}_seed{self.seed}"


Origin: TypeAlias = Provenance | Simulation
"""How a derived image came about."""


@dataclass(frozen=True)
class WriteOptions:
    """Choices of the user about the written files.

    Attributes
    ----------
    float_output : bool
        Write floating-point voxels where the format can (NIfTI, MetaImage, TIFF) instead of the
        source's own type.
    primary : bool
        Write ``DERIVED\\PRIMARY`` instead of ``DERIVED\\SECONDARY`` where DICOM leaves the choice.
    series_offset : int
        Added to the source's Series Number.
    """

    float_output: bool = False
    primary: bool = False
    series_offset: int = 1000


@dataclass(frozen=True)
class Written:
    """What a door wrote.

    Attributes
    ----------
    files : tuple of Path
    clamped : int
        Number of voxels that had to be clamped to the range of the stored type.
    warnings : tuple of str
    """

    files: tuple[Path, ...]
    clamped: int = 0
    warnings: tuple[str, ...] = ()


class Series(Protocol):
    """One series found by a door: a lazy handle to files of one format.

    Making it reads headers only. `read` decodes the pixels. `write` may be called several times,
    once for each `OutputKind`.
    """

    @property
    def name(self) -> str:
        """Short name for messages and reports, without any patient's identity."""

    @property
    def modality(self) -> Modality: ...

    @property
    def format(self) -> str:
        """``"DICOM"``, ``"NIfTI"``, ``"PNG"``, ``"TIFF"`` or ``"MetaImage"``."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of slices (or frames), rows and columns, from the headers."""

    @property
    def volume(self) -> bool:
        """Whether the slices are neighbours, as `Image.volume` will say."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about the input: gaps, duplicates, lossy compression."""

    def read(self) -> Image:
        """Decode the pixels into an image in physical units.

        Raises
        ------
        InputError
            If a file is damaged, truncated, or holds no usable pixels.
        """

    def write(
        self,
        voxels: FloatArray,
        out: Path,
        kind: OutputKind,
        provenance: Origin,
        options: WriteOptions,
    ) -> Written:
        """Write `voxels` (z, y, x), in physical units, as a derived image in the source's own format.

        Files are written under a temporary name and renamed once all of them are complete: a
        killed run leaves nothing half-written under a final name. Writing the same again
        replaces the files with equal ones.

        Parameters
        ----------
        voxels : ndarray of float32, shape (z, y, x)
            In the order and the units of the image that `read` gave.
        out : Path
            Folder; made if absent.

        Raises
        ------
        OutputError
            If the files cannot be written.
        """


class SliceWriter(Protocol):
    """Takes the slices of a series as they are done."""

    def put(self, first: int, voxels: FloatArray) -> None:
        """Write slices that follow one another.

        Parameters
        ----------
        first : int
            The z index of the first of them.
        voxels : ndarray of float32, shape (n, y, x)
            In the units of the image.

        Raises
        ------
        OutputError
            If the files cannot be written.
        """

    def written(self) -> Written:
        """Return what was written, once all slices were put and the files have their names."""


@runtime_checkable
class LongSeries(Series, Protocol):
    """A series that may be too long to be held whole: a few slices are read and written at a time."""

    @property
    def gaps(self) -> tuple[int, ...]:
        """As `Image.gaps`."""

    @property
    def slice_by_slice(self) -> bool:
        """Whether this one can be read and written so."""

    def read_slices(self, chosen: Sequence[int]) -> Image:
        """Decode some slices, ascending; the geometry is that of the whole, and gaps are not told.

        Raises
        ------
        InputError
            As `read`.
        """

    def writer(
        self, sample: Image, out: Path, provenance: Origin, options: WriteOptions
    ) -> AbstractContextManager[SliceWriter]:
        """Write the denoised series, every slice of it once, as `write` would.

        The files get their names together when the block ends; after an error nothing is left.

        Parameters
        ----------
        sample : Image
            Some slices of the source, from which the display window follows where the source has none.
        """


@dataclass(frozen=True)
class PassedOver:
    """Something in the input that is not denoised, and why.

    Attributes
    ----------
    what : str
        A file, a folder or a series, as the user would recognise it (no patient's identity).
    reason : str
    count : int
        Number of files.
    error : bool
        True when it looks like an image that should have worked (damaged, truncated): the
        command then ends with exit code 1. False when it is rightly left alone (a localizer).
    """

    what: str
    reason: str
    count: int = 1
    error: bool = False


@dataclass(frozen=True)
class Study:
    """What was found at a path.

    Attributes
    ----------
    path : Path
    series : tuple of Series
    passed_over : tuple of PassedOver
    """

    path: Path
    series: tuple[Series, ...]
    passed_over: tuple[PassedOver, ...] = field(default=())
