"""Turn a trained method into a model: ONNX for running, safetensors for training on, a card."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from quell.errors import ModelError
from quell.formats.atomic import atomic_folder
from quell.methods.base import plain
from quell.methods.contracts import DataFacts, Exported, Fidelity, MethodFacts
from quell.models.card import ModelCard, TrainingData
from quell.models.registry import CARD, weights_hash
from quell.training.run_folder import MODEL

DENOISER = "denoiser.onnx"
WEIGHTS = "weights.safetensors"

OPSET = 17
TOLERANCE = 1e-3
"""Largest difference between torch and ONNX Runtime, in parts of the largest value."""


def export_model(
    method: Any,
    run: Path,
    manifest: Sequence[Mapping[str, Any]],
    training: Mapping[str, str | float | int],
    metrics: Mapping[str, float],
) -> Path:
    """Write the model of a run from the weights that the method has.

    Parameters
    ----------
    method : Method
        With networks that are not wrapped.
    run : Path
        Its folder; the model goes into ``model`` in it.
    manifest : sequence of mapping
        A row for each image: ``licence``, ``modality``, ``split``.
    training, metrics : mapping
        What the card says of the training and of its validation.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    ModelError
        If ONNX computes something else than the network.
    """
    exported: Exported = method.exported()
    networks = {name: plain(network).cpu() for name, network in method.networks.items()}
    module = exported.module.cpu().float().eval()
    with atomic_folder(run / MODEL) as folder:
        export_onnx(exported, module, folder / DENOISER)
        check_onnx(exported, module, folder / DENOISER)
        save_file(_flat(networks), folder / WEIGHTS)
        files = {"denoiser": DENOISER}
        found = {
            "kmac_per_pixel": round(kmac_per_pixel(exported, module), 2),
            "parameters": sum(p.numel() for p in module.parameters()),
            "files": files,
            "sha256": weights_hash({role: folder / name for role, name in files.items()}),
            "training_data": _sources(manifest),
            "training": dict(training),
            "metrics": dict(metrics),
        }
        card = _card(method.facts, method.data, exported, run.resolve().name, found)
        (folder / CARD).write_text(json.dumps(card.model_dump(mode="json"), indent=2) + "\n", "utf-8")
    return run / MODEL / CARD


def export_onnx(exported: Exported, module: nn.Module, file: Path) -> None:
    """Write a network for images of any size.

    Inputs are ``noisy``, ``prior`` and ``noise``, as far as the network takes them; outputs are those that
    it says. One image at a time.
    """
    names = input_names(exported)
    space = {2: "z", 3: "y", 4: "x"} if exported.dimensions == 3 else {2: "y", 3: "x"}
    with warnings.catch_warnings(), torch.no_grad():
        # The older exporter says that it is old; the newer one needs a package more for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(example(exported)),
            str(file),
            input_names=names,
            output_names=list(exported.outputs),
            dynamic_axes={name: dict(space) for name in (*names, *exported.outputs)},
            opset_version=OPSET,
            dynamo=False,
        )


def check_onnx(exported: Exported, module: nn.Module, file: Path) -> None:
    """Compare a network in ONNX Runtime with itself in torch, at another size than it was exported with.

    Raises
    ------
    ModelError
        If they differ.
    """
    import onnxruntime

    told = example(exported, more=1)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in zip(input_names(exported), told, strict=True)}
    try:
        found = session.run(None, {one.name: given[one.name] for one in session.get_inputs()})
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"the exported network does not run at other sizes: {reason}") from error
    with torch.no_grad():
        expected = module(*told)
    for name, mine, theirs in zip(exported.outputs, _listed(expected), found, strict=True):
        difference = float((mine - torch.from_numpy(theirs)).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(mine.abs().max())):
            raise ModelError(
                f"the exported network gives another {name} than the trained one: {difference:.2g}"
            )


def input_names(exported: Exported) -> list[str]:
    """Return what the exported network is told."""
    return ["noisy", *(["prior"] if exported.prior else []), *(["noise"] if exported.samples else [])]


def example(exported: Exported, more: int = 0) -> list[Tensor]:
    """Return inputs of the smallest usual size; `more` makes rows and slices longer by so many multiples."""
    generator = torch.Generator().manual_seed(1)
    unit = exported.multiple
    side = -(-(32 if exported.dimensions == 3 else 64) // unit) * unit
    depth = -(-8 // unit) * unit
    plane = (side + more * unit, side)
    shape = (1, 1, depth + more * unit, *plane) if exported.dimensions == 3 else (1, exported.slices, *plane)
    told = [torch.rand(shape, generator=generator) for _ in range(1 + exported.prior)]
    if exported.samples:
        told.append(torch.randn((1, 1, *shape[2:]), generator=generator))
    return told


def kmac_per_pixel(exported: Exported, module: nn.Module) -> float:
    """Count the multiplications for a pixel of the result, in thousands, over all draws that are averaged."""
    told = example(exported)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*told)
    # A multiplication and an addition are two operations.
    macs: float = counter.get_total_flops() / 2
    return macs * max(1, exported.samples) / told[0][0, 0].numel() / 1000


def model_tag(folder: str) -> str:
    """Return the tag of a model from the name of its run's folder: small letters, digits, hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "run"


def _card(
    facts: MethodFacts, data: DataFacts, exported: Exported, folder: str, found: Mapping[str, Any]
) -> ModelCard:
    source = f"Source: {facts.source}" if facts.source else ""
    named = (
        ""
        if facts.fidelity is Fidelity.NAMED
        else f"{facts.fidelity.value[:1].upper()}{facts.fidelity.value[1:]}"
    )
    words = (facts.title, named, source)
    return ModelCard(
        name=facts.name,
        tag=model_tag(folder),
        version="1.0.0",
        description=" ".join(f"{word.rstrip('.')}." for word in words if word),
        modalities=(data.modality.value,),
        slices=exported.slices,
        multiple=exported.multiple,
        halo=exported.halo,
        limits=_limits(facts, data),
        licence="that of whoever trained it",
        method=facts.name,
        dimensions=exported.dimensions,
        scaling=data.scaling,
        outputs=exported.outputs,
        prior=tuple(modality.value for modality in facts.prior) if exported.prior else (),
        samples=exported.samples,
        metrics_command="the validation of its own training",
        **found,
    )


def _limits(facts: MethodFacts, data: DataFacts) -> tuple[str, ...]:
    images = "1 training image" if data.items == 1 else f"{data.items} training images"
    said = [f"Trained on {images} of one user; nothing is known of others."]
    if data.modality not in facts.modalities:
        meant = ", ".join(modality.value for modality in facts.modalities)
        said.append(f"The method is meant for {meant}.")
    if facts.ours:
        said.append(f"Our choice, not found in the source: {facts.ours}")
    return tuple(said)


def _sources(manifest: Sequence[Mapping[str, Any]]) -> tuple[TrainingData, ...]:
    """Return how many images were learned from under each licence.

    Their names stay in the run: those of studies may say who the patients are.
    """
    learned = [entry for entry in manifest if entry.get("split", "train") == "train"]
    kinds = Counter((str(e.get("licence", "not told")), str(e.get("modality", ""))) for e in learned)
    return tuple(
        TrainingData(name="1 image" if count == 1 else f"{count} images", licence=licence, what=modality)
        for (licence, modality), count in kinds.items()
    )


def _flat(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return all weights as ``network.weight``, each with memory of its own."""
    return {
        f"{name}.{key}": value.detach().clone().contiguous()
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }


def _listed(out: Any) -> list[Tensor]:
    return list(out) if isinstance(out, (tuple, list)) else [out]
