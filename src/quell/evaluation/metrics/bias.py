"""What denoising did to the values: HU, SUV mean, maximum and peak, counts, signal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Direction, Metric, Need, Sample, Values
from quell.image import BoolArray, Modality

PEAK_RADIUS_MM = 10 * (3 / (4 * np.pi)) ** (1 / 3)
"""Radius of a sphere of 1 cm3."""

_FINE = 5
_EMISSION = (Modality.PT, Modality.NM)


def sphere_weights(spacing: tuple[float, float, float], radius: float = PEAK_RADIUS_MM) -> Values:
    """Return the share of each voxel that lies in a sphere about the middle voxel.

    Parameters
    ----------
    spacing : tuple of float
        Voxel spacing in mm, (z, y, x).
    radius : float
        In mm.

    Returns
    -------
    ndarray, of odd sides
        Sums to the volume of the sphere in voxels, within the fineness of 5 points a side.
    """
    reach = [int(np.ceil(radius / step - 0.5)) for step in spacing]
    inner = (np.arange(_FINE) - (_FINE - 1) / 2) / _FINE
    axes = [
        ((np.arange(-n, n + 1)[:, None] + inner).ravel() * step) ** 2
        for n, step in zip(reach, spacing, strict=True)
    ]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] <= radius**2
    sides = [2 * n + 1 for n in reach]
    shares = inside.reshape(sides[0], _FINE, sides[1], _FINE, sides[2], _FINE)
    return np.asarray(shares.mean(axis=(1, 3, 5)), np.float64)


def peak(values: Values, mask: BoolArray, spacing: tuple[float, float, float]) -> float:
    """Return the highest mean over a sphere of 1 cm3 whose centre lies in a region.

    SUVpeak of PERCIST (Wahl et al. 2009, J Nucl Med 50:122S). Voxels at the rim of the sphere count with
    the share of them that lies in it; the sphere may reach out of the region, but where it reaches out of
    the image the nearest voxels stand in.

    Parameters
    ----------
    values : ndarray, shape (z, y, x)
    mask : ndarray of bool, shape (z, y, x)
    spacing : tuple of float
        In mm.
    """
    from scipy.ndimage import convolve

    weights = sphere_weights(spacing)
    box = []
    for axis, side in enumerate(weights.shape):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if found.size == 0:
            raise QuellError("peak: the region has no voxels")
        box.append(slice(max(found[0] - side // 2, 0), found[-1] + side // 2 + 1))
    cut = tuple(box)
    means = convolve(np.asarray(values[cut], np.float64), weights / weights.sum(), mode="nearest")
    return float(means[mask[cut]].max())


def mean_difference(reference: Values, test: Values, mask: BoolArray) -> float:
    """Return the mean of the test minus that of the reference over a region, in their units."""
    return float(np.mean(test[mask], dtype=np.float64) - np.mean(reference[mask], dtype=np.float64))


def percent(found: float, true: float, what: str) -> float:
    """Return the deviation of a value from the true one in percent of it.

    Raises
    ------
    QuellError
        If the true value is not positive: a share of it would mean nothing.
    """
    if not true > 0:
        raise QuellError(f"{what}: the reference is {true:g} there; a relative bias needs a positive one")
    return 100 * (found / true - 1)


def _difference(sample: Sample) -> float:
    return mean_difference(sample.given(sample.reference), sample.test, sample.mask)


def _relative(what: str, value: Callable[[Values, Sample], float]) -> Callable[[Sample], float]:
    def compute(sample: Sample) -> float:
        return percent(value(sample.test, sample), value(sample.given(sample.reference), sample), what)

    return compute


def _mean(values: Values, sample: Sample) -> float:
    return float(values[sample.mask].mean())


def _maximum(values: Values, sample: Sample) -> float:
    return float(values[sample.mask].max())


def _sum(values: Values, sample: Sample) -> float:
    return float(values[sample.mask].sum())


def _peak(values: Values, sample: Sample) -> float:
    spacing = sample.spacing
    return peak(values, sample.mask, spacing) if spacing else float("nan")


_PAIR = frozenset({Need.REFERENCE})
_HERE = frozenset({Need.REFERENCE, Need.REGION})
_PEAK = frozenset({Need.REFERENCE, Need.REGION, Need.SPACING, Need.VOLUME})
_SIGNAL = (Modality.MR, Modality.US, Modality.XR, Modality.UNKNOWN)

BIAS: tuple[Metric, ...] = (
    Metric("HU bias", "image", Direction.ZERO, _difference, _PAIR, (Modality.CT,)),
    Metric("signal bias", "image", Direction.ZERO, _difference, _PAIR, _SIGNAL),
    Metric("SUVmean bias", "%", Direction.ZERO, _relative("SUVmean", _mean), _HERE, (Modality.PT,)),
    Metric("SUVmax bias", "%", Direction.ZERO, _relative("SUVmax", _maximum), _HERE, (Modality.PT,)),
    Metric(
        *("SUVpeak bias", "%", Direction.ZERO, _relative("SUVpeak", _peak), _PEAK, (Modality.PT,)),
        source="Wahl et al. 2009, J Nucl Med 50:122S",
    ),
    Metric("count bias", "%", Direction.ZERO, _relative("counts", _sum), _PAIR, _EMISSION),
)
