"""Figures of the ultrasound and the MR noise: their laws, the accuracy of what is measured, and costs.

``python benchmarks/noise_waves.py [--repeats 20] [--data FOLDER]``

Prints Markdown tables. With the folder of real images (``QUELL_SHARED_DATA``) also raw lines of a
scanner, re-speckled pictures, and pairs of MR images of one phantom. Costs are seconds of one core.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import special, stats

from quell.formats.open import open_study
from quell.image import Geometry, Image, Modality
from quell.noise.blank import blank_zones, scan_region
from quell.noise.coils.array import coil_covariance, coil_noise, coil_sensitivities, sum_of_squares
from quell.noise.coils.magnitude import magnitude_noise
from quell.noise.coils.sense import g_factor, noise_after, unfold, unfolding
from quell.noise.echo.grain import measure_grain
from quell.noise.echo.speckle import LOG_SD, MEAN_OVER_SD, complex_lines, envelope
from quell.noise.mri import MRINoise
from quell.noise.ultrasound import UltrasoundNoise

CLEAR = UltrasoundNoise(dynamic_range=120, white=40, electronic_noise=-300, scatterers_per_cell=1000)
PAIRS = (
    *("sola_body_ax", "sola_body_cor", "sola_body_sag", "sola_breast", "sola_headneck", "sola_knee"),
    *("aera_tra", "ge_explorer_sag"),
)
PICTURES = (
    *("hc18/000_HC.png", "hc18/060_HC.png", "hc18/090_HC.png"),
    *("plus/BkCurvilinearScanConvertedData.igs.mha", "plus/BoneUltrasound_L14.igs.mha"),
    *("pydicom/abdomen_aloka_ssd4000.dcm", "pydicom/echo_philips_epiq7_jpegll.dcm"),
)


def table(title: str, heads: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(list(heads)))
    for row in rows:
        print("| " + " | ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row) + " |")


def tissue(rows: int, columns: int, spacing: tuple[float, float]) -> Image:
    """Return plain tissue, 0 dB."""
    geometry = Geometry((1.0, *spacing), known=True)
    return Image(np.zeros((1, rows, columns), np.float32), Modality.US, "dB", geometry)


def amplitude(model: UltrasoundNoise, picture: Image) -> np.ndarray:
    """Return the echo amplitude that a picture shows."""
    # Between two whole grey values any is as likely: no steps for the test of Kolmogorov and Smirnov.
    grey = picture.voxels[0] + np.random.default_rng(0).uniform(-0.5, 0.5, picture.shape[1:])
    decibels = grey / 255 * model.dynamic_range - model.dynamic_range + model.white
    return 10 ** (decibels / 20)


def full_width(intensity: np.ndarray, axis: int) -> float:
    """Return the full width at half height of the autocorrelation along an axis, samples."""
    centred = np.moveaxis(intensity, axis, -1) - intensity.mean()
    n = centred.shape[-1]
    correlation = np.fft.irfft((np.abs(np.fft.rfft(centred, 2 * n)) ** 2).mean(axis=0))[:n]
    correlation /= (1 - np.arange(n) / n) * correlation[0]
    first = int(np.argmax(correlation < 0.5))
    return 2 * (first - 1 + (correlation[first - 1] - 0.5) / (correlation[first - 1] - correlation[first]))


def speckle(repeats: int) -> None:
    """Print the laws of acquired speckle."""
    truth, rows = tissue(2048, 256, (39 / 2048, 38 / 256)), []
    for looks in (1, 2, 4, 8):
        seen = [
            amplitude(CLEAR, CLEAR.acquire(truth, looks, np.random.default_rng(seed)).image)
            for seed in range(repeats)
        ]
        ratio = float(np.mean([s.mean() / s.std() for s in seen]))
        log_sd = float(np.mean([(20 * np.log10(s)).std() for s in seen]))
        pvalue = float(np.median([_rayleigh(s[::24, ::8]) for s in seen])) if looks == 1 else "-"
        rows.append(
            (looks, ratio, MEAN_OVER_SD * math.sqrt(looks), log_sd, LOG_SD if looks == 1 else "-", pvalue)
        )
    heads = ("looks", "mean / SD", "law", "log-SD, dB", "law", "KS against Rayleigh, median p")
    table(f"Speckle of plain tissue, 2048 x 256, 5 MHz, {repeats} seeds", heads, rows)


def _rayleigh(samples: np.ndarray) -> float:
    values = samples.ravel() / np.sqrt((samples**2).mean())
    return float(stats.kstest(values, "rayleigh", args=(0, math.sqrt(0.5))).pvalue)


def widths(repeats: int) -> None:
    """Print the size of speckle against that of pulse and beam."""
    rows = []
    for frequency, bandwidth, f_number in (
        (3.5, 0.6, 2.0),
        (5.0, 0.6, 2.0),
        (5.0, 0.3, 3.0),
        (10.0, 0.6, 2.0),
    ):
        wavelength = 1.54 / frequency
        truth = tissue(800, 400, (wavelength / 12, wavelength * f_number / 6))
        height, width = truth.geometry.spacing[1:]
        focus = 400 * height
        model = replace(
            CLEAR, frequency=frequency, bandwidth=bandwidth, f_number=f_number, focus=focus, aperture=100.0
        )
        near = np.abs(height * np.arange(800) - focus) < wavelength * f_number**2
        found = []
        for seed in range(repeats):
            seen = amplitude(model, model.acquire(truth, 1, np.random.default_rng(seed)).image) ** 2
            found.append((full_width(seen, 0) * height, full_width(seen[near], 1) * width))
        along, across = np.mean(found, axis=0)
        rows.append(
            (frequency, bandwidth, f_number, along, model.pulse_length, across, wavelength * f_number)
        )
    heads = ("MHz", "bandwidth", "f-number", "along, mm", "pulse", "across, mm", "wavelength x f-number")
    table("Width of the autocorrelation of the intensity", heads, rows)


def respeckled(repeats: int) -> None:
    """Print what re-speckling does to simulated pictures."""
    truth, rows = tissue(400, 400, (0.1, 0.1)), []
    model = replace(CLEAR, dynamic_range=60.0, white=25.0, aperture=30.0)
    for looks in (1, 4, 16):
        found = []
        for seed in range(repeats):
            picture = model.acquire(truth, 1, np.random.default_rng(seed)).image
            anew = model.simulate(picture, looks, np.random.default_rng(seed + 1000)).image
            before, after = (p.voxels[0].astype(float) * 60 / 255 for p in (picture, anew))
            bias = 10 * np.log10((10 ** (after / 10)).mean() / (10 ** (before / 10)).mean())
            found.append((before.std(), after.std(), bias, *_grain(picture), *_grain(anew)))
        rows.append((looks, *(float(v) for v in np.mean(found, axis=0))))
    heads = (
        "looks",
        "log-SD before",
        "after, dB",
        "bias, dB",
        "along",
        "across",
        "along after",
        "across after",
    )
    table(f"Re-speckling, {repeats} seeds (widths as SD in pixels)", heads, rows)


def _grain(picture: Image) -> tuple[float, float]:
    grain = measure_grain(picture.voxels[0], scan_region(picture.voxels[0]), 255.0)
    return (math.nan, math.nan) if grain is None else (grain.spread.along, float(grain.spread.across.mean()))


def real_ultrasound(data: Path) -> None:
    """Print what real raw lines and pictures give."""
    raw = np.fromfile(data / "ultrasound" / "plus" / "BkCurvilinearRfData.raw", np.int16).reshape(358, 3480)
    part = envelope(complex_lines(raw))[60:140, 100:250].astype(float)
    for axis, degree in ((1, 2), (0, 4)):
        place = np.arange(part.shape[1 - axis])
        trend = np.polyval(np.polyfit(place, np.sqrt((part**2).mean(axis=axis)), degree), place)
        part = part / np.expand_dims(trend, axis)
    row = (part.mean() / part.std(), (20 * np.log10(part)).std(), _rayleigh(part[::8, ::4]))
    table("Raw lines of a BK scanner, plain region", ("mean / SD", "log-SD, dB", "KS p"), [map(float, row)])
    rows = []
    for name in PICTURES:
        image = next(iter(open_study(data / "ultrasound" / name).series)).read()
        padding = None if image.padding is None else image.padding[:1]
        picture = Image(image.voxels[:1].copy(), Modality.US, padding=padding)
        began = time.process_time()
        anew = UltrasoundNoise().simulate(picture, 1, np.random.default_rng(0)).image
        cost = time.process_time() - began
        inside = scan_region(picture.voxels[0], None if padding is None else padding[0])
        bias = _local_bias(picture.voxels[0], anew.voxels[0], inside)
        same = np.array_equal(anew.voxels[0][~inside], picture.voxels[0][~inside])
        rows.append((name, *_grain(picture), *_grain(anew), bias, "yes" if same else "NO", cost))
    heads = (
        "picture",
        "along",
        "across",
        "along after",
        "across after",
        "bias, dB",
        "outside as before",
        "s",
    )
    table("Re-speckled pictures, 1 look, 60 dB assumed", heads, rows)


def _local_bias(before: np.ndarray, after: np.ndarray, inside: np.ndarray, side: int = 40) -> float:
    """Return the median change of the mean intensity of blocks inside the scan, dB."""
    rows, columns = (n // side for n in before.shape)
    cut = [
        p[: rows * side, : columns * side].reshape(rows, side, columns, side) for p in (before, after, inside)
    ]
    means = [(10 ** (p.astype(float) * 6 / 255)).mean(axis=(1, 3)) for p in cut[:2]]
    return float(np.median(10 * np.log10(means[1] / means[0])[cut[2].all(axis=(1, 3))]))


def magnitudes(repeats: int) -> None:
    """Print the moments of magnitudes over theory."""
    rows, n = [], 100_000 * repeats
    for channels in (1, 8):
        for snr in (0.0, 1.0, 2.0, 3.0, 5.0):
            rng = np.random.default_rng(0)
            noise = coil_noise(rng, coil_covariance(channels, 0.0), (n, 1))
            seen = sum_of_squares(noise + np.float32(snr / math.sqrt(channels))).ravel().astype(float)
            mean = math.sqrt(2) * special.poch(channels, 0.5) * special.hyp1f1(-0.5, channels, -0.5 * snr**2)
            second = snr**2 + 2 * channels
            rows.append((channels, snr, seen.mean() / mean, (seen**2).mean() / second))
    table(f"Moments over theory, {n:,} samples", ("coils", "signal / sigma", "mean", "second moment"), rows)


def sense(repeats: int) -> None:
    """Print the noise after unfolding over prediction, by pseudo-replica."""
    rows, side = [], 120
    covariance = coil_covariance(8, 0.2)
    seen = coil_sensitivities((side, side), 8)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    head = (x / 0.7) ** 2 + (y / 0.85) ** 2 < 1
    for acceleration in (1, 2, 3, 4):
        matrices = unfolding(seen, covariance, acceleration)
        rng, images = np.random.default_rng(0), []
        for _ in range(6 * repeats):
            folded = coil_noise(rng, acceleration * covariance, (side // acceleration, side))
            images.append(unfold(folded, matrices).real)
        ratio = np.std(images, axis=0, ddof=1) / noise_after(seen, covariance, acceleration)
        g = g_factor(seen, covariance, acceleration)[head]
        cost = _cost(lambda a=acceleration: _sense_image(a, side))
        rows.append(
            (acceleration, float(np.median(g)), float(np.quantile(g, 0.95)), float(np.median(ratio)), cost)
        )
    heads = ("acceleration", "g, median", "g, 95 %", "empirical / predicted SD", "s an image")
    table(f"SENSE, 8 coils, {side} x {side}, {6 * repeats} pseudo-replicas", heads, rows)


def _sense_image(acceleration: int, side: int) -> None:
    truth = Image(np.full((1, side, side), 100, np.float32), Modality.MR)
    MRINoise(acceleration=acceleration).acquire(truth, 1, np.random.default_rng(0))


def mr_levels(repeats: int) -> None:
    """Print the noise that is found in an image, and that after taking less time, over the truth."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    disc = np.hypot(y, x) < 0.7
    truth = Image(np.repeat((100.0 * disc)[None], 4, axis=0).astype(np.float32), Modality.MR)
    settings = {
        "1 coil": {"coils": 1},
        "sum of squares, 8": {"coils": 8, "correlation": 0.0, "combination": "sum_of_squares"},
        "1 coil, zero-filled x 2": {"coils": 1, "zero_filling": 2.0},
        "1 coil, apodised": {"coils": 1, "apodisation": 0.5},
    }
    rows = []
    for name, setting in settings.items():
        found = []
        for seed in range(repeats):
            model = MRINoise(snr=40, **setting)  # type: ignore[arg-type]
            image = model.acquire(truth, 1, np.random.default_rng(seed)).image
            anew = MRINoise().simulate(image, 0.25, np.random.default_rng(seed + 1000))
            sd = [_sd(v.voxels, disc) for v in (image, anew.image)]
            lags = [_lag_one(v.voxels) for v in (image, anew.image)]
            found.append((float(anew.parameters["noise_level"]) / sd[0], sd[1] / sd[0], *lags))
        mean = np.mean(found, axis=0)
        rows.append((name, *map(float, mean[:2]), float(np.std(found, axis=0)[1]), *map(float, mean[2:])))
    heads = ("image", "found / true", "SD at 1/4 over SD (2)", "scatter", "lag-1 correlation", "at 1/4")
    table(f"Level and colour, disc of SNR 40, 4 slices, {repeats} seeds", heads, rows)


