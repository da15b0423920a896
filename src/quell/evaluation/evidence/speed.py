"""How fast the denoiser is, beside two classical methods in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from quell.errors import QuellError
from quell.evaluation.evidence.record import Cell, Check, Column, Quantity, Reading, Section, Table, at_least
from quell.evaluation.evidence.subject import Subject
from quell.image import Geometry, Image, Modality

SIDE = 512
BARS = {"fast": 60.0, "standard": 30.0}
"""Slices of 512 x 512 pixels a second, by the tag of the model."""

_ROUNDS = 3
_SLICES = 6

READINGS = (
    Reading(
        "Slices a second",
        "Slices of 512 × 512 pixels, estimation and network together, reading and writing apart; the "
        "methods take turns in one run, and the fastest turn of each counts (in brackets: slowest and "
        "fastest). Read the ratios: absolute figures depend on the machine and on what else it does. The "
        "bar was set for two free cores.",
        "measured in this run",
    ),
)


def speed_section(subject: Subject) -> Section:
    """Time the denoiser and two classical methods in turns."""
    image = _image(subject)
    timed: dict[str, tuple[Callable[[Image], object], Image]] = {
        "this denoiser": (subject.denoiser.denoise, image)
    }
    notes: list[str] = []
    for name in ("gaussian", "nlm"):
        try:
            from quell.filters.registry import find_filter

            few = image.with_voxels(image.voxels) if name == "gaussian" else _first(image)
            method = find_filter(name)
            method.denoise(_first(image))
            timed[name] = (method.denoise, few)
        except (QuellError, ImportError) as error:
            notes.append(f"{name} was not timed: {error}")
    subject.denoiser.denoise(image)
    turns: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(_ROUNDS):
        for name, (denoise, one) in timed.items():
            subject.step(f"speed: {name}")
            started = time.perf_counter()
            denoise(one)
            turns[name].append((time.perf_counter() - started) / one.shape[0])
    return Section(
        "speed",
        "Speed",
        READINGS,
        _checks(subject, turns["this denoiser"]),
        (Table("speed", "Slices a second", _COLUMNS, tuple(_rows(subject, turns))),),
        notes=tuple(notes),
    )


_COLUMNS = (
    Column("name", "Method"),
    Column("engine", "Engine"),
    Column("seconds", "Seconds a slice", "s"),
    Column("rate", "Slices a second"),
    Column("ratio", "Speed over this denoiser"),
)


def _rows(subject: Subject, turns: dict[str, list[float]]) -> list[dict[str, Cell]]:
    own = min(turns["this denoiser"])
    engine = str(getattr(subject.denoiser, "engine", "Python"))
    return [
        {
            "name": name,
            "engine": engine if name == "this denoiser" else "NumPy and SciPy, one core",
            "seconds": min(seconds),
            "rate": _rate(seconds),
            "ratio": own / min(seconds),
        }
        for name, seconds in turns.items()
    ]


def _rate(seconds: list[float]) -> Quantity:
    """Return slices a second in the fastest turn, and from the slowest to the fastest."""
    return Quantity(1 / min(seconds), 1 / max(seconds), 1 / min(seconds), number=len(seconds))


def _checks(subject: Subject, seconds: list[float]) -> tuple[Check, ...]:
    bar = BARS.get(subject.denoiser.card.tag)
    if bar is None:
        return ()
    words = f"at least {bar:g} slices of 512 × 512 a second (two free cores)"
    return (at_least("Speed", _rate(seconds), bar, "1/s", words, "on this machine, in this run"),)


def _image(subject: Subject) -> Image:
    """Return noise with a step in it; what it shows makes no difference to the time."""
    rng = subject.rng(10)
    voxels = rng.normal(100, 20, (_SLICES, SIDE, SIDE)).astype(np.float32)
    voxels[:, : SIDE // 2] += 100
    modality = subject.plan.modality
    units = {Modality.CT: "HU", Modality.PT: "Bq/ml", Modality.NM: "counts"}.get(modality, "arbitrary")
    return Image(
        np.maximum(voxels, 0),
        modality,
        units,
        Geometry((3.0, 0.7, 0.7), known=True),
        volume=True,
        name="speed",
    )


def _first(image: Image) -> Image:
    return Image(
        image.voxels[:1].copy(), image.modality, image.units, image.geometry, volume=False, name=image.name
    )
