"""What the network takes away has no trace of the grid of its normalisation."""

from __future__ import annotations

import numpy as np

from quell.image import Image, Modality
from quell.inference.network_denoiser import NetworkDenoiser
from quell.inference.normalise import MEAN_BLOCK
from quell.inference.runtimes import make_runtime
from quell.models.registry import DEFAULT, find_card, model_files
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum

SIDE, REPEATS = 256, 16


def test_no_lines_along_the_border_of_the_body(rng: np.random.Generator) -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius = np.hypot(y, x)
    truth = np.where(radius < 100, 0.0, -1000.0)
    card = find_card(DEFAULT)
    denoiser = NetworkDenoiser(card, model_files(card), make_runtime(threads=1), streams=1)
    fy, fx = frequency_axes(SIDE, SIDE)
    power = normalised(ramp_spectrum(np.hypot(fy, fx).astype(np.float32), 0.01, 0.2, 2.0))
    noise = colour(rng.standard_normal((REPEATS, SIDE, SIDE)).astype(np.float32), power)
    # Little noise: the lines of a mean with kinks did not grow with it.
    noisy = Image((truth + 10 * noise).astype(np.float32), Modality.CT, "HU")
    removed = (noisy.voxels - denoiser.denoise(noisy).image.voxels).mean(axis=0)
    # A line along x is a bend along y that many neighbours share.
    smooth = np.stack([np.roll(removed, k, axis=1) for k in range(-4, 5)]).mean(axis=0)
    bend = np.abs(smooth[2:] - 2 * smooth[1:-1] + smooth[:-2])
    rows = np.arange(1, SIDE - 1)[:, None] * np.ones((1, SIDE), int)
    near = (radius[1:-1] > 55) & (radius[1:-1] < 92)
    # The knots lie between two pixels, at the block centres.
    at = np.isin(rows % MEAN_BLOCK, (MEAN_BLOCK // 2 - 1, MEAN_BLOCK // 2))
    on, off = (float(np.sqrt(np.mean(bend[near & place] ** 2))) for place in (at, ~at))
    # 0.8 with the spline, 1.6 with linear interpolation.
    assert on < 1.2 * off
