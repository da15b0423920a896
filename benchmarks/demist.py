"""Train DEMIST and the same network without its channel term, and let an observer look for defects.

python benchmarks/demist.py --train 40 --test 60 --steps 800 -o demist.json

Hearts with and without a defect are projected, counted, thinned and reconstructed at normal dose and at each
low dose. The weight of the term is chosen by cross-validation over the training hearts on the area under the
observer's curve; the table is made of hearts that no training saw.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from quell.evaluation.defect_detection import (
    DefectKind,
    DefectRegions,
    Detection,
    compare_detection,
    cut_square,
    read_defects,
)
from quell.image import Image, Modality
from quell.methods.contracts import Batch, DataFacts
from quell.methods.demist import Demist, DemistConfig
from quell.models.scaling import usual_scaling
from quell.noise.emission.counting import thin_counts
from quell.noise.spect import SPECTNoise
from quell.phantoms.coverage import Grid
from quell.phantoms.families.cardiac import Defect, Ventricle
from quell.phantoms.objects import TestObject, make_object

GRID = Grid((24, 64, 64), (6.4, 6.4, 6.4))
SIZE = 40
"""Rows and columns around the heart that are kept."""

REGION = 21
EXTENTS, SEVERITIES = (0.05, 0.1, 0.2), (0.15, 0.3, 0.6)
WALLS = {"LAD": "anterior", "LCX": "lateral", "RCA": "inferior"}
DOSES = (0.0625, 0.125, 0.25)
COUNTS = 3e6

Volume = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Heart:
    """One patient: volumes of shape (defect or not, dose, z, y, x) with the normal dose last, in counts."""

    patient: int
    volumes: Volume
    scale: float
    point: tuple[float, float, float]
    kind: DefectKind


def draw_heart(seed: int, doses: Sequence[float]) -> Heart:
    """Scan a heart with a defect and the same heart without it, each with noise of its own."""
    rng = np.random.default_rng([seed, 7])
    territory = str(rng.choice(list(WALLS)))
    defect = Defect(territory, float(rng.choice(EXTENTS)), float(rng.choice(SEVERITIES)))
    shape = Ventricle(*(v * rng.uniform(0.88, 1.12) for v in (33.0, 50.0, 25.0, 10.0)))
    counts = COUNTS * float(np.exp(rng.normal(0, 0.2)))
    made = [
        make_object("spect-cardiac", seed, grid=GRID, defects=defects, ventricle=shape)
        for defects in ((defect,), ())
    ]
    at = middle_of(made[0])
    low = [int(np.clip(round(p) - SIZE // 2, 0, 64 - SIZE)) for p in at[1:]]
    volumes = np.stack([scan(one, doses, counts, rng, low) for one in made])
    normal = Image(np.ascontiguousarray(volumes[1, -1]), Modality.NM, "counts", volume=True)
    kind = DefectKind(f"{defect.extent:.0%}", f"{defect.severity:.0%}", WALLS[territory])
    point = (at[0], at[1] - low[0], at[2] - low[1])
    return Heart(seed, volumes, usual_scaling(Modality.NM).of(normal)[1], point, kind)


def middle_of(made: TestObject) -> tuple[float, float, float]:
    """Return the voxel in the middle of the defect."""
    place = next(one["centre_mm"] for one in made.parameters["inserts"] if one["kind"] == "defect")
    z, y, x = ((n - 1) / 2 + p / s for n, p, s in zip(GRID.shape, place, GRID.spacing, strict=True))
    return z, y, x


def scan(
    made: TestObject, doses: Sequence[float], counts: float, rng: np.random.Generator, low: Sequence[int]
) -> Volume:
    """Return reconstructions of thinned views, and of all views last, around the heart."""
    model = SPECTNoise(counts, views=30, iterations=2, subsets=6, attenuation=made.attenuation)
    frames = model.project(made.truth)
    full = rng.poisson(frames.voxels)
    found = []
    for dose in (*doses, 1.0):
        views = frames.with_voxels(thin_counts(full, dose, rng).astype(np.float32))
        found.append(model.reconstruct(views, made.truth, dose).voxels)
    return np.stack(found)[:, :, low[0] : low[0] + SIZE, low[1] : low[1] + SIZE]


def train(hearts: Sequence[Heart], weight: float, arguments: argparse.Namespace) -> Demist:
    """Train on all doses together."""
    widths = tuple(arguments.width * 2**k for k in range(3))
    config = DemistConfig(
        steps=arguments.steps, batch=arguments.batch, size=SIZE, slices=GRID.shape[0], weight=weight,
        widths=widths, rate=arguments.rate,
    )  # fmt: skip
    shape = (GRID.shape[0], SIZE, SIZE)
    facts = DataFacts(Modality.NM, "counts", len(hearts), usual_scaling(Modality.NM), shape=shape)
    torch.manual_seed(arguments.seed)
    method, fabric = Demist(config, facts), Fabric(accelerator=arguments.device, devices=1)
    method.setup(fabric)
    rng = np.random.default_rng(arguments.seed)
    for step in range(arguments.steps):
        torch.manual_seed(step)
        method.step(draw_batch(hearts, arguments.batch, rng, fabric), step / arguments.steps, fabric)
    return method


def draw_batch(hearts: Sequence[Heart], count: int, rng: np.random.Generator, fabric: Fabric) -> Batch:
    """Draw hearts, with or without defect, and doses; every place is told, with or without defect."""
    noisy, clean, points, scales = [], [], [], []
    for number in rng.integers(0, len(hearts), count):
        heart = hearts[number]
        volumes = heart.volumes[rng.integers(2)]
        pair = np.stack([volumes[rng.integers(len(volumes) - 1)], volumes[-1]]) / np.float32(heart.scale)
        point = np.array(heart.point)
        for axis in range(3):
            if rng.random() < 0.5:
                pair = np.flip(pair, axis + 1)
                point[axis] = pair.shape[axis + 1] - 1 - point[axis]
        noisy.append(pair[0])
        clean.append(pair[1])
        points.append(point[None])
        scales.append(heart.scale)

    def tensor(values: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.array(values, np.float32))).to(fabric.device)

    ones = torch.ones(count, device=fabric.device)
    return Batch(tensor(noisy), tensor(clean), None, None, None, tensor(points), ones, tensor(scales))


@dataclass(frozen=True, eq=False)
class Seen:
    """What the observer reads, and how far the volumes are from those of normal dose (network units)."""

    regions: DefectRegions
    rmse: float


def look(hearts: Sequence[Heart], dose: int, method: Demist | None) -> Seen:
    """Denoise the volumes of one dose (or leave them as they are) and cut out the places of the defects."""
    cut: list[list[Volume]] = [[], []]
    errors = []
    for heart in hearts:
        for number, volumes in enumerate(heart.volumes):
            seen = volumes[dose] if method is None else denoise(method, volumes[dose], heart.scale)
            errors.append(float(np.mean(((seen - volumes[-1]) / heart.scale) ** 2)))
            cut[number].append(cut_square(seen / np.float32(heart.scale), heart.point, REGION))
    patients = np.array([heart.patient for heart in hearts], np.int64)
    kinds = tuple(heart.kind for heart in hearts)
    found = DefectRegions(np.stack(cut[0]), np.stack(cut[1]), kinds, patients)
    return Seen(found, float(np.sqrt(np.mean(errors))))


@torch.no_grad()
def denoise(method: Demist, volume: Volume, scale: float) -> Volume:
    module = method.exported().module.eval()
    device = next(module.parameters()).device
    found = module(torch.from_numpy(volume / np.float32(scale))[None, None].to(device))[0, 0]
    result: Volume = found.cpu().numpy() * np.float32(scale)
    return result


def choose_weight(hearts: Sequence[Heart], arguments: argparse.Namespace) -> tuple[float, dict[str, float]]:
    """Return the weight with the largest area under the observer's curve in cross-validation.

    The observer reads the held-out hearts of all folds together, each denoised by the network that did not
    see it; the mean over doses decides.
    """
    areas = {}
    for weight in arguments.weights:
        parts: list[list[DefectRegions]] = [[] for _ in arguments.doses]
        for fold in range(arguments.folds):
            held = [h for k, h in enumerate(hearts) if k % arguments.folds == fold]
            rest = [h for k, h in enumerate(hearts) if k % arguments.folds != fold]
            method = train(rest, weight, arguments)
            for dose in range(len(arguments.doses)):
                parts[dose].append(look(held, dose, method).regions)
        found = [read_defects("", joined(part))[0].auc.value for part in parts]
        areas[f"{weight:g}"] = float(np.mean(found))
        print(f"weight {weight:g}: mean AUC {areas[f'{weight:g}']:.3f}", flush=True)
    return float(max(areas, key=lambda name: areas[name])), areas


def joined(parts: Sequence[DefectRegions]) -> DefectRegions:
    return DefectRegions(
        np.concatenate([p.present for p in parts]),
        np.concatenate([p.absent for p in parts]),
        tuple(kind for p in parts for kind in p.kinds),
        np.concatenate([p.patients for p in parts]),
    )


def evaluate(
    hearts: Sequence[Heart], ways: dict[str, Demist | None], doses: Sequence[float]
) -> list[dict[str, Any]]:
    """Return one row for each dose, stratum and way."""
    rows: list[dict[str, Any]] = []
    normal = read_defects("normal dose", look(hearts, len(doses), None).regions)
    for dose, share in enumerate(doses):
        looks = {name: look(hearts, dose, method) for name, method in ways.items()}
        errors = {name: one.rmse for name, one in looks.items()}
        seen = {name: read_defects(name, one.regions) for name, one in looks.items()}
        tests = {other: compare_detection(seen[other], seen["demist"]) for other in ("low dose", "agnostic")}
        for name, detections in {**seen, "normal dose": normal}.items():
            rows += [as_row(share, name, d, errors.get(name, 0.0), tests) for d in detections]
    return rows


def as_row(dose: float, name: str, found: Detection, error: float, tests: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dose": dose, "way": name, "by": found.by, "value": found.value, "pairs": found.pairs,
        "auc": found.auc.value, "low": found.auc.low, "high": found.auc.high,
    }  # fmt: skip
    if found.by == "all":
        row["rmse"] = error
    if name == "demist":
        for other, test in tests.items():
            found_test = test[found.by, found.value]
            row[f"over {other}"] = found_test.difference.value
            row[f"p over {other}"] = found_test.p_value
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the AUC of all ways as Markdown."""
    ways = ("low dose", "agnostic", "demist", "normal dose")
    lines = [
        "| dose | defects | pairs | low dose | task-agnostic | DEMIST | normal dose | p, low | p, agnostic |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    keys = dict.fromkeys((r["dose"], r["by"], r["value"]) for r in rows)
    for dose, by, value in keys:
        same = {r["way"]: r for r in rows if (r["dose"], r["by"], r["value"]) == (dose, by, value)}
        cells = [f"{same[w]['auc']:.3f} [{same[w]['low']:.3f}, {same[w]['high']:.3f}]" for w in ways]
        ours = same["demist"]
        kind = by if by == "all" else f"{by} {value}"
        p = [f"{ours[f'p over {other}']:.3f}" for other in ("low dose", "agnostic")]
        lines.append(f"| {dose:.2%} | {kind} | {ours['pairs']} | " + " | ".join([*cells, *p]) + " |")
    lines += ["", "| dose | way | RMSE to normal dose |", "|---|---|---|"]
    lines += [
        f"| {r['dose']:.2%} | {r['way']} | {r['rmse']:.4f} |"
        for r in rows
        if "rmse" in r and r["way"] != "normal dose"
    ]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--train", type=int, default=40, help="hearts to train on")
    parser.add_argument("--test", type=int, default=60, help="hearts to test on")
    parser.add_argument("--doses", type=float, nargs="+", default=DOSES)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=int, default=8, help="channels at full resolution, of three levels")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--weights", type=float, nargs="+", default=[3.0, 30.0, 300.0])
    parser.add_argument(
        "--folds", type=int, default=2, help="of the cross-validation; 1 takes the first weight"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, help="JSON of all figures")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    start = time.time()
    hearts = [draw_heart(90_000 + k, arguments.doses) for k in range(arguments.train + arguments.test)]
    learned, tested = hearts[: arguments.train], hearts[arguments.train :]
    print(f"{len(hearts)} hearts in {time.time() - start:.0f} s", flush=True)
    areas: dict[str, float] = {}
    weight = arguments.weights[0]
    if arguments.folds > 1 and len(arguments.weights) > 1:
        weight, areas = choose_weight(learned, arguments)
    ways: dict[str, Demist | None] = {
        "low dose": None,
        "agnostic": train(learned, 0.0, arguments),
        "demist": train(learned, weight, arguments),
    }
    rows = evaluate(tested, ways, arguments.doses)
    print(table(rows))
    print(f"\nweight {weight:g}, {arguments.steps} steps, {time.time() - start:.0f} s in all")
    if arguments.output:
        told = {k: v for k, v in vars(arguments).items() if k != "output"}
        result = {"settings": told, "weight": weight, "cross_validation": areas, "rows": rows}
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
