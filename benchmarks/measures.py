"""How true the measures are: noise power and transfer functions of known noise and known blur.

``python benchmarks/measures.py [--repeats N] [--seed S] [--speed]``

Noise is made with the ramp-like spectrum of CT and measured in regions cut out of it; discs are blurred by
Gaussians in closed form and measured through noise. With ``--speed``, the time that each classical method
takes for a slice of 512 x 512 pixels with its default settings, on one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import ncx2

from quell.evaluation.noise_power import periodograms_of_regions
from quell.evaluation.noise_texture import mean_frequency
from quell.evaluation.transfer import task_transfer
from quell.filters.registry import find_filter, list_filters
from quell.image import FloatArray, Image
from quell.noise.contracts import NoiseSpectrum
from quell.noise.measures import RadialSpectrum, radial
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum

SIDE = 512


def relative_power(side: int) -> FloatArray:
    """Return CT-like noise power in the order of an FFT, the same density at every side."""
    fy, fx = frequency_axes(side, side)
    return np.asarray(ramp_spectrum(np.hypot(fy, fx), 0.05, 0.2, 2.4), np.float32)


def radial_spectrum(spectrum: NoiseSpectrum) -> RadialSpectrum:
    """Return the radial curve without the ring at zero, which the detrending empties."""
    curve = radial(spectrum)
    return RadialSpectrum(curve.frequency[1:], curve.power[1:])


def noise_power(slices: int, rng: np.random.Generator) -> None:
    """Print the errors of the radial noise power of known noise."""
    white = rng.standard_normal((slices, SIDE, SIDE)).astype(np.float32)
    noise = colour(white, normalised(relative_power(SIDE)))
    print(f"noise power of {slices} slices, largest error in % of the peak, and of the mean frequency in %")
    print(f"{'side':>6} {'taper':>6} {'all rings':>10} {'from the 3rd':>13} {'mean frequency':>15}")
    for side in (32, 64, 128):
        density = np.fft.fftshift(relative_power(side)).astype(np.float64) / relative_power(SIDE).mean()
        true = radial_spectrum(NoiseSpectrum(density, (1.0, 1.0), 1))
        for taper in (False, True):
            found = radial_spectrum(periodograms_of_regions(noise, side=side, taper=taper).mean())
            error = 100 * np.abs(found.power - true.power) / true.power.max()
            shift = mean_frequency(found.frequency, found.power) / mean_frequency(true.frequency, true.power)
            values = f"{error.max():10.2f} {error[2:].max():13.2f} {100 * (shift - 1):15.2f}"
            print(f"{side:6d} {taper!s:>6} {values}")


def transfer(repeats: int, rng: np.random.Generator) -> None:
    """Print the errors of the transfer functions of known blurs, without and with noise."""
    centre, n = (59.3, 60.8), 120
    y, x = np.indices((n, n))
    away = np.hypot(y - centre[0], x - centre[1])
    print("transfer function of a disc of a radius under a Gaussian of a width, in pixels")
    print(
        f"{'radius':>7} {'width':>6} {'total CNR':>10} {'largest error':>14} {'f50 error %':>12} {'SD %':>6}"
    )
    for radius, width in ((6, 0.8), (6, 1.2), (12, 0.7), (12, 1.0), (12, 2.0), (20, 3.0)):
        disc = ncx2.cdf((radius / width) ** 2, 2, (away / width) ** 2)
        f50 = np.sqrt(np.log(2) / 2) / (np.pi * width)
        for total in (np.inf, 40.0, 15.0):
            found = []
            for _ in range(repeats if np.isfinite(total) else 1):
                noise = np.sqrt(10) / total * rng.standard_normal((10, n, n))
                found.append(task_transfer(disc + noise, centre, radius))
            true = np.exp(-2 * (np.pi * found[0].frequency * width) ** 2)
            worst = np.abs(np.mean([f.value for f in found], axis=0) - true).max()
            halves = 100 * (np.array([f.f50.value for f in found]) / f50 - 1)
            values = f"{worst:14.4f} {halves.mean():12.2f} {halves.std():6.2f}"
            print(f"{radius:7d} {width:6.1f} {total:10.0f} {values}")


def speed(rng: np.random.Generator) -> None:
    """Print what a slice costs each method."""
    noise = rng.standard_normal((1, SIDE, SIDE)).astype(np.float32)
    image = Image(1000 + 20 * noise)
    print("seconds for a slice of 512 x 512 pixels, default settings, best of three")
    for facts in list_filters():
        denoiser, best = find_filter(facts.name), np.inf
        for _ in range(3):
            started = time.perf_counter()
            denoiser.denoise(image, sigma=20.0)
            best = min(best, time.perf_counter() - started)
        print(f"{facts.name:24s} {best:8.3f}")


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20, help="slices of noise, and noisy sets of discs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--speed", action="store_true", help="time the classical methods too")
    arguments = parser.parse_args()
    noise_power(arguments.repeats, np.random.default_rng(arguments.seed))
    print()
    transfer(arguments.repeats, np.random.default_rng(arguments.seed))
    if arguments.speed:
        print()
        speed(np.random.default_rng(arguments.seed))


if __name__ == "__main__":
    main()
