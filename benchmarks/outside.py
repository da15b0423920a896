"""Images outside of what a network was trained on: none may come back worse than it went in.

``python benchmarks/outside.py [--model NAME ...] [-o FILE]``

Drawn anatomy, charts and plain pictures, with noise or without: said to be of another modality, with extreme
noise, denoised before, compressed as JPEG. PSNR to the truth before and after, over the range of the truth.
Both count the rounding to the whole numbers that a file holds (variance 1/12 of a step, squared), so that a
picture without any error has a PSNR, and a change far below a step costs nothing.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from release_common import Model, open_model, save, told_command

from quell.filters.denoiser import ClassicalDenoiser
from quell.filters.nonlocal_means import NonLocalMeans
from quell.image import FloatArray, Geometry, Image, Modality
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum
from quell.phantoms.objects import make_object

WORST = -0.1
"""Change of PSNR in dB that is allowed."""

SEED = 90_500
GREY_STEPS = 255
HU_STEP = 1.0


@dataclass(frozen=True, eq=False)
class Outside:
    """An image that a network was not made for.

    Attributes
    ----------
    name, group : str
    truth : Image
    given : Image
        What the network gets.
    step : float
        Between the numbers that a file of it holds, in the units of the image.
    """

    name: str
    group: str
    truth: Image
    given: Image
    step: float


def psnr(case: Outside, voxels: FloatArray) -> float:
    """Return the PSNR over the range of the truth, rounding to the steps of the file counted."""
    truth = case.truth.voxels.astype(np.float64)
    span = max(float(truth.max() - truth.min()), GREY_STEPS * case.step)
    error = np.mean((voxels.astype(np.float64) - truth) ** 2) + case.step**2 / 12
    return float(10 * np.log10(span**2 / error))


def white(image: Image, sigma: float, seed: int) -> Image:
    """Add white noise."""
    noise = np.random.default_rng([SEED, seed]).standard_normal(image.shape)
    return image.with_voxels((image.voxels + sigma * noise).astype(np.float32))


def ramp(image: Image, sigma: float, seed: int) -> Image:
    """Add noise as filtered back-projection has it."""
    noise = np.random.default_rng([SEED, seed]).standard_normal(image.shape).astype(np.float32)
    fy, fx = frequency_axes(*image.shape[1:])
    power = normalised(ramp_spectrum(np.hypot(fy, fx), 0.05, 0.2, 2.4))
    return image.with_voxels((image.voxels + sigma * colour(noise, power)).astype(np.float32))


def peppered(image: Image, share: float, seed: int) -> Image:
    """Set a share of the pixels to one end of the range or the other."""
    rng = np.random.default_rng([SEED, seed])
    chance = rng.random(image.shape)
    ends = np.where(rng.random(image.shape) < 0.5, image.voxels.min(), image.voxels.max())
    return image.with_voxels(np.where(chance < share, ends, image.voxels).astype(np.float32))


def jpeg(image: Image, quality: int) -> Image:
    """Compress every slice as JPEG of 8 bits over the range of its values, and read it again."""
    from PIL import Image as Picture

    low, high = float(image.voxels.min()), float(image.voxels.max())
    slices = []
    for pixels in image.voxels:
        grey = np.rint((pixels - low) / (high - low) * 255).astype(np.uint8)
        file = io.BytesIO()
        Picture.fromarray(grey).save(file, "JPEG", quality=quality)
        slices.append(np.asarray(Picture.open(file), np.float32) / 255 * (high - low) + low)
    return image.with_voxels(np.stack(slices).astype(np.float32))


def smoothed(image: Image, sigma: float) -> Image:
    """Denoise with non-local means, as somebody else may have done."""
    return ClassicalDenoiser(NonLocalMeans()).denoise(image, sigma=sigma).image


def anatomy(name: str, side: int) -> Image:
    """Return the middle of drawn anatomy, without noise."""
    truth = make_object(name, SEED).truth
    rows, columns = (slice(max(0, (n - side) // 2), max(0, (n - side) // 2) + side) for n in truth.shape[1:])
    z = truth.shape[0] // 2
    voxels = np.ascontiguousarray(truth.voxels[z : z + 1, rows, columns])
    padding = None if truth.padding is None else np.ascontiguousarray(truth.padding[z : z + 1, rows, columns])
    geometry = Geometry(truth.geometry.spacing, known=truth.geometry.known)
    return replace(truth, voxels=voxels, padding=padding, geometry=geometry, volume=False, gaps=(), name=name)


def pictures(side: int) -> dict[str, FloatArray]:
    """Return synthetic pictures with grey values of 0 to 255."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    bars = np.zeros((side, side), np.float32)
    for k, height in enumerate(np.linspace(0.2, 0.9, 8)):
        left = int((k + 0.3) * side / 8)
        bars[int((1 - height) * side) :, left : left + side // 16] = 60 + 20 * k
    lines = 230.0 * ((np.rint(x) % 16 == 0) | (np.rint(y) % 16 == 0))
    curve = np.abs(y - side * (0.5 - 0.3 * np.sin(x * 12 / side))) < 1
    return {
        "constant": np.full((side, side), 128, np.float32),
        "checkerboard of 1 pixel": 255 * ((x + y) % 2),
        "checkerboard of 8 pixels": 255 * ((x // 8 + y // 8) % 2),
        "gradient": 255 * x / (side - 1),
        "bar chart": 20 + bars,
        "line chart": np.where(curve, 255, 40 + 0.2 * lines),
        "stripes that narrow": 127.5 + 127.5 * np.sin(0.5 * np.pi * x**2 / side),
        "random dots": 255.0 * (np.random.default_rng(SEED).random((side, side)) < 0.5),
    }


def contrast(image: Image) -> float:
    """Return the span of most values."""
    low, high = np.percentile(image.voxels, (1, 99))
    return float(high - low)


def outside(side: int) -> Iterator[Outside]:
    """Yield all images."""
    ct, mr = anatomy("anatomy-ct", side), anatomy("anatomy-mr", side)
    xr, us = anatomy("anatomy-xr", side), anatomy("anatomy-us", side)
    for name, image in (("CT", ct), ("MR", mr), ("X-ray", xr)):
        for said in (Modality.CT, Modality.MR, Modality.PT, Modality.NM, Modality.US, Modality.XR):
            if said is not image.modality:
                wrong = replace(image, modality=said, units="HU" if said is Modality.CT else "arbitrary")
                noisy = ramp(wrong, 0.05 * contrast(image), 1)
                yield Outside(
                    f"{name}, said to be {said.value}", "another modality", wrong, noisy, _step(image)
                )
    yield from _levels((("CT", ct), ("MR", mr), ("X-ray", xr), ("ultrasound", us)))
    yield from _synthetic(side)
    yield from _processed((("CT", ct), ("MR", mr), ("X-ray", xr)))


def _levels(images: tuple[tuple[str, Image], ...]) -> Iterator[Outside]:
    for name, image in images:
        step, span = _step(image), contrast(image)
        yield Outside(f"{name} without noise", "noise-free", image, image, step)
        for share in (0.002, 1.0, 4.0):
            kind = "extreme noise" if share >= 1 else "next to no noise"
            noisy = white(image, share * span, 2)
            yield Outside(f"{name}, noise {share:g} of the contrast", kind, image, noisy, step)
        yield Outside(f"{name}, salt and pepper", "extreme noise", image, peppered(image, 0.05, 3), step)


def _synthetic(side: int) -> Iterator[Outside]:
    for name, pixels in pictures(side).items():
        image = Image(pixels[None].astype(np.float32), Modality.UNKNOWN, name=name)
        yield Outside(name, "synthetic picture", image, image, 1.0)
        yield Outside(f"{name}, noise of 10", "synthetic picture", image, white(image, 10, 4), 1.0)


def _processed(images: tuple[tuple[str, Image], ...]) -> Iterator[Outside]:
    for name, image in images:
        step, sigma = _step(image), 0.05 * contrast(image)
        noisy = ramp(image, sigma, 5)
        yield Outside(f"{name}, non-local means", "denoised before", image, smoothed(noisy, sigma), step)
        for quality in (30, 75):
            given = jpeg(noisy, quality)
            yield Outside(f"{name}, noise, JPEG {quality}", "JPEG", image, given, step)
            yield Outside(f"{name}, JPEG {quality}", "JPEG", image, jpeg(image, quality), step)


def _step(image: Image) -> float:
    """Return the step of a file: 1 HU, and a 4095th of the range elsewhere (12 bits)."""
    return HU_STEP if image.units == "HU" else max(float(np.ptp(image.voxels)), 1e-6) / 4095


def judge(case: Outside, run: Callable[[Image], FloatArray]) -> dict[str, Any]:
    """Return the PSNR of one image before and after, and whether the bar is met."""
    before, after = psnr(case, case.given.voxels), psnr(case, run(case.given))
    row = {"name": case.name, "group": case.group, "before": before, "after": after}
    return row | {"change": after - before, "met": bool(after - before >= WORST)}


def twice(model: Model, side: int) -> Iterator[Outside]:
    """Yield images that were denoised by the very network before."""
    for name in ("anatomy-ct", "anatomy-mr", "anatomy-xr"):
        image = anatomy(name, side)
        given = image.with_voxels(model.run(ramp(image, 0.05 * contrast(image), 5)))
        yield Outside(f"{name}, this network", "denoised before", image, given, _step(image))


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="name or folder of a network; several times")
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    models = [open_model(name) for name in arguments.model or ["universal.fast"]]
    cases = list(outside(arguments.side))
    results = {}
    for model in models:
        rows = [judge(case, model.run) for case in (*cases, *twice(model, arguments.side))]
        results[model.name] = rows
        print(f"{model.name} {model.version}, {model.engine}; PSNR in dB")
        for row in rows:
            mark = "" if row["met"] else "  WORSE"
            told = f"{row['before']:7.2f} -> {row['after']:6.2f}  {row['change']:+6.2f}{mark}"
            print(f"{row['group']:18} {row['name']:44} {told}", flush=True)
        print(f"worse by more than {-WORST:g} dB: {sum(not row['met'] for row in rows)} of {len(rows)}")
    values = {"allowed_change_db": WORST, "seed": SEED, "side": arguments.side, "results": results}
    save(arguments.out, "quell-outside", told_command("outside.py", sys.argv[1:]), models, values)


if __name__ == "__main__":
    main()
