"""Which kernel and which flux the noise in a CT image comes from, found in its soft tissue.

Noise power spectra of small regions are divided by the variance that the rays would give there, averaged
over the flattest regions, and fitted by ``A |f| W(f)^2 + C / f^3``: the ramp under a kernel, and what is
left of the anatomy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image
from quell.noise.ct_wedge import coarse_integrals, sector_variance, wedge_variance
from quell.noise.tomography.anatomy import AIR, prepare
from quell.noise.tomography.kernels import Kernel, noise_gain, ramp_power
from quell.noise.tomography.scan import Scan

SIDE = 32
"""Side of a region in pixels."""

_STEP = 12
_SLICES = 12
_TISSUE_MEAN = (-150.0, 200.0)
_TISSUE_RANGE = (-500.0, 700.0)
_FLAT = 0.2
_FLATTEST = 0.04
_FEWEST = 8
_FEWEST_SLICES = 4
_UNLIKE = 0.8
_TIED = 2.5
_LOW = slice(1, 4)
_FITTED = slice(4, SIDE // 2)

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes
    ----------
    kernel : Kernel
    variance_ratio : float
        Variance in the image over the variance that the scan would have given with this kernel.
    misfit : float
        Relative root mean square difference of the spectrum to its fit.
    low_frequencies : float
        Mean power between 1/32 and 3/32 cycles per pixel over the highest power above, in the very
        flattest regions: small for the ramp of filtered back-projection, large where noise was
        smoothed.
    attenuation : float
        Highest line integral of a view, averaged over views and slices.
    slice_modulation : float or None
        How far the variance of the slices stays behind their attenuation, 0 to 1; None where they
        are too few or too much alike.
    """

    kernel: Kernel
    variance_ratio: float
    misfit: float
    low_frequencies: float
    attenuation: float
    slice_modulation: float | None


class _Slice(NamedTuple):
    """Spectra of the regions of one slice, shape (regions, rings), over their expected variance."""

    spectra: _Floats
    attenuation: float


def measure(image: Image, scan: Scan) -> Calibration | None:
    """Compare the noise in soft tissue with that which a scan would give.

    Parameters
    ----------
    image : Image
        HU, of known spacing; up to twelve slices are looked at.
    scan : Scan
        Its flux and kernel are the yardstick.

    Returns
    -------
    Calibration or None
        None where there are too few regions, or no noise in them.
    """
    slices = [found for z in _some(image.shape[0]) if len((found := _look(image, z, scan)).spectra)]
    if sum(len(one.spectra) for one in slices) < _FEWEST:
        return None
    spectra = np.concatenate([one.spectra for one in slices])
    power = _typical(_flattest(spectra, _FLAT))
    if not power[_FITTED].min() > 0:
        return None
    spacing = image.geometry.spacing[2]
    fits = [_fit(power, model) for model in _models(spacing)]
    best = min(range(len(fits)), key=lambda k: fits[k].misfit if fits[k].level > 0 else np.inf)
    kernel, (level, misfit) = _kernels(spacing)[best], fits[best]
    if not level > 0:
        return None
    expected = noise_gain(kernel, scan.pitch, scan.views) / noise_gain(scan.kernel, scan.pitch, scan.views)
    flat = _typical(_flattest(spectra, _FLATTEST))
    return Calibration(
        kernel,
        level / expected,
        misfit,
        low_frequencies=float(flat[_LOW].mean() / flat[_FITTED].max()),
        attenuation=float(np.mean([one.attenuation for one in slices])),
        slice_modulation=_slice_modulation(slices, _models(spacing)[best]),
    )


def _some(depth: int) -> list[int]:
    return [int(z) for z in np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int))]


def _flattest(spectra: _Floats, share: float) -> _Floats:
    """Return the regions with the least power at low frequencies, where anatomy is.

    Those frequencies take no part in the fit, so the choice does not bias the level.
    """
    low = spectra[:, _LOW] @ _ring_sizes()[_LOW]
    return spectra[np.argsort(low, kind="stable")[: max(_FEWEST, int(share * len(low)))]]


def _typical(spectra: _Floats) -> _Floats:
    """Return the median over regions, as an estimate of the mean power.

    The sum of n squared Gaussian amplitudes has the median ``1 - 1 / (3 n)`` of its mean; opposite
    frequencies are the same, and the window ties neighbours.
    """
    independent = _ring_sizes() / (2 * _TIED)
    return np.asarray(np.median(spectra, axis=0) / (1 - 1 / (3 * np.maximum(independent, 1))), np.float64)


def _slice_modulation(slices: list[_Slice], model: _Floats) -> float | None:
    """Fit ``log variance ratio = -modulation * attenuation`` over the slices."""
    found = [
        (one.attenuation, _fit(_typical(_flattest(one.spectra, _FLAT)), model).level)
        for one in slices
        if len(one.spectra) >= _FEWEST
    ]
    attenuation, level = np.array([one for one in found if one[1] > 0]).reshape(-1, 2).T
    if len(level) < _FEWEST_SLICES or np.ptp(attenuation) < _UNLIKE:
        return None
    slope = np.polyfit(attenuation, np.log(level), 1)[0]
    return float(np.clip(-slope, 0, 1))


