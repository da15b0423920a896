"""The page that says, line by line, which goals of the release are met: made from what was measured.

``python benchmarks/release_page.py docs/results -o docs/results/release.md``

Reads the records of the other scripts, of ``quell benchmark`` and of ``quell evidence``, and types no figure
itself. What has no record is told as not measured, with the reason. ``tried.md`` in the folder, the table of
what was tried where something falls short, is taken over as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from release_bar import ct, generality, others, outside, repeats, size
from release_bar_evidence import fidelity, task
from release_bar_speed import end_to_end, gpu, speed
from release_findings import Finding

from quell.models.registry import list_cards

BAR: tuple[tuple[str, Callable[[Path], list[Finding]]], ...] = (
    ("CT, physics noise, blind", ct),
    ("The other modalities", others),
    ("Task", task),
    ("Fidelity and texture", fidelity),
    ("Real data", repeats),
    ("Generality", generality),
    ("Speed", speed),
    ("End to end", end_to_end),
    ("GPU", gpu),
    ("Bad input", outside),
    ("Size", size),
)
"""Parts of the bar in the order of the page."""

HEAD = """# The bar of the release

Made by `python benchmarks/release_page.py docs/results -o docs/results/release.md`; no figure is typed by
hand. Research use only. Not for diagnosis.

{met} met, {missed} not met, {open} not measured. Validation patients were never trained on; of their
scanners some were, see Generality. Brackets are 95 % intervals over patients (or what the command says). A
goal counts as met by the value, not by its interval. Weights: version and the first letters of their SHA-256;
*older* are those that no longer ship.
The weights that ship: {ships}.
"""

VERDICTS = {True: "**met**", False: "**not met**", None: "not measured"}


def page(folder: Path) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    folder : Path
        ``docs/results``.
    """
    sections = [(title, read(folder)) for title, read in BAR]
    found = [one for _, findings in sections for one in findings]
    cards = {card.sha256: f"{card.identifier} {card.version} ({card.sha256[:8]})" for card in list_cards()}
    head = HEAD.format(
        met=sum(one.met is True for one in found),
        missed=sum(one.met is False for one in found),
        open=sum(one.met is None for one in found),
        ships=", ".join(cards.values()) or "none",
    )
    parts = [head]
    for title, findings in sections:
        parts.append(section(title, findings, set(cards)))
    tried = folder / "tried.md"
    if tried.is_file():
        parts.append("## What was tried\n\n" + tried.read_text("utf-8").strip() + "\n")
    return "\n".join(parts)


def section(title: str, findings: Sequence[Finding], ships: set[str]) -> str:
    """Return a table of one part of the bar, and beneath it where its figures come from."""
    lines = [f"## {title}", "", "| What | Goal | Measured | |", "|---|---|---|---|"]
    for one in findings:
        cells = (one.what, one.goal, one.measured, VERDICTS[one.met])
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    sources = dict.fromkeys(origin(one, ships) for one in findings if one.command)
    return "\n".join([*lines, "", *(f"- {text}" for text in sources), ""])


def origin(one: Finding, ships: set[str]) -> str:
    """Return the command of a finding and the weights that it was made with."""
    told = [
        f"{w.name} {w.version} ({w.sha256[:8]}{'' if w.sha256 in ships or not w.sha256 else ', *older*'})"
        for w in one.weights
    ]
    return f"`{one.command}`: {', '.join(told) or 'weights not told by the record'}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Parse the command line and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="docs/results")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.write_text(page(arguments.folder), encoding="utf-8")
    print(f"{arguments.out} written")


if __name__ == "__main__":
    main()
