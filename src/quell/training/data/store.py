"""Prepared arrays on disk, so that a run that goes on finds what it had without simulating again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from quell.formats.atomic import atomic_file
from quell.image import Modality
from quell.training.data.contracts import Stack, Variant

INDEX = "index.json"

Entry = dict[str, Any]


class Store:
    """A folder of arrays, each with what is known of it beside it, and an index of them when all are there.

    Parameters
    ----------
    folder : Path
        Made if absent.
    key : str
        Of all that the arrays depend on; what was made under another key is made anew.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key

    def finished(self) -> tuple[list[tuple[Stack, Entry]], list[str]] | None:
        """Return all that was made, and the notes on it; None unless it is complete and undamaged."""
        told = _read(self._folder / INDEX)
        if told is None or told.get("key") != self._key:
            return None
        found = [self._load(entry) for entry in told["entries"]]
        whole = [one for one in found if one is not None]
        return (whole, told["notes"]) if len(whole) == len(found) else None

    def kept(self, name: str, key: str, make: Callable[[], tuple[Stack, Entry]]) -> tuple[Stack, Entry]:
        """Return an array that was made before, or make it.

        Parameters
        ----------
        name : str
            Of the files.
        key : str
            Of all that this one depends on besides.
        make : callable
            Gives the stack and what else is to be known of it.

        Raises
        ------
        OutputError
            If the disk is full, or may not be written to.
        """
        key = digest(self._key, key)
        beside = self._folder / f"{name}.json"
        told = _read(beside)
        loaded = self._load(told) if told is not None and told.get("key") == key else None
        if loaded is not None:
            return loaded
        stack, known = make()
        file = self._folder / f"{name}.npy"
        with atomic_file(file) as temporary:
            np.save(temporary, stack.voxels)
        entry = {"key": key, "file": file.name, "array_sha256": _hash(file), **known, **_told(stack)}
        _write(beside, entry)
        return self._load(entry) or (stack, entry)

    def finish(self, entries: list[Entry], notes: list[str]) -> None:
        """Write the index."""
        _write(self._folder / INDEX, {"key": self._key, "entries": entries, "notes": notes})

    def _load(self, entry: Entry) -> tuple[Stack, Entry] | None:
        file = self._folder / str(entry.get("file"))
        try:
            if _hash(file) != entry["array_sha256"]:
                return None
            voxels = np.load(file, mmap_mode="r")
        except (OSError, ValueError, KeyError):
            return None
        return _stack(entry, voxels), entry


def digest(*parts: str) -> str:
    """Return the SHA-256 of texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        found = hashlib.sha256()
        while chunk := stream.read(1 << 22):
            found.update(chunk)
    return found.hexdigest()


def _read(file: Path) -> Entry | None:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def _write(file: Path, entry: Entry) -> None:
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(entry, indent=1), encoding="utf-8")


def _told(stack: Stack) -> Entry:
    return {
        "name": stack.name,
        "patient": stack.patient,
        "modality": stack.modality.value,
        "units": stack.units,
        "shape": list(stack.voxels.shape),
        "variants": [asdict(v) for v in stack.variants],
        "prior": [stack.prior, stack.prior_offset, stack.prior_scale],
        "points": stack.points.tolist(),
        "volume": stack.volume,
        "gaps": list(stack.gaps),
        "square": stack.square,
    }


def _stack(entry: Entry, voxels: Any) -> Stack:
    prior, offset, scale = entry["prior"]
    return Stack(
        entry["name"],
        entry["patient"],
        voxels,
        tuple(Variant(**v) for v in entry["variants"]),
        Modality(entry["modality"]),
        entry["units"],
        int(prior),
        offset,
        scale,
        np.array(entry["points"], np.float64).reshape(-1, 3),
        entry["volume"],
        tuple(entry["gaps"]),
        entry["square"],
    )
