"""Does int8 pay for the denoiser? Quantised after training, beside 32-bit and bfloat16 numbers.

``python benchmarks/int8.py --data DATA [--model universal.fast] [-o FILE]``

Static quantisation of the convolutions by ONNX Runtime: weights by output channel, activations by tensor,
with the ranges of what the product gives the network for images of the training split; once all of them, once
without the first and the last. All run through OpenVINO on the processor. PSNR on validation patients and
drawn objects (see physics_validation.py), at full strength; time of the network alone on a slice of
512 x 512, the variants by turns. With ``--aware CROPS --pack PACK`` the weights are trained on with the
rounding in place, where what was quantised after training is fast enough and not good enough.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from int8_aware import overrides, ranges, train_aware
from int8_networks import Precise, calibration, quantise, quantised_convolutions
from physics_validation import Case, ct_cases, mr_cases, object_cases, psnr
from release_common import FOLDERS, Model, save, told_command

from quell.inference.contracts import Runtime
from quell.inference.network_denoiser import NetworkDenoiser
from quell.inference.openvino_runtime import OpenVINORuntime
from quell.models.card import ModelCard
from quell.models.registry import locate, model_files, weights_hash
from quell.training.universal import Options

NEAR_DB = 0.05
"""What int8 may cost against bfloat16."""

F32, SHORT, WHOLE, ENDS, AWARE = "f32", "as shipped", "int8", "int8, ends in floats", "int8, aware"
POST = (WHOLE, ENDS)

INSTRUCTIONS = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16"),
)
"""That decide on the speed of short numbers, as Linux names them."""


def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return which of `INSTRUCTIONS` the processor has; nothing where the system does not tell."""
    if not cpuinfo.is_file():
        return []
    lines = cpuinfo.read_text("utf-8").splitlines()
    words = {w for line in lines if line.lower().startswith(("flags", "features")) for w in line.split()}
    return [name for name in INSTRUCTIONS if name in words]


def cases(data: Path) -> dict[str, list[Case]]:
    """Return the cases by name; patients count only where they are clean enough."""
    found: dict[str, list[Case]] = {}
    for dose in (0.25, 0.1):
        found[f"CT patients at dose {dose:g}"] = [case for case in ct_cases(data, dose) if case.quiet]
        found[f"drawn CT at dose {dose:g}"] = list(object_cases(("anatomy-ct",), 1e3, data, dose))
    found["MR patients at SNR 6"] = [case for case in mr_cases(data, 6.0) if case.quiet]
    found["drawn PET at dose 0.25"] = list(object_cases(("pet-nema-iq", "anatomy-pet"), 1e3, data, 0.25))
    return found


def as_model(name: str, card: ModelCard, files: Mapping[str, Path], network: Path, runtime: Runtime) -> Model:
    """Return the product with another network in the place of its denoiser."""
    changed = {**files, "denoiser": network}
    told = card.model_copy(update={"sha256": weights_hash(changed)})
    denoiser = NetworkDenoiser(told, changed, runtime)
    return Model(name, denoiser, card.version, told.sha256, runtime.description)


def likeness(models: Mapping[str, Model], some: Mapping[str, Sequence[Case]]) -> list[dict[str, Any]]:
    """Return the mean PSNR of every variant on every set of cases, dB."""
    rows = []
    for of, few in some.items():
        row: dict[str, Any] = {"of": of, "images": len(few)}
        noisy = [psnr(case, case.noisy.voxels) for case in few]
        row["psnr_db"] = {"noisy": _mean(noisy)} | {
            name: _mean([psnr(case, model.run(case.noisy, 1.0)) for case in few])
            for name, model in models.items()
        }
        print(f"{of} ({len(few)}): " + ", ".join(f"{n} {v}" for n, v in row["psnr_db"].items()), flush=True)
        rows.append(row)
    return rows


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def speed(
    networks: Mapping[str, Path], runtime: OpenVINORuntime, inputs: Mapping[str, Any], rounds: int
) -> dict[str, float]:
    """Return the median milliseconds of a slice of 512 x 512, all variants by turns."""
    stack = np.random.default_rng(0).standard_normal((1, inputs["normalised"].shape[1], 512, 512))
    told = [stack.astype(np.float32), inputs[next(name for name in inputs if name != "normalised")]]
    shapes = {name: one.shape for name, one in zip(inputs, told, strict=True)}
    loaded = {name: runtime.load(file, shapes, 1, name == F32) for name, file in networks.items()}
    spent: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds + 2):
        for name, network in loaded.items():
            begun = time.perf_counter()
            network(*told)
            spent[name].append(time.perf_counter() - begun)
    # The first rounds fill caches.
    return {name: round(1e3 * float(np.median(times[2:])), 3) for name, times in spent.items()}


