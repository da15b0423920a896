"""BM3D told the exact power spectrum of the noise of a CT image at a lower dose.

The package ``bm3d`` may be used for non-commercial purposes only. It is no dependency of anything here; where
it is not installed, `why_no_bm3d` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from quell.evaluation.benchmark.cases import Case, Subject, scored_part
from quell.image import BoolArray
from quell.noise.ct import CTNoise

_STREAM = 7_000
_SMOOTH = 1.0
"""Frequency samples over which the mean periodogram is smoothed, since the realisations are not endless."""

Pixels = np.ndarray[Any, np.dtype[np.float64]]
Method = Callable[[Pixels], Pixels]
"""A slice in, a slice out."""


def exact_power(subject: Subject, case: Case, dose: float, realisations: int, seed: int) -> Pixels:
    """Return the power spectrum of the noise that a lower dose adds to the slice that counts.

    Parameters
    ----------
    subject : Subject
        A CT image.
    case : Case
        Made of it.
    dose : float
    realisations : int
        Images with noise of their own that are averaged.
    seed : int

    Returns
    -------
    ndarray of float64, shape (y, x)
        See `mean_power`; HU^2.
    """
    z = subject.scored
    model = CTNoise().calibrate(subject.image)
    pixels = np.ascontiguousarray(subject.image.voxels[z : z + 1])
    padding = None if subject.image.padding is None else subject.image.padding[z : z + 1]
    alone = replace(subject.image, voxels=pixels, padding=padding, volume=False, gaps=())
    box = scored_part(subject.image, z)
    noise = [
        (model.simulate(alone, dose, np.random.default_rng([seed, _STREAM, k])).image.voxels - pixels)[0][box]
        for k in range(realisations)
    ]
    return mean_power(np.stack(noise).astype(np.float64), case.inside)


def mean_power(noise: Pixels, inside: BoolArray) -> Pixels:
    """Return the power spectrum of noise within a mask.

    Parameters
    ----------
    noise : ndarray of float64, shape (realisations, y, x)
    inside : ndarray of bool, shape (y, x)
        Pixels that count.

    Returns
    -------
    ndarray of float64, shape (y, x)
        Expected squared modulus of the discrete Fourier transform, in its order, as if the whole slice had
        the noise that is within the mask: its mean over the number of pixels is the mean variance there.
    """
    from scipy.ndimage import gaussian_filter

    power = np.mean(np.abs(np.fft.fft2(noise * inside)) ** 2, axis=0) / np.mean(inside)
    smooth: Pixels = gaussian_filter(power, _SMOOTH, mode="wrap")
    return smooth


def bm3d_methods(power: Pixels, own: float) -> dict[str, Method]:
    """Return BM3D told the spectrum of what was added, and that of all noise.

    Parameters
    ----------
    power : ndarray of float64, shape (y, x)
        See `mean_power`.
    own : float
        Noise of the reference over what was added; it is taken to have the same spectrum.
    """
    bm3d = _package()

    def run(pixels: Pixels, scale: float) -> Pixels:
        # In units of the noise, which the package's tables are made for.
        sigma = float(np.sqrt(power.mean() / power.size))
        return np.asarray(bm3d(pixels / sigma, scale * power / sigma**2), np.float64) * sigma

    methods: dict[str, Method] = {"noise that was added": partial(run, scale=1.0)}
    if own > 0:
        methods["all noise"] = partial(run, scale=1 + own**2)
    return methods


def bm3d_white(sigma: float) -> Method:
    """Return BM3D with its usual settings, told the standard deviation of white noise."""
    bm3d = _package()

    def run(pixels: Pixels) -> Pixels:
        return np.asarray(bm3d(pixels / sigma, 1.0), np.float64) * sigma

    return run


def why_no_bm3d() -> str:
    """Return why BM3D cannot take part; empty where it can."""
    flat = np.full((32, 32), 1024.0)
    try:
        next(iter(bm3d_methods(flat, 0.0).values()))(np.random.default_rng(0).standard_normal((32, 32)))
    except ImportError:
        return "the package bm3d, for non-commercial use only, is not installed"
    except Exception as error:
        return f"the package bm3d failed: {type(error).__name__}: {error}"
    return ""


def _package() -> Callable[..., Pixels]:
    from bm3d import bm3d

    # NumPy 2.4 no longer has the old name, which the package uses.
    if not hasattr(np, "trapz"):
        vars(np)["trapz"] = np.trapezoid
    function: Callable[..., Pixels] = bm3d
    return function
