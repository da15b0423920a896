"""CT noise at full size: inserted against scanned noise, what the seconds are, and real phantoms.

``python benchmarks/noise_ct.py [--repeats 16] [--threads 1] [--data DATA] [--json FILE]``

The object is a pelvis of 512 x 512 pixels with a bone at each side, scanned directly at a quarter of the
dose (the reference), and at full dose with noise inserted by thinned difference and by wedges. With
``--data`` the kernel and the level found in images of real phantoms are compared with what their noise
pairs say.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

import quell
from quell.image import FloatArray, Geometry, Image, Modality
from quell.noise.ct import CTNoise
from quell.noise.ct_wedge import crop_variance, sector_variance, wedge_noise, wedge_variance
from quell.noise.tomography.anatomy import line_integrals, prepare
from quell.noise.tomography.filtering import filtered_back_projection
from quell.noise.tomography.geometry import covering
from quell.noise.tomography.kernels import KERNELS, ramp_power

SIZE, SPACING = 512, 0.8
PLACES = {
    "centre, between the bones": (slice(236, 276), slice(196, 316)),
    "front": (slice(130, 170), slice(196, 316)),
    "lateral edge": (slice(236, 276), slice(48, 72)),
}
REAL = {
    "GE CT750 HD, water, STANDARD": (
        "ct/phantom/ge_ct750hd_qa_imgA.dcm",
        "ct/phantom/ge_ct750hd_qa_imgB.dcm",
    ),
    "Canon Aquilion ONE, QRM thorax, FC12": ("ct/phantom/qrm_canon_aquilion_one_fc12.nii.gz",),
}


def pelvis() -> FloatArray:
    """Return an ellipse of water, 344 x 246 mm, in a coat of fat, with a bone at each side."""
    y, x = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / SIZE
    values = np.full((SIZE, SIZE), -1000.0, np.float32)
    values[(x / 0.46) ** 2 + (y / 0.34) ** 2 < 1] = -100
    values[(x / 0.42) ** 2 + (y / 0.3) ** 2 < 1] = 40
    for side in (-0.24, 0.24):
        values[np.hypot(x - side, y) < 0.055] = 1100
    return values


def image_of(voxels: FloatArray) -> Image:
    return Image(voxels, Modality.CT, "HU", Geometry((5.0, SPACING, SPACING), known=True))


def first_moment(stack: FloatArray) -> float:
    """Return the mean frequency of the noise power in 1/mm."""
    noise = stack - stack.mean(axis=0)
    window = np.outer(np.hanning(noise.shape[1] + 2)[1:-1], np.hanning(noise.shape[2] + 2)[1:-1])
    power = (np.abs(np.fft.fft2(noise * window)) ** 2).mean(axis=0)
    f = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n, SPACING) for n in power.shape), indexing="ij"))
    return float((power * f).sum() / power.sum())


def anisotropy(stack: FloatArray) -> float:
    noise = stack - stack.mean(axis=0)
    return float((np.diff(noise, axis=1) ** 2).mean() / (np.diff(noise, axis=2) ** 2).mean())


def figures(stack: FloatArray) -> dict[str, dict[str, float]]:
    """Return SD, mean, first moment and anisotropy at every place."""
    found = {}
    for name, (rows, columns) in PLACES.items():
        region = stack[:, rows, columns]
        found[name] = {
            "sd": float(np.sqrt(region.var(axis=0, ddof=1).mean())),
            "mean": float(region.mean()),
            "first_moment": first_moment(region),
            "anisotropy": anisotropy(region),
        }
    return found


def compare(flux: float, repeats: int) -> dict[str, dict[str, dict[str, float]]]:
    """Scan at full and at quarter dose, and insert."""
    model = CTNoise(flux=flux)
    truth = image_of(np.repeat(pelvis()[None], repeats, axis=0))
    full = model.acquire(truth, 1.0, np.random.default_rng(1)).image
    shape = (SIZE, SIZE)
    maps = crop_variance(sector_variance(full.voxels[0], SPACING, 0.25, model.scan), shape, 0, 0, shape)
    power = ramp_power(shape, SPACING, model.kernel)
    rng = np.random.default_rng(4)
    wedges = np.stack(
        [wedge_noise(rng.standard_normal(shape, np.float32), maps, power) for _ in range(repeats)]
    )
    return {
        "full dose": figures(full.voxels),
        "scanned": figures(model.acquire(truth, 0.25, np.random.default_rng(2)).image.voxels),
        "thinned difference": figures(model.simulate(full, 0.25, np.random.default_rng(3)).image.voxels),
        "wedges": figures(full.voxels + wedges),
    }


def print_comparison(flux: float, repeats: int, found: dict[str, dict[str, dict[str, float]]]) -> None:
    print(f"\nA quarter of {flux:.2g} quanta, {repeats} realisations")
    print(f"{'place':28s}{'method':22s}    SD HU  ratio  mean HU   f 1/mm  anisotropy")
    for place in PLACES:
        for method, values in found.items():
            one = values[place]
            ratio = one["sd"] / found["scanned"][place]["sd"]
            print(
                f"{place:28s}{method:22s}{one['sd']:9.1f}{ratio:7.3f}{one['mean']:9.1f}"
                f"{one['first_moment']:9.4f}{one['anisotropy']:12.2f}"
            )


def seconds(work: Callable[[], object], times: int = 5) -> float:
    work()
    took = []
    for _ in range(times):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def costs() -> dict[str, float]:
    """Return processor seconds for a slice of 512 x 512, 720 views, best of five."""
    model, image, shape = CTNoise(), image_of(pelvis()[None]), (SIZE, SIZE)
    geometry = covering(shape, SPACING, model.pitch, model.views)
    anatomy = prepare(image, 0)
    integrals = line_integrals(anatomy, model.water, geometry)
    quanta = model.scan.beam.quanta(integrals, geometry.positions)
    maps = crop_variance(sector_variance(image.voxels[0], SPACING, 0.25), shape, 0, 0, shape)
    white = np.random.default_rng(0).standard_normal(shape, np.float32)
    power = ramp_power(shape, SPACING, model.kernel)
    rng = np.random.default_rng(0)
    crop = crop_variance(maps, shape, 100, 100, (96, 96))
    return {
        "line integrals (projected on 256 x 256)": seconds(lambda: line_integrals(anatomy, 0.02, geometry)),
        "Poisson and binomial draws": seconds(lambda: rng.binomial(rng.poisson(quanta), 0.25)),
        "filtered back-projection": seconds(
            lambda: filtered_back_projection(integrals, geometry, KERNELS["soft"])
        ),
        "insertion, all of it": seconds(lambda: model.simulate(image, 0.25, rng)),
        "wedges: variance maps": seconds(lambda: sector_variance(image.voxels[0], SPACING, 0.25)),
        "wedges: noise": seconds(lambda: wedge_noise(white, maps, power)),
        "wedges: noise of a crop of 96 x 96": seconds(
            lambda: wedge_noise(white[:96, :96], crop, ramp_power((96, 96), SPACING, model.kernel))
        ),
        "calibration on one slice": seconds(lambda: model.calibrate(image)),
    }


def pair_sd(images: list[Image], rows: slice, columns: slice) -> float:
    """Return the SD of the noise from differences of slices of a uniform part."""
    slices = [one.voxels[0] for one in images] if len(images) > 1 else list(images[0].voxels[4:20])
    differences = [(b - a)[rows, columns] for a, b in pairwise(slices)]
    return float(np.sqrt(np.mean([d.var() for d in differences]) / 2))


def real_phantoms(data: Path) -> dict[str, dict[str, float]]:
    """Compare what is found in one image with the difference of two."""
    found = {}
    region = (slice(216, 296), slice(216, 296))
    for name, files in REAL.items():
        images = [quell.read(data / file)[0] for file in files]
        model = CTNoise().calibrate(images[0])
        middle = 0 if len(images) > 1 else 12
        anatomy = prepare(images[0], middle)
        level = wedge_variance(sector_variance(anatomy.hu, anatomy.spacing, None, model.scan))
        centre = level[level.shape[0] // 2, level.shape[1] // 2]
        found[name] = {
            "measured_sd": pair_sd(images, *region),
            "predicted_sd": float(np.sqrt(centre)),
            "flux": model.flux,
            "f50_per_mm": model.kernel.f50,
            "exponent": model.kernel.exponent,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=16, help="realisations for each dose (16)")
    parser.add_argument("--threads", type=int, default=1, help="cores that may be used (1)")
    parser.add_argument("--data", type=Path, help="folder of the real images")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    took = costs()
    record: dict[str, object] = {"costs": took}
    print("Processor seconds for a slice of 512 x 512")
    for name, value in took.items():
        print(f"{name:44s}{value:8.3f}")
    for flux in (1.5e6, 2e5):
        found = compare(flux, arguments.repeats)
        print_comparison(flux, arguments.repeats, found)
        record[f"flux {flux:g}"] = found
    if arguments.data:
        record["real phantoms"] = real = real_phantoms(arguments.data)
        print("\nReal phantoms: SD in the middle from pairs, and as found in one image")
        for name, one in real.items():
            print(
                f"{name:40s}{one['measured_sd']:7.1f}{one['predicted_sd']:7.1f} HU,  flux {one['flux']:.2g}, "
                f"f50 {one['f50_per_mm']:.2f} /mm, exponent {one['exponent']:.1f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
