"""Which loss to train with: the same weights and the same batches, trained on with each, then judged.

``python benchmarks/losses.py --pack PACK --start WEIGHTS --data DATA [--loss NAME ...] [-o FILE]``

Judged on data that no training saw, at full strength and at half: PSNR of validation patients of CT and of
drawn CT and PET at a quarter of the dose; contrast that is kept of faint rods in CT (a quarter of the dose)
and of small hot spheres in PET (a quarter, and all of it); shift of the mean frequency of the noise that is
left in flat objects (see strength.py). ``start`` is what the training began with. Losses are those of
loss_functions.py; how large one is matters little, since Adam divides it out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loss_cases import PET_DOSES, ct_stage, judged, likeness_cases, pet_stage
from loss_functions import IMAGE, loss_named
from release_common import FOLDERS, Model, save, told_command

from quell.image import FloatArray, Image
from quell.inference.network_denoiser import NetworkDenoiser
from quell.inference.runtimes import make_runtime
from quell.models.registry import locate, weights_hash
from quell.training.release import export
from quell.training.universal import Options, Pair, Run

START = "start"


def trained(arguments: argparse.Namespace, name: str, folder: Path) -> tuple[Pair, float]:
    """Return the averaged weights after the training with a loss, and the minutes that it took.

    The seed alone decides on batches and noise, so that all losses see the same.
    """
    options = Options(crops=arguments.crops, batch=arguments.batch, rate=arguments.rate, seed=arguments.seed)
    device = torch.device("cpu")
    run = Run(arguments.pack, folder, options, device, arguments.start, loss=loss_named(name))
    run.train(told=lambda line: print(f"  {name}: {line}", flush=True))
    return run.average, run.seconds / 60


def as_model(pair: Pair, name: str, folder: Path, threads: int) -> Model:
    """Return weights as a denoiser as the product runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    export(pair, folder)
    shipped = locate("universal.fast").card
    files = {role: folder / file for role, file in shipped.files.items()}
    told = {"tag": name, "version": "0", "sha256": weights_hash(files), "strength": {}, "metrics": {}}
    runtime = make_runtime(threads=threads)
    denoiser = NetworkDenoiser(shipped.model_copy(update=told), files, runtime, streams=threads)
    return Model(name, denoiser, "0", told["sha256"], runtime.description)


def started(arguments: argparse.Namespace, folder: Path) -> Pair:
    """Return the weights that all begin with."""
    options = Options(crops=arguments.batch, batch=arguments.batch)
    return Run(arguments.pack, folder, options, torch.device("cpu"), arguments.start).average


def measure(arguments: argparse.Namespace, folder: Path) -> tuple[list[Model], list[dict[str, Any]]]:
    """Train, judge and print every loss; return the models and the rows."""
    cases = likeness_cases(arguments.data)
    count = arguments.realisations
    stages = [ct_stage(count), *(pet_stage(count, dose) for dose in PET_DOSES)]
    models, rows = [], []
    for name in (START, *arguments.loss):
        minutes = 0.0
        if name == START:
            pair = started(arguments, folder / START)
        else:
            pair, minutes = trained(arguments, name, folder / name)
        model = as_model(pair, name, folder / name / "model", arguments.threads)

        def run(image: Image, model: Model = model) -> FloatArray:
            return model.run(image, 1.0)

        found = [{"loss": name} | row for row in judged(run, cases, stages)]
        rows += [*found, {"loss": name, "what": "minutes", "of": "training", "value": minutes}]
        models.append(model)
        print(f"{name} judged at {time.strftime('%H:%M:%S')}", flush=True)
    return models, rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text: a line for each figure, a column for each loss."""
    names = list(dict.fromkeys(row["loss"] for row in rows))
    lines: dict[str, dict[str, float | None]] = {}
    for row in rows:
        strength = f", strength {row['strength']:g}" if "strength" in row else ""
        lines.setdefault(f"{row['what']}, {row['of']}{strength}", {})[row["loss"]] = row["value"]
    width = max(map(len, lines))
    head = " " * width + "".join(f"{name:>16}" for name in names)
    body = [
        f"{what:{width}}" + "".join(_cell(found.get(name)) for name in names) for what, found in lines.items()
    ]
    return "\n".join([head, *body])


def _cell(value: float | None) -> str:
    return f"{'-':>16}" if value is None or not np.isfinite(value) else f"{value:16.3f}"


def main() -> None:
    """Parse the command line, train, judge and write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pack", type=Path, required=True, help="folder that quell train release packed")
    parser.add_argument("--start", type=Path, required=True, help="weights.safetensors to begin with")
    parser.add_argument("--data", type=Path, required=True, help="folder of reference images")
    parser.add_argument("--crops", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--loss", action="append", choices=IMAGE, help="several times for several")
    parser.add_argument(
        "--realisations", type=int, default=48, help="of the objects with inserts; at least 4"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=Path, help="where runs are kept, so that one that stopped goes on")
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    arguments.loss = list(dict.fromkeys(arguments.loss or IMAGE))
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        models, rows = measure(arguments, arguments.runs or Path(scratch))
    print(table(rows))
    told = {key: getattr(arguments, key) for key in ("crops", "batch", "rate", "seed", "realisations")}
    FOLDERS.update({"--pack": "PACK", "--start": "WEIGHTS", "--runs": "RUNS"})
    save(
        arguments.out,
        "quell-losses",
        told_command("losses.py", sys.argv[1:]),
        models,
        {**told, "rows": rows},
    )


if __name__ == "__main__":
    main()
