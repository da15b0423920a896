"""The models that ship: found by reading their cards, without loading any engine."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from quell.errors import ModelError
from quell.models.card import ModelCard

if TYPE_CHECKING:
    from quell.image import Modality

WEIGHTS = Path(__file__).parent / "weights"
CARD = "card.json"

DEFAULT = "universal.fast"


@lru_cache(maxsize=1)
def list_cards() -> tuple[ModelCard, ...]:
    """Return the cards of all models that ship, by name."""
    return tuple(read_card(file) for file in sorted(WEIGHTS.glob(f"*/{CARD}")))


def read_card(file: Path) -> ModelCard:
    """Read one card.

    Raises
    ------
    ModelError
        If the file is no valid card.
    """
    try:
        return ModelCard.model_validate_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: not a model card: {' '.join(str(error).split())}") from error


def find_card(identifier: str) -> ModelCard:
    """Return the card of a model by ``name.tag``.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    for card in list_cards():
        if card.identifier == identifier:
            return card
    known = ", ".join(card.identifier for card in list_cards()) or "none"
    raise ModelError(f"unknown model {identifier!r}; there is: {known}")


def default_card(modality: Modality) -> ModelCard:
    """Return the card of the model to use for a modality when the user names none.

    Raises
    ------
    ModelError
        If no model was trained for it.
    """
    fitting = [card for card in list_cards() if modality.value in card.modalities]
    if not fitting:
        raise ModelError(f"no model that ships was trained for {modality.value}")
    return next((card for card in fitting if card.identifier == DEFAULT), fitting[0])


def model_files(card: ModelCard) -> dict[str, Path]:
    """Return the weight files of a model by role, after a check of their hash.

    Raises
    ------
    ModelError
        If a file is missing or its content is not what the card says.
    """
    folder = WEIGHTS / card.identifier
    files = {role: folder / name for role, name in card.files.items()}
    try:
        found = weights_hash(files)
    except OSError as error:
        raise ModelError(f"{card.identifier}: cannot read its weights: {error}") from error
    if found != card.sha256:
        raise ModelError(
            f"{card.identifier}: its weights are damaged: sha256 {found}, the card says {card.sha256}"
        )
    return files


def weights_hash(files: dict[str, Path]) -> str:
    """Return the SHA-256 over the contents of the files, in the order of their roles."""
    digest = hashlib.sha256()
    for role in sorted(files):
        digest.update(files[role].read_bytes())
    return digest.hexdigest()
