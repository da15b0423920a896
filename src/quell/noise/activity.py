"""The noise of reconstructed activity: its standard deviation follows the activity itself.

Iterative reconstruction by expectation maximisation leaves noise whose standard deviation is nearly
proportional to the mean (Barrett, Wilson and Tsui, "Noise properties of the EM algorithm: I. Theory", Phys
Med Biol 39 (1994) 833), with grains as wide as small structures. A look at one slice takes such grains for
structure; the law tells them.
"""

from __future__ import annotations

import numpy as np

from quell.image import Image
from quell.noise.flat import block_statistics

_SIGNAL = 0.1
_QUIET = 0.2
_FEWEST = 20
_SLICES = 64


def relative_noise(image: Image) -> float:
    """Return the standard deviation of the noise as a share of the activity.

    Parameters
    ----------
    image : Image
        Reconstructed activity, in any units.

    Returns
    -------
    float
        The lower fifth of SD over mean, over blocks of 8 x 8 pixels with activity: blocks
        with edges have more. 0 where fewer than 20 blocks can be judged.
    """
    depth = image.shape[0]
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int))
    threshold = _SIGNAL * float(np.percentile(image.voxels[chosen], 99.5))
    ratios = []
    for z in chosen:
        mean, sd = block_statistics(image, z)
        active = (mean > threshold) & (sd > 0)
        ratios.append(sd[active] / mean[active])
    found = np.concatenate(ratios)
    return float(np.quantile(found, _QUIET)) if found.size >= _FEWEST else 0.0
