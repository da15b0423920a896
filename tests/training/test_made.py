"""Objects that were scanned beforehand: their level and spectrum are those of their noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from quell.inference.kinds import KINDS
from quell.noise.spectrum import DESCRIPTOR_SIZE, describe
from quell.phantoms.objects import OBJECTS
from quell.phantoms.procedural import STYLES
from quell.training.made import REALISATIONS, RECIPES, Recipe, draw_phantoms, scan_objects
from quell.training.pool import MADE_SHARES

PLANAR = Recipe("NM", ("anatomy-nm",), 1, (0.2, 0.9))


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("made")
    return folder, scan_objects(folder, (PLANAR,), seed=3)


def test_an_object_is_scanned_at_two_doses(scanned: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = scanned
    assert len(rows) == len({row["file"] for row in rows}) == 2
    for row in rows:
        voxels = np.load(folder / row["file"])
        assert voxels.dtype == np.float32
        assert list(voxels.shape) == [3 + REALISATIONS, *row["shape"]]
        assert (row["modality"], row["split"], row["made"], row["volume"]) == ("NM", "train", True, False)
        assert row["contrast"] > 0 and row["noise"] == 0
        assert len(row["descriptor"]) == DESCRIPTOR_SIZE


def test_the_level_is_the_deviation_of_the_noise(scanned: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = scanned
    for row in rows:
        clean, level, _, *noisy = np.load(folder / row["file"]).astype(np.float64)
        error = np.stack(noisy) - clean
        inside = level > 0.3 * level.mean()
        assert inside.mean() > 0.05
        # Thousands of pixels; what is left is what the smoothing of the level costs.
        assert (error[:, inside] / level[inside]).std() == pytest.approx(1, abs=0.1)
        # Counts: the variance rises with the mean.
        assert np.corrcoef(level[inside] ** 2, clean[inside])[0, 1] > 0.7


def test_the_descriptor_is_that_of_counts_which_is_white(
    scanned: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, rows = scanned
    for row in rows:
        _, level, _, *noisy = np.load(folder / row["file"]).astype(np.float64)
        apart = np.divide(noisy[0] - noisy[1], level, out=np.zeros_like(level), where=level > 0)
        measured = describe(np.abs(np.fft.fft2(apart)).mean(axis=0) ** 2)
        np.testing.assert_allclose(row["descriptor"], measured, atol=0.5)
        np.testing.assert_allclose(row["descriptor"], 0, atol=0.3)


def test_the_focus_is_where_the_lesions_are(scanned: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = scanned
    one, other = (np.load(folder / row["file"])[2] for row in rows)
    np.testing.assert_array_equal(one, other)
    assert one.min() == 0 and one.max() == 1
    assert 0.002 < (one > 0.5).mean() < 0.3


def test_the_same_seed_scans_the_same_and_another_something_else(
    scanned: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, rows = scanned
    again, other = (scan_objects(tmp_path / str(seed), (PLANAR,), seed=seed) for seed in (3, 4))
    assert again == rows
    name = rows[0]["file"]
    assert np.array_equal(np.load(folder / name), np.load(tmp_path / "3" / name))
    assert not np.array_equal(np.load(folder / name), np.load(tmp_path / "4" / other[0]["file"]))


def test_every_recipe_names_a_kind_and_objects_that_there_are() -> None:
    for recipe in RECIPES:
        assert recipe.kind in KINDS and recipe.kind in MADE_SHARES
        assert {*recipe.objects} <= {*OBJECTS}
        assert recipe.count > 0 and 0 < recipe.doses[0] < recipe.doses[1]


def test_phantoms_are_rows_of_an_index_and_come_again_with_their_seed(tmp_path: Path) -> None:
    rows = draw_phantoms(tmp_path / "one", 2, seed=5)
    assert draw_phantoms(tmp_path / "two", 2, seed=5) == rows
    for row in rows:
        voxels = np.load(tmp_path / "one" / row["file"])
        assert list(voxels.shape) == row["shape"]
        assert row["phantom"] and row["modality"] in STYLES
        assert ("sectors" in row) == (row["modality"] == "body")
        assert np.array_equal(voxels, np.load(tmp_path / "two" / row["file"]))
