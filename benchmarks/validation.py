"""Quality on validation patients: the network against the best-tuned non-local means.

``python benchmarks/validation.py DATA [--modality CT] [--json FILE]``

The validation images of the manifest (patients that no training saw) get correlated noise whose
level varies over the image. The network is told nothing. Non-local means (scikit-image) is told the
true mean level, and its patch size, search distance and strength are tuned by the true PSNR, once
for each level over all images (tuned) and, as a bound, anew for every image (oracle). PET and ultrasound are
left out: their references have noise of the kind that is to be removed, and taking it away would count
as an error.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means

from quell.image import FloatArray, Image, Modality
from quell.inference.network_denoiser import NetworkDenoiser
from quell.inference.runtimes import make_runtime
from quell.models.registry import find_card, model_files
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum
from quell.training.pack import CT_CONTRAST, Found, describe, read_manifest, references

SOFT_TISSUE = (-160.0, 240.0)

LEVELS = {"CT": (0.03, 0.06, 0.09)}
OTHER_LEVELS = (0.03, 0.06, 0.10)
"""Mean noise level as a share of the contrast (1000 HU in CT, the span of values elsewhere)."""

QUIET = 0.4
"""A reference is judged by only where its own noise is at most this share of the added one."""

NLM_GRID = [
    *product(((5, 6), (7, 9), (9, 11)), (0.85, 1.0, 1.15, 1.3, 1.5), (1.0,)),
    *product(((7, 9),), (0.6, 0.8), (0.0,)),
]
"""Patch side and search distance; strength over sigma; whether sigma is taken off the distances."""


@dataclass(frozen=True, eq=False)
class Case:
    """One validation image with noise.

    Attributes
    ----------
    name : str
    clean, noisy : ndarray of float32, shape (z, y, x)
    sigma : float
        Mean level of the added noise.
    slices : tuple of int
        Slices that are scored.
    window : tuple of float
        Values are clipped to it before scoring.
    volume : bool
    modality : Modality
    """

    name: str
    clean: FloatArray
    noisy: FloatArray
    sigma: float
    slices: tuple[int, ...]
    window: tuple[float, float]
    volume: bool
    modality: Modality


def quiet_enough(found: Found, level: float) -> bool:
    """Say whether a reference is clean enough to stand for the truth at a level of added noise."""
    told = describe(found)
    return bool(0 < told["noise"] <= QUIET * level * told["contrast"])


def cases(found: list[Found], level: float, seed: int) -> list[Case]:
    """Add noise to every reference."""
    return [_case(f, level, np.random.default_rng([seed, i])) for i, f in enumerate(found)]


def averaged(found: Found, factor: int) -> Found:
    """Return a reference of fewer, averaged pixels, whose own noise limits the scores less."""
    depth, rows, columns = found.voxels.shape
    rows, columns = rows // factor, columns // factor
    cut = found.voxels[:, : rows * factor, : columns * factor]
    voxels = cut.reshape(depth, rows, factor, columns, factor).mean(axis=(2, 4))
    return replace(found, voxels=np.ascontiguousarray(voxels, dtype=np.float32))


def _case(found: Found, level: float, rng: np.random.Generator) -> Case:
    clean = found.voxels
    low, high = (float(v) for v in np.percentile(clean, (0.5, 99.5)))
    contrast = CT_CONTRAST if found.modality == "CT" else high - low
    window = SOFT_TISSUE if found.modality == "CT" else (low, high)
    depth, rows, columns = clean.shape
    fy, fx = frequency_axes(rows, columns)
    power = normalised(ramp_spectrum(np.hypot(fy, fx), 0.05, rng.uniform(0.15, 0.25), 2.4))
    noise = colour(rng.standard_normal(clean.shape).astype(np.float32), power)
    y, x = np.linspace(-0.5, 0.5, rows)[:, None], np.linspace(-0.5, 0.5, columns)[None, :]
    shape = 1.3 - 1.6 * (y**2 + x**2)
    sigma = level * contrast
    noisy = clean + sigma * shape / shape.mean() * noise
    slices = tuple(sorted({depth // 4, depth // 2, 3 * depth // 4}))
    noisy = noisy.astype(np.float32)
    volume = found.volume and depth > 1
    return Case(found.name, clean, noisy, sigma, slices, window, volume, Modality(found.modality))


def psnr(case: Case, result: FloatArray, z: int) -> float:
    """Peak signal-to-noise ratio in dB within the case's window, its span being the peak."""
    low, high = case.window
    error = np.clip(result, low, high) - np.clip(case.clean[z], low, high)
    return float(10 * np.log10((high - low) ** 2 / np.mean(error.astype(np.float64) ** 2)))


def ssim(case: Case, result: FloatArray, z: int) -> float:
    """Structural similarity within the case's window (Gaussian window of 1.5 pixels)."""
    low, high = case.window
    a, b = np.clip(result, low, high), np.clip(case.clean[z], low, high)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, data_range=high - low, **options))


