"""How the variance of the noise goes with the signal: the law that tells what made it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import combinations

import numpy as np
import numpy.typing as npt

from quell.image import Image, Modality
from quell.noise.blind.level import LOOKED_AT, Blocks, measure_blocks
from quell.noise.blind.periodogram import autocovariance
from quell.noise.blind.regions import signal_floor
from quell.noise.contracts import NoiseEstimate
from quell.noise.estimation import white

Array = npt.NDArray[np.float64]


class LawKind(str, Enum):
    """The laws that are told apart."""

    CONSTANT = "constant"
    """The same everywhere, whatever the signal."""
    POISSON = "Poisson"
    """Variance proportional to the signal: counts, quanta."""
    PROPORTIONAL = "proportional"
    """Standard deviation proportional to the signal: reconstructed activity, fixed-pattern gain."""
    SPECKLE = "speckle"
    """Constant after log compression: multiplicative before it."""
    RICIAN = "Rician"
    """Constant where there is signal, less towards the floor of a magnitude image."""
    MIXED = "mixed"
    """More than one term."""
    UNKNOWN = "unknown"
    """Too few plain blocks, or no two different signals."""


@dataclass(frozen=True)
class Law:
    """A fit of ``variance = constant + linear * mean + quadratic * mean^2`` over plain blocks.

    Attributes
    ----------
    kind : LawKind
    constant : float
        In units^2.
    linear : float
        In units.
    quadratic : float
        A pure number.
    explained : float
        Share of the variance of the log level among classes of the signal that the law accounts
        for; 1 where the level does not vary among them beyond chance.
    blocks : int
        Number of plain blocks behind it.
    lowest, highest : float
        Range of the signal, in units of the image.
    """

    kind: LawKind
    constant: float
    linear: float
    quadratic: float
    explained: float
    blocks: int
    lowest: float
    highest: float

    def variance(self, mean: float) -> float:
        """Return the variance that the law gives at a signal."""
        return self.constant + self.linear * mean + self.quadratic * mean**2


_FEWEST, _CLASSES, _IN_A_CLASS = 60, 20, 12
_CHANCE = 0.05
_SIMPLER = 1.3
_PURE = 0.8
_RICIAN_TABLE = 121


def noise_law(image: Image, estimate: NoiseEstimate) -> Law:
    """Find how the variance goes with the signal in an image.

    Parameters
    ----------
    image : Image
    estimate : NoiseEstimate
        Of this image; its spectrum says what a block misses of the variance.
    """
    means, levels, counts = _classes(_blocks(image, estimate), signal_floor(image), image.modality)
    if len(means) < 2:
        level = float(levels[0]) if len(levels) else 0.0
        place = float(means[0]) if len(means) else 0.0
        return Law(LawKind.UNKNOWN, level**2, 0.0, 0.0, 0.0, int(counts.sum()), place, place)
    flat = np.array([float(np.exp(2 * np.average(np.log(levels), weights=counts))), 0.0, 0.0])
    spread = _misfit(np.sqrt(_variance(flat, means)), levels, counts)
    varies = spread > _CHANCE**2
    terms = _fit(means, levels, counts) if varies else flat
    misfit = _misfit(np.sqrt(_variance(terms, means)), levels, counts)
    kind = _kind(image.modality, terms, means, counts)
    if image.modality is Modality.MR and varies:
        sigma, rician = _rician(means, levels, counts)
        if rician < misfit:
            kind, misfit, terms = LawKind.RICIAN, rician, np.array([sigma**2, 0.0, 0.0])
    return Law(
        kind,
        constant=float(terms[0]),
        linear=float(terms[1]),
        quadratic=float(terms[2]),
        explained=max(0.0, 1 - misfit / spread) if varies else 1.0,
        blocks=int(counts.sum()),
        lowest=float(means.min()),
        highest=float(means.max()),
    )


def _blocks(image: Image, estimate: NoiseEstimate) -> Blocks:
    depth = image.shape[0]
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, LOOKED_AT)).round().astype(np.intp))
    if estimate.spectrum is None:
        return measure_blocks(image, chosen, white())
    return measure_blocks(image, chosen, autocovariance(np.fft.ifftshift(estimate.spectrum.power)))


def _classes(blocks: Blocks, floor: float, modality: Modality) -> tuple[Array, Array, Array]:
    """Return mean, level and number of blocks of classes of the signal."""
    chosen = blocks.plain.copy()
    if modality is not Modality.MR:
        # The floor of a magnitude image is the law's own; elsewhere air has another noise.
        chosen &= blocks.mean > floor
    mean, log_level = blocks.mean[chosen], blocks.log_level[chosen]
    if len(mean) < _FEWEST:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    number = int(np.clip(len(mean) // _IN_A_CLASS, 1, _CLASSES))
    # Half of the classes by number, half by value: neither a large background nor rare bright
    # parts may take all of them.
    low, high = (float(v) for v in np.quantile(mean, (0.01, 0.99)))
    shares = np.linspace(0, 1, number // 2 + 2)
    edges = np.unique(np.concatenate([np.quantile(mean, shares), low + (high - low) * shares]))
    index = np.clip(np.searchsorted(edges, mean, side="right") - 1, 0, max(len(edges) - 2, 0))
    filled = [k for k in np.unique(index) if (index == k).sum() >= _IN_A_CLASS]
    means = np.array([np.median(mean[index == k]) for k in filled])
    levels = np.array([np.exp(np.median(log_level[index == k]) + blocks.offset) for k in filled])
    counts = np.array([(index == k).sum() for k in filled], np.float64)
    return means, levels, counts


def _fit(means: Array, levels: Array, counts: Array) -> Array:
    """Fit three terms that are not negative; a term is left out unless it helps by much."""
    scale = max(float(np.abs(means).max()), 1e-30)
    x = np.stack([np.ones_like(means), means / scale, (means / scale) ** 2], axis=1)
    variance = levels**2
    weights = np.sqrt(counts) / variance
    best, least = np.array([np.average(variance, weights=counts), 0.0, 0.0]), np.inf
    for size in (1, 2, 3):
        for chosen in combinations(range(3), size):
            columns = list(chosen)
            part, *_ = np.linalg.lstsq(x[:, columns] * weights[:, None], variance * weights, rcond=None)
            terms = np.zeros(3)
            terms[columns] = part
            model = x @ terms
            if part.min() < 0 or model.min() <= 0:
                continue
            # A constant is the plainest law of all.
            penalty = _SIMPLER ** (size - 1 + (chosen != (0,)))
            misfit = (_misfit(np.sqrt(model), levels, counts) + 1e-6) * penalty
            if misfit < least:
                best, least = terms, misfit
    return np.asarray(best / np.array([1.0, scale, scale**2]), np.float64)


def _variance(terms: Array, means: Array) -> Array:
    return np.asarray(np.maximum(terms[0] + terms[1] * means + terms[2] * means**2, 1e-30))


def _misfit(model: Array, levels: Array, counts: Array) -> float:
    """Return the weighted mean square of the logarithm of model over measurement."""
    return float(np.average(np.log(model / levels) ** 2, weights=counts))


def _kind(modality: Modality, terms: Array, means: Array, counts: Array) -> LawKind:
    """Name the law after the term that makes most of the variance."""
    shares = np.array([terms[0], 0.0, 0.0])
    middle = float(np.average(means, weights=counts))
    shares[1], shares[2] = terms[1] * middle, terms[2] * middle**2
    shares /= max(float(shares.sum()), 1e-30)
    strongest = int(np.argmax(shares))
    if shares[strongest] < _PURE:
        return LawKind.MIXED
    if strongest == 0 and modality is Modality.US:
        return LawKind.SPECKLE
    return (LawKind.CONSTANT, LawKind.POISSON, LawKind.PROPORTIONAL)[strongest]


def _rician(means: Array, levels: Array, counts: Array) -> tuple[float, float]:
    """Return the noise of the complex image and the misfit of the Rice distribution."""
    best = (float(levels.max()), np.inf)
    ratio, deviation = _rice()
    for sigma in float(np.median(levels)) * np.geomspace(0.5, 3.0, 120):
        model = sigma * np.interp(means / sigma, ratio, deviation)
        misfit = _misfit(model, levels, counts)
        if misfit < best[1]:
            best = (float(sigma), misfit)
    return best


def _rice() -> tuple[Array, Array]:
    """Return mean and standard deviation of the magnitude of complex noise of unit deviation.

    For signals from 0 to 12 noise levels, by Gauss-Hermite integration.
    """
    signal = np.linspace(0, 12, _RICIAN_TABLE)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = np.outer(weights, weights) / (2 * np.pi)
    mean = np.array([(weights * np.hypot(a + nodes[:, None], nodes[None, :])).sum() for a in signal])
    return mean, np.asarray(np.sqrt(np.maximum(signal**2 + 2 - mean**2, 0.0)))
