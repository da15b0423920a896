"""The models that ship and those of training runs: found by their cards, without loading any engine."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quell.errors import ModelError
from quell.models.card import ModelCard

if TYPE_CHECKING:
    from quell.image import Modality

WEIGHTS = Path(__file__).parent / "weights"
CARD = "card.json"
MODEL = "model"
"""Folder within that of a training run."""

UNIVERSAL = "universal"
"""Name of the models of all kinds of image."""

TIERS = ("fast", "standard")
"""Tags of the models that are chosen by themselves, from the smallest; the first is the default."""

DEFAULT = f"{UNIVERSAL}.{TIERS[0]}"


class Located(NamedTuple):
    """A model and where its files lie.

    Attributes
    ----------
    card : ModelCard
    folder : Path
    """

    card: ModelCard
    folder: Path


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
    raise ModelError(f"unknown model {identifier!r}; there is: {known}, and the folder of any finished run")


def default_card(modality: Modality, tier: str | None = None, kind: str | None = None) -> ModelCard:
    """Return the card of the model to use for a modality when the user names none.

    A model that was trained for this kind of image alone comes before the universal one of the same tier.

    Parameters
    ----------
    modality : Modality
    tier : str, optional
        One of `TIERS`; the first of them if not given.
    kind : str, optional
        What the images show, as `quell.inference.kinds.kind_for` says it; the modality if not given.

    Raises
    ------
    ModelError
        If no model of that tier was trained for it.
    """
    check_tier(tier)
    shown = modality.value if kind is None else kind
    fitting = [card for card in list_cards() if modality.value in card.modalities]
    same = [card for card in fitting if card.tag == (tier or TIERS[0])]
    own = [card for card in same if shown in card.specialises and card.name != UNIVERSAL]
    universal = [card for card in same if card.name == UNIVERSAL]
    others = [card for card in fitting if not card.specialises] if tier is None else []
    chosen = [*own, *universal, *others]
    if not chosen:
        words = f"no model that ships was trained for {modality.value}"
        raise ModelError(words if tier is None else f"{words} in the tier {tier!r}")
    return chosen[0]


def check_tier(tier: str | None) -> None:
    """Refuse a tier of which no model ships.

    Raises
    ------
    ModelError
    """
    if tier is None:
        return
    if tier not in TIERS:
        raise ModelError(f"unknown tier {tier!r}; there is {', '.join(TIERS)}")
    if all(card.tag != tier for card in list_cards()):
        raise ModelError(f"no model of the tier {tier!r} ships; `quell models` lists those that do")


def locate(identifier: str | os.PathLike[str]) -> Located:
    """Return a model that ships by ``name.tag``, or that of a training run by its place.

    Parameters
    ----------
    identifier : str or path-like
        ``name.tag``, the folder of a run, its folder ``model``, or a ``card.json``.

    Raises
    ------
    ModelError
        If there is no such model, or the run has none yet.
    """
    name = os.fspath(identifier)
    if any(card.identifier == name for card in list_cards()):
        return Located(find_card(name), WEIGHTS / name)
    place = Path(name)
    try:
        file = _card_file(place)
    except OSError as error:
        raise ModelError(f"{place}: {error.strerror or error}") from error
    if file is not None:
        return Located(read_card(file), file.parent)
    if place.name == name and not place.exists():
        find_card(name)
    raise ModelError(f"{place}: {_why_none(place)}")


def _card_file(place: Path) -> Path | None:
    """Return the card at a place: a file, in a folder of a model, or in a folder of a run."""
    if place.is_file():
        return place
    return next((file for file in (place / MODEL / CARD, place / CARD) if file.is_file()), None)


def _why_none(place: Path) -> str:
    if not place.exists():
        return "no such model, run or card"
    return f"no model in it ({MODEL}/{CARD} is missing): a run has one when it is finished"


def model_files(card: ModelCard, folder: Path | None = None) -> dict[str, Path]:
    """Return the weight files of a model by role, after a check of their hash.

    Parameters
    ----------
    card : ModelCard
    folder : Path, optional
        Where they lie; by default where those of the models that ship do.

    Raises
    ------
    ModelError
        If a file is missing or its content is not what the card says.
    """
    folder = folder or WEIGHTS / card.identifier
    outside = [name for name in card.files.values() if Path(name).name != name]
    if outside:
        raise ModelError(f"{card.identifier}: its card names a file outside its folder: {outside[0]}")
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
