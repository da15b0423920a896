"""References are packed as the manifest says, and no patient is on both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from quell.image import Modality
from quell.training.pack import CT_CONTRAST, CT_RANGE, MANIFEST, pack


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "data"
    (folder / "us").mkdir(parents=True)
    voxels = rng.normal(0, 30, (4, 81, 90))
    voxels[:, :10] = -4000
    voxels[:, 10:12] = 20000
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.int16).T, np.eye(4)), folder / "ct.nii")
    for number in range(6):
        pixels = rng.integers(20, 200, (32, 48)).astype(np.uint8)
        Pillow.fromarray(pixels).save(folder / "us" / f"{number}.png")
    return folder


def packed(data: Path, *entries: dict[str, Any]) -> list[dict[str, Any]]:
    manifest = data / "manifest.json"
    common = {"source": "made up", "licence": "CC0"}
    manifest.write_text(json.dumps([common | entry for entry in entries]))
    return pack(data, data / "pack", manifest)


def test_the_index_describes_the_arrays(data: Path) -> None:
    index = packed(
        data,
        {"files": "ct.nii", "modality": "CT", "split": "train"},
        {"files": "us/*.png", "modality": "US", "split": "validation"},
    )
    assert json.loads((data / "pack" / "index.json").read_text()) == index
    assert len({row["file"] for row in index}) == len(index) == 7
    for row in index:
        voxels = np.load(data / "pack" / row["file"])
        assert voxels.dtype == np.float32
        assert list(voxels.shape) == row["shape"]
        assert row["volume"] == (row["modality"] == "CT")
        assert row["contrast"] > 0
    assert index[0]["contrast"] == CT_CONTRAST
    assert index[0]["noise"] == pytest.approx(30, rel=0.2)


def test_values_that_no_ct_can_measure_are_cut(data: Path) -> None:
    (row,) = packed(data, {"files": "ct.nii", "modality": "CT", "split": "train"})
    voxels = np.load(data / "pack" / row["file"])
    assert (voxels.min(), voxels.max()) == CT_RANGE


def test_averaging_halves_the_size_and_the_noise(data: Path) -> None:
    entry = {"files": "ct.nii", "modality": "CT", "split": "train"}
    (plain,) = packed(data, entry)
    full = np.load(data / "pack" / plain["file"])
    (half,) = packed(data, entry | {"average": 2})
    voxels = np.load(data / "pack" / half["file"])
    assert voxels.shape == (4, 40, 45)
    np.testing.assert_allclose(voxels[1, 8, 3], full[1, 16:18, 6:8].mean(), rtol=1e-5)
    assert half["noise"] == pytest.approx(plain["noise"] / 2, rel=0.15)


def test_every_so_many_is_kept_for_validation(data: Path) -> None:
    index = packed(data, {"files": "us/*.png", "modality": "US", "validation_every": 3})
    assert [row["split"] for row in index] == ["train", "train", "validation"] * 2


def test_no_patient_is_on_both_sides(data: Path) -> None:
    owners = {0: "b", 1: "a", 2: "b", 3: "c", 4: "a", 5: "b"}
    rows = "\n".join(f"{image},{patient}" for image, patient in owners.items())
    (data / "patients.csv").write_text(f"image_id,patient_id\n{rows}\n")
    index = packed(
        data,
        {"files": "us/*.png", "modality": "US", "validation_every": 2, "patients": "patients.csv"},
    )
    sides: dict[str, set[str]] = {}
    for row in index:
        number = int(Path(row["file"]).stem.rsplit("_", 1)[1])
        sides.setdefault(owners[number], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in sides.values())
    assert set.union(*sides.values()) == {"train", "validation"}


def test_the_manifest_that_ships_names_licences_and_both_sides() -> None:
    entries = json.loads(MANIFEST.read_text())
    for entry in entries:
        assert entry["licence"] and entry["source"]
        assert entry["modality"] in {modality.value for modality in Modality}
        assert entry.get("split") in ("train", "validation") or entry["validation_every"] > 1
    fixed = {(entry["source"], entry["split"]) for entry in entries if "split" in entry}
    assert len({source for source, _ in fixed}) == len(fixed)


def test_axial_ct_gets_maps_of_its_directional_noise_and_nothing_else_does(data: Path) -> None:
    slices, image = packed(
        data,
        {"files": "ct.nii", "modality": "CT", "split": "train"},
        {"files": "us/0.png", "modality": "US", "split": "train"},
    )
    assert "sectors" not in image
    maps = np.load(data / "pack" / slices["sectors"])
    assert maps.shape[0] == slices["shape"][0]
    assert maps.shape[2:] == (58, 64)  # 81 to 90, as the slice
    np.testing.assert_allclose(maps.astype(float).mean(axis=(1, 2, 3)), 1, rtol=0.01)
