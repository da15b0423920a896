"""Quality against the number of studies that a trained model is tuned with.

``python benchmarks/transfer_curve.py [--base universal.fast] [--data DATA] [--json FILE] [--steps 400]``

A base is trained on one scanner: phantoms of the trunk with noise of a sharp kernel at one dose (or is a
model that ships). It is then tuned to another scanner, of another kernel and another dose, with 0, 1, 2, 5
and 10 studies in each of the three modes, and judged on studies of that scanner that it has not seen. Each
study is a few slices with one realisation of its noise, as a site has them. With DATA the studies are real
CT images of the manifest of the training, tuned on its training patients and judged on its validation
patients, with the noise of the new scanner added; ``universal.fast`` has seen those training patients,
without that noise.

What is printed: the root mean square error in HU over all test studies, and its ratio to that of the noisy
images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric
from torch import Tensor

from quell.evaluation.references import listed, load, read_manifest
from quell.image import FloatArray, Modality
from quell.methods.contracts import Batch, DataFacts
from quell.methods.noise2noise import Noise2Noise
from quell.methods.transfer import Transfer
from quell.models.scaling import usual_scaling
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum
from quell.phantoms.procedural import random_anatomy

SLICES = 3
MODES = ("frozen", "adapter", "full")
HU = 1000.0


@dataclass(frozen=True)
class Scanner:
    """The noise of a scanner: level in network units (1000 HU), and the apodisation of its kernel."""

    level: float
    f50: float

    def power(self, rows: int, columns: int) -> FloatArray:
        fy, fx = frequency_axes(rows, columns)
        return np.asarray(normalised(ramp_spectrum(np.hypot(fy, fx), 0.02, self.f50, 3.0)), np.float32)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
        white = rng.standard_normal(shape).astype(np.float32)
        made: FloatArray = np.float32(self.level) * colour(white, self.power(*shape[-2:]))
        return np.asarray(made, np.float32)

    def correlation(self) -> tuple[float, ...]:
        """Return the autocorrelation along rows at distances of 1 to 8 pixels."""
        wave = np.fft.ifft2(self.power(256, 256)).real
        return tuple(float(v) for v in wave[0, 1:9] / wave[0, 0])


SOURCE = Scanner(level=0.03, f50=0.45)
TARGET = Scanner(level=0.06, f50=0.2)


@dataclass(frozen=True, eq=False)
class Study:
    """Slices of one patient: clean, and two scans with independent noise; shape (z, y, x)."""

    clean: FloatArray
    noisy: FloatArray
    second: FloatArray


def phantoms(count: int, seed: int, scanner: Scanner, side: int) -> list[Study]:
    made = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        made.append(scanned(random_anatomy(rng, (SLICES, side, side), "body"), rng, scanner))
    return made


def scanned(clean: FloatArray, rng: np.random.Generator, scanner: Scanner) -> Study:
    first, second = (clean + scanner.noise(rng, clean.shape) for _ in range(2))
    return Study(clean, first, second)


def real(data: Path, side: str, seed: int, scanner: Scanner, most: int) -> list[Study]:
    """Return the middle slices of real CT images of one side of the split."""
    made = []
    for entry in (e for e in read_manifest() if e["modality"] == "CT"):
        for file in listed(entry, data):
            voxels = load(file.path, "CT").voxels if file.split == side else np.empty((0, 0, 0))
            if voxels.shape[0] < SLICES or min(voxels.shape[1:]) < 128 or len(made) == most:
                continue
            start = voxels.shape[0] // 2 - SLICES // 2
            rows, columns = (n // 32 * 32 for n in voxels.shape[1:])
            clean = np.asarray(voxels[start : start + SLICES, :rows, :columns] / HU, np.float32)
            made.append(scanned(clean, np.random.default_rng((seed, len(made))), scanner))
    return made


def drawn(studies: list[Study], kind: str, size: int, batch: int, slices: int, seed: int) -> Batch:
    """Return random crops of the studies with what a site of this kind has."""
    rng = np.random.default_rng(seed)
    crops = []
    for _ in range(batch):
        study = studies[int(rng.integers(len(studies)))]
        y, x = (int(rng.integers(n - size + 1)) for n in study.clean.shape[1:])
        z = (SLICES - slices) // 2
        window = (slice(z, z + slices), slice(y, y + size), slice(x, x + size))
        crops.append([part[window] for part in (study.noisy, study.clean, study.second)])
    noisy, clean, second = (torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True))
    return Batch(
        noisy=noisy,
        clean=clean if kind == "clean" else None,
        second=second if kind == "second" else None,
        unpaired=None,
        prior=None,
        points=None,
        dose=torch.ones(batch),
        scale=torch.full((batch,), HU),
    )


def facts(scanner: Scanner, studies: list[Study], kind: str) -> DataFacts:
    return DataFacts(
        modality=Modality.CT,
        units="HU",
        items=len(studies),
        scaling=usual_scaling(Modality.CT),
        scale=HU,
        sigma=scanner.level,
        residual=(-3 * HU * scanner.level, 3 * HU * scanner.level) if kind == "clean" else None,
        correlation=scanner.correlation(),
        mean=float(np.mean([study.noisy.mean() for study in studies])),
    )


def train(method: Any, studies: list[Study], kind: str, steps: int, seed: int) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    for step in range(steps):
        stage = method.stage(step / steps)
        slices, size, _ = stage.patch
        torch.manual_seed(seed + step)
        batch = drawn(studies, kind, size, stage.batch, slices, seed + step)
        method.step(batch, step / steps, fabric)


def trained_base(folder: Path, steps: int, side: int) -> str:
    """Train the base on the source scanner and leave it as a run."""
    settings = {"steps": steps, "slices": 1, "batch": 8, "rate": 2e-3}
    studies = phantoms(40, 1, SOURCE, side)
    method = Noise2Noise(Noise2Noise.Config.model_validate(settings), facts(SOURCE, studies, "second"))
    train(method, studies, "second", steps, 10_000)
    (folder / "config.yaml").write_text(yaml.safe_dump({"name": "noise2noise", "method": settings}))
    torch.save({"average": method.state()["networks"]}, folder / "best.pt")
    return str(folder)


def error(run: Callable[[Tensor], Tensor], slices: int, studies: list[Study]) -> float:
    """Return the root mean square error in HU over the middle slices, air outside the body left out."""
    squares = []
    for study in studies:
        z = (SLICES - slices) // 2
        with torch.no_grad():
            done = run(torch.from_numpy(study.noisy[None, z : z + slices]))[0, 0].numpy()
        clean = study.clean[SLICES // 2]
        squares.append(float(((done - clean)[clean > -0.5] ** 2).mean()))
    return HU * float(np.sqrt(np.mean(squares)))


def curve(options: argparse.Namespace, base: str) -> list[dict[str, float | int | str]]:
    kind, most = options.kind, max(options.studies)
    if options.data is None:
        studies, unseen = (phantoms(n, s, TARGET, options.side) for n, s in ((most, 2), (options.tests, 3)))
    else:
        studies = real(options.data, "train", 2, TARGET, most)
        unseen = real(options.data, "validation", 3, TARGET, options.tests)
    noisy = error(lambda stack: stack[:, stack.shape[1] // 2, None], SLICES, unseen)
    rows = []
    for mode in MODES:
        for count in sorted({min(n, len(studies)) for n in options.studies}):
            config = Transfer.Config.model_validate(
                {"base": base, "mode": mode, "steps": options.steps, "batch": 4, "rate": options.rate}
            )
            torch.manual_seed(0)
            method = Transfer(config, facts(TARGET, studies[: max(count, 1)], kind))
            if count:
                train(method, studies[:count], kind, options.steps, 20_000)
            told = method.exported()
            left = error(told.module.eval(), told.slices, unseen)
            rows.append({"mode": mode, "studies": count, "rmse_hu": left, "share": left / noisy})
            print(f"{mode:8} {count:3} studies: {left:.2f} HU of {noisy:.2f}", flush=True)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    counts = sorted({row["studies"] for row in rows})
    lines = [
        "| mode | " + " | ".join(f"{n} studies" for n in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for mode in MODES:
        found = {row["studies"]: row for row in rows if row["mode"] == mode}
        cells = [f"{found[n]['rmse_hu']:.2f} ({found[n]['share']:.3f})" for n in counts]
        lines.append(f"| {mode} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base", default="", help="a run, or a model that ships; trained here if not given")
    parser.add_argument("--data", type=Path, help="folder of the real images of the manifest")
    parser.add_argument("--kind", choices=("clean", "second", "noisy"), default="clean")
    parser.add_argument("--studies", type=int, nargs="+", default=[0, 1, 2, 5, 10])
    parser.add_argument("--tests", type=int, default=8, help="studies that are judged")
    parser.add_argument("--steps", type=int, default=400, help="of every tuning: the budget")
    parser.add_argument("--base-steps", type=int, default=1500, help="of the training of the base")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--side", type=int, default=192, help="rows and columns of a phantom")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        base = options.base or trained_base(Path(folder), options.base_steps, options.side)
        rows = curve(options, base)
    print("\n" + table(rows))
    if options.json:
        told = {
            key: str(v) if isinstance(v, Path) else v for key, v in vars(options).items() if key != "json"
        }
        told["data"] = options.data is not None
        options.json.write_text(json.dumps({"options": told, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