def _look(image: Image, z: int, scan: Scan) -> _Slice:
    """Measure the regions of plain soft tissue of one slice."""
    pixels = image.voxels[z]
    rows, columns = pixels.shape
    corners = [
        (r, c)
        for r in range(0, rows - SIDE + 1, _STEP)
        for c in range(0, columns - SIDE + 1, _STEP)
        if _is_plain(pixels[r : r + SIDE, c : c + SIDE])
    ]
    if not corners:
        return _Slice(np.zeros((0, SIDE // 2 + 1)), 0.0)
    anatomy = prepare(image, z)
    integrals, _ = coarse_integrals(anatomy.hu, anatomy.spacing, scan.beam.water)
    level = wedge_variance(sector_variance(anatomy.hu, anatomy.spacing, None, scan))
    cell = anatomy.spacing * max(anatomy.hu.shape) / max(level.shape) / image.geometry.spacing[2]
    spectra = []
    for r, c in corners:
        y, x = (
            int((corner + SIDE / 2 - n / 2) / cell + m / 2)
            for corner, n, m in zip((r, c), (rows, columns), level.shape, strict=True)
        )
        spectra.append(_ring_spectrum(pixels[r : r + SIDE, c : c + SIDE]) / level[y, x])
    return _Slice(np.array(spectra), float(integrals.max(axis=1).mean()))


def _is_plain(region: FloatArray) -> bool:
    return bool(
        _TISSUE_MEAN[0] < region.mean() < _TISSUE_MEAN[1]
        and region.min() > _TISSUE_RANGE[0]
        and region.max() < _TISSUE_RANGE[1]
        and region.min() > AIR
    )


def _ring_spectrum(region: FloatArray) -> _Floats:
    """Return the power in rings of one frequency step, without the region's best quadratic surface."""
    values = region.ravel().astype(np.float64)
    surface, window, _ = _tools()
    flat = (values - surface @ (surface.T @ values)).reshape(SIDE, SIDE)
    return _ring_means(np.abs(np.fft.fft2(flat * window)) ** 2 / SIDE**2)


def _ring_means(power: npt.NDArray[np.floating]) -> _Floats:
    rings = _tools()[2]
    return np.bincount(rings, power.ravel(), SIDE // 2 + 1)[: SIDE // 2 + 1] / _ring_sizes()


def _ring_sizes() -> _Floats:
    return np.bincount(_tools()[2])[: SIDE // 2 + 1].astype(np.float64)


@lru_cache(maxsize=1)
def _tools() -> tuple[_Floats, _Floats, npt.NDArray[np.intp]]:
    """Return an orthonormal base of quadratic surfaces, a window of mean square 1, and ring numbers."""
    y, x = (np.mgrid[:SIDE, :SIDE].reshape(2, -1) - (SIDE - 1) / 2) / SIDE
    surface, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    taper = np.hanning(SIDE + 2)[1:-1]
    window = np.outer(taper, taper)
    f = np.fft.fftfreq(SIDE, 1 / SIDE)
    rings = np.round(np.hypot(f[:, None], f)).astype(np.intp).ravel()
    return surface, window / np.sqrt((window**2).mean()), rings


class _Fit(NamedTuple):
    level: float
    misfit: float


def _fit(power: _Floats, model: _Floats) -> _Fit:
    """Fit a spectrum by so much of a model and so much of anatomy's 1 / f^3, with relative errors."""
    anatomy = (np.arange(SIDE // 2 + 1)[_FITTED] / _FITTED.start) ** -3.0
    weight = np.sqrt(_ring_sizes()[_FITTED] / _ring_sizes()[_FITTED].sum())
    parts = np.stack([model[_FITTED], anatomy], axis=1) * (weight / power[_FITTED])[:, None]
    share = _not_negative(parts, weight)
    return _Fit(float(share[0]), float(np.sqrt(np.sum((parts @ share - weight) ** 2))))


def _not_negative(parts: _Floats, wanted: _Floats) -> _Floats:
    """Return the least-squares shares of two parts, none below 0."""
    share = np.linalg.lstsq(parts, wanted, rcond=None)[0]
    if share.min() >= 0:
        return np.asarray(share, np.float64)
    alone = [max(0.0, float(p @ wanted / (p @ p))) for p in parts.T]
    errors = [np.sum((s * p - wanted) ** 2) for s, p in zip(alone, parts.T, strict=True)]
    return np.array([alone[0], 0.0] if errors[0] <= errors[1] else [0.0, alone[1]])


def _kernels(spacing: float) -> list[Kernel]:
    """Return the kernels that are tried, from smooth to sharp for pixels of this size."""
    halves = np.geomspace(0.1, 0.9, 36) / spacing
    return [Kernel(float(f50), p) for f50 in halves for p in (1.4, 1.7, 2.0, 2.4, 2.8, 3.2, 4.0, 6.0)]


@lru_cache(maxsize=4)
def _models(spacing: float) -> list[_Floats]:
    """Return what the ring spectrum of unit noise of each kernel looks like through the window."""
    models = []
    for kernel in _kernels(spacing):
        power = ramp_power.__wrapped__((SIDE, SIDE), spacing, kernel)
        for axis in (0, 1):
            # The power spectrum of a Hann window: 1/6, 2/3, 1/6.
            power = (np.roll(power, 1, axis) + np.roll(power, -1, axis)) / 6 + power * (2 / 3)
        models.append(_ring_means(power))
    return models
