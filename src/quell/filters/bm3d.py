"""BM3D and BM4D, where the user has installed them.

Their licence allows non-commercial use only, so they are never installed with Quell.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from quell.errors import QuellError
from quell.filters.contracts import Facts, Filter, Pixels, Span, library
from quell.filters.level import NoiseLevel
from quell.noise.contracts import NoiseSpectrum

_SPACE = {"factor": Span(0.5, 2.0)}
_BM3D = "Dabov et al. 2007, IEEE TIP 16:2080; Mäkinen et al. 2020, IEEE TIP 29:8339; the authors' package"
_BM4D = "Maggioni et al. 2013, IEEE TIP 22:119; the authors' package"
_LICENCE = "The licence of its authors allows non-commercial use only."


@dataclass(frozen=True)
class Bm3d(Filter):
    """BM3D that is told one noise level.

    Attributes
    ----------
    factor : float
        On the noise level.
    """

    factor: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "bm3d (sigma)",
        "Filter groups of like patches together, taking the noise as white.",
        *(_BM3D, _SPACE),
        package="bm3d",
        limits=(_LICENCE, "Takes the noise as white."),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        return _call("bm3d", pixels / noise.sigma, self.factor) * noise.sigma


@dataclass(frozen=True)
class Bm3dSpectrum(Filter):
    """BM3D that is told the noise power spectrum.

    Attributes
    ----------
    factor : float
        On the noise level.
    """

    factor: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "bm3d (spectrum)",
        "Filter groups of like patches together, knowing the spectrum of the noise.",
        *(_BM3D, _SPACE),
        package="bm3d",
        limits=(_LICENCE,),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        if noise.spectrum is None:
            raise QuellError("bm3d (spectrum) needs an estimate of the noise spectrum")
        power = power_at(noise.spectrum, (pixels.shape[0], pixels.shape[1])) * self.factor**2
        return _call("bm3d", pixels / noise.sigma, power) * noise.sigma


@dataclass(frozen=True)
class Bm4d(Filter):
    """BM4D of a volume that is told one noise level.

    Attributes
    ----------
    factor : float
        On the noise level.
    """

    factor: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "bm4d (sigma)",
        "Filter groups of like cubes together, taking the noise as white.",
        *(_BM4D, _SPACE),
        dimensions=3,
        package="bm4d",
        limits=(_LICENCE, "Takes the noise as white."),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        return _call("bm4d", pixels / noise.sigma, self.factor) * noise.sigma


def power_at(spectrum: NoiseSpectrum, shape: tuple[int, int]) -> Pixels:
    """Return a spectrum as these packages want it: of an image of a given shape, for noise of level 1.

    Parameters
    ----------
    spectrum : NoiseSpectrum
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    ndarray of float64, of `shape`
        Expected squared modulus of the discrete Fourier transform of the noise, in its order; its mean is
        the number of pixels.
    """
    ndimage = library("scipy.ndimage", "SciPy")
    side = spectrum.power.shape[0]
    y, x = (np.fft.fftfreq(n) * side + side // 2 for n in shape)
    at = np.broadcast_arrays(y[:, None], x)
    power = np.maximum(ndimage.map_coordinates(spectrum.power, at, order=1, mode="grid-wrap"), 0)
    return np.asarray(power / power.mean() * power.size, np.float64)


def _call(name: str, pixels: Pixels, noise: Any) -> Pixels:
    try:
        package = import_module(name)
    except ImportError as error:
        raise QuellError(
            f"{name} is not installed. Its licence allows non-commercial use only, so it does not come with "
            f"Quell; where that suits you: pip install {name}"
        ) from error
    try:
        return np.asarray(getattr(package, name)(pixels, noise), np.float64)
    except (AttributeError, ValueError) as error:
        # Too few pixels; or bm4d 4.2.5, which bm3d calls too, uses what NumPy 2.4 no longer has.
        raise QuellError(f"{name} failed under NumPy {np.__version__}: {error}") from error
