"""What the card of a model that ships says in words: of all kinds of image, or of one alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from quell.errors import ModelError
from quell.models.registry import UNIVERSAL

_FOLDER = Path(__file__).parent
DESCRIPTION, SPECIALISED = _FOLDER / "universal_card.json", _FOLDER / "specialised_card.json"

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class CardTexts:
    """The words of a card.

    Attributes
    ----------
    name : str
        That such a model has if nobody gives it another.
    description, command, remark : str
    modalities, limits : tuple of str
    """

    name: str
    description: str
    command: str
    remark: str
    modalities: tuple[str, ...]
    limits: tuple[str, ...]


def card_texts(kind: str = "") -> CardTexts:
    """Return the words for a model of one of `quell.inference.kinds.KINDS`, or of all if empty."""
    if not kind:
        told = json.loads(DESCRIPTION.read_text("utf-8"))
        words = (told["description"], told["command"], told["remark"])
        return CardTexts(UNIVERSAL, *words, tuple(told["modalities"]), tuple(told["limits"]))
    told = json.loads(SPECIALISED.read_text("utf-8"))
    own = told["kinds"][kind]
    description, command, remark, *common = (
        line.format(kind=kind, shown=own["shown"])
        for line in (told["description"], told["command"], told["remark"], *told["limits"])
    )
    modalities, limits = (own["modality"],), (*common, *own["limits"])
    return CardTexts(own["name"], description, command, remark, modalities, limits)


def checked_name(name: str, tag: str, kind: str = "") -> str:
    """Return the name of a model, that of its kind where none is given.

    Parameters
    ----------
    name : str
        Empty for that of its kind.
    tag : str
    kind : str
        That it was trained for alone; empty for all.

    Raises
    ------
    ModelError
        If name or tag cannot be that of a folder, or the name is that of the universal model though it was
        trained for one kind.
    """
    chosen = name or card_texts(kind).name
    for word in (chosen, tag):
        if not _NAME.fullmatch(word):
            raise ModelError(f"a model's name and tag are of small letters, digits and hyphens, not {word!r}")
    if kind and chosen == UNIVERSAL:
        raise ModelError(f"a model for {kind} alone is not {UNIVERSAL!r}: give it a name of its own (--name)")
    return chosen
