"""All that the release networks learn from, in one folder: references, drawn anatomy, scanned objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quell.errors import InputError
from quell.evaluation.references import MANIFEST as REFERENCES
from quell.evaluation.references import listed, read_manifest
from quell.training.made import RECIPES, Recipe, draw_phantoms, scan_objects
from quell.training.pack import pack_references

INDEX, MANIFEST = "index.json", "manifest.json"

PHANTOMS = 1200
"""Volumes of three slices of procedural anatomy."""


def make_material(
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    workers: int = 1,
    phantoms: int = PHANTOMS,
    recipes: tuple[Recipe, ...] = RECIPES,
    references: Path = REFERENCES,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Pack references, draw anatomy and scan objects; a folder that is complete is left as it is.

    Parameters
    ----------
    data : Path
        Folder that holds the files of the manifest (`quell.training.pack`).
    out : Path
        Gets ``index.json``, its arrays, and ``manifest.json`` with source, licence, side of the split and
        SHA-256 of every file.
    seed, workers, phantoms : int
    recipes : tuple of Recipe
    references : Path
        Manifest of the references.
    say : callable
        Told what is being made.

    Raises
    ------
    InputError
        If there is no such folder, or an entry of the manifest has no file in it.
    """
    if (out / INDEX).exists():
        return
    check_references(data, references)
    say("references")
    index = pack_references(data, out, references)
    say("anatomy")
    index += draw_phantoms(out, phantoms, seed, workers)
    say("scanned objects")
    index += scan_objects(out, recipes, seed, workers)
    (out / MANIFEST).write_text(json.dumps(data_manifest(data, references), indent=1) + "\n", "utf-8")
    # The index comes last: with it the folder is complete.
    part = out / f"{INDEX}.part"
    part.write_text(json.dumps(index, indent=1), "utf-8")
    part.replace(out / INDEX)


def check_references(data: Path, references: Path = REFERENCES) -> None:
    """Refuse a folder that lacks references.

    Parameters
    ----------
    data : Path
    references : Path
        Manifest of the references.

    Raises
    ------
    InputError
        If there is no such folder, or an entry of the manifest has no file in it.
    """
    if not data.is_dir():
        raise InputError(data, "no such folder")
    for entry in read_manifest(references):
        if not any(data.glob(entry["files"])):
            raise InputError(data, f"holds no {entry['files']} ({entry['source']})")


def data_manifest(data: Path, references: Path = REFERENCES) -> list[dict[str, Any]]:
    """Return file, source, licence, modality, side of the split and SHA-256 of all references.

    Parameters
    ----------
    data : Path
        Folder that holds them; files are named from there.
    references : Path
        Manifest of the references.
    """
    rows = []
    for entry in read_manifest(references):
        for one in listed(entry, data):
            files = sorted(one.path.rglob("*")) if one.path.is_dir() else [one.path]
            digest = hashlib.sha256()
            for file in files:
                if file.is_file():
                    digest.update(file.read_bytes())
            rows.append(
                {
                    "file": one.path.relative_to(data).as_posix(),
                    "source": entry["source"],
                    "licence": entry["licence"],
                    "modality": entry["modality"],
                    "split": one.split,
                    "sha256": digest.hexdigest(),
                }
            )
    return rows
