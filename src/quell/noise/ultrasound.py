"""Ultrasound: speckle as the interference of scatterers, electronic noise, log compression."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import NoiseEstimate, Simulated
from quell.noise.echo.beam import SOUND, beam_width, pulse_length
from quell.noise.echo.bmode import respeckle
from quell.noise.echo.echoes import CELL, SPREAD, PointSpread, receive, scatter
from quell.noise.echo.scan_conversion import LinearGrid, SectorGrid
from quell.noise.echo.speckle import envelope, log_compress, mean_intensity, white_echoes


@dataclass(frozen=True)
class UltrasoundNoise:
    """The speckle and the electronic noise of a B-mode scanner.

    Attributes
    ----------
    frequency : float
        Centre frequency, MHz.
    bandwidth : float
        -6 dB bandwidth of pulse and echo over the centre frequency.
    f_number : float
        Depth over width of the active aperture, as long as the aperture can grow.
    aperture : float
        Widest active aperture, mm; deeper than `f_number` times this the beam widens.
    focus : float
        Depth of the transmit focus, mm; reception is focused everywhere.
    attenuation : float
        Of tissue, one way, dB/cm/MHz.
    gain_slope : float
        Depth gain (TGC) in the same measure; below `attenuation` the picture darkens with depth.
    electronic_noise : float
        Noise of the receiver before depth gain, dB under the echoes of reference tissue at the face.
    dynamic_range : float
        From black to white, dB.
    white : float
        Echo level that is shown white, dB above reference tissue (`acquire` only).
    scatterers_per_cell : float
        In a speckle cell at the focus; from about 10 on speckle is fully developed.
    geometry : str
        ``"linear"`` or ``"sector"``.
    radius : float
        Sector: from the apex of the beams to the face, mm; 0 for a phased array.
    angle : float
        Sector: between the outermost beams, degrees.
    lines : int
        Sector: number of beams.
    looks_by : str
        ``"compounding"``: each look sees other speckle (other angles or frequencies), which lowers
        speckle and electronic noise; ``"averaging"``: frames of an object at rest, which show the
        same speckle: only electronic noise falls.
    """

    frequency: float = 5.0
    bandwidth: float = 0.6
    f_number: float = 2.0
    aperture: float = 20.0
    focus: float = 30.0
    attenuation: float = 0.5
    gain_slope: float = 0.5
    electronic_noise: float = -80.0
    dynamic_range: float = 60.0
    white: float = 25.0
    scatterers_per_cell: float = 100.0
    geometry: Literal["linear", "sector"] = "linear"
    radius: float = 40.0
    angle: float = 60.0
    lines: int = 256
    looks_by: Literal["compounding", "averaging"] = "compounding"

    def __post_init__(self) -> None:
        positive = ("frequency", "bandwidth", "f_number", "aperture", "focus", "dynamic_range")
        for name in (*positive, "scatterers_per_cell"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name):g}")
        if self.attenuation < 0 or self.gain_slope < 0 or self.radius < 0:
            raise ValueError("attenuation, gain_slope and radius must not be negative")
        if not 0 < self.angle < 180 or self.lines < 2:
            raise ValueError("a sector needs an angle between 0 and 180 degrees and 2 lines or more")
        if self.geometry not in ("linear", "sector") or self.looks_by not in ("compounding", "averaging"):
            raise ValueError(f"unknown geometry {self.geometry!r} or way to look {self.looks_by!r}")

    @property
    def modality(self) -> Modality:
        return Modality.US

    @property
    def dose_means(self) -> str:
        return (
            "number of looks that are averaged: independent speckle patterns when compounding, "
            "frames of the same object when averaging"
        )

    @property
    def wavelength(self) -> float:
        """In tissue, mm."""
        return SOUND / self.frequency

    @property
    def pulse_length(self) -> float:
        """Length of the echo of a point along the beam, mm (full width at half amplitude)."""
        return pulse_length(self.frequency, self.bandwidth)

    def beam_width(self, depth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the width of the pulse-echo beam at depths in mm, mm (full width at half amplitude).

        At the focus it is wavelength times f-number.
        """
        return beam_width(depth, self.wavelength, self.f_number, self.aperture, self.focus)

    def check(self, image: Image) -> tuple[str, ...]:
        """Say what stands against speckling this B-mode anew; raise InputError where it means nothing."""
        _require_ultrasound(image)
        voxels = image.voxels
        if float(voxels.min()) < 0:
            raise InputError(image.name, "has negative values: raw lines, no log-compressed B-mode")
        if float(np.ptp(voxels)) == 0:
            raise InputError(image.name, "all pixels are equal: there is no speckle")
        warnings = [
            f"the header does not hold the compression: {self.dynamic_range:g} dB from black to white "
            "are assumed",
            "scan-converted lines: the speckle is measured along rows and columns of the picture, in "
            "bands of depth",
        ]
        if _top(image) <= 255:
            warnings.append("8-bit display values: echoes beyond black and white are lost")
        if image.modality is Modality.UNKNOWN:
            warnings.append("the file does not say that this is ultrasound")
        return tuple(warnings)

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the B-mode with new speckle of the same grain, averaged over `dose` looks.

        The speckle that is there is replaced, not added to: the local mean of the echo intensity is
        taken as the object. With ``looks_by="averaging"`` nothing can be told about the electronic
        noise in a picture: an InputError.

        Raises
        ------
        InputError
            As `check` does, and where no frame has a plain region in which speckle could be measured.
        ValueError
            If the dose is no whole number from 1 on.
        """
        looks, warnings, top = _whole(dose), self.check(image), _top(image)
        if self.looks_by == "averaging":
            raise InputError(
                image.name,
                "frame averaging cannot be simulated from a B-mode: its electronic noise is unknown",
            )
        frames = image.voxels.copy()
        left = 0
        for z, frame in enumerate(image.voxels):
            padding = None if image.padding is None else image.padding[z]
            anew = respeckle(frame, padding, top, self.dynamic_range, looks, rng)
            left += anew is None
            frames[z] = frame if anew is None else anew
        if left == len(frames):
            raise InputError(image.name, "there is no plain region in which its speckle could be measured")
        if left:
            warnings = (*warnings, f"{left} of {len(frames)} frames stay as they are: no speckle to measure")
        if np.array_equal(image.voxels, np.rint(image.voxels)):
            np.rint(frames, out=frames)
        parameters = {"looks": looks, "dynamic_range_db": self.dynamic_range, "white_grey_value": top}
        return Simulated(image.with_voxels(frames), parameters, warnings)

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the B-mode of an object, as grey values from 0 to 255.

        Each slice is a plane of its own, with scatterers of its own.

        Parameters
        ----------
        truth : Image
            Echogenicity in dB: 0 for reference tissue, -60 and less for what gives no echoes.
        dose : float
            Looks, a whole number.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            If the truth is no ultrasound or its pixel size is unknown.
        ValueError
            If the dose is no whole number from 1 on.
        """
        looks = _whole(dose)
        _require_ultrasound(truth)
        if not truth.geometry.known:
            raise InputError(truth.name, "the pixel size is unknown, and with it depth and wavelength")
        grid = self._grid(truth)
        spread = self._point_spread(grid)
        frames = np.empty_like(truth.voxels)
        for z, level in enumerate(truth.voxels):
            amplitude = self._average(grid, spread, grid.to_beams(level), looks, rng)
            grey = log_compress(amplitude, self.dynamic_range, 10 ** (self.white / 20))
            frames[z] = np.rint(grid.to_pixels(grey))
        padding = None if grid.inside.all() else np.broadcast_to(~grid.inside, truth.shape).copy()
        image = Image(frames, Modality.US, "arbitrary", truth.geometry, padding, name=truth.name)
        return Simulated(image, asdict(self) | {"looks": looks}, self._coarse(grid))

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image, from the image alone and without a network."""
        from quell.noise.estimation import estimate_noise

        found: NoiseEstimate = estimate_noise(image)
        return found

    def _grid(self, truth: Image) -> LinearGrid | SectorGrid:
        shape, spacing = truth.shape[1:], truth.geometry.spacing[1:]
        if self.geometry == "linear":
            return LinearGrid(shape, spacing)
        return SectorGrid(shape, spacing, self.radius, self.angle, self.lines)

    def _point_spread(self, grid: LinearGrid | SectorGrid) -> PointSpread:
        across = SPREAD * self.beam_width(grid.depth) / grid.pitch
        # Near the apex of a phased array all beams lie side by side within one another.
        return PointSpread(
            SPREAD * self.pulse_length / grid.step, np.minimum(across, grid.inside.shape[1] / 8)
        )

    def _average(
        self,
        grid: LinearGrid | SectorGrid,
        spread: PointSpread,
        level: FloatArray,
        looks: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        """Return the envelope averaged over the looks, shape (samples, beams)."""
        down, aside = spread.margin()
        object_ = np.pad(self._strength(grid, level), ((down, down), (aside, aside)), mode="edge")
        noise, density = (
            np.pad(part, ((down, down), (0, 0)), mode="edge")
            for part in (self._noise(grid), self._density(grid))
        )
        total: FloatArray = np.zeros(level.shape, np.float32)
        echoes = None
        for _ in range(looks):
            if echoes is None or self.looks_by == "compounding":
                echoes = scatter(rng, density, object_.shape) * object_
            total += envelope(receive(echoes, spread, noise * white_echoes(rng, object_.shape)))
        # The mean intensity is the echogenicity, whatever the number of looks.
        independent = looks if self.looks_by == "compounding" else 1
        return total / np.float32(looks * math.sqrt(mean_intensity(independent)))

    def _strength(self, grid: LinearGrid | SectorGrid, level: FloatArray) -> FloatArray:
        """Return the amplitude that the object sends back, after depth gain."""
        slope = 2 * self.frequency / 10 * (self.gain_slope - self.attenuation)
        strength = 10 ** ((level + slope * grid.depth[:, None]) / 20)
        return strength.astype(np.float32)

    def _noise(self, grid: LinearGrid | SectorGrid) -> FloatArray:
        """Return the amplitude of the electronic noise after depth gain, shape (samples, 1)."""
        slope = 2 * self.frequency / 10 * self.gain_slope
        noise = 10 ** ((self.electronic_noise + slope * grid.depth[:, None]) / 20)
        return noise.astype(np.float32)

    def _density(self, grid: LinearGrid | SectorGrid) -> FloatArray:
        """Return the mean number of scatterers in a sample, shape (samples, 1)."""
        width = float(self.beam_width(np.array([self.focus]))[0])
        cell = (CELL * SPREAD) ** 2 * self.pulse_length * width
        density: FloatArray = (self.scatterers_per_cell / cell * grid.step * grid.pitch[:, None]).astype(
            np.float32
        )
        return density

    def _coarse(self, grid: LinearGrid | SectorGrid) -> tuple[str, ...]:
        """Warn where the picture has fewer pixels than the speckle needs."""
        if grid.step <= self.pulse_length and grid.pitch.min() <= self.beam_width(grid.depth).min():
            return ()
        return ("the pixels are coarser than the speckle, which is sampled too sparsely to show its grain",)


def _whole(dose: float) -> int:
    """Return a number of looks."""
    if not (dose >= 1 and float(dose).is_integer()):
        raise ValueError(f"a dose is a whole number of looks from 1 on, got {dose:g}")
    return int(dose)


def _require_ultrasound(image: Image) -> None:
    if image.modality not in (Modality.US, Modality.UNKNOWN):
        raise InputError(image.name, f"is {image.modality.value}, not ultrasound")


def _top(image: Image) -> float:
    """Return the grey value of white."""
    highest = float(image.voxels.max())
    if image.acquisition.bits and 2.0**image.acquisition.bits > highest:
        return 2.0**image.acquisition.bits - 1
    return 255.0 if highest <= 255 else highest
