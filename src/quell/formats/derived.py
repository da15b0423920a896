"""Names of derived files, and the line that tells them from sources."""

from __future__ import annotations

from pathlib import Path

from quell.formats.contracts import OutputKind, Provenance
from quell.formats.source import Source

MARK = "Quell"
"""Stands in the header of all that Quell writes, so that no derived image is taken for a source."""
WRITTEN_BY_QUELL = "written by Quell: denoised already, a residual or a noise map"

_ENDINGS = {
    OutputKind.DENOISED: "denoised",
    OutputKind.RESIDUAL: "residual",
    OutputKind.NOISE_MAP: "noise",
}


def derived_path(out: Path, source: Source, kind: OutputKind, suffix: str) -> Path:
    """Return the path of a derived file: the source's folder below `out`, its stem, the kind."""
    return out.joinpath(*source.folder.parts) / f"{source.output_stem}_{_ENDINGS[kind]}{suffix}"


def described(kind: OutputKind, provenance: Provenance) -> str:
    """Return one line of ASCII for a header: what the image shows and how it came about."""
    line = f"{MARK} {kind.value}: {provenance.settings()}; research use only"
    return line.encode("ascii", "replace").decode("ascii")
