"""What a noise power spectrum comes to in a few numbers, and how denoising changed them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Values
from quell.evaluation.metrics.statistics import Interval, bca_bounds
from quell.evaluation.noise_power import Periodograms

REPEATS = 1000


@dataclass(frozen=True)
class NoiseTexture:
    """The noise of one image in numbers, with bootstrap intervals.

    Attributes
    ----------
    sd : Interval
        Standard deviation, the root of the integral of the spectrum.
    peak, mean : Interval
        Peak and mean frequency of the radial spectrum, 1/mm.
    area : Interval
        Area under the radial spectrum, units^2 mm.
    """

    sd: Interval
    peak: Interval
    mean: Interval
    area: Interval


@dataclass(frozen=True)
class TextureShift:
    """How denoising changed the noise, in percent of the noisy image's.

    Attributes
    ----------
    sd, peak, mean, area : Interval
        0 means no change; -50 that half is gone. Coarser noise has a lower peak and mean frequency.
    shape : Interval
        Root mean square difference of the two radial spectra, each divided by its area, over the root
        mean square of the noisy one: 0 where only the amount of noise changed.
    """

    sd: Interval
    peak: Interval
    mean: Interval
    area: Interval
    shape: Interval


def mean_frequency(frequency: Values, power: Values) -> float:
    """Return the mean frequency of a radial spectrum, ``sum(f N(f)) / sum(N(f))`` (TG-233, f_av).

    Half of the last ring lies beyond the Nyquist frequency, as in `quell.noise.measures.first_moment`; the
    ring at zero is not among the frequencies.
    """
    weighted = power * np.where(np.arange(len(power)) == len(power) - 1, 0.5, 1.0)
    total = float(weighted.sum())
    return float((frequency * weighted).sum()) / total if total > 0 else 0.0


def peak_frequency(frequency: Values, power: Values) -> float:
    """Return the frequency of the highest power (TG-233, f_peak).

    The spectrum is smoothed over three bins, and a parabola through the highest and its neighbours gives
    the place between the bins.
    """
    smooth = np.convolve(np.pad(power, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    top = int(smooth.argmax())
    if top in (0, len(smooth) - 1):
        return float(frequency[top])
    before, at, after = smooth[top - 1 : top + 2]
    bend = before - 2 * at + after
    offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
    step = frequency[top + 1] - frequency[top] if offset > 0 else frequency[top] - frequency[top - 1]
    return float(frequency[top] + offset * step)


def noise_texture(
    found: Periodograms, *, level: float = 0.95, repeats: int = REPEATS, seed: int = 0
) -> NoiseTexture:
    """Return standard deviation, peak and mean frequency and area of a noise power spectrum.

    Parameters
    ----------
    found : Periodograms
    level : float
        Nominal coverage of the intervals.
    repeats : int
        Bootstrap samples.
    seed : int
    """
    bounds = _Bootstrap(_rows(found), level, repeats, seed)
    f = found.radial()[0]
    return NoiseTexture(
        sd=bounds.of(lambda m: float(np.sqrt(m[0]))),
        peak=bounds.of(lambda m: peak_frequency(f, m[1:])),
        mean=bounds.of(lambda m: mean_frequency(f, m[1:])),
        area=bounds.of(lambda m: float(np.trapezoid(m[1:], f))),
    )


def texture_shift(
    noisy: Periodograms, denoised: Periodograms, *, level: float = 0.95, repeats: int = REPEATS, seed: int = 0
) -> TextureShift:
    """Compare the noise of the same regions before and after denoising.

    Parameters
    ----------
    noisy, denoised : Periodograms
        Of the same regions of either image, in the same order.
    level, repeats, seed
        As of `noise_texture`; both images of a group are drawn together.

    Raises
    ------
    QuellError
        If the regions are not the same, or the noisy image has no noise.
    """
    same = noisy.power.shape == denoised.power.shape and np.array_equal(noisy.regions, denoised.regions)
    if not same or noisy.spacing != denoised.spacing:
        raise QuellError("the regions before and after denoising are not the same")
    if not noisy.power.any():
        raise QuellError("the noisy image has no noise to compare with")
    f = noisy.radial()[0]
    before, after = _rows(noisy), _rows(denoised)
    width = before.shape[1]
    bounds = _Bootstrap(np.hstack([before, after]), level, repeats, seed)

    def change(value: Callable[[Values], float]) -> Interval:
        return bounds.of(lambda m: 100 * (value(m[width:]) / value(m[:width]) - 1))

    return TextureShift(
        sd=change(lambda m: float(np.sqrt(m[0]))),
        peak=change(lambda m: peak_frequency(f, m[1:])),
        mean=change(lambda m: mean_frequency(f, m[1:])),
        area=change(lambda m: float(np.trapezoid(m[1:], f))),
        shape=bounds.of(lambda m: _difference(m[1:width], m[width + 1 :])),
    )


def _difference(noisy: Values, denoised: Values) -> float:
    if not denoised.sum() > 0:
        return 0.0
    one, other = noisy / noisy.sum(), denoised / denoised.sum()
    return float(np.sqrt(((one - other) ** 2).mean() / (one**2).mean()))


def _rows(found: Periodograms) -> Values:
    """Return variance and radial power of each group, weighted by its share of the regions."""
    side = found.power.shape[-1]
    dy, dx = found.spacing
    variance = found.power.sum(axis=(1, 2)) / (side * dy * side * dx)
    share = found.regions / found.regions.mean()
    return np.asarray(np.column_stack([variance, found.radial()[1]]) * share[:, None], np.float64)


class _Bootstrap:
    """Statistics of the mean over groups, with intervals that share the same drawn groups."""

    def __init__(self, rows: Values, level: float, repeats: int, seed: int) -> None:
        self._rows, self._level, self._groups = rows, level, len(rows)
        drawn = np.random.default_rng(seed).integers(0, len(rows), (repeats, len(rows)))
        weights = np.stack([np.bincount(one, minlength=len(rows)) for one in drawn]) / len(rows)
        self._replicates = weights @ rows
        self._without = (rows.sum(axis=0) - rows) / max(len(rows) - 1, 1)

    def of(self, statistic: Callable[[Values], float]) -> Interval:
        value = statistic(self._rows.mean(axis=0))
        if self._groups < 2:
            return Interval(value, float("nan"), float("nan"), self._level, self._groups)
        replicates = np.array([statistic(row) for row in self._replicates])
        without = np.array([statistic(row) for row in self._without])
        low, high = bca_bounds(value, replicates, without, self._level)
        return Interval(value, low, high, self._level, self._groups)
