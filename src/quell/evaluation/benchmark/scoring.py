"""The numbers of one denoiser on one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quell.errors import InputError, QuellError
from quell.evaluation.benchmark.cases import Case
from quell.evaluation.metrics.contracts import Direction, Values
from quell.evaluation.metrics.fidelity import psnr, rmse, ssim
from quell.evaluation.noise_power import Periodograms, periodograms_of_repeats
from quell.evaluation.noise_texture import mean_frequency
from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import Denoiser, Sigma

_SIDES = (64, 32, 16)


@dataclass(frozen=True)
class Column:
    """A number of the table.

    Attributes
    ----------
    key, name, unit : str
        ``"signal"`` as unit stands for HU in CT, and for per cent of the mean signal elsewhere.
    direction : Direction
    digits : int
        After the point.
    """

    key: str
    name: str
    unit: str
    direction: Direction
    digits: int


COLUMNS: tuple[Column, ...] = (
    Column("psnr", "PSNR", "dB", Direction.HIGHER, 2),
    Column("ssim", "SSIM", "", Direction.HIGHER, 3),
    Column("rmse", "RMSE", "signal", Direction.LOWER, 2),
    Column("bias", "Bias", "signal", Direction.ZERO, 2),
    Column("reduction", "Noise reduction", "%", Direction.HIGHER, 1),
    Column("shift", "Mean-frequency shift", "%", Direction.ZERO, 1),
)


def unit_of(column: Column, modality: Modality) -> str:
    """Return the unit of a column for a modality."""
    if column.unit != "signal":
        return column.unit
    return "HU" if modality is Modality.CT else "% of the mean signal"


def run(denoiser: Denoiser | None, image: Image, sigma: Sigma = "auto") -> FloatArray:
    """Return the voxels of a denoised image; those of the image itself where there is no denoiser.

    Raises
    ------
    InputError
        If the result has another shape or values that are not finite.
    """
    if denoiser is None:
        return image.voxels
    voxels = denoiser.denoise(image, sigma=sigma).image.voxels
    if voxels.shape != image.shape:
        raise InputError(image.name, f"the denoiser turned an image of {image.shape} into {voxels.shape}")
    if not np.isfinite(voxels).all():
        raise InputError(image.name, "the denoiser gave values that are not finite")
    return voxels


def score_case(case: Case, results: Sequence[FloatArray]) -> dict[str, float]:
    """Return the numbers of the columns for one case.

    Fidelity is the mean over the realisations. Noise is what differs between them, so that neither
    anatomy nor a mistake that is made each time counts as noise.

    Parameters
    ----------
    case : Case
    results : sequence of ndarray of float32, shape (z, y, x)
        The denoised realisations.
    """
    z = case.scored
    slices = [np.asarray(one[z], np.float64) for one in results]
    truth = np.asarray(case.truth.voxels[z], np.float64)
    noisy = [np.asarray(one.voxels[z], np.float64) for one in case.noisy]
    signal = _signal(case, truth)
    found = [_fidelity(case, truth, one, signal) for one in slices]
    values = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
    before, after = _noise(noisy), _noise(slices)
    sd = float(np.std(before[case.inside]))
    values["reduction"] = 100 * (1 - float(np.std(after[case.inside])) / sd)
    values["shift"] = _shift(case, noisy, slices)
    return values


def _signal(case: Case, truth: Values) -> float:
    """Return what one unit of the table is in the units of the image."""
    if case.truth.modality is Modality.CT:
        return 1.0
    mean = float(np.mean(truth[case.inside]))
    return mean / 100 if mean > 0 else 1.0


def _fidelity(case: Case, truth: Values, result: Values, signal: float) -> dict[str, float]:
    inside = case.inside
    return {
        "psnr": psnr(truth, result, window=case.window, mask=inside),
        "ssim": ssim(truth, result, window=case.window, mask=inside),
        "rmse": rmse(truth, result, mask=inside) / signal,
        "bias": float(np.mean((result - truth)[inside])) / signal,
    }


def _noise(realisations: Sequence[Values]) -> Values:
    difference: Values = (realisations[0] - realisations[1]) / np.sqrt(2)
    return difference


def _shift(case: Case, noisy: Sequence[Values], results: Sequence[Values]) -> float:
    before = _mean_frequency(case, noisy)
    # What has no noise left has no texture: it counts as unchanged.
    after = _mean_frequency(case, results)
    return 100 * (after / before - 1) if before > 0 and after > 0 else 0.0


def _mean_frequency(case: Case, realisations: Sequence[Values]) -> float:
    found = _periodograms(np.stack(realisations), case)
    frequency, power = found.radial()
    return mean_frequency(frequency, power.mean(axis=0))


def _periodograms(stack: Values, case: Case) -> Periodograms:
    """Return the power of the noise in regions within the patient, the largest that fit."""
    for mask in (case.inside, None):
        for side in _SIDES:
            try:
                return periodograms_of_repeats(stack, mask=None if mask is None else mask[None], side=side)
            except QuellError:
                continue
    raise InputError(case.name, f"is smaller than {_SIDES[-1]} pixels: the noise has no texture to measure")


def score_image(truth: Image, result: Image) -> float:
    """Return the PSNR of a single slice over the patient, which classical methods are tuned for."""
    from quell.evaluation.metrics.comparison import default_window
    from quell.filters.level import foreground

    inside = truth.voxels > foreground(truth)[0]
    if truth.padding is not None:
        inside &= ~truth.padding
    return psnr(
        truth.voxels.astype(np.float64),
        result.voxels.astype(np.float64),
        window=default_window(truth),
        mask=inside,
    )


Scores = Mapping[str, Mapping[str, float]]
"""Case, column, value."""