def score(case: Case, results: dict[int, FloatArray]) -> tuple[float, float]:
    """Return mean PSNR and SSIM over the scored slices."""
    return (
        float(np.mean([psnr(case, results[z], z) for z in case.slices])),
        float(np.mean([ssim(case, results[z], z) for z in case.slices])),
    )


def run_network(case: Case, denoiser: NetworkDenoiser, alone: bool) -> dict[int, FloatArray]:
    """Denoise the volume, or each scored slice as if there were no others."""
    if alone or not case.volume:
        stack = np.ascontiguousarray(case.noisy[list(case.slices)])
        result = denoiser.denoise(Image(stack, case.modality), 1.0).image.voxels
        return {z: result[i] for i, z in enumerate(case.slices)}
    voxels = denoiser.denoise(Image(case.noisy.copy(), case.modality, volume=True), 1.0).image.voxels
    return {z: voxels[z] for z in case.slices}


def run_nlm(case: Case, setting: tuple[tuple[int, int], float, float]) -> dict[int, FloatArray]:
    """Denoise the scored slices with non-local means at one setting of the grid."""
    (patch, distance), strength, take_off = setting
    scale = case.window[1] - case.window[0]
    return {
        z: scale
        * denoise_nl_means(
            case.noisy[z] / scale,
            patch_size=patch,
            patch_distance=distance,
            h=strength * case.sigma / scale,
            sigma=take_off * case.sigma / scale,
            fast_mode=True,
        )
        for z in case.slices
    }


def _scored_only(case: Case) -> Case:
    """Return a case of the scored slices alone, which is quick to send to another process."""
    chosen = list(case.slices)
    clean, noisy = case.clean[chosen], case.noisy[chosen]
    return replace(case, clean=clean, noisy=noisy, slices=tuple(range(len(chosen))))


def _score_nlm(case: Case, setting: tuple[tuple[int, int], float, float]) -> tuple[float, float]:
    return score(case, run_nlm(case, setting))


def compare(found: list[Found], level: float, denoiser: NetworkDenoiser, seed: int) -> dict[str, list[float]]:
    """Return mean PSNR and SSIM of every method at one noise level."""
    batch = cases(found, level, seed)
    rows = {
        "noisy": [score(c, {z: c.noisy[z] for z in c.slices}) for c in batch],
        "network": [score(c, run_network(c, denoiser, alone=False)) for c in batch],
        "network, each slice alone": [score(c, run_network(c, denoiser, alone=True)) for c in batch],
    }
    with ProcessPoolExecutor() as pool:
        jobs = [(c, s) for s in NLM_GRID for c in map(_scored_only, batch)]
        flat = np.array(list(pool.map(_score_nlm, *zip(*jobs, strict=True))))
    table = dict(zip(NLM_GRID, flat.reshape(len(NLM_GRID), len(batch), 2), strict=True))
    best = max(table, key=lambda s: table[s][:, 0].mean())
    rows["non-local means, tuned"] = [(p, q) for p, q in table[best]]
    stacked = np.stack([table[s] for s in NLM_GRID])
    pick = stacked[:, :, 0].argmax(axis=0)
    rows["non-local means, oracle"] = [tuple(stacked[k, i]) for i, k in enumerate(pick)]
    print(
        f"  best setting of non-local means: patch {best[0][0]}, distance {best[0][1]}, h {best[1]} sigma, ",
        end="",
    )
    print(f"sigma {'given' if best[2] else 'not given'}")
    return {name: [float(v) for v in np.mean(values, axis=0)] for name, values in rows.items()}


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of reference images")
    parser.add_argument("--modality", action="append", help="CT, MR or XR; several times for several")
    parser.add_argument("--model", default="universal.fast")
    parser.add_argument("--images", type=int, default=6, help="images of each modality at most")
    parser.add_argument(
        "--average", type=int, default=1, help="average squares of pixels of the references first"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    card = find_card(arguments.model)
    denoiser = NetworkDenoiser(card, model_files(card), make_runtime())
    print(f"{card.identifier} {card.version}, {denoiser.engine}; PSNR in dB and SSIM, means over the images")
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    for modality in arguments.modality or ["CT"]:
        found = [
            f
            for e in read_manifest()
            if e["modality"] == modality
            for f in references(e, arguments.data, "validation")
        ]
        found = [averaged(f, arguments.average) for f in found if min(f.voxels.shape[1:]) >= 32]
        for level in LEVELS.get(modality, OTHER_LEVELS):
            clean = [f for f in found if quiet_enough(f, level)][: arguments.images]
            names = ", ".join(f.name for f in clean) or "no reference is clean enough"
            print(f"{modality}, noise level {level} of the contrast: {names}")
            if not clean:
                continue
            rows = compare(clean, level, denoiser, arguments.seed)
            results.setdefault(modality, {})[str(level)] = rows
            for name, (p, q) in rows.items():
                print(f"  {name:28s} {p:6.2f} {q:.4f}", flush=True)
    if arguments.json:
        command = "python benchmarks/validation.py DATA " + " ".join(f"--modality {m}" for m in results)
        if arguments.average > 1:
            command += f" --average {arguments.average}"
        told = {"model": card.identifier, "sha256": card.sha256, "command": command, "results": results}
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
