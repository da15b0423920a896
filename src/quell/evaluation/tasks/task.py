"""A detection task: images of a known object with and without a signal, for an observer to tell apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.inserts import add_stamp, ball_stamp, rod_stamp
from quell.evaluation.observers.scores import IntArray
from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import Simulated

Background = Literal["uniform", "anatomy"]
Site = tuple[int, int, int]
"""A voxel (z, row, column)."""
Denoise = Callable[[Image], Image]
Insert = Callable[[npt.NDArray[np.float64], Image, Site, "Signal"], None]
"""Puts a signal into voxels, in place, given the scene without it and where."""


class Scanner(Protocol):
    """The part of `quell.noise.contracts.NoiseModel` that a task needs."""

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated: ...


@dataclass(frozen=True)
class Signal:
    """What is to be detected.

    Attributes
    ----------
    diameter_mm : float
    contrast : float
        Difference to what surrounds it, in the units that the task names.
    shape : str
        ``"rod"`` goes through all slices, ``"ball"`` does not.
    """

    diameter_mm: float
    contrast: float
    shape: Literal["rod", "ball"] = "rod"

    @property
    def name(self) -> str:
        """Size and contrast, such as ``"5 mm, +7"``."""
        return f"{self.diameter_mm:g} mm, {self.contrast:+g}"

    def times(self, factor: float) -> Signal:
        """Return the same signal with another contrast."""
        return replace(self, contrast=self.contrast * factor)


@dataclass(frozen=True, eq=False)
class Scene:
    """An object without the signal, and where signals may lie.

    Attributes
    ----------
    truth : Image
        Without noise and blur.
    sites : tuple of (z, row, column)
        Far enough from each other and from the border that regions do not overlap.
    """

    truth: Image
    sites: tuple[Site, ...]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Regions with the signal in the middle and regions without it.

    Attributes
    ----------
    present, absent : ndarray of float32, shape (n, rows, columns)
        Rows and columns are odd and equal.
    groups : ndarray of int, shape (n,)
        The image that a region is cut from; the k-th images with and without are different scenes.
    spacing : (row, column)
        Size of a pixel, mm.
    signal : Signal
    dose : float
    warnings : tuple of str
        Of the noise model, each once.
    """

    present: FloatArray
    absent: FloatArray
    groups: IntArray
    spacing: tuple[float, float]
    signal: Signal
    dose: float
    warnings: tuple[str, ...] = ()


