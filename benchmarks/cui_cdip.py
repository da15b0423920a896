"""Contrast to noise of PET after ``cui-cdip``, beside filters that are told of the same prior or of none.

``python benchmarks/cui_cdip.py [--data DATA] [--test 4] [--widths 8 16 32] [--json FILE]``

Test objects: trunks with hot balls, half of which the CT shows and half of which it does not, scanned by
`quell.noise.pet`. Every method has the same number of settings, of which the one with the least error to a
scan of many counts is taken, on other trunks than those of the table; for the deep image prior the setting is
the strength of its rule to stop. ``(default)`` is that prior with nothing tuned. With ``--data``: two
real PET/CT pairs of the soft-tissue sarcoma study, with the settings from the trunks and no truth.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from quell.evaluation.inserts import add_stamp, ball_stamp
from quell.evaluation.lesions import spread_lesions
from quell.formats.open import open_study
from quell.image import BoolArray, FloatArray, Geometry, Image, Modality
from quell.methods.cui_cdip import CuiCDIPConfig, prior_channels
from quell.methods.shared.deep_prior_fit import Rule, fit
from quell.methods.shared.quiet_blocks import quiet_noise
from quell.models.scaling import usual_scaling
from quell.networks.deep_prior import DeepPriorUNet
from quell.noise.pet import PETNoise
from quell.phantoms.coverage import Grid
from quell.phantoms.objects import make_object

GRID = Grid((12, 48, 48), (6.0, 8.0, 8.0))
DOSE, MANY = 0.1, 50.0
SHOWN_HU = 80.0
DIAMETERS_MM, CONTRAST = (28.0, 36.0), 2.5
FWHM_MM = (6.0, 8.0, 10.0, 13.0, 16.0, 20.0)
STRENGTHS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
NLM = tuple(itertools.product((0.02, 0.05, 0.15), (2, 3)))
"""Width of the weights (in units of the prior's channels) and reach of the search, voxels."""
BM4D = (0.5, 0.7, 1.0, 1.3, 1.7, 2.2)
"""Noise that it is told, over that of the quiet blocks."""


@dataclass(frozen=True, eq=False)
class Lesion:
    """Where contrast is measured, and whether the prior shows it."""

    inside: BoolArray
    around: BoolArray
    kind: str


@dataclass(frozen=True, eq=False)
class Case:
    """A noisy PET with its prior; `reference` is a scan of many counts, None for patients."""

    name: str
    noisy: Image
    prior: Image
    reference: FloatArray | None
    lesions: tuple[Lesion, ...]


Filtered = dict[float | tuple[float, int], FloatArray]
Method = Callable[[Case], Filtered]


def trunk(seed: int, balls: int = 2) -> Case:
    """Return a trunk with hot balls of each size that CT shows and that it does not."""
    rng = np.random.default_rng([seed, 1])
    made = make_object("anatomy-pet", seed, grid=GRID, lesions=0)
    assert made.attenuation is not None
    water = float(made.parameters["attenuation_of_water_per_mm"])
    hounsfield = 1000 * (made.attenuation.astype(np.float64) / water - 1)
    hounsfield[hounsfield > 0] *= 2
    body = ndimage.binary_erosion(hounsfield > -300, np.ones((1, 3, 3)), iterations=2)
    truth, level = replace(made.truth, volume=True), float(made.parameters["level"])
    placed = spread_lesions(
        truth, DIAMETERS_MM, (CONTRAST * level,), rng, allowed=body, each=balls, apart=1.6
    )
    voxels, lesions = truth.voxels.astype(np.float64), []
    for number, one in enumerate(placed):
        part, shown = ball_stamp(GRID.spacing, one.diameter_mm), number % 2 == 0
        add_stamp(voxels, part, one.site, one.contrast)
        if shown:
            add_stamp(hounsfield, part, one.site, SHOWN_HU)
        stamped = np.zeros(truth.shape)
        add_stamp(stamped, part, one.site, 1.0)
        lesions.append(_lesion(stamped > 0.5, hounsfield > -300, "shown" if shown else "not shown"))
    scanner = PETNoise(attenuation=made.attenuation)
    object_ = truth.with_voxels(voxels.astype(np.float32))
    noisy = scanner.acquire(object_, DOSE, rng).image
    many = scanner.acquire(object_, MANY, rng).image.voxels
    ct = (hounsfield + rng.normal(0, 10, hounsfield.shape)).astype(np.float32)
    prior = Image(ct, Modality.CT, "HU", truth.geometry, volume=True, name="ct")
    return Case(f"trunk {seed}", noisy, prior, many, tuple(lesions))


def _lesion(inside: BoolArray, body: BoolArray, kind: str) -> Lesion:
    wide = ndimage.binary_dilation(inside, iterations=4)
    near = ndimage.binary_dilation(inside, iterations=2)
    return Lesion(inside, wide & ~near & body, kind)


def patient(folder: Path, number: str) -> Case:
    """Return a PET of a sarcoma, its CT on the grid of the PET, tumour and muscle."""
    files = (folder / "pet" / "sts_crops" / f"sts_{number}_{what}.nii.gz" for what in ("pet_suv", "ct"))
    noisy, ct = (open_study(file).series[0].read() for file in files)
    prior = Image(_on_grid(ct, noisy.geometry, noisy.shape), Modality.CT, "HU", noisy.geometry, volume=True)
    smooth = ndimage.gaussian_filter(noisy.voxels, 1.0)
    tumour = smooth > 0.5 * smooth.max()
    muscle = (prior.voxels > 20) & (prior.voxels < 90) & (smooth < np.median(smooth[prior.voxels > 20]))
    away = muscle & ~ndimage.binary_dilation(tumour, iterations=3)
    return Case(f"sarcoma {number}", noisy, prior, None, (Lesion(tumour, away, "tumour"),))


def _on_grid(image: Image, geometry: Geometry, shape: tuple[int, int, int]) -> FloatArray:
    """Resample by means over the voxels of another grid with the same axes."""
    ratio = np.array(geometry.spacing) / np.array(image.geometry.spacing)
    blurred = ndimage.gaussian_filter(image.voxels, np.maximum(ratio / 2.355, 0) * (ratio > 1.01))
    axes = np.array(geometry.direction)
    shift = axes @ (np.array(geometry.origin) - np.array(image.geometry.origin))
    start = shift / np.array(image.geometry.spacing)
    places = [start[k] + ratio[k] * np.arange(shape[k]) for k in range(3)]
    grid = np.meshgrid(*places, indexing="ij")
    return np.asarray(ndimage.map_coordinates(blurred, grid, order=1, mode="nearest"), np.float32)


def gaussian(case: Case) -> Filtered:
    """Blur with Gaussians."""
    step = np.array(case.noisy.geometry.spacing)
    return {w: ndimage.gaussian_filter(case.noisy.voxels, w / 2.355 / step) for w in FWHM_MM}


def guided_nonlocal_means(case: Case) -> Filtered:
    """Average voxels whose surroundings look alike in the prior (3 x 3 x 3 voxels of it)."""
    known = prior_channels(case.noisy, case.prior)
    return {(h, reach): _guided(case.noisy.voxels, known, h, int(reach)) for h, reach in NLM}


def _guided(voxels: FloatArray, known: FloatArray, h: float, reach: int) -> FloatArray:
    total, weights = np.zeros_like(voxels), np.zeros_like(voxels)
    padded = np.pad(voxels, reach, mode="reflect")
    guides = np.pad(known, [(0, 0), *[(reach, reach)] * 3], mode="reflect")
    for offset in itertools.product(range(2 * reach + 1), repeat=3):
        window = tuple(slice(o, o + n) for o, n in zip(offset, voxels.shape, strict=True))
        distance = ((guides[(slice(None), *window)] - known) ** 2).mean(axis=0)
        weight = np.exp(-ndimage.uniform_filter(distance, 3) / h**2)
        total += weight * padded[window]
        weights += weight
    return total / weights


def deep_prior(widths: Sequence[int]) -> Method:
    """Return the conditional deep image prior: one fit, cut at every strength of its rule."""

    def run(case: Case) -> Filtered:
        settings, noisy = CuiCDIPConfig(widths=tuple(widths)), case.noisy
        scale, usable = usual_scaling(Modality.PT).of(noisy)[1], np.ones(noisy.shape, np.bool_)
        known = torch.as_tensor(prior_channels(noisy, case.prior))[None]
        target = torch.as_tensor(noisy.voxels / np.float32(scale))[None, None]
        sigma = torch.as_tensor(quiet_noise(noisy, usable) / np.float32(scale))[None, None]
        quiet, cut = sigma > 0, Filtered()

        def judge(image: torch.Tensor) -> float:
            return float(torch.sqrt(torch.mean(((image - target)[quiet] / sigma[quiet]) ** 2)))

        def watch(_: int, image: torch.Tensor) -> None:
            figure, voxels = judge(image), image[0, 0].numpy() * scale
            reached = [s for s in STRENGTHS if figure <= s and s not in cut]
            cut.update({s: np.clip(voxels, noisy.voxels.min(), noisy.voxels.max()) for s in reached})

        torch.manual_seed(0)
        network, weight = DeepPriorUNet(len(known[0]), settings.widths, 3), torch.ones_like(target)
        rule = Rule(judge, min(STRENGTHS))
        last = fit(network, known, target, weight, rule, settings.iterations, settings.every, watch=watch)
        for strength in STRENGTHS:
            cut.setdefault(strength, last.image[0, 0].numpy() * scale)
        return cut

    return run


def bm4d(case: Case) -> Filtered:
    """Block matching in four dimensions, where the user has installed it."""
    import bm4d as package

    sigma = quiet_noise(case.noisy, np.ones(case.noisy.shape, np.bool_))
    level = float(np.sqrt(np.mean(sigma[sigma > 0] ** 2)))
    return {s: np.asarray(package.bm4d(case.noisy.voxels, s * level), np.float32) for s in BM4D}


def error(case: Case, voxels: FloatArray) -> float:
    """Return the error (RMS in the body, to the scan of many counts) over that of the noisy image."""
    assert case.reference is not None
    body = case.reference > 0.1 * np.quantile(case.reference, 0.995)
    wrong = [np.mean((v - case.reference)[body] ** 2) for v in (voxels, case.noisy.voxels)]
    return float(np.sqrt(wrong[0] / wrong[1]))


def contrast(voxels: FloatArray, lesion: Lesion) -> float:
    """Return the mean in a lesion less that around it."""
    return float(voxels[lesion.inside].mean() - voxels[lesion.around].mean())


def gain(case: Case, voxels: FloatArray, lesion: Lesion) -> float:
    """Return by how many percent contrast over noise rises."""
    before, after = (contrast(v, lesion) / v[lesion.around].std() for v in (case.noisy.voxels, voxels))
    return float(100 * (after / before - 1))


def rows(name: str, cases: Sequence[Case], found: Sequence[FloatArray]) -> list[dict[str, object]]:
    """Return what is told of a method: one row for each kind of lesion."""
    kinds = sorted({one.kind for case in cases for one in case.lesions}, reverse=True)
    told = []
    for kind in kinds:
        each = [
            (c, v, one) for c, v in zip(cases, found, strict=True) for one in c.lesions if one.kind == kind
        ]
        gains = np.array([gain(*one) for one in each])
        kept = [
            contrast(v, one) / contrast(c.noisy.voxels if c.reference is None else c.reference, one)
            for c, v, one in each
        ]
        errors = [error(c, v) for c, v in zip(cases, found, strict=True) if c.reference is not None]
        told.append(
            {
                "method": name,
                "lesions": kind,
                "number": len(each),
                "cnr_gain_percent": float(gains.mean()),
                "sd": float(gains.std(ddof=1)) if len(gains) > 1 else None,
                "contrast_kept": float(np.mean(kept)),
                "error": float(np.mean(errors)) if errors else None,
            }
        )
    return told


def table(told: Sequence[dict[str, object]]) -> str:
    """Return rows as Markdown."""
    lines = [
        "| method | lesions | n | CNR gain, % | contrast kept | error over that of the noisy image |",
        "|---|---|---|---|---|---|",
    ]
    for row in told:
        spread = "" if row["sd"] is None else f" ± {row['sd']:.1f}"
        wrong = "–" if row["error"] is None else f"{row['error']:.3f}"
        figures = f"{row['cnr_gain_percent']:.1f}{spread} | {row['contrast_kept']:.3f} | {wrong}"
        lines.append(f"| {row['method']} | {row['lesions']} | {row['number']} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, tune, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tune", type=int, default=2, help="trunks that settings are chosen on")
    parser.add_argument("--test", type=int, default=4, help="other trunks, for the table")
    parser.add_argument("--data", type=Path, help="folder with pet/sts_crops")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128], help="of the deep prior")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    tuning = [trunk(100 + k) for k in range(arguments.tune)]
    groups = {"trunks": [trunk(k) for k in range(arguments.test)]}
    if arguments.data:
        groups["sarcomas"] = [patient(arguments.data, number) for number in ("002", "029")]
    methods: dict[str, Method] = {
        "Gaussian": gaussian,
        "NLM guided by the prior": guided_nonlocal_means,
        "cui-cdip": deep_prior(arguments.widths),
    }
    try:
        import bm4d as _  # noqa: F401

        methods["BM4D"] = bm4d
    except ImportError:
        print("BM4D is not installed and is left out.")
    told: dict[str, list[dict[str, object]]] = {name: [] for name in groups}
    chosen: dict[str, object] = {}
    for name, method in methods.items():
        trials = [method(case) for case in tuning]
        score = {s: np.mean([error(c, t[s]) for c, t in zip(tuning, trials, strict=True)]) for s in trials[0]}
        best = min(score, key=lambda s: score[s])
        chosen[name] = best
        print(f"{name}: {best} (error {score[best]:.3f}; best of {len(score)} on {len(tuning)} trunks)")
        for group, cases in groups.items():
            found = [method(case) for case in cases]
            told[group] += rows(name, cases, [f[best] for f in found])
            if name == "cui-cdip":
                default = CuiCDIPConfig().strength
                told[group] += rows("cui-cdip (default)", cases, [f[default] for f in found])
    for group, lines in told.items():
        print(f"\n{group}\n\n{table(lines)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"chosen": chosen, **told}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
