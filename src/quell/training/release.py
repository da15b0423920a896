"""Turn a training run into a model that ships: ONNX for running, safetensors for training on, a card.

``python -m quell.training.release RUN --tag fast --version 2.0.0`` puts it among the models of the package,
with ``--name ultrasound`` one that was trained for one kind of image alone.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from quell.errors import InputError, ModelError, QuellError
from quell.inference.kinds import KINDS
from quell.models.card import ModelCard, TrainingData
from quell.models.registry import CARD, UNIVERSAL, WEIGHTS, read_card, weights_hash
from quell.noise.spectrum import DESCRIPTOR_SIZE
from quell.training.card_texts import card_texts, checked_name
from quell.training.pack import read_manifest
from quell.training.universal import CHECKPOINT, Pair

HALO = 96
"""Above the reach of the network's convolutions; a test measures that tiles equal the whole."""


def release(run: Path, tag: str, version: str, folder: Path, name: str = "") -> Path:
    """Export the averaged weights of a run.

    Parameters
    ----------
    run : Path
        Folder of the run.
    tag, version : str
        Of the model.
    folder : Path
        Gets the model; made if absent.
    name : str
        Of the model; by default ``universal``, or that of the one kind of image that it was trained for.

    Returns
    -------
    Path
        The card that was written.

    Raises
    ------
    QuellError
        If there is no run, or the model cannot have that name.
    """
    state = _checkpoint(run)
    name = checked_name(name, tag, state["options"].get("kind", ""))
    pair = Pair(state["options"].get("tier", "fast"))
    pair.load_state_dict(state["average"])
    folder.mkdir(parents=True, exist_ok=True)
    export(pair, folder)
    save_file({k: v.contiguous() for k, v in state["average"].items()}, folder / "weights.safetensors")
    card = _card(pair, folder, (name, tag, version), state)
    (folder / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")
    return folder / CARD


def _checkpoint(run: Path) -> dict[str, Any]:
    """Return the state of a run."""
    if not (run / CHECKPOINT).is_file():
        raise InputError(run, f"holds no run of a training ({CHECKPOINT} is missing)")
    state: dict[str, Any] = torch.load(run / CHECKPOINT, map_location="cpu", weights_only=True)
    return state


def export(pair: Pair, folder: Path) -> None:
    """Write ``denoiser.onnx`` and ``estimator.onnx`` for images of any size."""
    pair = pair.eval().float()
    slices = pair.denoiser.config["slices"]
    stack, kind = torch.zeros(1, slices, 128, 128), torch.zeros(1, len(KINDS))
    told = torch.zeros(1, DESCRIPTOR_SIZE + len(KINDS))
    _export(pair.denoiser, (stack, told), ["normalised", "condition"], ["noise"], folder / "denoiser.onnx")
    outputs = ["log_level", "descriptor"]
    _export(pair.estimator, (stack[:, :1], kind), ["scaled", "kind"], outputs, folder / "estimator.onnx")


def _export(
    module: torch.nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str], file: Path
) -> None:
    sizes: dict[str, dict[int, str]] = {names[0]: {2: "y", 3: "x"}}
    with warnings.catch_warnings():
        # The older exporter says that it is old; the newer one needs a package more for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            inputs,
            str(file),
            input_names=names,
            output_names=outputs,
            dynamic_axes=sizes,
            opset_version=17,
            dynamo=False,
        )


