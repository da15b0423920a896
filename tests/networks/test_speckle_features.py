"""Features are what they are called: computed again by SciPy, or by the classical filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quell.evaluation.metrics.ultrasound import equivalent_looks
from quell.filters.bilateral import Bilateral
from quell.filters.contracts import Filter
from quell.filters.frost import Frost
from quell.filters.lee import Lee
from quell.filters.level import NoiseLevel
from quell.filters.srad import Srad
from quell.networks.median_network import median_of
from quell.networks.speckle_cnn import SpeckleCNN
from quell.networks.speckle_features import Bank, SpeckleFeatures

ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")

BANK = Bank(relative=0.3, sigma=20.0, srad=4)
INNER = slice(24, -24)
"""Borders are repeated here and mirrored there."""


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :88]
    truth = 90 + 50 * (np.hypot(y - 50, x - 40) < 20) + 0.3 * x
    speckle = 25 * ndimage.gaussian_filter(rng.normal(size=truth.shape), 0.8) * 2
    values = np.clip(np.rint(truth + speckle), 0, 255)
    values[0, 0] = 255  # SRAD in the filter takes its floor from the brightest pixel.
    return values


@pytest.fixture(scope="module")
def found(grey: np.ndarray) -> dict[str, np.ndarray]:
    module = SpeckleFeatures(BANK)
    told = module(torch.from_numpy(grey / 255).float()[None, None])[0].double().numpy()
    return dict(zip(module.names, told, strict=True))


def inner(values: np.ndarray) -> np.ndarray:
    return np.asarray(values)[INNER, INNER]


@pytest.mark.parametrize("side", [3, 5, 7, 11])
def test_local_statistics(grey: np.ndarray, found: dict[str, np.ndarray], side: int) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(grey, (side, side))
    reach = side // 2
    full = np.pad(windows, ((reach, reach), (reach, reach), (0, 0), (0, 0)), mode="edge")
    np.testing.assert_allclose(inner(found[f"mean {side}"]), inner(full.mean((2, 3))), atol=1e-4)
    np.testing.assert_allclose(inner(found[f"sd {side}"]), inner(full.std((2, 3))), atol=2e-3)
    rows = np.median(full, axis=3) if side > 3 else full.reshape(*full.shape[:2], -1)
    middle = ndimage.median_filter(grey, (1, side))
    expected = ndimage.median_filter(middle, (side, 1)) if side > 3 else np.median(rows, axis=2)
    np.testing.assert_array_equal(inner(found[f"median {side}"]), inner(expected))


def test_kurtosis_of_gaussian_noise_is_three() -> None:
    rng = np.random.default_rng(5)
    values = np.rint(128 + 20 * rng.normal(size=(200, 200)))
    module = SpeckleFeatures(Bank(srad=1))
    told = module(torch.from_numpy(values / 255).float()[None, None])[0]
    kurtosis = told[module.names.index("kurtosis 11")].numpy()
    # Local kurtosis of n = 121 values is biased to 3 (n - 1) / (n + 1) = 2.95; the mean over 200^2 / 121
    # independent windows of SD sqrt(24 / 121) scatters by 0.025.
    assert kurtosis.mean() == pytest.approx(2.95, abs=0.1)


@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_gaussian_derivatives(grey: np.ndarray, found: dict[str, np.ndarray], sigma: int) -> None:
    for name, order in (("smooth", (0, 0)), ("dy", (1, 0)), ("dx", (0, 1)), ("yy", (2, 0)), ("xy", (1, 1))):
        scale = sigma ** sum(order)
        expected = scale * ndimage.gaussian_filter(grey, sigma, order=order, truncate=3)
        got = inner(found[f"{name} {sigma}"])
        # SciPy's second derivative of a bell cut off at 3 sigma sums to 2.7 % of the mean, ours to 0.
        assert np.std(got - inner(expected)) < 0.08 * np.std(expected)


@pytest.mark.parametrize(
    ("name", "one"),
    [
        ("lee", Lee(side=BANK.lee, factor=1.0)),
        ("frost", Frost(side=BANK.frost, damping=BANK.damping)),
        ("srad", Srad(iterations=BANK.srad, factor=1.0)),
        ("bilateral", Bilateral(width=BANK.width, tone=BANK.tone)),
    ],
)
def test_filters_are_the_classical_ones(
    grey: np.ndarray, found: dict[str, np.ndarray], name: str, one: Filter
) -> None:
    noise = NoiseLevel(BANK.sigma, BANK.relative, 1.0)
    np.testing.assert_allclose(inner(found[name]), inner(one.apply(grey, noise)), atol=5e-3)


def test_nonlocal_means_lowers_noise_and_keeps_a_step(grey: np.ndarray, found: dict[str, np.ndarray]) -> None:
    y, x = np.mgrid[:96, :88]
    truth = 90 + 50 * (np.hypot(y - 50, x - 40) < 20) + 0.3 * x
    error = inner(found["nlm"] - truth)
    assert error.std() < 0.75 * inner(grey - truth).std()


def test_looks_are_those_of_the_metric(grey: np.ndarray, found: dict[str, np.ndarray]) -> None:
    amplitude = 10 ** (grey * BANK.decibel / 20)
    for row, column in ((40, 30), (60, 50)):
        patch = amplitude[row - 5 : row + 6, column - 5 : column + 6]
        assert found["looks 11"][row, column] == pytest.approx(equivalent_looks(patch), rel=1e-3)


@pytest.mark.parametrize("count", [3, 5, 7, 9, 11])
def test_comparators_find_the_median(count: int) -> None:
    values = torch.randint(0, 9, (count, 500), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(median_of(list(values)), values.median(0).values)


def test_features_of_a_tile_equal_those_of_the_whole(grey: np.ndarray) -> None:
    module = SpeckleFeatures(BANK)
    image = torch.from_numpy(grey / 255).float()[None, None]
    halo = module.halo
    part = module(image[:, :, 20 : 40 + 2 * halo, 10 : 40 + 2 * halo])
    whole = module(image)[:, :, 20 + halo : 40 + halo, 10 + halo : 40 + halo]
    cut = part[:, :, halo:-halo, halo:-halo]
    torch.testing.assert_close(cut, whole, atol=2e-3, rtol=1e-4)


def test_network_knows_its_reach() -> None:
    torch.manual_seed(0)
    network = SpeckleCNN(widths=(4, 6, 8), blocks=(1, 1, 1))
    torch.nn.init.normal_(network.head.weight)
    image = torch.rand(1, 1, 160, 160)
    halo, multiple = network.halo, network.multiple
    assert halo % multiple == 0
    changed = image.clone()
    changed[:, :, :8] += 1
    difference = (network(changed) - network(image)).abs().amax(dim=(0, 1, 3))
    assert difference[: 8 + 2].max() > 0
    assert difference[8 + halo :].max() < 1e-6


def test_kmac_per_pixel_is_what_the_layers_do() -> None:
    network = SpeckleCNN()
    counted = [0.0]

    def count(layer: torch.nn.Module, _: object, output: torch.Tensor) -> None:
        size = layer.weight.numel()  # type: ignore[union-attr]
        # A transposed convolution with stride 2 uses a quarter of its weights for each output pixel.
        share = 0.25 if isinstance(layer, torch.nn.ConvTranspose2d) else 1.0
        counted[0] += share * size * output.shape[2] * output.shape[3]

    for layer in network.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 1, 64, 64))
    assert network.kmac_per_pixel == pytest.approx(counted[0] / 64**2 / 1000)
