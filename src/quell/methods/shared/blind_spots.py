"""Hide pixels of an image behind others of their neighbourhood.

The masking of Krull, Buchholz and Jug, "Noise2Void - learning denoising from single noisy images", CVPR 2019.
Where noise is alike over several pixels, a square around each hidden pixel is hidden with it, the idea of
Broaddus et al., "Removing structured noise with self-supervised blind-spot networks", ISBI 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WINDOW = 2
"""Pixels around the hidden square from which replacements come: 5 x 5 around a single pixel."""


@dataclass(frozen=True, eq=False)
class BlindSpots:
    """Hidden pixels of a batch.

    Attributes
    ----------
    hidden : Tensor, shape (n, 1, y, x)
        The middle slice with the squares replaced.
    centres : Tensor of bool, shape (n, 1, y, x)
        The middles of the squares, at which the loss is taken.
    """

    hidden: Tensor
    centres: Tensor


def cell_side(radius: int, cell: int) -> int:
    """Return the side of the cells, each with one square, in which no square feeds another one's window."""
    return max(cell, 2 * radius + WINDOW + 2)


def hide(noisy: Tensor, radius: int, cell: int) -> BlindSpots:
    """Hide one square in each cell.

    No replacement comes from within the square that is hidden, and none from any other window's square: the
    network has no way to see the value of a centre.

    Parameters
    ----------
    noisy : Tensor, shape (n, 1, y, x)
    radius : int
        Pixels around a centre that are hidden with it.
    cell : int
        Side of the cells; at least `cell_side`.
    """
    n, _, rows, columns = noisy.shape
    reach = radius + WINDOW
    ys, xs = (_positions(n, length, cell, reach, noisy.device) for length in (rows, columns))
    y, x, image = _inside(ys, xs, reach, rows, columns)
    flat, source = noisy.reshape(-1), _ring(radius, noisy.device)
    hidden, base = flat.clone(), image * rows * columns
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            step = source[torch.randint(len(source), (len(y),), device=noisy.device)]
            taken = base + (y + step[:, 0]) * columns + x + step[:, 1]
            hidden = hidden.scatter(0, base + (y + dy) * columns + x + dx, flat[taken])
    centres = torch.zeros_like(flat, dtype=torch.bool)
    centres[base + y * columns + x] = True
    return BlindSpots(hidden.reshape(noisy.shape), centres.reshape(noisy.shape))


def _positions(n: int, length: int, cell: int, reach: int, device: torch.device) -> Tensor:
    """Return one coordinate in each cell along an axis, shape (n, cells, 1); cells begin anywhere.

    Neighbours are at least ``2 * reach - WINDOW + 1`` apart.
    """
    start = torch.randint(cell, (n, 1, 1), device=device) - cell
    cells = torch.arange(length // cell + 2, device=device)[None, :, None] * cell
    free = cell - (2 * reach - WINDOW)
    jitter = torch.randint(max(free, 1), (n, cells.shape[1], 1), device=device)
    return start + cells + jitter


def _inside(ys: Tensor, xs: Tensor, reach: int, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, columns and image numbers of the centres whose windows lie within the image."""
    across = xs.transpose(1, 2)
    y, x = ys.expand(-1, -1, across.shape[2]), across.expand(-1, ys.shape[1], -1)
    image = torch.arange(y.shape[0], device=y.device)[:, None, None].expand_as(y)
    good = (y >= reach) & (y < rows - reach) & (x >= reach) & (x < columns - reach)
    return y[good], x[good], image[good]


def _ring(radius: int, device: torch.device) -> Tensor:
    """Return the steps from a centre to the pixels of its window that are not hidden, shape (m, 2)."""
    reach = radius + WINDOW
    line = torch.arange(-reach, reach + 1, device=device)
    steps = torch.cartesian_prod(line, line)
    return steps[steps.abs().amax(dim=1) > radius]
