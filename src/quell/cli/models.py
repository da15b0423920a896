"""``quell models``: the networks that ship."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quell.models.card import ModelCard


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole cards as JSON.")] = False,
) -> None:
    """List the networks that ship with Quell."""
    from quell.models.registry import list_cards

    cards = list_cards()
    if as_json:
        listed = [{"identifier": card.identifier, **card.model_dump(mode="json")} for card in cards]
        print(json.dumps(listed, indent=2))
        return
    print("\n\n".join(_describe(card) for card in cards) or "no models are installed")


def _describe(card: ModelCard) -> str:
    about = textwrap.fill(card.description, 88, initial_indent="  ", subsequent_indent="  ")
    size = f"{card.kmac_per_pixel:g} kMAC per pixel, {card.parameters / 1e6:.2g} M parameters"
    lines = [
        f"{card.identifier}  {card.version}  {' '.join(card.modalities)}",
        about,
        f"  {size}, reads {card.slices} slice{'s' if card.slices > 1 else ''} for one",
    ]
    return "\n".join(lines)
