"""Every learning method, trained alike and judged side by side with the classical ones.

``python benchmarks/methods.py --data DIR --minutes 3 -o docs/results/methods``

Each family has one modality: the same training images, noise and validation images for all of its methods,
the same wall time and one processor core each, networks of a width that a small machine can train in it.
Writes ``methods.json`` and the pages of the benchmark; ``python benchmarks/methods_page.py`` makes one page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from quell.errors import QuellError
from quell.evaluation.benchmark.record import Benchmark, Table
from quell.evaluation.denoisers import known_names
from quell.evaluation.report.benchmark_files import write_benchmark
from quell.image import FloatArray, Image, Modality
from quell.jobs.benchmark import BenchmarkSettings, run_benchmark
from quell.machine import describe_machine
from quell.models.registry import CARD, read_card
from quell.training.data.images import find_references, read_image
from quell.training.data.noise import scan_image
from quell.training.data.slices import kept_slices

BASELINE = "universal.fast"


@dataclass(frozen=True)
class Entry:
    """A method as it takes part in a family.

    Attributes
    ----------
    method : str
    settings : tuple of str
        Where they differ from the method's own, as ``quell train --set`` takes them.
    name : str
        Of its row; the method's where empty.
    """

    method: str
    settings: tuple[str, ...] = ()
    name: str = ""

    @property
    def row(self) -> str:
        """Name of the row and of the folder of the run."""
        return self.name or self.method


@dataclass(frozen=True)
class Family:
    """Methods that are trained and judged on the same images.

    Attributes
    ----------
    name, title : str
    modality : Modality
    real : bool
        Train on and judge by the data folder; else on drawn anatomy and test objects.
    doses : tuple of float
        Of the training and of the tables.
    entries : tuple of Entry
    settings : tuple of str
        For all of them.
    """

    name: str
    title: str
    modality: Modality
    real: bool
    doses: tuple[float, ...]
    entries: tuple[Entry, ...]
    settings: tuple[str, ...] = ()


def _rate(value: float = 1e-3) -> str:
    return f"method.rate={value:g}"


SMALL = ("method.batch=8", "method.size=64")

LEARNING = (
    Entry("unet", ("method.width=16", "method.depth=3", *SMALL), "unet"),
    Entry("noise2noise", SMALL),
    Entry("neighbor2neighbor", SMALL),
    Entry("noise2void", SMALL),
    Entry("gr2r", SMALL),
    Entry("unsure", SMALL),
)
"""With a clean image, with a second noisy one, with neither."""

FAMILIES = (
    Family(
        "ct",
        "Computed tomography",
        Modality.CT,
        True,
        (0.25, 0.1),
        (
            Entry("redcnn", ("method.width=32", _rate(), *SMALL)),
            Entry("dncnn", ("method.width=32", *SMALL)),
            Entry("unet", ("method.width=16", "method.depth=3", *SMALL)),
            Entry("resnet", ("method.width=32", "method.blocks=5", _rate(), *SMALL)),
            Entry(
                "wgan-perceptual",
                ("method.width=16", "method.critic_width=16", "method.residual=true", _rate(3e-4), *SMALL),
            ),
            Entry(
                "unad",
                (
                    *("method.width=24", _rate(), "method.batch=8", "method.batches=[4,4,2,2]"),
                    *("method.crops=[2,2,2,2]", "method.sizes=[64,64,96,96]"),
                    # With the authors' weights of the losses a short run learns nothing.
                    *("method.gain=41", "method.image_weight=1680"),
                ),
            ),
            Entry("capad", ("method.width=16", "method.critic_width=16", _rate(5e-4), *SMALL)),
            *LEARNING[1:],
            Entry("transfer", (f"method.base={BASELINE}", "method.mode=full", "method.batch=8")),
        ),
    ),
    Family("mr", "Magnetic resonance", Modality.MR, True, (0.25, 0.1), LEARNING),
    Family(
        "pet",
        "Positron emission tomography",
        Modality.PT,
        False,
        (0.25, 0.1),
        (
            # The benchmark shows methods one image, so they learn without a second one.
            Entry("pet-unet", ("data.prior=false", "method.widths=[16,32,64]", _rate(), *SMALL)),
            Entry(
                "pet-ddpm",
                (
                    *("data.prior=false", "method.widths=[16,32,48]", "method.sampling_steps=5"),
                    *("method.samples=2", _rate(), *SMALL),
                ),
            ),
            Entry("noise2noise", SMALL),
            Entry("neighbor2neighbor", SMALL),
        ),
    ),
    Family(
        "bone",
        "Planar bone scintigraphy",
        Modality.NM,
        False,
        (0.25, 0.1),
        (
            Entry("scintigraphy-unet", ("method.width=8", "method.size=128", "method.batch=4", _rate(4e-3))),
            Entry(
                "scintigraphy-unet",
                (
                    *("method.width=8", "method.size=128", "method.batch=4", _rate(4e-3)),
                    "method.target=independent",
                ),
                "scintigraphy-unet-independent",
            ),
            Entry("noise2noise", SMALL),
            Entry("gr2r", ("method.law=poisson", *SMALL)),
        ),
    ),
    Family(
        "us",
        "Ultrasound",
        Modality.US,
        False,
        (1.0, 2.0),
        (
            Entry("ultrasound-cnn", ("method.batch=8",)),
            Entry("ultrasound-gbm"),
            Entry("ultrasound-cnn-gbm", ("method.batch=8",)),
            Entry("noise2noise", SMALL),
        ),
    ),
)


@dataclass(frozen=True)
class Trained:
    """How a training ended.

    Attributes
    ----------
    family, row, method : str
    minutes : float
        Of wall time.
    failed : str
        The last line that it printed, where it did not end well.
    card : dict
    """

    family: str
    row: str
    method: str
    minutes: float
    failed: str = ""
    card: dict[str, Any] | None = None


def material(family: Family, arguments: argparse.Namespace) -> Path:
    """Write the training images of a family once for all methods: clean, noisy and second noisy volumes."""
    folder: Path = arguments.runs / family.name / "data"
    done = folder / "complete"
    if done.exists():
        return folder
    for number, one in enumerate(find_references(arguments.data, family.modality)):
        image = read_image(one)
        if one.split != "train" or (family.modality is Modality.CT and min(image.shape[1:]) < 100):
            continue
        kept = kept_slices(image, arguments.slices, True)
        try:
            roles = scan_image(image, family.doses, 2, (arguments.seed, number), kept)
        except QuellError as error:
            print(f"{family.name}: {error}", flush=True)
            continue
        for variant in roles.variants:
            for role in ("clean", "noisy", "second"):
                file = folder / role / f"p{number:03d}" / f"{variant.noisy:02d}.nii.gz"
                _save(roles.images[getattr(variant, role)], image, file)
    done.write_text("ok\n", "utf-8")
    return folder


def _save(voxels: FloatArray, image: Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    z, y, x = image.geometry.spacing
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([-x, -y, z, 1.0])), file)


def train(family: Family, entry: Entry, arguments: argparse.Namespace) -> Trained:
    """Train one method through the command; a run that has its model is taken as it is."""
    run = arguments.runs / family.name / entry.row
    started = time.perf_counter()
    if not (run / "model" / CARD).exists():
        command = _command(family, entry, run.relative_to(arguments.runs), arguments)
        # Messages name files, and those of the runs are told from here.
        done = subprocess.run(command, capture_output=True, text=True, cwd=arguments.runs)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
            return Trained(family.name, entry.row, entry.method, _minutes(started), last)
    card = read_card(run / "model" / CARD).model_dump(mode="json")
    return Trained(family.name, entry.row, entry.method, _minutes(started), "", card)


def _command(family: Family, entry: Entry, run: Path, arguments: argparse.Namespace) -> list[str]:
    words = [sys.executable, "-m", "quell", "train", entry.method, "-q", "-o", str(run)]
    words += ["--minutes", f"{arguments.minutes:g}", "--seed", str(arguments.seed)]
    # Processor time, so that other work on the machine takes nothing from a method.
    words += ["--precision", arguments.precision, "--set", "run.clock=processor"]
    words += ["--modality", family.modality.value.lower()]
    if family.real:
        words += ["--data", str(Path(family.name) / "data")]
    else:
        words += ["--doses", ",".join(f"{d:g}" for d in family.doses)]
    for setting in (*family.settings, *entry.settings):
        words += ["--set", setting]
    return [*words, "--force"]


def _minutes(started: float) -> float:
    return round((time.perf_counter() - started) / 60, 2)


def judge(family: Family, trained: Sequence[Trained], arguments: argparse.Namespace) -> Benchmark:
    """Run the benchmark on the runs that have a model, the network that ships and the classical methods."""
    rows = [str(Path(family.name) / one.row) for one in trained if not one.failed]
    settings = BenchmarkSettings(
        modalities=(family.modality,),
        denoisers=(*known_names(family.modality), *rows),
        data=arguments.data if family.real else None,
        doses=family.doses,
        images=arguments.images,
        tuning_images=3,
        budget=8,
        rounds=3,
        task=True,
        pairs=arguments.pairs,
        seed=arguments.seed,
        command=f"python benchmarks/methods.py --minutes {arguments.minutes:g} --family {family.name}",
    )
    return run_benchmark(settings, say=lambda text: print(text, flush=True))


def told(family: Family, trained: Sequence[Trained], found: Benchmark) -> dict[str, Any]:
    """Return what the page needs of a family."""
    return {
        "title": family.title,
        "modality": family.modality.value,
        "real": family.real,
        "doses": family.doses,
        "settings": {entry.row: [*family.settings, *entry.settings] for entry in family.entries},
        "trained": [asdict(one) for one in trained],
        "tables": [_table(table) for table in found.tables],
        "speed": {row.denoiser: row.milliseconds and row.milliseconds.value for row in found.speed},
        "detections": [
            {
                "task": one.task,
                "signal": one.signal,
                "dose": one.dose,
                "pairs": one.pairs,
                "rows": [asdict(row) for row in one.rows],
            }
            for one in found.detections
        ],
        "left_out": found.left_out,
        "seconds": found.seconds,
    }


def _table(table: Table) -> dict[str, Any]:
    rows = [
        {
            "denoiser": row.denoiser,
            "failed": row.failed,
            "values": {key: asdict(value) for key, value in row.values.items()},
            "per_image": row.per_image,
        }
        for row in table.rows
    ]
    return {
        "dose": table.dose,
        "title": table.title,
        "images": table.images,
        "patients": table.patients,
        "source": table.source,
        "data_sha256": table.data_sha256,
        "rows": rows,
    }


def main() -> None:
    """Train and judge what is asked for, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the manifest's images")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/methods"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--minutes", type=float, default=3.0, help="of training for each method")
    parser.add_argument("--precision", choices=("32", "bf16"), default="bf16", help="of the training")
    parser.add_argument("--family", action="append", choices=[one.name for one in FAMILIES])
    parser.add_argument("--side-by-side", type=int, default=2, help="trainings at a time, one core each")
    parser.add_argument("--slices", type=int, default=9, help="of each training image")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in ("data", "out", "runs"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen = [one for one in FAMILIES if not arguments.family or one.name in arguments.family]
    for one in chosen:
        if one.real:
            material(one, arguments)
    work = [(family, entry) for family in chosen for entry in family.entries]
    with ThreadPoolExecutor(arguments.side_by_side) as pool:
        trained = list(pool.map(lambda pair: train(*pair, arguments), work))
    for one in trained:
        print(f"{one.family}/{one.row}: {one.failed or f'{one.minutes} minutes'}", flush=True)
    # Runs are named by their folders, so that rows are `ct/redcnn`.
    os.chdir(arguments.runs)
    for family in chosen:
        own = [one for one in trained if one.family == family.name]
        found = judge(family, own, arguments)
        write_benchmark(replace(found, machine=describe_machine()), arguments.out / family.name)
        _write(arguments.out / "methods.json", family, told(family, own, found), arguments)


def _write(file: Path, family: Family, values: dict[str, Any], arguments: argparse.Namespace) -> None:
    known = json.loads(file.read_text("utf-8")) if file.exists() else {"families": {}}
    known["minutes"], known["seed"], known["machine"] = arguments.minutes, arguments.seed, describe_machine()
    known["families"][family.name] = values
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known, indent=1, default=str) + "\n", "utf-8")


if __name__ == "__main__":
    main()