def _sd(voxels: np.ndarray, region: np.ndarray) -> float:
    """Return the SD over the slices, free of what they share."""
    return float(np.sqrt(voxels[:, region].astype(float).var(axis=0, ddof=1).mean()))


def _lag_one(voxels: np.ndarray) -> float:
    part = voxels[:, 80:176, 80:176].astype(float)
    part = part - part.mean(axis=0)
    return float((part[..., 1:] * part[..., :-1]).mean() / (part**2).mean())


def real_mr(data: Path) -> None:
    """Print the level found in one image over that of the difference of a pair."""
    rows = []
    for name in PAIRS:
        files = [next((data / "mri" / "pairs").glob(f"{name}_acq{k}.*")) for k in (1, 2)]
        one, other = (next(iter(open_study(file).series)).read() for file in files)
        inside = one.voxels[0] > 0.6 * np.percentile(one.voxels, 95)
        for _ in range(4):
            inside[1:-1, 1:-1] &= inside[2:, 1:-1] & inside[:-2, 1:-1] & inside[1:-1, 2:] & inside[1:-1, :-2]
        difference = (other.voxels - one.voxels)[0][inside] / math.sqrt(2)
        true = float(np.subtract(*np.percentile(difference, [75, 25])) / 1.349)
        found = magnitude_noise(one, np.array([blank_zones(one.voxels[0])]))
        rows.append((name, true, found.sigma, found.sigma / true, found.channels, found.found_in))
    heads = ("pair", "from the difference", "found", "ratio", "channels", "in")
    table("Level found in one image of a pair of phantom images", heads, rows)


