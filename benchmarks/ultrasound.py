"""Train the three learning methods for speckle on phantoms and compare them with the classical filters.

    python benchmarks/ultrasound.py --minutes 2 --data DATA -o docs/results/methods/ultrasound.json

Training, tuning and test images come from different seeds.
Times are those of the processor, whatever else it does.
Head circumference of real images is compared before and after, since HC18's test images have no table of it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from quell.errors import QuellError
from quell.evaluation.benchmark.cases import FULL_LOOKS, Subject, make_case
from quell.evaluation.ellipse import Ellipse
from quell.evaluation.fetal_head import draw_head, measure_head
from quell.evaluation.metrics.fidelity import psnr, ssim
from quell.evaluation.metrics.structure import edge_gradient, edge_preservation
from quell.evaluation.metrics.ultrasound import (
    contrast_to_noise,
    envelope,
    equivalent_looks,
    generalised_contrast_to_noise,
)
from quell.evaluation.observers.auc import auc_interval
from quell.evaluation.tasks.catalogue import detection_task, observe
from quell.filters.tuning import Case as TuningCase
from quell.filters.tuning import tune
from quell.image import FloatArray, Image, Modality
from quell.methods.contracts import Batch, DataFacts
from quell.methods.registry import find_method
from quell.networks.boosted_speckle import BoostedSpeckle
from quell.noise.ultrasound import UltrasoundNoise
from quell.phantoms.objects import make_object

METHODS = ("ultrasound-cnn", "ultrasound-gbm", "ultrasound-cnn-gbm")
CLASSICAL = ("lee", "frost", "srad", "nlm", "total variation", "bilateral")
WINDOW = (0.0, 255.0)
DECIBEL = 60 / 255
TRAIN, TUNE, TEST = 10_000, 20_000, 30_000
"""First seeds of the three sets of phantoms."""

Denoise = Callable[[Image], tuple[FloatArray, FloatArray | None, FloatArray | None]]


@dataclass
class Crops:
    """Training images and how crops are drawn from them."""

    noisy: torch.Tensor
    clean: torch.Tensor
    patient: torch.Tensor

    def draw(self, count: int, size: int) -> Batch:
        images, top, left = (
            torch.randint(0, n, (count,)).tolist()
            for n in (len(self.noisy), *(s - size + 1 for s in self.noisy.shape[2:]))
        )
        turns = torch.randint(0, 2, (count,)).tolist()

        def cut(values: torch.Tensor) -> torch.Tensor:
            parts = [
                values[i, :, y : y + size, x : x + size] for i, y, x in zip(images, top, left, strict=True)
            ]
            return torch.stack(
                [part.flip(2) if turn else part for part, turn in zip(parts, turns, strict=True)]
            )

        ones = torch.ones(count)
        patient = self.patient[torch.tensor(images)]
        return Batch(cut(self.noisy), cut(self.clean), None, None, None, None, ones, ones, patient)


def cases(first: int, count: int, looks: int) -> list[tuple[Image, Image]]:
    """Return pairs of truth and noisy image, each 256 pixels square."""
    found: list[tuple[Image, Image]] = []
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        options = {"cyst_depth_mm": rng.uniform(9, 20), "target_depth_mm": rng.uniform(28, 42)}
        # Every fourth has cysts and wires, at depths other than those of the object that is tested.
        made = make_object("us-cysts", **options) if seed % 4 == 0 else make_object("anatomy-us", seed)
        try:
            case = make_case(
                Subject(str(seed), str(seed), made.truth, 0, UltrasoundNoise()), float(looks), (seed,)
            )
        except QuellError:
            continue
        found.extend((case.truth, one) for one in case.noisy)
    return found


def stack(images: Sequence[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([one.voxels for one in images]) / np.float32(255))


def gather(pairs: Sequence[tuple[Image, Image]]) -> Crops:
    """Return the images to train on."""
    patients = list(dict.fromkeys(id(truth) for truth, _ in pairs))
    patient = torch.tensor([patients.index(id(truth)) for truth, _ in pairs])
    return Crops(stack([n for _, n in pairs]), stack([t for t, _ in pairs]), patient)


def train(name: str, crops: Crops, minutes: float) -> tuple[Any, dict[str, Any]]:
    """Train a method for so many minutes of processor time, or until it has nothing left to do."""
    kind = find_method(name)
    error = crops.noisy - crops.clean
    facts = DataFacts(
        Modality.US,
        "arbitrary",
        len(crops.noisy),
        kind.scaling(Modality.US),
        255.0,
        float(error.std()),
        mean=float(crops.noisy.mean()),
    )
    settings = {} if name == "ultrasound-gbm" else {"batch": 8}
    torch.manual_seed(0)
    method = kind(kind.Config(**settings), facts)
    fabric = Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    step, started, progress = 0, time.process_time(), 0.0
    while progress < 1 and step < method.config.steps:
        torch.manual_seed(step)
        stage = method.stage(progress)
        method.step(crops.draw(stage.batch, stage.patch[1]), progress, fabric)
        step += 1
        progress = (time.process_time() - started) / (60 * minutes)
    told = settings | {"steps": step, "seconds": time.process_time() - started}
    if name != "ultrasound-cnn":
        told |= {"trees": method.boosting.watch.best, "of": len(method.boosting.boosters["image"].trees)}
    return method, told


def learned(method: Any, interval: bool) -> Denoise:
    exported = method.exported()
    module, multiple = exported.module.eval(), exported.multiple

    def denoise(image: Image) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
        rows, columns = image.shape[1:]
        extra = ((0, 0), (0, -rows % multiple), (0, -columns % multiple))
        padded = np.pad(image.voxels, extra, mode="edge")[:, None] / np.float32(255)
        noisy = torch.from_numpy(padded)
        with torch.no_grad():
            if interval or not isinstance(module, BoostedSpeckle):
                outputs = module(noisy)
            else:
                features = module.tell(noisy)
                outputs = (module.start(features) + module.image(features)) / 255
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        cut = [np.clip(255 * one[:, 0, :rows, :columns].numpy(), 0, 255) for one in outputs]
        return (cut[0], cut[1], cut[2]) if len(cut) == 3 else (cut[0], None, None)

    return denoise


def classical(
    name: str, tuning: Sequence[tuple[Image, Image]], budget: int
) -> tuple[Denoise, dict[str, Any]]:
    sigma = float(np.std([n.voxels - t.voxels for t, n in tuning]))
    found = tune(
        name,
        [TuningCase(t, n, sigma) for t, n in tuning],
        lambda truth, result: psnr(truth.voxels[0], result.voxels[0], window=WINDOW),
        budget=budget,
    )
    denoiser = found.denoiser()
    return lambda image: (denoiser.denoise(image, sigma=sigma).image.voxels, None, None), dict(
        found.best.settings
    )


def fidelity(denoise: Denoise, test: Sequence[tuple[Image, Image]]) -> dict[str, float]:
    rows, seconds, covered = [], 0.0, []
    for truth, noisy in test:
        started = time.process_time()
        image, lower, upper = denoise(noisy)
        seconds += time.process_time() - started
        a, b = truth.voxels[0].astype(np.float64), image[0].astype(np.float64)
        rows.append(
            (
                psnr(a, b, window=WINDOW),
                ssim(a, b, window=WINDOW),
                edge_preservation(a, b, window=WINDOW),
                edge_gradient(a, b, window=WINDOW),
            )
        )
        if lower is not None and upper is not None:
            covered.append(float(np.mean((a >= lower[0]) & (a <= upper[0]))))
    names = ("PSNR", "SSIM", "edge preservation", "edge gradient")
    told = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
    told["PSNR standard error"] = float(np.std([r[0] for r in rows], ddof=1) / np.sqrt(len(rows)))
    told["ms per 256 x 256"] = 1000 * seconds / len(test)
    return told | ({"coverage of 90 %": float(np.mean(covered))} if covered else {})


def contrasts(denoise: Denoise, looks: int) -> dict[str, float]:
    """Return CNR, gCNR and ENL of the object with cysts and targets, which was not trained on."""
    made = make_object("us-cysts")
    noisy = UltrasoundNoise().acquire(made.truth, looks, np.random.default_rng(TEST)).image
    values = denoise(noisy)[0][0].astype(np.float64)
    truth, labels = made.truth.voxels[0], made.labels[0]
    plain = (np.abs(truth) < 0.1) & (labels == 0)
    plain[:40], plain[-40:] = False, False
    cnr, gcnr = [], []
    for insert in made.parameters["inserts"]:
        inside = labels == insert["label"]
        if insert["value"] > 20 or inside.sum() < 100:
            continue
        rows, columns = np.nonzero(inside)
        beside = plain.copy()
        beside[: rows.min() - 25], beside[rows.max() + 25 :] = False, False
        beside[:, : columns.min() - 25], beside[:, columns.max() + 25 :] = False, False
        cnr.append(contrast_to_noise(values[inside], values[beside]))
        gcnr.append(generalised_contrast_to_noise(values[inside], values[beside]))
    block = np.zeros_like(plain)
    block[200:300, 150:300] = plain[200:300, 150:300]
    looks_now = equivalent_looks(envelope(values[block], DECIBEL))
    return {"CNR": float(np.mean(cnr)), "gCNR": float(np.mean(gcnr)), "ENL": looks_now}


def heads(denoise: Denoise, count: int, looks: int) -> dict[str, float]:
    """Return the error of the circumference of drawn heads, in per cent, each with speckle of its own."""
    errors, failed = [], 0
    for seed in range(count):
        rng = np.random.default_rng(TEST + seed)
        long = rng.uniform(110, 165)
        ellipse = Ellipse(
            (200 + rng.uniform(-15, 15), 240 + rng.uniform(-20, 20)),
            (long, long * rng.uniform(0.7, 0.85)),
            rng.uniform(-0.5, 0.5),
        )
        head = draw_head(ellipse, skull_db=rng.uniform(6, 16))
        noisy = UltrasoundNoise(frequency=3.5, focus=40).acquire(head, looks, rng).image
        true = ellipse.circumference(head.geometry.spacing[1:])
        try:
            found = measure_head(replace(noisy, voxels=np.ascontiguousarray(denoise(noisy)[0])))
        except QuellError:
            failed += 1
            continue
        errors.append(100 * abs(found.circumference / true - 1))
    return {
        "HC error %": float(np.median(errors)) if errors else float("nan"),
        "HC within 3 %": float(np.sum(np.asarray(errors) < 3) / count),
        "HC failed": failed,
    }


def real_heads(denoise: Denoise, files: Sequence[Path]) -> dict[str, float]:
    """Return by how much the circumference of real images changes, in per cent."""
    from PIL import Image as Picture

    changes = []
    for file in files:
        pixels = np.asarray(Picture.open(file).convert("L"), np.float32)[None]
        before = Image(pixels, Modality.US, name=file.stem)
        try:
            one = measure_head(before)
            other = measure_head(before.with_voxels(np.ascontiguousarray(denoise(before)[0])))
        except QuellError:
            continue
        changes.append(100 * abs(other.circumference / one.circumference - 1))
    median = float(np.median(changes)) if changes else float("nan")
    return {"HC18 change %": median, "HC18 images": float(len(changes))}


def detectability(entrants: Mapping[str, Denoise], pairs: int) -> dict[str, float]:
    """Return the AUC of the channelized Hotelling observer for a mass of low contrast."""
    task = detection_task("ultrasound-mass", "uniform")
    rng = np.random.default_rng(TEST)
    found = task.acquire(task.signals[1].times(1.2), pairs, 1.0, UltrasoundNoise(), rng)
    told = {}
    for name, denoise in entrants.items():
        seen = found.pairs(lambda image, f=denoise: image.with_voxels(np.ascontiguousarray(f(image)[0])))
        told[name] = float(auc_interval(observe(task, seen).scores).value)
    return told


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["| method | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[n]:.3g}" if n in row else "" for n in names) + " |")
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10, help="of processor time, for each method")
    arguments.add_argument("--images", type=int, default=64, help="training phantoms")
    arguments.add_argument("--tests", type=int, default=12, help="test phantoms")
    arguments.add_argument("--looks", type=int, default=1)
    arguments.add_argument("--budget", type=int, default=24, help="settings tried for each classical method")
    arguments.add_argument("--pairs", type=int, default=80, help="of regions, for the observer")
    arguments.add_argument("--heads", type=int, default=12, help="drawn and real heads")
    arguments.add_argument("--data", type=Path, help="folder of real images")
    arguments.add_argument("-o", "--output", type=Path, help="JSON of all figures")
    chosen = arguments.parse_args()
    if chosen.pairs < 20:
        arguments.error("the observer needs at least 20 pairs")
    torch.set_num_threads(1)
    started = time.process_time()
    entrants, whole, told = all_entrants(chosen)
    test = cases(TEST, chosen.tests, chosen.looks)[::2]
    rows: dict[str, dict[str, float]] = {}
    files = sorted((chosen.data / "ultrasound" / "hc18").glob("*.png")) if chosen.data else []
    for name, denoise in entrants.items():
        rows[name] = fidelity(whole.get(name, denoise), test) | contrasts(denoise, chosen.looks)
        rows[name] |= heads(denoise, chosen.heads, chosen.looks)
        if files:
            rows[name] |= real_heads(denoise, files[:: max(len(files) // chosen.heads, 1)][: chosen.heads])
    for name, value in detectability(entrants, chosen.pairs).items():
        rows[name]["AUC"] = value
    print(f"{len(test)} test images of {chosen.looks} looks, {chosen.pairs} pairs of regions\n")
    print(table(rows))
    print("\n" + "; ".join(f"{n}: {told[n]['steps']} steps" + _trees(told[n]) for n in METHODS))
    print(f"\n{time.process_time() - started:.0f} s in all")
    if chosen.output:
        kept = {k: v for k, v in vars(chosen).items() if k not in ("output", "data")}
        record = {"settings": kept, "full_looks": FULL_LOOKS, "methods": told, "rows": rows}
        chosen.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _trees(told: Mapping[str, Any]) -> str:
    return f", {told['trees']} of {told['of']} trees used" if "trees" in told else ""


def all_entrants(
    chosen: argparse.Namespace,
) -> tuple[dict[str, Denoise], dict[str, Denoise], dict[str, Any]]:
    """Return all that is compared, what gives intervals, and what each was tuned or trained to."""
    tuning = cases(TUNE, 3, chosen.looks)[::2]
    entrants: dict[str, Denoise] = {"noisy": lambda image: (image.voxels, None, None)}
    whole, told = dict[str, Denoise](), dict[str, Any]()
    for name in CLASSICAL:
        entrants[name], told[name] = classical(name, tuning, chosen.budget)
    crops = gather(cases(TRAIN, chosen.images, chosen.looks))
    print(f"{len(crops.noisy)} training images, {len(tuning)} to tune on")
    for name in METHODS:
        method, told[name] = train(name, crops, chosen.minutes)
        entrants[name], whole[name] = learned(method, False), learned(method, True)
    return entrants, whole, told


if __name__ == "__main__":
    main()
