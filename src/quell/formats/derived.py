"""Names of derived files, and the line that tells them from sources."""

from __future__ import annotations

import re
from pathlib import Path

from quell.formats.contracts import Origin, OutputKind, Simulation
from quell.formats.source import Source, UnsuitableError

MARK = "Quell"
"""Stands in the header of all that Quell writes, so that no derived image is taken for a source."""
WRITTEN_BY_QUELL = "written by Quell: denoised already, a spread, a residual or a noise map"
NO_IMAGE = "written by Quell: a spread, a residual or a noise map, not an image"

_ENDINGS = {
    OutputKind.DENOISED: "denoised",
    OutputKind.RESIDUAL: "residual",
    OutputKind.NOISE_MAP: "noise",
    OutputKind.SPREAD: "spread",
    OutputKind.SIMULATED: "simulated",
}
_SOURCE_LIKE = ("simulated", "phantom")
_MADE = re.compile(rf"{MARK} (?!{'|'.join(_SOURCE_LIKE)})")
_DENOISED = re.compile(rf"{MARK} (?:\S+ )?{OutputKind.DENOISED.value}\b")
_SIMULATED = re.compile(rf"{MARK} ({'|'.join(_SOURCE_LIKE)})")
SIMULATED_NOTE = "simulated by Quell: no examination of a patient looked like this"


def is_made(text: str) -> bool:
    """Whether a line of a header says that Quell made the image, and not by simulation.

    A simulated image is there to be denoised; what comes of it is not.
    """
    return _MADE.search(text) is not None


def refuse_made(text: str, denoised: bool = False) -> None:
    """Raise UnsuitableError if a line of a header says that Quell made the image, and not by simulation.

    Parameters
    ----------
    text : str
    denoised : bool
        Let denoised images pass; residuals, noise maps and spreads never do.
    """
    if not is_made(text) or (denoised and _DENOISED.search(text)):
        return
    raise UnsuitableError(NO_IMAGE if denoised else WRITTEN_BY_QUELL)


def is_simulated(text: str) -> bool:
    """Whether a line of a header says that Quell simulated the image."""
    return _SIMULATED.search(text) is not None


def derived_path(out: Path, source: Source, kind: OutputKind, provenance: Origin, suffix: str) -> Path:
    """Return the path of a derived file: the source's folder below `out`, its stem, the kind.

    Simulations of several doses and seeds of one source lie beside each other.
    """
    ending = _ENDINGS[kind]
    if isinstance(provenance, Simulation):
        ending += f"_{provenance.file_label}"
    return out.joinpath(*source.folder.parts) / f"{source.output_stem}_{ending}{suffix}"


def described(kind: OutputKind, provenance: Origin, before: str = "") -> str:
    """Return one line of ASCII for a header: what the image shows and how it came about.

    Parameters
    ----------
    kind : OutputKind
    provenance : Origin
    before : str
        What the source's line says; kept if the source is itself simulated.
    """
    said = "; noise was added, not a real examination" if kind is OutputKind.SIMULATED else ""
    history = f"; {before}" if is_simulated(before) else ""
    line = f"{MARK} {kind.value}: {provenance.settings()}{said}; research use only{history}"
    return line.encode("ascii", "replace").decode("ascii")


def described_shortly(kind: OutputKind, provenance: Origin) -> str:
    """Return the same for a field of few characters."""
    if isinstance(provenance, Simulation):
        line = f"{MARK} {kind.value} {provenance.label} seed {provenance.seed} {provenance.model}"
    else:
        line = f"{MARK} {provenance.model} {kind.value}"
    return line.encode("ascii", "replace").decode("ascii")
