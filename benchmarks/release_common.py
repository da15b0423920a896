"""What the measurements of a release share: models by name, and records that say how they were made."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from quell.evaluation.denoisers import find_denoiser
from quell.evaluation.metrics.statistics import Interval, bootstrap_mean, compare_paired
from quell.image import FloatArray, Image
from quell.inference.contracts import Denoiser
from quell.machine import describe_machine

FOLDERS = {"--data": "DATA", "data": "DATA", "-o": "OUT", "--out": "OUT", "--json": "OUT"}
"""What stands in a record for the folders of whoever ran it."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is judged.

    Attributes
    ----------
    name : str
        ``name.tag`` of its card, or what the user called it.
    denoiser : Denoiser
    version, sha256, engine : str
    """

    name: str
    denoiser: Denoiser
    version: str
    sha256: str
    engine: str

    def told(self) -> dict[str, str]:
        """Return what a record says of it; never where its files lie."""
        return {key: getattr(self, key) for key in ("name", "version", "sha256", "engine")}

    def run(self, image: Image, strength: float | None = None) -> FloatArray:
        """Return the denoised voxels, at a strength or at the one that users get.

        Raises
        ------
        ValueError
            If the denoiser gave values that are not finite.
        """
        options = {} if strength is None else {"strength": strength}
        voxels = self.denoiser.denoise(image, **options).image.voxels
        if not np.isfinite(voxels).all():
            raise ValueError(f"{self.name} gave values that are not finite")
        return voxels


def open_model(name: str, called: str = "") -> Model:
    """Return a model that ships, or that of a training run, by `quell.evaluation.denoisers.find_denoiser`."""
    found = find_denoiser(name)
    card = found.denoiser.card
    identifier = called or (card.identifier if card.sha256 else found.name)
    return Model(identifier, found.denoiser, card.version, card.sha256, found.engine)


def named(text: str) -> tuple[str, str]:
    """Split ``NAME=RUN``; an `argparse` type."""
    name, sign, place = text.partition("=")
    if not (sign and name and place):
        raise argparse.ArgumentTypeError(f"expected NAME=RUN, got {text!r}")
    return name, place


def told_command(script: str, argv: Sequence[str]) -> str:
    """Return a command as others can type it: without the folders of whoever typed it.

    Parameters
    ----------
    script : str
        Name of the script.
    argv : sequence of str
        Its arguments.

    Examples
    --------
    >>> told_command("ct_peers.py", ["--data", "/a/b", "--peer", "DnCNN=/c", "-o", "/d/docs/results/x.json"])
    'python benchmarks/ct_peers.py --data DATA --peer DnCNN=RUN -o docs/results/x.json'
    """
    words = ["python", f"benchmarks/{script}"]
    before = ""
    for word in argv:
        option, sign, value = word.partition("=")
        if FOLDERS.get(before) == "OUT":
            word = f"docs/results/{Path(word).name}"
        elif before in FOLDERS:
            word = FOLDERS[before]
        elif sign and option in FOLDERS:
            word = f"{option}={FOLDERS[option]}"
        elif sign and Path(value).is_absolute():
            word = f"{option}=RUN"
        elif Path(word).is_absolute():
            word = "RUN"
        words.append(word)
        before = word if word.startswith("-") else ""
    return " ".join(map(quote, words))


def told_interval(found: Interval) -> dict[str, float | int | None]:
    """Return an interval as plain values; ends that are not known are None."""
    ends = {key: _plain(getattr(found, key)) for key in ("value", "low", "high")}
    return {**ends, "groups": found.groups}


def told_mean(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Return mean and bootstrap interval over groups (patients), as plain values."""
    return told_interval(bootstrap_mean(values, _groups(groups), seed=seed))


def told_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """Return the mean of first minus second on the same images, its interval over groups and p value."""
    test = compare_paired(first, second, _groups(groups), seed=seed)
    return {**told_interval(test.difference), "p": _plain(test.student)}


def save(path: Path | None, schema: str, command: str, models: Sequence[Model], values: Any) -> None:
    """Write a record; where no path is given, nothing."""
    if path is None:
        return
    head = {
        "schema": schema,
        "command": command,
        "machine": describe_machine(),
        "models": [model.told() for model in models],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(head | values, indent=1, default=float, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _groups(groups: Sequence[str]) -> list[str] | None:
    """Return the groups; None where there is one only, whose images are then drawn."""
    return list(groups) if len(set(groups)) > 1 else None