def verdict(name: str, rows: Sequence[Mapping[str, Any]], slice_ms: Mapping[str, float]) -> dict[str, Any]:
    """Return what a variant costs and gains against the network as it ships."""
    lost = {
        row["of"]: round(row["psnr_db"][SHORT] - row["psnr_db"][name], 4)
        for row in rows
        if row["psnr_db"][SHORT] is not None
    }
    return {
        "lost_db": lost,
        "worst_lost_db": max(lost.values()),
        "near": max(lost.values()) <= NEAR_DB,
        "times_as_fast": round(slice_ms[SHORT] / slice_ms[name], 3),
    }


def why_not_aware(verdicts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return why training with the rounding in place is not worth a trial; nothing where it is."""
    near = [name for name, one in verdicts.items() if one["near"]]
    if near:
        return f"within {NEAR_DB:g} dB without it: {', '.join(near)}"
    if all(one["times_as_fast"] <= 1 for one in verdicts.values()):
        return "int8 is no faster on this processor"
    return ""


def aware(
    arguments: argparse.Namespace, after: Path, folder: Path, inputs: Sequence[Mapping[str, Any]]
) -> Path:
    """Train with the ranges of a network that was quantised after training; return one quantised alike."""
    weights = locate(arguments.model).folder / "weights.safetensors"
    options = Options(crops=arguments.aware, rate=arguments.rate, seed=arguments.seed, tier=arguments.tier)
    found = ranges(after)
    floats = train_aware(arguments.pack, weights, folder / "aware", options, found)
    target = folder / "aware.onnx"
    quantise(floats, target, inputs, True, arguments.calibration, overrides(found))
    return target


def measure(arguments: argparse.Namespace, folder: Path) -> tuple[list[Model], dict[str, Any]]:
    """Quantise, measure and print; return the models and what was found."""
    located = locate(arguments.model)
    card, files = located.card, model_files(located.card, located.folder)
    runtime = OpenVINORuntime(threads=arguments.threads)
    inputs = calibration(card, files, runtime, arguments.data)
    some = cases(arguments.data)
    networks = {F32: files["denoiser"], SHORT: files["denoiser"]}
    for name in POST:
        networks[name] = folder / f"{len(networks)}.onnx"
        quantise(files["denoiser"], networks[name], inputs, name == ENDS, arguments.calibration)

    def found() -> tuple[list[Model], dict[str, Any]]:
        models = {
            name: as_model(name, card, files, file, Precise(runtime) if name == F32 else runtime)
            for name, file in networks.items()
        }
        rows, slice_ms = likeness(models, some), speed(networks, runtime, inputs[0], arguments.rounds)
        verdicts = {name: verdict(name, rows, slice_ms) for name in networks if name not in (F32, SHORT)}
        told = {name: quantised_convolutions(networks[name]) for name in verdicts}
        values = {"quantised_convolutions": told, "rows": rows, "slice_ms": slice_ms, "verdicts": verdicts}
        return list(models.values()), values

    models, values = found()
    why = why_not_aware(values["verdicts"]) or ("" if arguments.aware else "it was not asked for")
    if not why:
        networks[AWARE] = aware(arguments, networks[ENDS], folder, inputs)
        models, values = found()
    head = {"instructions": instructions(), "threads": arguments.threads, "why_aware_was_not_run": why}
    return models, {**head, "calibration": [arguments.calibration, len(inputs)], **values}


def main() -> None:
    """Parse the command line, measure and write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of reference images")
    parser.add_argument("--model", default="universal.fast", help="name or folder of a model")
    parser.add_argument("--calibration", choices=("MinMax", "Entropy", "Percentile"), default="Percentile")
    parser.add_argument("--aware", type=int, default=0, metavar="CROPS", help="train so many crops on")
    parser.add_argument("--pack", type=Path, help="for --aware: folder that quell train release packed")
    parser.add_argument("--tier", default="fast", help="for --aware: size of the model")
    parser.add_argument("--rate", type=float, default=5e-4, help="for --aware")
    parser.add_argument("--seed", type=int, default=0, help="for --aware")
    parser.add_argument("--rounds", type=int, default=30, help="of the measurement of the time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    if arguments.aware and arguments.pack is None:
        parser.error("--aware needs --pack")
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        models, values = measure(arguments, Path(scratch))
    for name, one in values["verdicts"].items():
        print(f"{name}: {one}")
    print(f"milliseconds a slice: {values['slice_ms']}")
    FOLDERS.update({"--pack": "PACK"})
    save(arguments.out, "quell-int8", told_command("int8.py", sys.argv[1:]), models, values)


if __name__ == "__main__":
    main()
