"""The pictures of a table: one detail in one window, and what is wrong with each result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quell.evaluation.benchmark.cases import Case
from quell.evaluation.benchmark.record import NOISY, Gallery, Shot, Table
from quell.image import FloatArray

DETAIL = 112
BEST = 2
"""How many denoisers are shown beside the first: those with the best PSNR."""


def make_gallery(case: Case, table: Table, results: Mapping[str, FloatArray]) -> Gallery:
    """Cut out the part of a slice in which the truth varies most.

    Parameters
    ----------
    case : Case
    table : Table
    results : mapping of str to ndarray of float32, shape (z, y, x)
        By the name of the denoiser; the noisy image among them.
    """
    z = case.scored
    truth = case.truth.voxels[z]
    part = _detail(case, truth)
    shots = [Shot("reference", truth[part])]
    for name in shown_names(table, results):
        shots.append(Shot(name, results[name][z][part]))
        shots.append(Shot(name, (results[name][z] - truth)[part], difference=True))
    noise = (results[NOISY][z] - truth)[part]
    _, dy, dx = case.truth.geometry.spacing
    limit = 2 * float(np.std(noise)) or 1.0
    return Gallery(case.name, case.window, limit, float(np.clip(dy / dx, 0.2, 5)), tuple(shots))


def shown_names(table: Table, results: Mapping[str, FloatArray]) -> list[str]:
    """Return the noisy image, the first denoiser, and the best of the others."""
    rows = [row for row in table.rows if row.denoiser in results and not row.failed]
    noisy, rest = rows[:1], rows[1:]
    best = sorted(rest[1:], key=lambda row: -row.values["psnr"].value)[:BEST]
    return [row.denoiser for row in (*noisy, *rest[:1], *best)]


def _detail(case: Case, truth: FloatArray) -> tuple[slice, slice]:
    """Return the square of the patient with most structure, among those of a coarse grid."""
    clipped = np.clip(truth, *case.window).astype(np.float64)
    rows, columns = truth.shape
    height, width = min(DETAIL, rows), min(DETAIL, columns)
    best, chosen = -1.0, (slice(0, height), slice(0, width))
    for top in range(0, rows - height + 1, 16):
        for left in range(0, columns - width + 1, 16):
            part = (slice(top, top + height), slice(left, left + width))
            seen = clipped[part][case.inside[part]]
            worth = float(case.inside[part].mean() * np.std(seen)) if seen.size else 0.0
            if worth > best:
                best, chosen = worth, part
    return chosen
