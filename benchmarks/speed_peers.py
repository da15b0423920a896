"""Peers outside of the engine: networks as published, and classical methods, one slice after the other."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from exact_bm3d import bm3d_white, why_no_bm3d
from speed_networks import dncnn
from speed_rounds import Alone

from quell.inference.streams import cores

SIGMA = 20.0
"""Noise of the slice, HU."""

BM3D = "BM3D, package bm3d, told the noise"


def noisy_slice(side: int) -> np.ndarray:
    """Return soft tissue with noise of `SIGMA`, shape (side, side), HU, in 64 bits."""
    return 40 + SIGMA * np.random.default_rng(0).standard_normal((side, side))


def eager(side: int) -> Alone:
    """Return DnCNN-17 in 32-bit floats as PyTorch runs it without a compiler, on all cores."""
    network = dncnn()
    image = torch.from_numpy(noisy_slice(side).astype(np.float32) / 1000)[None, None]

    def call() -> None:
        # An environment may say one thread, which would be no fair peer.
        torch.set_num_threads(cores())
        with torch.inference_mode():
            network(image)

    return Alone("DnCNN-17, eager PyTorch", call)


def nonlocal_means(side: int) -> Alone:
    """Return the fast non-local means of scikit-image, told the noise; it uses one core."""
    from skimage.restoration import denoise_nl_means

    settings = {"patch_size": 5, "patch_distance": 6, "h": 0.8 * SIGMA, "sigma": SIGMA, "fast_mode": True}
    image = noisy_slice(side)
    name = "non-local means, scikit-image, patch 5, distance 6"
    return Alone(name, lambda: denoise_nl_means(image, **settings))


def bm3d(side: int) -> tuple[list[Alone], dict[str, str]]:
    """Return BM3D, told the noise, or why it is left out by its name."""
    why = why_no_bm3d()
    if why:
        return [], {"BM3D": why}
    method, image = bm3d_white(SIGMA), noisy_slice(side)
    return [Alone(BM3D, partial(method, image), partial(method, image[:64, :64]))], {}
