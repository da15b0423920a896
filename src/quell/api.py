"""Quell from Python: one function that takes what one has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.report.record import StudyRecord
from quell.image import FloatArray, Image, Modality
from quell.jobs.common import series_to_do
from quell.jobs.denoising import Denoising, JobSettings, run_job
from quell.jobs.simulation import SimulationSettings, run_simulation, simulate_image


def read(path: str | os.PathLike[str]) -> tuple[Image, ...]:
    """Read every image that is found at a path.

    Parameters
    ----------
    path : path-like
        Folder, file, DICOMDIR or ZIP.

    Returns
    -------
    tuple of Image
        One for each series, in physical units.

    Raises
    ------
    InputError
        If nothing usable is there.
    """
    from quell.formats.open import open_study

    return tuple(series.read() for series in open_study(Path(path)).series)


@overload
def denoise(what: Image, out: None = None, **settings: Any) -> Image: ...
@overload
def denoise(what: npt.ArrayLike, out: None = None, **settings: Any) -> FloatArray: ...
@overload
def denoise(what: str | os.PathLike[str], out: None = None, **settings: Any) -> tuple[Image, ...]: ...
@overload
def denoise(what: str | os.PathLike[str], out: str | os.PathLike[str], **settings: Any) -> StudyRecord: ...


def denoise(what: Any, out: Any = None, **settings: Any) -> Any:
    """Denoise a study, an image or an array.

    Parameters
    ----------
    what : path-like, Image or ndarray
        An array, or what makes one, has shape (y, x) or (z, y, x); along z it is taken as
        neighbouring slices.
    out : path-like, optional
        Folder for the files of a study, written exactly as ``quell denoise`` writes them.
    **settings
        Fields of `quell.JobSettings`: ``model`` (a name, or the folder of a training run), or ``tier``
        (``"fast"`` or ``"standard"``) of the default one, or ``method`` and ``method_settings``; ``prior``
        (a path or an Image), ``strength``, ``grain``, ``sigma``, ``modality``, ``device``, ``engine``,
        ``threads``, and, with `out`, ``noise_map``, ``residual``, ``spread``, ``report``, ``write``.

    Returns
    -------
    StudyRecord
        For a path with `out`: what was done; see `quell.run_job`.
    tuple of Image
        For a path without `out`: the denoised series.
    Image or ndarray of float32
        For an image or an array: the same kind, of the same shape.

    Raises
    ------
    QuellError
        If the input or the settings cannot be used.

    Examples
    --------
    >>> import numpy as np, quell
    >>> noisy = np.random.default_rng(0).normal(40, 20, (64, 64))
    >>> clean = quell.denoise(noisy, modality="CT")
    >>> bool(clean.std() < 0.5 * noisy.std())
    True
    """
    if isinstance(settings.get("modality"), str):
        settings["modality"] = _modality(settings["modality"])
    if isinstance(settings.get("model"), os.PathLike):
        settings["model"] = os.fspath(settings["model"])
    if isinstance(settings.get("prior"), (str, os.PathLike)):
        settings["prior"] = Path(settings["prior"])
    chosen = JobSettings(**settings)
    if isinstance(what, (str, os.PathLike)):
        return _denoise_path(Path(what), out, chosen)
    if out is not None:
        raise QuellError("only what was read from a path can be written to a folder: leave out `out`")
    if isinstance(what, Image):
        return Denoising(chosen).denoise(what).image
    return _denoise_array(np.asarray(what), chosen)


def _modality(name: str) -> Modality:
    try:
        return Modality(name)
    except ValueError as error:
        known = ", ".join(kind.value for kind in Modality)
        raise QuellError(f"unknown modality {name!r}: one of {known}") from error


def _denoise_array(array: npt.NDArray[Any], settings: JobSettings) -> FloatArray:
    from quell.formats.array import from_array

    image = from_array(array, modality=settings.modality or Modality.UNKNOWN)
    # An image is read-only; an array belongs to the caller.
    return Denoising(settings).denoise(image).image.voxels.reshape(array.shape).copy()


def _denoise_path(path: Path, out: Any, settings: JobSettings) -> StudyRecord | tuple[Image, ...]:
    if out is not None:
        return run_job(path, Path(out), settings)
    from quell.formats.open import open_study

    denoising = Denoising(settings)
    found = series_to_do(open_study(path), settings.modality)
    return tuple(denoising.denoise(series.read()).image for series in found)


@overload
def simulate(what: Image, out: None = None, **settings: Any) -> Image: ...
@overload
def simulate(what: npt.ArrayLike, out: None = None, **settings: Any) -> FloatArray: ...
@overload
def simulate(what: str | os.PathLike[str], out: None = None, **settings: Any) -> tuple[Image, ...]: ...
@overload
def simulate(what: str | os.PathLike[str], out: str | os.PathLike[str], **settings: Any) -> StudyRecord: ...


def simulate(what: Any, out: Any = None, **settings: Any) -> Any:
    """Return a study, an image or an array as a lower dose would have given it.

    Parameters
    ----------
    what : path-like, Image or ndarray
        An array, or what makes one, has shape (y, x) or (z, y, x); along z it is taken as
        neighbouring slices.
    out : path-like, optional
        Folder for the files of a study, written exactly as ``quell simulate`` writes them.
    **settings
        Fields of `quell.SimulationSettings`: ``dose``, ``snr`` (MR), ``looks`` (ultrasound), ``seed``,
        ``modality``; with `out`, ``write``; and, of an array, ``spacing`` in mm, in the order of its
        axes.

    Returns
    -------
    StudyRecord
        For a path with `out`: what was done; see `quell.run_simulation`.
    tuple of Image
        For a path without `out`: the simulated series.
    Image or ndarray of float32
        For an image or an array: the same kind, of the same shape.

    Raises
    ------
    QuellError
        If the input or the settings cannot be used.

    Examples
    --------
    >>> import numpy as np, quell
    >>> counts = np.random.default_rng(0).poisson(40.0, (64, 64))
    >>> quarter = quell.simulate(counts, modality="NM", dose=0.25, seed=1)
    >>> bool(abs(quarter.mean() / counts.mean() - 0.25) < 0.01)
    True
    """
    if isinstance(settings.get("modality"), str):
        settings["modality"] = _modality(settings["modality"])
    spacing = settings.pop("spacing", None)
    chosen = SimulationSettings(**settings)
    chosen.check()
    if isinstance(what, (str, os.PathLike)):
        return _simulate_path(Path(what), out, chosen)
    if out is not None:
        raise QuellError("only what was read from a path can be written to a folder: leave out `out`")
    if isinstance(what, Image):
        return simulate_image(what, chosen)[0].image
    return _simulate_array(np.asarray(what), spacing, chosen)


def _simulate_path(path: Path, out: Any, settings: SimulationSettings) -> StudyRecord | tuple[Image, ...]:
    if out is not None:
        return run_simulation(path, Path(out), settings)
    from quell.formats.contracts import Purpose
    from quell.formats.open import open_study

    found = series_to_do(open_study(path, Purpose.SIMULATE), settings.modality)
    return tuple(simulate_image(series.read(), settings)[0].image for series in found)


def _simulate_array(
    array: npt.NDArray[Any], spacing: tuple[float, ...] | None, settings: SimulationSettings
) -> FloatArray:
    from quell.formats.array import from_array

    image = from_array(array, spacing=spacing, modality=settings.modality or Modality.UNKNOWN)
    # An image is read-only; an array belongs to the caller.
    return simulate_image(image, settings)[0].image.voxels.reshape(array.shape).copy()
