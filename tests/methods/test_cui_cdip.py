"""The conditional deep image prior: descent, when it stops, what it refuses, slabs and repeats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import ndimage

from quell.errors import InputError
from quell.image import FloatArray, Image, Modality
from quell.methods.cui_cdip import CuiCDIP, CuiCDIPConfig, Piece, pieces, prior_channels
from quell.methods.shared.deep_prior_fit import Rule, fit
from quell.methods.shared.held_out import hold_out, split_counts
from quell.methods.shared.quiet_blocks import quiet_noise
from quell.networks.deep_prior import DeepPriorUNet

WIDTHS = (4, 8)
DEPTH, SIDE = 8, 20


def truth() -> FloatArray:
    z, y, x = np.mgrid[:DEPTH, :SIDE, :SIDE].astype(np.float32)
    body = ((y - 10) ** 2 / 81 + (x - 10) ** 2 / 64) < 1
    hot = ((z - 4) ** 2 + (y - 8) ** 2 + (x - 12) ** 2) < 10
    return ndimage.gaussian_filter(100.0 * body + 300.0 * hot, 0.7).astype(np.float32)


def prior() -> Image:
    values = np.where(truth() > 50, 0.0, -1000.0) + np.where(truth() > 250, 60.0, 0.0)
    return Image(values.astype(np.float32), Modality.CT, "HU", volume=True, name="ct")


def noisy(sigma: float = 25.0, units: str = "Bq/ml") -> Image:
    noise = np.random.default_rng(0).normal(0, sigma, truth().shape)
    return Image((truth() + noise).astype(np.float32), Modality.PT, units, volume=True, name="pet")


def error(voxels: FloatArray) -> float:
    return float(np.sqrt(np.mean((voxels - truth()) ** 2)))


def test_lbfgs_descends_at_every_look() -> None:
    torch.manual_seed(0)
    net = DeepPriorUNet(2, WIDTHS)
    known = torch.as_tensor(prior_channels(noisy(), prior()))[None]
    target = torch.as_tensor(noisy().voxels / 100)[None, None]
    found = fit(net, known, target, torch.ones_like(target), Rule(), 12)
    assert len(found.losses) == 7
    assert all(later <= earlier for earlier, later in zip(found.losses, found.losses[1:], strict=False))
    assert found.losses[-1] < 0.5 * found.losses[0]


def test_discrepancy_stops_before_the_noise_is_told() -> None:
    stopped = CuiCDIP(CuiCDIPConfig(widths=WIDTHS)).denoise(noisy(), prior())
    settings = CuiCDIPConfig(widths=(16,), input="noise", stop="never", iterations=60)
    fitted = CuiCDIP(settings).denoise(noisy(), None)
    assert stopped.facts["stopped"] == "the residual is as strong as the noise"
    assert 0 < stopped.facts["iterations"] < 200
    assert error(stopped.voxels) < 0.6 * error(noisy().voxels)
    assert error(stopped.voxels) < 0.8 * error(fitted.voxels)


def test_noise_of_quiet_blocks_is_that_of_the_image() -> None:
    rng = np.random.default_rng(4)
    values = np.full((4, 64, 64), 100.0, np.float32)
    values[:, :, 32:] += 50 * np.indices((64, 32)).sum(axis=0) % 170
    noise = rng.normal(0, 10, values.shape)
    image = Image((values + noise).astype(np.float32), Modality.PT, volume=True)
    sigma = quiet_noise(image, np.ones(values.shape, np.bool_))
    quiet = sigma > 0
    assert quiet[:, :, :32].any() and not quiet[:, :, 32:].any()
    # Noise over the level of its own block: 61 degrees of freedom of 64, so 0.976.
    assert np.sqrt(np.mean((noise[quiet] / sigma[quiet]) ** 2)) == pytest.approx(1.0, abs=0.05)


def test_noise_that_cannot_be_found_is_told() -> None:
    small = Image(np.ones((2, 6, 6), np.float32) + np.eye(6, dtype=np.float32), Modality.PT, volume=True)
    ct = Image(np.zeros((2, 6, 6), np.float32), Modality.CT, volume=True)
    with pytest.raises(InputError, match="too small"):
        CuiCDIP(CuiCDIPConfig(**CuiCDIP.tiny())).denoise(small, ct)


@pytest.mark.parametrize("units", ["Bq/ml", "counts"])
def test_left_out_data_stop_it_too(units: str) -> None:
    values = np.random.default_rng(1).poisson(truth() / 4).astype(np.float32)
    image = Image(values, Modality.PT, units, volume=True, name="pet")
    settings = CuiCDIPConfig(widths=WIDTHS, stop="validation", iterations=60, patience=10)
    found = CuiCDIP(settings).denoise(image, prior())
    assert error(4 * found.voxels) < 0.7 * error(4 * values)
    assert 0 < found.facts["iterations"] <= 60


def test_split_counts_are_independent_and_add_up() -> None:
    rng = np.random.default_rng(2)
    counts = torch.as_tensor(rng.poisson(20.0, (1, 1, 16, 32, 32)).astype(np.float32))
    fitted, judge = split_counts(counts, torch.ones_like(counts), 1.0, 0.25, rng)
    kept = (fitted * 0.75).numpy()
    left = counts.numpy() - kept
    assert (left > -1e-3).all()
    # 16384 pairs: a correlation of independent numbers stays within 4 / 128.
    assert abs(np.corrcoef(kept.ravel(), left.ravel())[0, 1]) < 0.032
    # The deviance is lowest at the true mean.
    assert judge(torch.full_like(counts, 20.0)) < min(judge(torch.full_like(counts, m)) for m in (18.0, 22.0))


def test_what_is_held_out_is_not_fitted() -> None:
    target = torch.randn(1, 1, 8, 16, 16)
    weight, judge = hold_out(target, torch.ones_like(target), 0.2, np.random.default_rng(3))
    # Cubes overlap each other and the border, so less than what was asked for is left out.
    assert 0.08 < 1 - float(weight.mean()) < 0.2
    assert judge(target) == 0
    assert judge(target + (weight > 0)) == 0
    assert judge(target + (weight == 0)) == 1


def test_the_same_seed_gives_the_same_and_leaves_the_generator_alone() -> None:
    method = CuiCDIP(CuiCDIPConfig(**CuiCDIP.tiny()))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (method.denoise(noisy(), prior(), seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(one.voxels, again.voxels)
    assert np.abs(one.voxels - other.voxels).max() > 0


def test_a_single_slice_and_padding() -> None:
    padding = np.zeros((1, SIDE, SIDE), np.bool_)
    padding[:, :, :4] = True
    plane = np.where(padding, -500, noisy().voxels[4:5]).astype(np.float32)
    image = Image(plane, Modality.PT, "Bq/ml", padding=padding)
    ct = Image(prior().voxels[4:5].copy(), Modality.CT, "HU")
    found = CuiCDIP(CuiCDIPConfig(widths=(8, 16), stop="never", iterations=30)).denoise(image, ct)
    inside = ~padding
    assert (found.voxels[padding] == -500).all()
    rms = [np.sqrt(np.mean((v - truth()[4:5])[inside] ** 2)) for v in (found.voxels, plane)]
    assert rms[0] < 0.8 * rms[1]


def test_slabs_meet_without_a_seam_and_cover_all() -> None:
    settings = CuiCDIPConfig(
        widths=WIDTHS, slab_voxels=5 * SIDE * SIDE, overlap=2, stop="never", iterations=20
    )
    found = CuiCDIP(settings).denoise(noisy(), prior())
    assert found.facts["slabs"] == 2
    assert error(found.voxels) < 0.7 * error(noisy().voxels)


def test_pieces_respect_gaps_and_frames() -> None:
    volume = Image(np.zeros((12, 4, 4), np.float32), volume=True, gaps=(3,))
    assert list(pieces(volume, 6 * 16, 2)) == [Piece(0, 4), Piece(4, 10), Piece(6, 12)]
    frames = Image(np.zeros((3, 4, 4), np.float32))
    assert list(pieces(frames, 1000, 2)) == [Piece(0, 1), Piece(1, 2), Piece(2, 3)]


def test_no_noise_is_left_as_it_is() -> None:
    flat = Image(np.full((4, 16, 16), 3.0, np.float32), Modality.PT, "Bq/ml", volume=True)
    ct = Image(np.zeros((4, 16, 16), np.float32), Modality.CT, "HU", volume=True)
    found = CuiCDIP(CuiCDIPConfig(**CuiCDIP.tiny())).denoise(flat, ct)
    np.testing.assert_array_equal(found.voxels, flat.voxels)
    assert found.facts["iterations"] == 0


def test_what_cannot_work_is_refused() -> None:
    method = CuiCDIP(CuiCDIPConfig(**CuiCDIP.tiny()))
    with pytest.raises(InputError, match="needs the CT or MR"):
        method.denoise(noisy(), None)
    with pytest.raises(InputError, match="grid"):
        method.denoise(noisy(), Image(np.zeros((2, 2, 2), np.float32), Modality.CT))
    with pytest.raises(InputError, match="not PT"):
        method.denoise(noisy(), noisy())
    broken = noisy().voxels.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="no numbers"):
        method.denoise(noisy().with_voxels(broken), prior())
    for wrong in ({"widths": (0,)}, {"every": 20, "iterations": 10}, {"stop": "truth"}):
        with pytest.raises(ValidationError):
            CuiCDIPConfig(**wrong)
