"""How well the noise of radiographs obeys its law, and what it costs; prints a table."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from quell.image import Acquisition, FloatArray, Geometry, Image, Modality
from quell.noise.detector.response import modulation_transfer
from quell.noise.radiography import RadiographyNoise

SPACING = (0.2, 0.2)
LEVELS = (100.0, 500.0, 2000.0)
DOSES = (0.5, 0.25, 0.1)
MODEL = RadiographyNoise(quanta_per_value=1.0, structure=0.0)


def flat(level: float, size: int) -> Image:
    """Return an even field."""
    return Image(
        np.full((1, size, size), level, np.float32),
        Modality.XR,
        geometry=Geometry(spacing=(1.0, *SPACING), known=True),
        acquisition=Acquisition(presentation=False, intensity="LIN"),
    )


def radial(noise: FloatArray) -> FloatArray:
    """Return the power spectrum by radius, 24 bins up to the Nyquist frequency."""
    power = np.abs(np.fft.fft2(noise - noise.mean())) ** 2 / noise.size
    f = np.hypot(np.fft.fftfreq(noise.shape[0])[:, None], np.fft.fftfreq(noise.shape[1])[None])
    which = np.minimum((f * 48).astype(int), 24).ravel()
    return np.asarray((np.bincount(which, power.ravel()) / np.bincount(which))[1:24], np.float32)


def compare(level: float, dose: float, size: int, repeats: int) -> tuple[float, float, float, float]:
    """Return SD over law of direct and inserted noise, their ratio, and the rms deviation of spectra."""
    sds, spectra = np.zeros((2, repeats)), np.zeros((2, 23))
    for k in range(repeats):
        rng = np.random.default_rng([k, int(level), int(1000 * dose)])
        full = MODEL.acquire(flat(level, size), 1.0, rng).image
        pair = (
            MODEL.acquire(flat(level, size), dose, rng).image,
            MODEL.simulate(full, dose, rng).image,
        )
        for which, image in enumerate(pair):
            sds[which, k] = image.voxels.std()
            spectra[which] += radial(image.voxels[0]) / repeats
    law = float(np.sqrt(replace(MODEL, quanta_per_value=dose).variance(level, SPACING)))
    direct, inserted = np.sqrt((sds**2).mean(axis=1))
    return direct / law, inserted / law, inserted / direct, float(np.std(spectra[1] / spectra[0]))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--size", type=int, default=1024)
    arguments = parser.parse_args()
    print("level  dose  direct/law  inserted/law  inserted/direct  spectrum rms")
    for level in LEVELS:
        for dose in DOSES:
            direct, inserted, ratio, rms = compare(level, dose, arguments.size, arguments.repeats)
            print(f"{level:5.0f}  {dose:4g}  {direct:10.4f}  {inserted:12.4f}  {ratio:15.4f}  {rms:12.4f}")
    rng = np.random.default_rng(0)
    full = MODEL.acquire(flat(1000, arguments.size), 1.0, rng).image
    quanta = RadiographyNoise(structure=0.0).calibrate(full).quanta_per_value or 0.0
    print(f"quanta measured over those given: {quanta:.4f}")
    for name, work in (
        ("simulate", lambda: MODEL.simulate(full, 0.25, rng)),
        ("acquire", lambda: MODEL.acquire(full.with_voxels(np.abs(full.voxels)), 0.25, rng)),
        ("calibrate", lambda: RadiographyNoise().calibrate(full)),
    ):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        print(f"{name}: {min(times):.3f} s for {arguments.size} x {arguments.size} pixels")
    nyquist = np.float32((0.5 / SPACING[0]) ** 2)
    print(f"MTF at the Nyquist frequency: {modulation_transfer(MODEL.mtf50)(np.array([nyquist]))[0]:.3f}")


if __name__ == "__main__":
    main()
