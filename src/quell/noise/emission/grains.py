"""The grains of reconstructed activity: how strong they are and how wide, in the quiet parts of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray

_SIDE = 8
_SIGNAL = 0.1
_QUIET = 0.2
_FEWEST = 20


@dataclass(frozen=True)
class Grains:
    """Strength and width of noise that follows the activity.

    Attributes
    ----------
    relative : float
        Standard deviation over the mean activity: the lower fifth over blocks of 8 x 8 pixels, for blocks
        with edges have more.
    in_plane : float
        Correlation of neighbours in a row or column, in the blocks that are quiet. Taking a plane
        away from each block lowers it, so that it compares like with like only.
    axial : float
        Correlation of neighbouring slices in the same blocks; 0 where there is one slice.
    """

    relative: float
    in_plane: float
    axial: float


def measure_grains(noise: FloatArray, activity: FloatArray, gaps: tuple[int, ...] = ()) -> Grains | None:
    """Measure the noise of reconstructed activity.

    Parameters
    ----------
    noise : ndarray of float32, shape (z, y, x)
        The noise alone, or an image with noise.
    activity : ndarray of float32, shape (z, y, x)
        What the noise is compared with; the same image where nothing better is known.
    gaps : tuple of int
        Indices i such that slice i + 1 is not the neighbour of slice i.

    Returns
    -------
    Grains or None
        None where fewer than 20 blocks have activity.
    """
    mean = _blocks(activity).mean(axis=(2, 3))
    residual = _without_planes(_blocks(noise))
    active = mean > _SIGNAL * float(np.percentile(activity, 99.5))
    if active.sum() < _FEWEST:
        return None
    residual /= np.where(active, mean, 1)[..., None, None]
    spread = np.sqrt((residual**2).sum(axis=(2, 3)) / (_SIDE**2 - 3))
    relative = float(np.quantile(spread[active], _QUIET))
    quiet = active & (spread <= relative)
    across, down = (_correlation(residual[quiet], axis) for axis in (1, 2))
    return Grains(relative, (across + down) / 2, _axial(residual, quiet, gaps))


def _axial(residual: npt.NDArray[np.float64], quiet: npt.NDArray[np.bool_], gaps: tuple[int, ...]) -> float:
    """Return the correlation of blocks that are quiet in two neighbouring slices."""
    both = quiet[1:] & quiet[:-1]
    both[[gap for gap in gaps if gap < len(both)]] = False
    if not both.any():
        return 0.0
    first, second = residual[:-1][both], residual[1:][both]
    power = float((first**2).sum() * (second**2).sum())
    return float((first * second).sum()) / power**0.5 if power > 0 else 0.0


def _correlation(residual: npt.NDArray[np.float64], axis: int) -> float:
    moved = np.moveaxis(residual, axis, -1)
    power = (residual**2).mean()
    return float((moved[..., 1:] * moved[..., :-1]).mean() / power) if power > 0 else 0.0


def _blocks(stack: FloatArray) -> npt.NDArray[np.float64]:
    """Cut slices into whole blocks, shape (z, blocks, _SIDE, _SIDE)."""
    depth, rows, columns = stack.shape[0], stack.shape[1] // _SIDE, stack.shape[2] // _SIDE
    cut = stack[:, : rows * _SIDE, : columns * _SIDE].reshape(depth, rows, _SIDE, columns, _SIDE)
    return cut.swapaxes(2, 3).reshape(depth, rows * columns, _SIDE, _SIDE).astype(np.float64)


def _without_planes(blocks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Take the best plane away from each block."""
    place = np.arange(_SIDE) - (_SIDE - 1) / 2
    scale = _SIDE * (place**2).sum()
    level = blocks.mean(axis=(-2, -1), keepdims=True)
    down = (blocks * place[:, None]).sum(axis=(-2, -1), keepdims=True) / scale * place[:, None]
    across = (blocks * place).sum(axis=(-2, -1), keepdims=True) / scale * place
    return np.asarray(blocks - level - down - across)
