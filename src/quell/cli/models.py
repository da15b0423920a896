"""``quell models``: the networks that ship, and those of training runs."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quell.models.card import ModelCard


def models(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="A NAME.TAG, or the folder of a training run. [default: all that ship]",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole cards as JSON.")] = False,
) -> None:
    """List the networks that ship with Quell, or tell of those that are named."""
    from quell.models.registry import list_cards, locate

    # Those of all kinds of image come first.
    ours = sorted(list_cards(), key=lambda card: bool(card.specialises))
    cards = [locate(run).card for run in runs] if runs else ours
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
        f"  {size}, {_reads(card)}",
    ]
    if card.specialises:
        lines.append(f"  {_specialised(card)}")
    if card.prior:
        lines.append(f"  needs a {' or '.join(card.prior)} of the patient (--prior)")
    return "\n".join(lines)


def _reads(card: ModelCard) -> str:
    if card.dimensions == 3:
        return "reads whole volumes"
    return f"reads {card.slices} slice{'s' if card.slices > 1 else ''} for one"


def _specialised(card: ModelCard) -> str:
    """Say what a model was trained for alone, and how it is chosen."""
    from quell.models.registry import TIERS, list_cards

    words = f"specialised for {' '.join(card.specialises)}"
    if card.tag not in TIERS or card not in list_cards():
        return words
    how = "by default" if card.tag == TIERS[0] else f"with --tier {card.tag}"
    return f"{words}: `quell denoise` takes it there {how}"
