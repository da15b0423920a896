"""Train the U-Net for bone scans of few counts, and compare it with Gaussian smoothing at each level.

python benchmarks/scintigraphy.py --train 16 --test 20 --steps 600 --scan SCAN.dcm -o scintigraphy.json

Scans are drawn: skeletons with lesions, counts as of a camera. Each is thinned to the levels of Murata et al.
2024; PSNR, SSIM, hotspots and the surrogate of the bone scan index are those against the scan of full counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from scipy.ndimage import gaussian_filter

from quell.evaluation.bone_scan_index import (
    BoneReading,
    HotspotRule,
    Skeleton,
    blurred,
    compare_levels,
    learn_skeleton,
    read_bones,
)
from quell.evaluation.metrics.fidelity import psnr, ssim
from quell.image import FloatArray, Image, Modality
from quell.methods.contracts import Batch, DataFacts
from quell.methods.scintigraphy_unet import LEVELS, ScintigraphyConfig, ScintigraphyUNet
from quell.models.scaling import usual_scaling
from quell.noise.emission.counting import thin_counts
from quell.phantoms.objects import make_object

CAMERA_MM = 7.4
WIDTHS = (0.5, 0.7, 0.9, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 4.0)
"""Standard deviations in pixels among which the Gaussian is tuned."""

Denoise = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Patient:
    """A scan of full counts, and what is normal for the patient."""

    counts: FloatArray
    skeleton: Skeleton

    @cached_property
    def scale(self) -> float:
        """Counts for one network unit."""
        return scale_of(self.counts)

    @cached_property
    def window(self) -> tuple[float, float]:
        """What PSNR and SSIM look at: from 0 to the 99.9 % quantile."""
        return 0.0, float(np.quantile(self.counts, 0.999))


def draw_patient(seed: int) -> Patient:
    """Draw a skeleton with up to twelve lesions, and the same without them, and scan the first."""
    rng = np.random.default_rng([seed, 11])
    total = 3e6 * float(np.exp(rng.normal(0, 0.25)))
    sick = make_object("bone-scan", seed, counts=total)
    healthy = make_object("bone-scan", seed, counts=total, lesions=0)
    spacing = sick.truth.geometry.spacing[1:]
    seen = [blurred(one.truth.voxels[0], spacing, CAMERA_MM) for one in (sick, healthy)]
    counts = rng.poisson(seen[0]).astype(np.float32)
    # Lesions take counts from the rest of the same total.
    ratio = float(np.median(seen[0][seen[1] > 5] / seen[1][seen[1] > 5]))
    skeleton = learn_skeleton(counts, spacing, HotspotRule(), healthy=seen[1] * ratio)
    return Patient(counts, skeleton)


def scale_of(counts: FloatArray) -> float:
    return usual_scaling(Modality.NM).of(Image(counts[None], Modality.NM, "counts"))[1]


def train(patients: Sequence[Patient], target: str, arguments: argparse.Namespace) -> ScintigraphyUNet:
    """Train on crops of the scans of full counts."""
    config = ScintigraphyConfig(
        steps=arguments.steps, batch=arguments.batch, size=arguments.size, width=arguments.width,
        depth=arguments.depth, target=target, counts="measured", rate=arguments.rate,  # type: ignore[arg-type]
        output=arguments.network, even=arguments.network == "blend",
    )  # fmt: skip
    facts = DataFacts(Modality.NM, "counts", len(patients), usual_scaling(Modality.NM))
    torch.manual_seed(arguments.seed)
    precision = "bf16-mixed" if arguments.precision == "bf16" else "32-true"
    fabric = Fabric(accelerator=arguments.device, devices=1, precision=precision)
    method = ScintigraphyUNet(config, facts)
    method.setup(fabric)
    rng = np.random.default_rng(arguments.seed)
    for step in range(arguments.steps):
        torch.manual_seed(step)
        batch = draw_batch(patients, arguments.batch, arguments.size, rng, fabric)
        method.step(batch, step / arguments.steps, fabric)
    return method


def draw_batch(
    patients: Sequence[Patient], count: int, size: int, rng: np.random.Generator, fabric: Fabric
) -> Batch:
    """Draw crops that hold some of the body, mirrored by chance."""
    crops, scales = [], []
    while len(crops) < count:
        patient = patients[int(rng.integers(len(patients)))]
        counts = patient.counts
        top, left = (int(rng.integers(0, n - size + 1)) for n in counts.shape)
        crop = counts[top : top + size, left : left + size]
        if crop.mean() < 1:
            continue
        scales.append(patient.scale)
        crops.append((crop[:, ::-1] if rng.random() < 0.5 else crop) / np.float32(scales[-1]))
    clean = torch.from_numpy(np.stack(crops)[:, None].astype(np.float32)).to(fabric.device)
    scale = torch.tensor(scales, device=fabric.device)
    return Batch(clean, clean, None, None, None, None, torch.ones(count, device=fabric.device), scale)


def network(method: ScintigraphyUNet) -> Denoise:
    exported = method.exported()
    module = exported.module.eval()
    device = next(module.parameters()).device

    @torch.no_grad()
    def denoise(counts: FloatArray) -> FloatArray:
        scale = scale_of(counts)
        pad = [(0, -n % exported.multiple) for n in counts.shape]
        padded = np.pad(counts / np.float32(scale), pad, mode="reflect")
        found = module(torch.from_numpy(padded)[None, None].to(device))[0, 0].cpu().numpy()
        result: FloatArray = found[: counts.shape[0], : counts.shape[1]] * np.float32(scale)
        return result

    return denoise


def tuned_widths(patients: Sequence[Patient], rng: np.random.Generator) -> dict[float, float]:
    """Return for each level the width of the Gaussian with the highest mean PSNR on the training scans."""
    best = {}
    for level in LEVELS:
        scores = np.zeros(len(WIDTHS))
        for patient in patients:
            noisy = thinned(patient.counts, level, rng)
            for k, width in enumerate(WIDTHS):
                test = gaussian_filter(noisy, width)
                scores[k] += psnr(patient.counts[None], test[None], window=patient.window)
        best[level] = WIDTHS[int(np.argmax(scores))]
    return best


def thinned(counts: FloatArray, level: float, rng: np.random.Generator) -> FloatArray:
    return (thin_counts(counts, level, rng) / level).astype(np.float32)


def quality(patient: Patient, test: FloatArray) -> tuple[float, float]:
    """Return PSNR and SSIM against the full counts."""
    a, b = patient.counts.astype(np.float64), test.astype(np.float64)
    return psnr(a, b, window=patient.window), ssim(a, b, window=patient.window)


def evaluate(
    patients: Sequence[Patient], ways: Mapping[str, Callable[[float], Denoise]], seed: int
) -> list[dict[str, Any]]:
    """Return one row for each level and way."""
    rng = np.random.default_rng([seed, 13])
    reference = [read_bones(p.counts, p.skeleton) for p in patients]
    readings: dict[tuple[str, float], list[BoneReading]] = {}
    fidelity: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for level in LEVELS:
        for patient in patients:
            noisy = thinned(patient.counts, level, rng)
            for name, way in ways.items():
                seen = way(level)(noisy)
                readings.setdefault((name, level), []).append(read_bones(seen, patient.skeleton))
                fidelity.setdefault((name, level), []).append(quality(patient, seen))
    tests = compare_levels(reference, readings)
    rows = []
    for test in tests:
        found = readings[test.name, test.level]
        values = np.array(fidelity[test.name, test.level])
        rows.append({
            "way": test.name, "level": test.level, "psnr": float(values[:, 0].mean()),
            "ssim": float(values[:, 1].mean()),
            "hotspots": float(np.mean([r.hotspots for r in found])),
            "hotspots_of_reference": float(np.mean([r.hotspots for r in reference])),
            "hotspots_p": test.hotspots.wilcoxon, "hotspots_p_holm": test.hotspots_p,
            "index": float(np.mean([r.index for r in found])),
            "index_of_reference": float(np.mean([r.index for r in reference])),
            "index_p": test.index.wilcoxon, "index_p_holm": test.index_p,
        })  # fmt: skip
    return rows


def real_patient(path: Path) -> Patient:
    """Read a scan of raw counts; its normal uptake is estimated from itself."""
    from quell.formats.contracts import Purpose
    from quell.formats.open import open_study

    image = open_study(path, Purpose.MEASURE).series[0].read()
    counts = image.voxels[0]
    return Patient(counts, learn_skeleton(counts, image.geometry.spacing[1:]))


def real_rows(
    patient: Patient, ways: Mapping[str, Callable[[float], Denoise]], seed: int, repeats: int
) -> list[dict[str, Any]]:
    """Return means over repeated thinnings of one scan; repeats are no patients, hence no test."""
    rng = np.random.default_rng([seed, 17])
    reference = read_bones(patient.counts, patient.skeleton)
    rows = []
    for level in LEVELS:
        found: dict[str, list[tuple[float, ...]]] = {}
        for _ in range(repeats):
            noisy = thinned(patient.counts, level, rng)
            for name, way in ways.items():
                seen = way(level)(noisy)
                bones = read_bones(seen, patient.skeleton)
                found.setdefault(name, []).append((*quality(patient, seen), bones.hotspots, bones.index))
        for name, values in found.items():
            p, s, h, i = np.mean(values, axis=0)
            rows.append({
                "way": name, "level": level, "psnr": float(p), "ssim": float(s), "hotspots": float(h),
                "hotspots_of_reference": reference.hotspots, "index": float(i),
                "index_of_reference": reference.index,
            })  # fmt: skip
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return PSNR, SSIM, hotspots and index with their p values as Markdown."""
    first = rows[0]
    lines = [
        f"Full counts: {first['hotspots_of_reference']:.2f} hotspots, index "
        f"{first['index_of_reference']:.3f}.",
        "",
        "| counts | way | PSNR | SSIM | hotspots | p | index | p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        p = [f"{r[k]:.3f}" if k in r else "" for k in ("hotspots_p", "index_p")]
        lines.append(
            f"| {r['level']:.0%} | {r['way']} | {r['psnr']:.2f} | {r['ssim']:.4f} | {r['hotspots']:.2f} | "
            f"{p[0]} | {r['index']:.3f} | {p[1]} |"
        )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--train", type=int, default=16, help="skeletons to train on")
    parser.add_argument("--test", type=int, default=20, help="skeletons to test on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="of the training")
    parser.add_argument("--network", choices=["blend", "image"], default="blend", help="what it puts out")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--targets", nargs="+", default=["published", "independent"])
    parser.add_argument("--repeats", type=int, default=8, help="thinnings of the real scan at each level")
    parser.add_argument("--scan", type=Path, help="a real scan of raw counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, help="JSON of all figures")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    start = time.time()
    patients = [draw_patient(91_000 + k) for k in range(arguments.train + arguments.test)]
    learned, tested = patients[: arguments.train], patients[arguments.train :]
    print(f"{len(patients)} skeletons in {time.time() - start:.0f} s", flush=True)
    widths = tuned_widths(learned[:6], np.random.default_rng([arguments.seed, 19]))
    ways: dict[str, Callable[[float], Denoise]] = {
        "unfiltered": lambda level: lambda counts: counts,
        "Gaussian": lambda level: lambda counts: gaussian_filter(counts, widths[level]),
    }
    for target in arguments.targets:
        denoise = network(train(learned, target, arguments))
        ways[f"U-Net, {target}"] = lambda level, denoise=denoise: denoise
        print(f"{target} after {time.time() - start:.0f} s", flush=True)
    rows = evaluate(tested, ways, arguments.seed)
    print(table(rows))
    real: list[dict[str, Any]] = []
    if arguments.scan:
        real = real_rows(real_patient(arguments.scan), ways, arguments.seed, arguments.repeats)
        print("\nThe real scan\n\n" + table(real))
    told = {k: v for k, v in vars(arguments).items() if k not in ("output", "scan")}
    print(f"\n{arguments.steps} steps; Gaussian {widths}; {time.time() - start:.0f} s in all")
    if arguments.output:
        result = {"settings": told, "gaussian_widths": widths, "rows": rows, "real": real}
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
