"""Pack the reference images of a data folder for training, split by patient.

``python -m quell.training.pack DATA -o PACK``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quell.evaluation.references import MANIFEST, listed, load, read_manifest
from quell.image import FloatArray
from quell.noise.flat import quiet_level
from quell.training.sectors import sector_maps

__all__ = [
    "MANIFEST",
    "Found",
    "describe",
    "load",
    "pack",
    "pack_references",
    "read_manifest",
    "references",
]

CT_RANGE = (-1024.0, 3071.0)
"""Values outside of what a 12-bit CT can store are marks for "no data"."""

CT_CONTRAST = 1000.0
"""From air to water, HU."""

_CORONAL_FROM = 40


def pack(data: Path, out: Path, manifest: Path = MANIFEST) -> list[dict[str, Any]]:
    """Write every reference of the manifest as an array, and ``index.json``, an index of them.

    Parameters
    ----------
    data, out, manifest : Path
        As `pack_references`, which returns the same.
    """
    index = pack_references(data, out, manifest)
    (out / "index.json").write_text(json.dumps(index, indent=1))
    return index


def pack_references(data: Path, out: Path, manifest: Path = MANIFEST) -> list[dict[str, Any]]:
    """Write every reference of the manifest as an array.

    Parameters
    ----------
    data : Path
        Folder that the manifest's paths are relative to.
    out : Path
        Made if absent.
    manifest : Path
        JSON: files, modality, split, source and licence of each reference.

    Returns
    -------
    list of dict
        For an index: ``file``, ``modality``, ``split``, ``contrast`` and ``noise`` (in the units of the
        array), ``volume``, ``shape``, ``source``; of axial CT also ``sectors``, the file of its maps of
        directional noise.
    """
    out.mkdir(parents=True, exist_ok=True)
    index = []
    for entry in read_manifest(manifest):
        for found in references(entry, data):
            row = describe(found)
            row["file"] = f"{found.split}_{found.modality}_{found.name}.npy"
            row["source"] = entry["source"]
            np.save(out / row["file"], found.voxels)
            if found.pixel_mm is not None:
                row["sectors"] = f"{Path(row['file']).stem}.sectors.npy"
                np.save(out / row["sectors"], sector_maps(found.voxels, found.pixel_mm))
            index.append(row)
    return index


@dataclass(frozen=True, eq=False)
class Found:
    """One reference of the manifest.

    Attributes
    ----------
    name, modality : str
    split : str
        ``"train"`` or ``"validation"``.
    voxels : ndarray of float32, shape (z, y, x)
    volume : bool
        True when slices are neighbours.
    pixel_mm : float or None
        Pixel size of axial CT; None for everything else.
    """

    name: str
    modality: str
    split: str
    voxels: FloatArray
    volume: bool
    pixel_mm: float | None = None


def references(entry: dict[str, Any], data: Path, split: str | None = None) -> Iterator[Found]:
    """Yield the references of an entry of the manifest, those of one split only where it is named."""
    for one in listed(entry, data):
        file, side = one.path, one.split
        if split not in (None, side):
            continue
        image = load(file, entry["modality"])
        voxels = image.voxels
        if entry["modality"] == "CT":
            voxels = np.clip(voxels, *CT_RANGE)
        average = entry.get("average", 1)
        if entry.get("average_every") and one.number % entry["average_every"]:
            average = 2
        name = file.name.split(".")[0]
        known = entry["modality"] == "CT" and image.geometry.known
        pixel = average * image.geometry.spacing[2] if known else None
        yield Found(name, entry["modality"], side, _averaged(voxels, average), image.volume, pixel)
        if entry.get("coronal") and min(voxels.shape) >= _CORONAL_FROM:
            coronal = np.ascontiguousarray(voxels.swapaxes(0, 1))
            yield Found(f"{name}_coronal", entry["modality"], side, coronal, True)


def _averaged(voxels: FloatArray, factor: int) -> FloatArray:
    depth, rows, columns = voxels.shape
    rows, columns = rows // factor, columns // factor
    cut = voxels[:, : rows * factor, : columns * factor]
    blocks = cut.reshape(depth, rows, factor, columns, factor)
    return np.ascontiguousarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def describe(found: Found) -> dict[str, Any]:
    """Return contrast, own noise (both in the units of the voxels), shape and kind of a reference."""
    voxels, ct = found.voxels, found.modality == "CT"
    low, high = np.percentile(voxels[:: max(1, len(voxels) // 10)], (0.5, 99.5))
    inside = (-250.0, 300.0) if ct else (0.1 * float(np.percentile(voxels, 99.5)), np.inf)
    return {
        "modality": found.modality,
        "split": found.split,
        "contrast": CT_CONTRAST if ct else float(high - low),
        "noise": quiet_level(voxels, inside),
        "volume": found.volume and len(voxels) > 1,
        "shape": list(voxels.shape),
    }


def main() -> None:
    """Parse the command line and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of reference images")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_args()
    index = pack(arguments.data, arguments.out)
    print(f"{len(index)} references, {sum(row['split'] == 'train' for row in index)} of them for training")


if __name__ == "__main__":
    main()
