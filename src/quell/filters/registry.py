"""The classical methods by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from quell.errors import QuellError
from quell.filters.anscombe import Anscombe
from quell.filters.bilateral import Bilateral
from quell.filters.bm3d import Bm3d, Bm3dSpectrum, Bm4d
from quell.filters.butterworth import Butterworth
from quell.filters.contracts import Facts, Filter
from quell.filters.denoiser import ClassicalDenoiser
from quell.filters.diffusion import AnisotropicDiffusion
from quell.filters.frost import Frost
from quell.filters.gaussian import Gaussian
from quell.filters.lee import Lee
from quell.filters.median import Median
from quell.filters.nonlocal_means import NonLocalMeans
from quell.filters.srad import Srad
from quell.filters.total_variation import TotalVariation
from quell.filters.wavelet import Wavelet
from quell.filters.wiener import Wiener
from quell.image import Image, Modality
from quell.noise.contracts import NoiseEstimate

PLAIN: tuple[Callable[..., Filter], ...] = (
    *(Gaussian, Median, Bilateral, AnisotropicDiffusion, TotalVariation, Wavelet, NonLocalMeans, Wiener),
    *(Butterworth, Lee, Frost, Srad, Bm3d, Bm3dSpectrum, Bm4d),
)

STABILISED = ("gaussian", "wavelet", "nlm")
"""Methods that are listed under the Anscombe transform; any other can be asked for by name."""

PREFIX = "anscombe+"


def list_filters(modality: Modality | None = None, installed: bool = True) -> tuple[Facts, ...]:
    """Return the facts of the classical methods.

    Parameters
    ----------
    modality : Modality, optional
        Only methods that are in use for it.
    installed : bool
        Leave out methods whose package the user has not installed.
    """
    everything = [make(name)().facts for name in (*_plain(), *(PREFIX + name for name in STABILISED))]
    return tuple(
        facts
        for facts in everything
        if (modality is None or modality in facts.modalities)
        and not (installed and facts.package and find_spec(facts.package) is None)
    )


def make(name: str) -> Callable[..., Filter]:
    """Return what makes a method out of its settings.

    Parameters
    ----------
    name : str
        Such as ``"nlm"``, or ``"anscombe+nlm"`` for any method under the Anscombe transform.

    Raises
    ------
    QuellError
        If there is no such method.
    """
    if name.startswith(PREFIX):
        inner = make(name.removeprefix(PREFIX))
        return lambda **settings: Anscombe(inner(**settings))
    plain = _plain()
    if name not in plain:
        raise QuellError(f"unknown method {name!r}; there is: {', '.join(plain)}, and {PREFIX} any of them")
    return plain[name]


def find_filter(
    name: str,
    *,
    estimate: Callable[[Image], NoiseEstimate] | None = None,
    streams: int = 1,
    **settings: Any,
) -> ClassicalDenoiser:
    """Return a classical method as a denoiser.

    Parameters
    ----------
    name : str
        See `make`.
    estimate, streams
        See `ClassicalDenoiser`.
    settings
        Hyper-parameters by name; the others keep their defaults.

    Raises
    ------
    QuellError
        If there is no such method or setting.
    """
    maker = make(name)
    known = maker().facts.space
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise QuellError(f"{name} has no setting {unknown[0]!r}; it has: {', '.join(known) or 'none'}")
    return ClassicalDenoiser(maker(**settings), estimate, streams)


def _plain() -> dict[str, Callable[..., Filter]]:
    return {one().facts.name: one for one in PLAIN}