def kmac_per_pixel(pair: Pair, side: int = 256) -> float:
    """Count the multiplications of all convolutions of the denoiser, in thousands per input pixel."""
    total = 0

    def count(module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        transposed = isinstance(module, torch.nn.ConvTranspose2d)
        places = inputs[0].shape[2:].numel() if transposed else output.shape[2:].numel()
        total += weight.numel() * places

    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    hooks = [m.register_forward_hook(count) for m in pair.denoiser.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        pair.denoiser(
            torch.zeros(1, pair.denoiser.config["slices"], side, side),
            torch.zeros(1, DESCRIPTOR_SIZE + len(KINDS)),
        )
    for hook in hooks:
        hook.remove()
    return total / side**2 / 1000


def _card(pair: Pair, folder: Path, called: tuple[str, str, str], state: dict[str, Any]) -> ModelCard:
    """Return the card of a model with this name, tag and version."""
    kind = state["options"].get("kind", "")
    told = card_texts(kind)
    name, tag, version = called
    files = {"denoiser": "denoiser.onnx", "estimator": "estimator.onnx"}
    step, seconds, cpu_seconds = state["progress"]
    options = state["options"]
    training: dict[str, str | float | int] = {
        "command": told.command,
        "remark": told.remark,
        "crops": step * options["batch"],
        "crop_size": options["size"],
        "batch": options["batch"],
        "seed": options["seed"],
        "wall_minutes": round(seconds / 60, 1),
        "cpu_minutes": round(cpu_seconds / 60, 1),
    }
    return ModelCard(
        name=name,
        tag=tag,
        version=version,
        description=told.description,
        modalities=told.modalities,
        kmac_per_pixel=round(kmac_per_pixel(pair), 2),
        parameters=sum(p.numel() for p in pair.parameters()),
        slices=pair.denoiser.config["slices"],
        kinds=KINDS,
        specialises=(kind,) if kind else (),
        multiple=2 ** len(pair.denoiser.widths),
        halo=HALO,
        files=files,
        sha256=weights_hash({role: folder / file for role, file in files.items()}),
        training_data=_training_data(),
        training=training,
        limits=told.limits,
    )


def _training_data() -> tuple[TrainingData, ...]:
    """Return the sources of which at least a part was trained on, and the phantoms."""
    seen = [e for e in read_manifest() if e.get("split", "train") == "train"]
    sources = [TrainingData(name=e["source"], licence=e["licence"], what=e["modality"]) for e in seen]
    phantoms = TrainingData(name="procedural anatomy of Quell", licence="Apache-2.0", what="all")
    return (*sources, phantoms)


def add_metrics(card_file: Path, measured: list[Path]) -> None:
    """Write the figures of validation runs into a card, in the place of those that it has.

    Parameters
    ----------
    card_file : Path
    measured : list of Path
        JSON written by ``benchmarks/validation.py`` or ``benchmarks/physics_validation.py`` for the
        weights of this card.

    Raises
    ------
    ModelError
        If the figures are those of other weights.
    """
    card = read_card(card_file)
    metrics: dict[str, float] = {}
    commands = []
    for file in measured:
        told = json.loads(file.read_text())
        own = told["models"][-1]["sha256"] if "models" in told else told["sha256"]
        if own != card.sha256:
            raise ModelError(f"{file}: these figures were measured with other weights")
        metrics |= _physical_figures(told) if "models" in told else _figures(told)
        commands.append(told["command"])
    card = card.model_copy(update={"metrics": metrics, "metrics_command": "; ".join(commands)})
    card_file.write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")


def add_strengths(card_file: Path, measured: Path) -> None:
    """Write the default strength and grain of every kind of image into a card.

    Parameters
    ----------
    card_file : Path
    measured : Path
        JSON written by ``benchmarks/strength.py`` for the weights of this card. SPECT, which it does not
        measure, gets the strength of PET: both are reconstructed activity.

    Raises
    ------
    ModelError
        If the figures are those of other weights.
    """
    card = read_card(card_file)
    told = json.loads(measured.read_text())
    if told["sha256"] != card.sha256:
        raise ModelError(f"{measured}: these figures were measured with other weights")
    found = dict(told["modalities"])
    if "PT" in found:
        found["SPECT"] = found["PT"]
    update = {
        key: {kind: float(found[kind]["chosen"][key]) for kind in KINDS if kind in found}
        for key in ("strength", "grain")
    }
    card = card.model_copy(update=update)
    card_file.write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n")


def _figures(told: dict[str, Any]) -> dict[str, float]:
    """Return the figures with Gaussian noise."""
    metrics = {}
    for modality, levels in told["results"].items():
        for level, rows in levels.items():
            for method, (psnr, ssim) in rows.items():
                metrics[f"{modality} at {level}: {method}, PSNR dB"] = round(psnr, 2)
                metrics[f"{modality} at {level}: {method}, SSIM"] = round(ssim, 4)
    return metrics


def _physical_figures(told: dict[str, Any]) -> dict[str, float]:
    """Return the figures with the noise of each modality, and what the newest weights gain on older ones."""
    metrics = {}
    *older, newest = (entry["model"] for entry in told["models"])
    for kind, amounts in told["results"].items():
        for amount, row in amounts.items():
            name, found = f"{kind}, {row['amount_means']} {amount}", row["mean_psnr_db"]
            metrics[f"{name}: noisy, PSNR dB"] = round(found["noisy"], 2)
            metrics[f"{name}: network, PSNR dB"] = round(found[newest], 2)
            for other in older:
                metrics[f"{name}: gain over {other}, dB"] = round(found[newest] - found[other], 2)
    return metrics


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", help="folder of the run")
    parser.add_argument(
        "--metrics", type=Path, nargs="+", help="only write the figures of validation runs into the card"
    )
    parser.add_argument(
        "--strengths", type=Path, help="only write the default strengths that were measured into the card"
    )
    parser.add_argument(
        "--name", default="", help=f"[default: {UNIVERSAL}; of a run of one kind of image, that of the kind]"
    )
    parser.add_argument("--tag", default="fast")
    parser.add_argument("--version", default="1.0.0")
    arguments = parser.parse_args()
    if not (arguments.metrics or arguments.strengths or arguments.run):
        parser.error("name the folder of a run, --metrics or --strengths")
    try:
        print(_done(arguments))
    except (QuellError, OSError) as error:
        parser.error(str(error))


def _done(arguments: argparse.Namespace) -> Path:
    """Do what the command line says and return the card."""
    only = arguments.metrics or arguments.strengths
    kind = "" if only else _checkpoint(arguments.run)["options"].get("kind", "")
    name = checked_name(arguments.name, arguments.tag, kind)
    folder: Path = WEIGHTS / f"{name}.{arguments.tag}"
    if not only:
        return release(arguments.run, arguments.tag, arguments.version, folder, name)
    if arguments.metrics:
        add_metrics(folder / CARD, arguments.metrics)
    if arguments.strengths:
        add_strengths(folder / CARD, arguments.strengths)
    return folder / CARD


if __name__ == "__main__":
    main()
