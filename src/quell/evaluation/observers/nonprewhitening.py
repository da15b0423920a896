"""The non-prewhitening observer, which knows the signal but not the noise, and sees as the eye does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.observers.hotelling import Observation, check_ensemble
from quell.evaluation.observers.scores import Array, IntArray, Scores
from quell.evaluation.observers.splits import Split, check_pairs, parts
from quell.noise.contracts import NoiseSpectrum

Transfer = Callable[[Array], Array]
"""A transfer function: what is left of the contrast at frequencies in cycles per mm."""


@dataclass(frozen=True)
class EyeFilter:
    """How well the eye sees a spatial frequency: ``E(f) = f^exponent * exp(-decay * f^power)``.

    The defaults are those of Burgess (J. Opt. Soc. Am. A 11:1237, 1994): exponent 1.3, and the decay
    that puts the peak at 4 cycles per degree.

    Attributes
    ----------
    exponent, decay, power : float
        With frequencies in cycles per degree of the field of view.
    distance_mm : float
        From the eye to the screen.
    magnification : float
        Millimetres on the screen for one in the patient.
    """

    exponent: float = 1.3
    decay: float = 1.3 / 32
    power: float = 2.0
    distance_mm: float = 500.0
    magnification: float = 1.0

    def __call__(self, frequency: Array) -> Array:
        """Return the response at frequencies in the patient, cycles per mm."""
        per_degree = frequency / self.magnification * self.distance_mm * math.pi / 180
        return np.asarray(per_degree**self.exponent * np.exp(-self.decay * per_degree**self.power))


def frequencies(shape: tuple[int, int], spacing: tuple[float, float]) -> Array:
    """Return the radial frequencies of an FFT in its order, cycles per mm, shape (rows, columns)."""
    fy = np.fft.fftfreq(shape[0], spacing[0])[:, None]
    return np.asarray(np.hypot(fy, np.fft.fftfreq(shape[1], spacing[1])))


def nonprewhitening_observer(
    present: npt.ArrayLike,
    absent: npt.ArrayLike,
    spacing: tuple[float, float],
    *,
    eye: EyeFilter | None = None,
    signal: Array | None = None,
    round_signal: bool = True,
    split: Split | None = None,
    groups: IntArray | None = None,
) -> Observation:
    """Let an observer detect a signal that compares each image with the expected signal, as the eye sees it.

    The score is ``sum(|E|^2 S* G)`` over the frequencies, S the transform of the signal and G that of
    the image (Burgess 1994). Without an eye filter (the plain matched filter): pass one with exponent
    and decay 0.

    Parameters
    ----------
    present, absent : ndarray, shape (n, rows, columns)
    spacing : (row, column)
        Size of a pixel, mm.
    eye : EyeFilter, optional
    signal : ndarray, shape (rows, columns), optional
        Where it is known; otherwise it is learned as the difference of the means, and tested on images
        that did not take part.
    round_signal : bool
        Whether the signal to be learned is round: its mean around the middle is then taken, without which
        the noise of the means costs most of the detectability.
    split : Split, optional
        Leave-one-out by default.
    groups : ndarray of int, shape (n,), optional
        Which regions come from one image.

    Raises
    ------
    QuellError
        If there are too few pairs, shapes do not fit, or values are not finite.
    """
    split = split or Split()
    first, second = np.asarray(present, np.float64), np.asarray(absent, np.float64)
    check_ensemble(first, second, groups)
    if first.ndim != 3 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise QuellError("the observer needs finite images of shape (n, rows, columns)")
    check_pairs(len(first), 0, split)
    power = (eye or EyeFilter())(frequencies(first.shape[1:], spacing)) ** 2
    if signal is not None:
        split = Split("none")

    def expected(with_signal: Array, without: Array) -> Array:
        learned = with_signal.mean(axis=0) - without.mean(axis=0)
        shown = signal if signal is not None else _round(learned) if round_signal else learned
        return _seen(shown, power)

    scores, training = _scored(first, second, expected, split, groups)
    template = expected(first, second)
    nothing = np.zeros((0, 0))
    kind = "non-prewhitening" + (" with eye filter" if power.min() != power.max() else "")
    return Observation(scores, template, nothing, nothing, kind, split, training)


def _scored(
    present: Array,
    absent: Array,
    expected: Callable[[Array, Array], Array],
    split: Split,
    groups: IntArray | None,
) -> tuple[Scores, int]:
    """Score the images that test by the template of those that train; also the fewest that trained."""
    kept: list[IntArray] = []
    first, second, fewest = np.zeros(len(present)), np.zeros(len(present)), len(present)
    for train, test in parts(split, len(present), groups):
        template = expected(present[train], absent[train])
        middle = (present[train].mean(axis=0) + absent[train].mean(axis=0)) / 2
        spread = _spread(template, present[train], absent[train])
        for out, images in ((first, present), (second, absent)):
            out[test] = np.tensordot(images[test] - middle, template, 2) / spread
        kept.append(test)
        fewest = min(fewest, len(train))
    order = np.sort(np.concatenate(kept))
    named = None if groups is None else np.asarray(groups)[order]
    return Scores(first[order], second[order], named), fewest


def _round(signal: Array) -> Array:
    """Average around the middle, in rings one pixel wide with linear shares; 0 beyond the largest circle."""
    rows, columns = signal.shape
    y, x = (np.arange(n) - (n - 1) / 2 for n in signal.shape)
    radius = np.hypot(y[:, None], x).ravel()
    inner = np.floor(radius).astype(np.int64)
    share = radius - inner
    size = int(inner.max()) + 2
    sums, weights = (
        np.bincount(inner, (1 - share) * values, size) + np.bincount(inner + 1, share * values, size)
        for values in (signal.ravel(), np.ones(signal.size))
    )
    profile = sums / np.maximum(weights, 1e-12)
    profile[int(min(rows, columns) / 2) :] = 0.0
    return np.asarray(np.interp(radius, np.arange(size), profile).reshape(signal.shape))


def _seen(signal: Array, power: Array) -> Array:
    """Return the template in the plane: the signal through the eye, twice."""
    return np.asarray(np.fft.ifft2(np.fft.fft2(signal) * power).real)


def _spread(template: Array, present: Array, absent: Array) -> float:
    """Return the standard deviation of the scores of the images that trained; 1 where there is none."""
    variances = [np.tensordot(images, template, 2).var(ddof=1) for images in (present, absent)]
    return float(np.sqrt(np.mean(variances))) or 1.0


def nonprewhitening_detectability(
    signal: Array,
    noise: NoiseSpectrum,
    transfer: Transfer | None = None,
    *,
    eye: EyeFilter | None = None,
    internal_noise: float = 0.0,
) -> float:
    """Return the d' of the observer from a noise power spectrum and a transfer function, without images.

    ``d'^2 = (sum |S|^2 T^2 E^2)^2 / sum (|S|^2 T^2 E^4 N + |S|^2 T^2 E^2 N_i)``, sums over frequencies
    times the area of a frequency cell (AAPM TG-233, 2019; Richard & Siewerdsen, Med. Phys.
    35:5043, 2008). It takes image and noise as linear and stationary, which a denoising network is not:
    compare it with `nonprewhitening_observer` before trusting it.

    Parameters
    ----------
    signal : ndarray, shape (rows, columns)
        The signal before blur, on the pixels of the spectrum, in the units of the image; no larger than
        the spectrum.
    noise : NoiseSpectrum
    transfer : callable, optional
        Takes frequencies in cycles per mm; 1 by default.
    eye : EyeFilter, optional
    internal_noise : float
        N_i, in the units of the spectrum.

    Raises
    ------
    QuellError
        If the signal is larger than the spectrum, or there is no noise.
    """
    shape = (noise.power.shape[0], noise.power.shape[1])
    if signal.shape[0] > shape[0] or signal.shape[1] > shape[1]:
        raise QuellError(f"a signal of {signal.shape} pixels does not fit a spectrum of {shape}")
    radius = frequencies(shape, noise.spacing)
    pixel = noise.spacing[0] * noise.spacing[1]
    cell = 1 / (pixel * shape[0] * shape[1])
    shown = np.abs(np.fft.fft2(signal, shape) * pixel) ** 2
    shown = shown * (transfer(radius) ** 2 if transfer is not None else 1.0)
    response = (eye or EyeFilter())(radius) ** 2
    power = np.fft.ifftshift(noise.power)
    spread = float((shown * response**2 * power + shown * response * internal_noise).sum() * cell)
    if not spread > 0:
        raise QuellError("without noise every signal is seen: the noise power spectrum is 0")
    return float((shown * response).sum() * cell) / math.sqrt(spread)
