"""What an image shows, as a network is told: which noise to expect, and which structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quell.image import Image, Modality
from quell.models.card import ModelCard

KINDS = ("CT", "MR", "PT", "SPECT", "NM", "US", "XR")
"""In the order in which networks are told; ``"NM"`` is a planar scintigram."""


def kind_of(image: Image) -> str:
    """Return which of `KINDS` an image is, or nothing where its modality is not known."""
    return kind_for(image.modality, image.volume)


def kind_for(modality: Modality, volume: bool) -> str:
    """Return which of `KINDS` the images of a modality are, or nothing where it is not known.

    Parameters
    ----------
    modality : Modality
    volume : bool
        Whether the slices of an image are neighbours.
    """
    if modality is Modality.NM and volume:
        return "SPECT"
    return modality.value if modality.value in KINDS else ""


def usual_strength(card: ModelCard, image: Image) -> float:
    """Return the share of the noise that a model takes away from an image where the user says nothing."""
    return card.strength.get(kind_of(image), 1.0)


def usual_grain(card: ModelCard, image: Image) -> float:
    """Return the share of the fine noise that a model leaves in an image where the user says nothing."""
    return card.grain.get(kind_of(image), 0.0)


def one_hot(kind: str, kinds: Sequence[str] = KINDS) -> npt.NDArray[np.float32]:
    """Return 1 at the place of a kind and 0 elsewhere, shape (kinds,); all 0 for an unknown one."""
    return np.array([float(kind == one) for one in kinds], np.float32)
