"""The counts of a SPECT scan, from the grains in its volume."""

from __future__ import annotations

import numpy as np

from quell.noise.emission.grains import measure_grains
from quell.noise.emission.spect_study import SpectStudy

_SLICES = 32
_ROUNDS = 3
_COUNTS = (1e3, 1e10)
_STRUCTURE = 0.5
"""Blocks that scatter by so large a share of their mean even in the quietest fifth hold structure."""


def match_counts(study: SpectStudy, start: float) -> float | None:
    """Find the counts whose noise is as strong as that in a volume.

    Parameters
    ----------
    study : SpectStudy
        The volume's activity.
    start : float
        First guess.

    Returns
    -------
    float or None
        Of all views together; None where too little of the volume can be judged, or all of it is
        structure.
    """
    few = study.middle(_SLICES)
    seen = measure_grains(few.activity, few.activity)
    if seen is None or not 0 < seen.relative < _STRUCTURE:
        return None
    unit = few.scan(1.0)
    # Reconstruction of expected counts does not depend on how many there are.
    mean = few.reconstruct(unit.at(start), unit.at(start).expected)
    share = float(few.activity.sum(dtype=np.float64) / study.activity.sum(dtype=np.float64))
    counts = start
    # Chance of its own, always the same: what is found depends on the image alone.
    rng = np.random.default_rng(0)
    for _ in range(_ROUNDS):
        scan = unit.at(counts * share)
        made = measure_grains(few.reconstruct(scan, scan.measure(rng)) - mean, few.activity)
        if made is None:
            return None
        counts = float(np.clip(counts * (made.relative / seen.relative) ** 2, *_COUNTS))
    return counts