class Scan(NamedTuple):
    """An acquired image and its sites."""

    image: Image
    sites: tuple[Site, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cases:
    """Acquired images, to be read as they are and through any number of denoisers.

    Attributes
    ----------
    present, absent : tuple of Scan
        With the signal at every site, and without it.
    count : int
        Number of pairs of regions.
    side : int
        Pixels along a side of a region.
    signal : Signal
    dose : float
    warnings : tuple of str
        Of the noise model, each once.
    """

    present: tuple[Scan, ...]
    absent: tuple[Scan, ...]
    count: int
    side: int
    signal: Signal
    dose: float
    warnings: tuple[str, ...] = ()

    def pairs(self, denoise: Denoise | None = None) -> Pairs:
        """Denoise whole images and cut out the regions.

        Parameters
        ----------
        denoise : callable, optional
            From an image to one of the same shape; the images as they are by default.

        Raises
        ------
        QuellError
            If a denoised image has another shape.
        """
        present, absent = (
            np.stack(list(self._regions(scans, denoise))[: self.count])
            for scans in (self.present, self.absent)
        )
        groups = np.repeat(np.arange(len(self.present)), len(self.present[0].sites))[: self.count]
        spacing = self.present[0].image.geometry.spacing[1:]
        return Pairs(present, absent, groups.astype(np.int64), spacing, self.signal, self.dose, self.warnings)

    def _regions(self, scans: tuple[Scan, ...], denoise: Denoise | None) -> Iterator[FloatArray]:
        for image, sites, _ in scans:
            seen = image if denoise is None else denoise(image)
            if seen.shape != image.shape:
                raise QuellError(f"the denoiser turned an image of {image.shape} into one of {seen.shape}")
            for site in sites:
                yield cut_region(seen.voxels, site, self.side)


def put_signal(voxels: npt.NDArray[np.float64], scene: Image, site: Site, signal: Signal) -> None:
    """Add a ball, or a rod through all slices."""
    spacing = scene.geometry.spacing
    if signal.shape == "ball":
        add_stamp(voxels, ball_stamp(spacing, signal.diameter_mm), site, signal.contrast)
        return
    part = rod_stamp(spacing, signal.diameter_mm)
    for z in range(len(voxels)):
        add_stamp(voxels, part, (z, *site[1:]), signal.contrast)


def cut_region(voxels: npt.NDArray[Any], site: Site, side: int) -> FloatArray:
    """Return a square around a pixel.

    Raises
    ------
    ValueError
        If it leaves the image.
    """
    half = side // 2
    top, left = site[1] - half, site[2] - half
    if min(top, left) < 0 or top + side > voxels.shape[1] or left + side > voxels.shape[2]:
        raise ValueError(f"a region of {side} pixels around {site} leaves an image of {voxels.shape}")
    return np.asarray(voxels[site[0], top : top + side, left : left + side], np.float32)


@dataclass(frozen=True, eq=False)
class DetectionTask:
    """A signal known exactly, in a known place, in an object that is uniform or drawn anew each time.

    Attributes
    ----------
    name, description : str
    modality : Modality
    background : str
    signals : tuple of Signal
        From easy to hard or from small to large; none is special.
    scene : callable
        Draws an object without the signal.
    contrast_units : str
        Of the signals.
    region_mm : float
        Side of the regions that the observer sees.
    resolution_mm : float
        Typical full width at half maximum of the scanner; decides the width of the channels.
    insert : callable
    """

    name: str
    description: str
    modality: Modality
    background: Background
    signals: tuple[Signal, ...]
    scene: Callable[[np.random.Generator], Scene]
    contrast_units: str
    region_mm: float
    resolution_mm: float
    insert: Insert = field(default=put_signal)

    def acquire(
        self, signal: Signal, count: int, dose: float, scanner: Scanner, rng: np.random.Generator
    ) -> Cases:
        """Scan objects with and without the signal, each with noise (and an anatomy) of its own.

        Parameters
        ----------
        signal : Signal
        count : int
            Pairs of regions; as many images are made as that needs.
        dose : float
            As the noise model understands it.
        scanner : Scanner
            A noise model of the modality.
        rng : numpy.random.Generator

        Raises
        ------
        ValueError
            If `count` is not positive.
        """
        if count < 1:
            raise ValueError(f"the number of pairs must be positive, got {count}")
        present: list[Scan] = []
        absent: list[Scan] = []
        while sum(len(scan.sites) for scan in present) < count:
            present.append(self._scan(signal, dose, scanner, rng))
            absent.append(self._scan(None, dose, scanner, rng))
        if len({len(scan.sites) for scan in (*present, *absent)}) > 1:
            raise ValueError(f"the scenes of {self.name} differ in the number of their sites")
        warnings = dict.fromkeys(text for scan in (*present, *absent) for text in scan.warnings)
        spacing = present[0].image.geometry.spacing[1]
        side = 2 * math.floor(self.region_mm / spacing / 2) + 1
        return Cases(tuple(present), tuple(absent), count, side, signal, dose, tuple(warnings))

    def _scan(self, signal: Signal | None, dose: float, scanner: Scanner, rng: np.random.Generator) -> Scan:
        scene = self.scene(rng)
        truth = scene.truth if signal is None else self.with_signals(scene, signal)
        found = scanner.acquire(truth, dose, rng)
        return Scan(found.image, scene.sites, found.warnings)

    def with_signals(self, scene: Scene, signal: Signal) -> Image:
        """Return the object with the signal at all its sites."""
        voxels = scene.truth.voxels.astype(np.float64)
        for site in scene.sites:
            self.insert(voxels, scene.truth, site, signal)
        return scene.truth.with_voxels(voxels.astype(np.float32))

    def make_pairs(
        self,
        signal: Signal,
        count: int,
        dose: float,
        scanner: Scanner,
        rng: np.random.Generator,
        denoise: Denoise | None = None,
    ) -> Pairs:
        """Scan, denoise and cut out in one go; see `acquire` and `Cases.pairs`."""
        return self.acquire(signal, count, dose, scanner, rng).pairs(denoise)
