"""The images of a data folder by the manifest of the training: which were learned from, which not."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quell.image import Image, Modality

MANIFEST = Path(__file__).parents[1] / "training" / "universal_data.json"


@dataclass(frozen=True)
class Listed:
    """A file of an entry of the manifest.

    Attributes
    ----------
    path : Path
    split : str
        ``"train"`` or ``"validation"``.
    number : int
        Among the files of the entry.
    patient : str
        What images of one patient share.
    """

    path: Path
    split: str
    number: int
    patient: str


def read_manifest(manifest: Path = MANIFEST) -> list[dict[str, Any]]:
    """Return the entries of a manifest of reference images."""
    entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    return entries


def listed(entry: dict[str, Any], data: Path) -> Iterator[Listed]:
    """Yield the files of an entry that are there, each with its side of the split.

    Where a table names the patients, all images of one are on the same side.
    """
    groups = _patients(entry, data)
    order = sorted(set(groups.values()))
    for number, file in enumerate(sorted(data.glob(entry["files"]))):
        place = order.index(groups[file.stem]) if groups else number
        every = entry.get("validation_every", 0)
        side = entry.get("split") or ("validation" if place % every == every - 1 else "train")
        patient = groups.get(file.stem) or file.name.split(".")[0]
        yield Listed(file, side, number, patient)


def load(path: Path, modality: str) -> Image:
    """Read the one image that is found at a path."""
    from quell.formats.open import open_study

    series: Any = open_study(path).series[0]
    if series.format != "DICOM":
        series = replace(series, modality=Modality(modality))
    image: Image = series.read()
    return image


def _patients(entry: dict[str, Any], data: Path) -> dict[str, str]:
    """Return the patient of each file where a table names them, so that none is on both sides."""
    table = data / entry["patients"] if "patients" in entry else None
    if table is None or not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8") as file:
        return {row["image_id"]: row["patient_id"] for row in csv.DictReader(file)}
