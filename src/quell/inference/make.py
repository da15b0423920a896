"""The denoiser for a card: the universal model, or a network of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from quell.inference.contracts import Runtime
from quell.inference.learned_denoiser import LearnedDenoiser
from quell.inference.network_denoiser import NetworkDenoiser
from quell.models.card import ModelCard

UNIVERSAL = "universal"
"""Method of the cards whose denoiser has an estimator of the noise beside it."""

ModelDenoiser: TypeAlias = NetworkDenoiser | LearnedDenoiser


def make_denoiser(
    card: ModelCard, files: dict[str, Path], runtime: Runtime, streams: int | None = None
) -> ModelDenoiser:
    """Return what runs a model.

    Parameters
    ----------
    card : ModelCard
    files : dict of str to Path
        ONNX files by role, see `quell.models.registry.model_files`.
    runtime : Runtime
    streams : int, optional
        Slices of a series run side by side; by default one for each core that the process may use.

    Raises
    ------
    ModelError
        If the card does not say what is needed.
    """
    kind = NetworkDenoiser if card.method == UNIVERSAL else LearnedDenoiser
    return kind(card, files, runtime, streams=streams)