def _cost(call: Callable[[], object], times: int = 7) -> float:
    spent = []
    for _ in range(times):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return float(np.median(spent))


def costs() -> None:
    """Print seconds an image."""
    rng, model = np.random.default_rng(0), UltrasoundNoise()
    frame = tissue(2048, 256, (39 / 2048, 38 / 256))
    fan = tissue(512, 512, (0.25, 0.25))
    picture = model.acquire(tissue(540, 800, (0.1, 0.1)), 1, rng).image
    head = Image(np.full((1, 256, 256), 100, np.float32), Modality.MR)
    scan = MRINoise(coils=1).acquire(head, 1, rng).image
    rows = [
        ("ultrasound, 2048 x 256, 1 look", _cost(lambda: model.acquire(frame, 1, rng))),
        (
            "ultrasound, sector 512 x 512",
            _cost(lambda: replace(model, geometry="sector").acquire(fan, 1, rng)),
        ),
        ("re-speckling 540 x 800", _cost(lambda: model.simulate(picture, 1, rng))),
        ("MR, 8 coils, 256 x 256", _cost(lambda: MRINoise().acquire(head, 1, rng))),
        ("MR, less time, 256 x 256", _cost(lambda: MRINoise().simulate(scan, 0.25, rng))),
    ]
    table("Costs", ("what", "s"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--data", type=Path, default=os.environ.get("QUELL_SHARED_DATA"))
    options = parser.parse_args()
    for part in (speckle, widths, respeckled, magnitudes, sense, mr_levels):
        part(options.repeats)
    if options.data:
        real_ultrasound(options.data)
        real_mr(options.data)
    costs()


if __name__ == "__main__":
    main()
