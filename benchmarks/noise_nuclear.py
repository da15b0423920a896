"""Noise of planar scintigraphy, PET and SPECT: simulated low doses against scans at those doses, and costs.

``python benchmarks/noise_nuclear.py [--repeats 96] [--data DATA]``

Everything but the bone scan and the PET scan (with ``--data``) is simulation against simulation by one
model: it proves the thinning and the insertion, not that the parameters are those of a scanner. Times
are of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from quell.formats.open import open_study
from quell.image import Acquisition, Geometry, Image, Modality
from quell.noise.emission.blur import SIGMA_OF_FWHM
from quell.noise.emission.counting import dispersion
from quell.noise.emission.grains import measure_grains
from quell.noise.emission.osem import osem
from quell.noise.emission.rotating_camera import rotating_camera
from quell.noise.pet import PETNoise
from quell.noise.planar import PlanarNoise
from quell.noise.spect import SPECTNoise

DOSES = (0.5, 0.25, 0.1, 0.05)
DOSE = 0.25
Regions = dict[str, np.ndarray]


def milliseconds(work: Callable[[], object], times: int = 5) -> float:
    """Return the least processor time of a call."""
    best = np.inf
    for _ in range(times):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best


def spread(volumes: np.ndarray, region: np.ndarray) -> float:
    """Return the standard deviation over realisations, averaged over a region."""
    return float(np.sqrt(volumes[:, region].var(axis=0, ddof=1).mean()))


def table(volumes: dict[str, np.ndarray], regions: Regions) -> None:
    """Print means and standard deviations of realisations, and how the latter compare with direct scans."""
    print(f"{'region':12s}" + "".join(f"{name:>28s}" for name in volumes))
    for region, where in regions.items():
        cells = []
        for stack in volumes.values():
            sd, law = spread(stack, where), spread(volumes["direct"], where)
            cells.append(f"{stack[:, where].mean():9.4f} ± {sd:6.4f} ({sd / law:5.3f})")
        print(f"{region:12s}" + "".join(f"{cell:>28s}" for cell in cells))


def bone_scan(data: Path | None) -> Image:
    """Return the real whole-body scan, or Poisson counts of something like it."""
    if data is not None:
        return open_study(data / "nm" / "bone_wholebody_ge_millennium.dcm").series[0].read()
    y, x = np.mgrid[:1024, :256]
    body = 25 * np.clip(3 - 3 * np.hypot((y - 500) / 450, (x - 128) / 80), 0.01, 1)
    counts = np.random.default_rng(0).poisson(body + 60 * (np.abs(x - 128) < 8) * (body > 20))
    return Image(
        counts[None].astype(np.float32), Modality.NM, "counts", Geometry((1, 2.26, 2.26), known=True)
    )


def contrasts(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return differences across squares of 2 x 2 pixels where there are counts, over their spread."""
    quads, counts = (v.reshape(v.shape[0] // 2, 2, -1, 2).astype(float) for v in (part, whole))
    total = counts.sum(axis=(1, 3))
    found = np.einsum("rict,it->rc", quads, np.array([[1, -1], [-1, 1]]))[total > 20]
    return found / np.sqrt(total[total > 20])


def planar(data: Path | None) -> None:
    print(f"\nPlanar scintigraphy, {'real' if data else 'synthetic'} bone scan 1024 x 256")
    model, image, rng = PlanarNoise(), bone_scan(data), np.random.default_rng(1)
    total = image.voxels.sum(dtype=float)
    own = dispersion(image.voxels)
    print(f"as acquired: {total:.0f} counts, variance/mean {own.ratio:.3f} ± {own.error:.3f}")
    print("dose   share kept   variance/mean    correlation with the rest")
    for dose in DOSES:
        first, rest = (part.image.voxels for part in model.split(image, rng, dose))
        found = dispersion(first)
        shared = np.corrcoef(*(contrasts(part[0], image.voxels[0]) for part in (first, rest)))[0, 1]
        print(
            f"{dose:4.2f}   {first.sum(dtype=float) / total:9.5f}    "
            f"{found.ratio:.3f} ± {found.error:.3f}    {shared:+.4f}"
        )
    print(
        f"time of simulate, check included: {milliseconds(lambda: model.simulate(image, DOSE, rng)):.1f} ms"
    )


def pet_phantom(slices: int) -> tuple[Image, Regions]:
    """Return an elliptic body of 1 with a lung of 0.4 and a hot spot of 4, 128 x 128, 4 mm."""
    y, x = np.mgrid[:128, :128] - 63.5
    body, lung, hot = np.hypot(x / 43, y / 29) < 1, np.hypot(x + 20, y) < 11, np.hypot(x - 20, y + 4) < 5
    activity = (1.0 * body - 0.6 * lung + 3.0 * hot).astype(np.float32)
    around = (np.hypot(x + 20, y) > 16) & (np.hypot(x - 20, y + 4) > 10) & (np.hypot(x / 38, y / 24) < 1)
    regions = {"background": around, "lung": np.hypot(x + 20, y) < 7, "hot": np.hypot(x - 20, y + 4) < 3}
    image = Image(
        np.repeat(activity[None], slices, axis=0),
        Modality.PT,
        "g/ml",
        Geometry((3.3, 4, 4), known=True),
        volume=True,
    )
    return image, regions


def pet(repeats: int, data: Path | None) -> None:
    print(
        f"\nPET, 128 x 128, 1e6 prompts a slice, 2 iterations x 21 subsets, {repeats} realisations "
        f"at dose {DOSE}"
    )
    truth, regions = pet_phantom(repeats)
    model = PETNoise(counts_per_slice=1e6, post_filter_mm=4.0, axial_filter=0.0)
    rng = np.random.default_rng(2)
    full, direct = (model.acquire(truth, dose, rng).image for dose in (1.0, DOSE))
    inserted = model.simulate(full, DOSE, rng).image
    sinograms = model.project(truth).draw(rng).thin(DOSE, rng)
    raw = model.reconstruct(sinograms, truth)
    volumes = {"full": full, "direct": direct, "raw counts thinned": raw, "image alone": inserted}
    table({name: image.voxels for name, image in volumes.items()}, regions)
    for name, image in volumes.items():
        noise = image.voxels - image.voxels.mean(axis=0)
        found = measure_grains(noise, np.broadcast_to(direct.voxels.mean(axis=0), noise.shape))
        flat = noise[:, regions["background"]]
        skew = float((flat**3).mean() / (flat**2).mean() ** 1.5)
        print(
            f"{name:20s} correlation of neighbours {found.in_plane if found else 0:.3f}, skewness {skew:.2f}"
        )
    slope = np.log(spread(full.voxels, regions["hot"]) / spread(full.voxels, regions["lung"])) / np.log(
        full.voxels[:, regions["hot"]].mean() / full.voxels[:, regions["lung"]].mean()
    )
    print(f"SD goes with the mean to the power {slope:.2f}")
    few = replace(full, voxels=full.voxels[:48].copy())
    print(f"time of simulate: {milliseconds(lambda: model.simulate(few, DOSE, rng), 3) / 48:.1f} ms a slice")
    pet_calibration(data)


def pet_calibration(data: Path | None) -> None:
    print("counts found in images with known counts, and filters (post-filter 5 mm, axial 0.25)")
    truth, _ = pet_phantom(48)
    for counts in (1e5, 3e5, 1e6):
        made = PETNoise(counts_per_slice=counts, post_filter_mm=5.0, axial_filter=0.25)
        found = PETNoise().calibrate(made.acquire(truth, 1, np.random.default_rng(3)).image)
        share = (found.counts_per_slice or 0) / counts
        print(
            f"  {counts:8.0f} a slice: found {share:.2f} of them (level {share**-0.5:.2f}), "
            f"post-filter {found.post_filter_mm:.1f} mm, axial {found.axial_filter:.2f}"
        )
    if data is None:
        return
    image = open_study(data / "pet" / "sts_001_fdg").series[0].read()
    start = time.process_time()
    model = PETNoise().calibrate(image)
    print(
        f"real whole body: {model.counts_per_slice:.0f} prompts a slice, post-filter "
        f"{model.post_filter_mm:.1f} mm, axial {model.axial_filter:.2f}, "
        f"in {time.process_time() - start:.1f} s"
    )
    start = time.process_time()
    done = model.simulate(image, DOSE, np.random.default_rng(4)).image
    print(
        f"  quarter dose: {1000 * (time.process_time() - start) / len(image.voxels):.1f} ms a slice, "
        f"sum {done.voxels.sum(dtype=float) / image.voxels.sum(dtype=float):.4f} of that before"
    )
    half = model.simulate(image, 0.5, np.random.default_rng(5)).image
    against_own_noise(image, half.voxels - image.voxels)


def boxes(stack: np.ndarray) -> np.ndarray:
    """Cut a volume into boxes of 12 x 8 x 8 voxels, shape (boxes, 12, 8, 8)."""
    n = [side // step for side, step in zip(stack.shape, (12, 8, 8), strict=True)]
    cut = stack[: 12 * n[0], : 8 * n[1], : 8 * n[2]].astype(float).reshape(n[0], 12, n[1], 8, n[2], 8)
    return cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 12, 8, 8)


def residuals(stack: np.ndarray) -> np.ndarray:
    """Return boxes of a volume less their best quadratic."""
    z, y, x = (a.ravel() for a in np.meshgrid(*[np.linspace(-1, 1, n) for n in (12, 8, 8)], indexing="ij"))
    terms = [0 * z + 1, z, y, x, z * z, y * y, x * x, z * y, z * x, y * x]
    basis, _ = np.linalg.qr(np.stack(terms, axis=1))
    flat = boxes(stack).reshape(-1, 768)
    return (flat - flat @ basis @ basis.T).reshape(-1, 12, 8, 8)


def against_own_noise(image: Image, added: np.ndarray) -> None:
    """Compare noise added at half the dose, which should be as strong as an image's own, with that."""
    mean = boxes(image.voxels).mean(axis=(1, 2, 3))
    own, new = residuals(image.voxels), residuals(added)
    spreads = [np.sqrt((r**2).mean(axis=(1, 2, 3))) / np.maximum(mean, 1e-9) for r in (own, new)]
    print("  half dose, quietest tenth of 12 x 8 x 8 boxes: own SD over added SD, by mean activity")
    for low, high in ((1500, 2500), (2500, 4000), (4000, 9000)):
        some = np.flatnonzero((mean > low) & (mean < high))
        quiet = some[np.argsort(spreads[0][some])[: max(1, len(some) // 10)]]
        print(f"    {low} to {high} {image.units}: {np.median(spreads[0][quiet] / spreads[1][quiet]):.2f}")
    some = np.flatnonzero((mean > 1500) & (mean < 9000))
    quiet = some[np.argsort(spreads[0][some])[: len(some) // 7]]
    for name, stack in (("own", own), ("added", new)):
        r = stack[quiet] / mean[quiet][:, None, None, None]
        power = (r**2).mean()
        along = [(r[:, k:] * r[:, :-k]).mean() / power for k in (1, 2, 3)]
        across = [(r[..., k:] * r[..., :-k]).mean() / power for k in (1, 2)]
        told = ", ".join(f"{c:.2f}" for c in along), ", ".join(f"{c:.2f}" for c in across)
        print(f"    {name:6s} correlation along z (1, 2, 3) {told[0]}; across (1, 2) {told[1]}")


def heart(size: int) -> tuple[Image, Regions]:
    """Return a left ventricle of 1 in a body of 0.12, in a cube of 410 mm."""
    z, y, x = (np.mgrid[:size, :size, :size] - (size - 1) / 2) * (64 / size)
    body = np.hypot(x / 27, y / 18) < 1
    radius = np.sqrt((x - 8) ** 2 + (y + 6) ** 2 + z**2)
    wall = (np.abs(radius - 6) < 1.2) & (z < 3)
    activity = np.where(wall, 1.0, 0.12 * body).astype(np.float32)
    inside = (np.hypot(x / 22, y / 13) < 1) & (radius > 12) & (np.abs(z) < 20)
    pixel = 409.6 / size
    geometry = Geometry((pixel, pixel, pixel), known=True)
    return Image(activity, Modality.NM, "counts", geometry, volume=True), {"body": inside, "wall": wall}


def spect(repeats: int) -> None:
    truth, regions = heart(32)
    repeats = max(8, repeats // 4)
    print(f"\nSPECT, 32 cubed, 30 views over 180 degrees, {repeats} realisations at dose {DOSE}")
    for name in ("osem", "fbp"):
        model = SPECTNoise(total_counts=5e5, views=30, subsets=6, cutoff=0.7, reconstruction=name)  # type: ignore[arg-type]
        known = Acquisition(corrections=("ATTN",) if name == "osem" else ())
        rng = np.random.default_rng(5)
        stacks: dict[str, list[np.ndarray]] = {"full": [], "direct": [], "volume alone": []}
        for _ in range(repeats):
            full = replace(model.acquire(truth, 1, rng).image, acquisition=known)
            stacks["full"].append(full.voxels)
            stacks["direct"].append(model.acquire(truth, DOSE, rng).image.voxels)
            stacks["volume alone"].append(model.simulate(full, DOSE, rng).image.voxels)
        print(name)
        table({key: np.stack(stack) for key, stack in stacks.items()}, regions)
    spect_costs()


def spect_costs() -> None:
    truth, _ = heart(64)
    model = SPECTNoise(total_counts=3e6)
    frames = model.project(truth)
    drawn = PlanarNoise(resolution_mm=0).acquire(frames, 1, np.random.default_rng(6)).image
    ratio = dispersion(drawn.voxels)
    print(f"\nSPECT, 64 cubed x 60 views: variance/mean of drawn views {ratio.ratio:.3f} ± {ratio.error:.3f}")
    rng = np.random.default_rng(7)
    size = 64
    near = (np.arange(size) - (size - 1) / 2) * 6.4
    sigmas = (3.5 + 0.039 * (250 - near)) * SIGMA_OF_FWHM / 6.4
    activity = np.ascontiguousarray(np.moveaxis(truth.voxels, 0, -1))
    attenuation = np.float32(0.015 * 6.4) * (activity > 0)
    angles = np.deg2rad(-45 + 3.0 * np.arange(60))
    camera = rotating_camera((size, size, size), angles, 10, sigmas, 1.0, attenuation)
    views = [camera.forward(activity, s) for s in range(10)]
    forward = milliseconds(lambda: [camera.forward(activity, s) for s in range(10)], 3)
    start = np.ones_like(activity)
    back = milliseconds(lambda: osem(views, None, camera.forward, camera.back, start, 2), 2)
    print(f"forward projection {forward:.0f} ms, OSEM 2 x 10 with sensitivities {back:.0f} ms")
    volume = model.acquire(truth, 1, rng).image
    print(f"simulate from a volume {milliseconds(lambda: model.simulate(volume, DOSE, rng), 1):.0f} ms")
    cylinder = 1.0 * (np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 18)
    even = truth.with_voxels(np.repeat(cylinder[None], 64, axis=0).astype(np.float32))
    for told, body, counts in (("cylinder", even, 1e6), ("cylinder", even, 1e7), ("heart", truth, 3e6)):
        for name in ("osem", "fbp"):
            made = SPECTNoise(total_counts=counts, reconstruction=name)  # type: ignore[arg-type]
            image = made.acquire(body, 1, np.random.default_rng(8)).image
            found = replace(made, total_counts=None).calibrate(image).total_counts or 0
            print(f"counts found in a {told} of {counts:.0f}, {name}: {found / counts:.2f} of them")
    print(f"thinning of raw views {milliseconds(lambda: model.simulate(drawn, DOSE, rng)):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=96, help="realisations of PET; SPECT takes a quarter")
    parser.add_argument("--data", type=Path, help="folder of the real images")
    settings = parser.parse_args()
    planar(settings.data)
    pet(settings.repeats, settings.data)
    spect(settings.repeats)


if __name__ == "__main__":
    main()
