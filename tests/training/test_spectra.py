"""The spectra that training draws."""

import torch

from quell.noise.spectrum import colour, describe, frequency_axes
from quell.training.spectra import random_power, speckle_power

CPU = torch.device("cpu")


def test_random_spectra_have_mean_one_and_are_symmetric() -> None:
    torch.manual_seed(0)
    power = random_power(50, 24, 32, CPU)
    assert power.shape == (50, 1, 24, 32)
    assert power.min() >= 0
    torch.testing.assert_close(power.mean(dim=(2, 3)), torch.ones(50, 1))
    opposite = power.flip(2, 3).roll((1, 1), (2, 3))
    torch.testing.assert_close(power, opposite)
    described = describe(power[:, 0])
    assert described.std(dim=0).min() > 0.05


def test_coloured_noise_of_a_random_spectrum_is_described_by_it() -> None:
    torch.manual_seed(3)
    power = random_power(6, 48, 48, CPU)
    noise = colour(torch.randn(6, 150, 48, 48), power)
    measured = describe(torch.fft.fft2(noise).abs().square().mean(dim=1))
    torch.testing.assert_close(measured, describe(power[:, 0]), atol=0.08, rtol=0)


def test_speckle_has_spectra_as_coarse_as_pictures_of_patients_and_finer_across_than_along() -> None:
    torch.manual_seed(0)
    power = speckle_power(random_power(400, 96, 96, CPU))
    assert power.shape == (400, 1, 96, 96)
    torch.testing.assert_close(power.mean(dim=(2, 3)), torch.ones(400, 1))
    fy, fx = (torch.from_numpy(axis).abs() for axis in frequency_axes(96, 96))
    along, across = ((power * axis).mean(dim=(1, 2, 3)) for axis in (fy, fx))
    mean = (power * torch.hypot(fy, fx)).mean(dim=(1, 2, 3))
    # Of the pictures of a fetal head half the power lies below 0.03 to 0.06 cycles per pixel.
    assert 0.2 < (mean < 0.05).float().mean() < 0.6
    assert (mean > 0.15).float().mean() > 0.15
    assert 1.3 < (along / across)[mean < 0.1].median() < 2.5


def test_twins_have_speckle_of_one_spectrum() -> None:
    torch.manual_seed(1)
    power = speckle_power(random_power(8, 32, 32, CPU))
    torch.testing.assert_close(power[::2], power[1::2])
    assert not torch.equal(power[0], power[2])
