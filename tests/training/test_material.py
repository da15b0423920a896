"""The material of a release: complete or not there, with its sources on record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from quell.errors import InputError
from quell.training.crops import CropSampler
from quell.training.made import Recipe
from quell.training.material import INDEX, MANIFEST, data_manifest, make_material

TINY: dict[str, Any] = {"phantoms": 1, "recipes": (Recipe("NM", ("anatomy-nm",), 1, (0.2, 0.9)),)}


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Return a folder with two references, and their manifest beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    entries = []
    for name, split in (("a", "train"), ("b", "validation")):
        voxels = (100 * rng.random((2, 40, 48))).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels.T, np.eye(4)), folder / f"{name}.nii")
        entry = {"files": f"{name}.nii", "modality": "MR", "split": split}
        entries.append(entry | {"source": f"source {name}", "licence": "CC0"})
    references(folder).write_text(json.dumps(entries))
    return folder


def references(data: Path) -> Path:
    return data.parent / "references.json"


def test_the_material_holds_references_phantoms_and_scanned_objects(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    make_material(data, tmp_path / "out", references=references(data), say=said.append, **TINY)
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    assert len(index) == 2 + 1 + 2
    assert sum(bool(row.get("phantom")) for row in index) == 1
    assert sum(bool(row.get("made")) for row in index) == 2
    assert all((tmp_path / "out" / row["file"]).is_file() for row in index)
    assert said == ["references", "anatomy", "scanned objects"]
    crops = CropSampler(tmp_path / "out", 0).draw(0, 40, 32)
    assert np.isfinite(crops.noisy).all()
    assert {*crops.kind.argmax(axis=1)[crops.kind.any(axis=1)]} >= {1, 4}


def test_the_manifest_has_source_licence_side_and_hash_of_every_file(data: Path) -> None:
    rows = data_manifest(data, references(data))
    assert [(row["file"], row["split"]) for row in rows] == [("a.nii", "train"), ("b.nii", "validation")]
    for row in rows:
        assert row["source"] and row["licence"] == "CC0" and row["modality"] == "MR"
        assert row["sha256"] == hashlib.sha256((data / row["file"]).read_bytes()).hexdigest()


@pytest.mark.parametrize("step", ["draw_phantoms", "scan_objects", "data_manifest"])
def test_an_interruption_leaves_no_index_and_the_next_try_makes_all(
    step: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    quick = {"draw_phantoms": [], "scan_objects": []}
    for name, rows in quick.items():
        monkeypatch.setattr(f"quell.training.material.{name}", lambda *_, rows=rows: list(rows))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"quell.training.material.{step}", interrupted)
        make_material(data, tmp_path / "out", references=references(data), **TINY)
    assert not (tmp_path / "out" / INDEX).exists()
    make_material(data, tmp_path / "out", references=references(data), **TINY)
    assert len(json.loads((tmp_path / "out" / INDEX).read_text())) == 2
    assert len(json.loads((tmp_path / "out" / MANIFEST).read_text())) == 2


def test_complete_material_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / INDEX).write_text("[]")
    make_material(data, tmp_path / "out", references=references(data), **TINY)
    assert (tmp_path / "out" / INDEX).read_text() == "[]"


def test_missing_references_are_named_before_anything_is_made(data: Path, tmp_path: Path) -> None:
    (data / "b.nii").unlink()
    with pytest.raises(InputError, match=r"holds no b\.nii \(source b\)"):
        make_material(data, tmp_path / "out", references=references(data), **TINY)
    with pytest.raises(InputError, match="no such folder"):
        make_material(tmp_path / "none", tmp_path / "out", references=references(data), **TINY)
    assert not (tmp_path / "out").exists()
