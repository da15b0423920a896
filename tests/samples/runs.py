"""Folders as finished training runs leave them, with networks of one convolution or two."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quell.image import Modality
from quell.models.card import ModelCard
from quell.models.registry import weights_hash
from quell.models.scaling import usual_scaling

SIDE = 3
REACH = 2
"""Pixels on each side that an output depends on: two convolutions of 3."""


def make_run(folder: Path, module: Any, modality: Modality = Modality.CT, **changes: Any) -> Path:
    """Export a torch module and write its card; return the folder of the run.

    Parameters
    ----------
    folder : Path
    module : nn.Module
        See `quell.methods.contracts.Exported`.
    modality : Modality
    **changes
        Fields of the card.
    """
    import torch

    values: dict[str, Any] = {
        "name": "tiny",
        "tag": folder.name,
        "version": "1",
        "description": "For tests.",
        "modalities": (modality.value,),
        "kmac_per_pixel": 0.1,
        "parameters": sum(p.numel() for p in module.parameters()),
        "slices": 1,
        "multiple": 1,
        "halo": REACH,
        "files": {"denoiser": "denoiser.onnx"},
        "sha256": "",
        "method": "tiny",
        "scaling": usual_scaling(modality).model_dump(mode="json"),
    }
    card = ModelCard.model_validate({**values, **changes})
    model = folder / "model"
    model.mkdir(parents=True)
    flat, axes = card.dimensions == 2, {2: "y", 3: "x"} if card.dimensions == 2 else {2: "z", 3: "y", 4: "x"}
    names = ["noisy", *(["prior"] if card.prior else []), *(["noise"] if card.samples else [])]
    channels = {"noise": 1}
    inputs = tuple(
        torch.zeros(1, channels.get(name, card.slices), 16, 16) if flat else torch.zeros(1, 1, 8, 16, 16)
        for name in names
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            inputs,
            str(model / "denoiser.onnx"),
            input_names=names,
            output_names=list(card.outputs),
            dynamic_axes=dict.fromkeys((*names, *card.outputs), axes),
            opset_version=17,
            dynamo=False,
        )
    digest = weights_hash({"denoiser": model / "denoiser.onnx"})
    card = card.model_copy(update={"sha256": digest})
    (model / "card.json").write_text(json.dumps(card.model_dump(mode="json")), encoding="utf-8")
    return folder


def network(
    inputs: int = 1,
    outputs: int = 1,
    dimensions: int = 2,
    finish: Callable[..., Any] | None = None,
    seed: int = 0,
) -> Any:
    """Return two convolutions over all inputs side by side; `finish` makes the outputs of their result."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    convolution: Any = nn.Conv2d if dimensions == 2 else nn.Conv3d
    # Padding by zeros, as most networks do it: the border of the image is then no border of a tile.
    body = nn.Sequential(
        convolution(inputs, 4, SIDE, padding=1), nn.ReLU(), convolution(4, outputs, SIDE, padding=1)
    )

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, *given: Any) -> Any:
            found = self.body(torch.cat(given, dim=1))
            return found if finish is None else finish(found, *given)

    return Tiny()
