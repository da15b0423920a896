"""The words in a derived header: all of ours in ASCII, each within the length DICOM allows."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib import metadata

from quell.formats.contracts import Origin, OutputKind

RESEARCH_USE_ONLY = "RESEARCH USE ONLY. Not for diagnostic use."
SIMULATED = "SIMULATED, not a real examination."

_SUFFIX = {
    OutputKind.DENOISED: "[Quell denoised]",
    OutputKind.RESIDUAL: "[Quell residual]",
    OutputKind.NOISE_MAP: "[Quell noise map]",
    OutputKind.SPREAD: "[Quell spread]",
    OutputKind.SIMULATED: "[Quell simulated]",
}
_WHAT = {
    OutputKind.DENOISED: "Noise reduced by a neural network.",
    OutputKind.RESIDUAL: "Source image minus the image with noise reduced by a neural network.",
    OutputKind.NOISE_MAP: "Estimated local standard deviation of the noise of the source image.",
    OutputKind.SPREAD: "Standard deviation of each pixel of the denoised image, as the network tells it.",
    OutputKind.SIMULATED: f"{SIMULATED} Noise was ADDED to the source image as a lower dose would have.",
}
_SERIES_STEP = {
    OutputKind.DENOISED: 1,
    OutputKind.RESIDUAL: 2,
    OutputKind.NOISE_MAP: 3,
    OutputKind.SIMULATED: 4,
    OutputKind.SPREAD: 5,
}
_LONG_STRING = 64
_SHORT_TEXT = 1024
_LONG_TEXT = 10240
_LARGEST_INTEGER = 2**31 - 1


@lru_cache
def quell_version() -> str:
    """Return the version of the installed package."""
    try:
        return metadata.version("quell")
    except metadata.PackageNotFoundError:
        return "unknown"


@lru_cache
def series_description(source: str, kind: OutputKind, label: str = "") -> str:
    """Return the source's Series Description with our suffix, at most 64 characters (LO).

    The suffix names the kind and, with `label`, what tells outputs of this kind apart: ``25 % dose``.
    The source's part is shortened, never the suffix: viewers and routing rules recognise the
    series by it. No letter is cut from the accent that is combined with it.
    """
    suffix = _SUFFIX[kind]
    if label:
        suffix = f"{suffix[:-1]} {label}]"
    text = clean(source)
    # Other letters may take an odd number of bytes: one is left for the padding, which readers count.
    room = _LONG_STRING - len(suffix) - (1 if text.isascii() else 2)
    if len(text) > room:
        cut = room
        while cut and unicodedata.combining(text[cut]):
            cut -= 1
        text = text[:cut].rstrip()
    return f"{text} {suffix}" if text else suffix


def series_number(source: int | None, offset: int, kind: OutputKind) -> int:
    """Return the Series Number: the source's, plus the offset once to five times by kind.

    The result stays within what IS can hold (PS3.5 6.2: -2^31 to 2^31 - 1).
    """
    number = (source or 0) + offset * _SERIES_STEP[kind]
    return number if abs(number) <= _LARGEST_INTEGER else number % 10**9


@lru_cache
def derivation_description(provenance: Origin, kind: OutputKind, notes: tuple[str, ...], before: str) -> str:
    """Return the Derivation Description: how the pixels came about, at most 1024 characters (ST).

    Parameters
    ----------
    notes : tuple of str
        What a reader of the pixels must know, such as an offset of the stored values.
    before : str
        The source's own description, kept behind ours as far as it fits.
    """
    ours = (
        f"{RESEARCH_USE_ONLY} {_WHAT[kind]} Quell {quell_version()}, model {ascii_only(provenance.model)} "
        f"{ascii_only(provenance.model_version)}, sha256 {ascii_only(provenance.model_sha256)[:12]}, "
        f"{ascii_text(provenance.details)}."
    )
    text = " ".join((ours, *notes))
    return _with_history(text, before, _SHORT_TEXT)


def image_comments(before: str, kind: OutputKind) -> str:
    """Return Image Comments: the warning first, then what the source said (LT)."""
    ours = f"{SIMULATED} {RESEARCH_USE_ONLY}" if kind is OutputKind.SIMULATED else RESEARCH_USE_ONLY
    return _with_history(ours, before, _LONG_TEXT)


def contribution_description(provenance: Origin, kind: OutputKind) -> str:
    """Return what the equipment did (ST)."""
    # The settings of a simulation tell dose and seed at their end.
    room = _SHORT_TEXT if kind is OutputKind.SIMULATED else _LONG_STRING
    return f"{RESEARCH_USE_ONLY} {_WHAT[kind]} {ascii_text(provenance.settings())[:room]}"[:_SHORT_TEXT]


def clean(text: str) -> str:
    """Return one line without control characters and backslashes, which separate values."""
    kept = (" " if ch == "\\" or unicodedata.category(ch) == "Cc" else ch for ch in text)
    return " ".join("".join(kept).split())


def ascii_only(text: str) -> str:
    """Return `text` fit for any character set, at most 64 characters (LO)."""
    return ascii_text(text)[:_LONG_STRING]


def ascii_text(text: str) -> str:
    """Return `text` fit for any character set, on one line."""
    return clean(text.encode("ascii", "replace").decode("ascii"))


def _with_history(ours: str, before: str, room: int) -> str:
    before = before.strip()
    # What was simulated stays so, through any number of steps.
    said = before.startswith(RESEARCH_USE_ONLY) and SIMULATED not in before
    if not before or said or before.startswith(ours):
        return ours[:room]
    return f"{ours} Source: {before}"[:room].rstrip()
