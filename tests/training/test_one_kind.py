"""Training for one kind of image alone: its crops are those that the training for all would keep."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from quell.errors import QuellError
from quell.inference.kinds import KINDS, one_hot
from quell.phantoms.procedural import STYLES
from quell.training.crops import CropSampler
from quell.training.laws import Law, draw_kind, draw_law, passing
from quell.training.made import RECIPES
from quell.training.pool import MADE, MADE_SHARES, SHARES, Pool
from quell.training.sectors import CELLS, SECTORS


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pack of every group, each reference with a value of its own."""
    folder, rows = tmp_path_factory.mktemp("pack"), []
    made = [recipe.kind for recipe in RECIPES]
    for group in (*[name for name in SHARES if name != "phantom"], *STYLES, *(MADE + kind for kind in made)):
        # Not all of the same size: a larger one is drawn more often.
        shape, number = (3, 10 + len(rows), 12), len(rows)
        row = {"file": f"{number}.npy", "modality": group.removeprefix(MADE), "split": "train"}
        row |= {"volume": True, "contrast": 1.0, "noise": 0.0}
        row |= {"phantom": True} if group in STYLES else {}
        row |= {"made": True} if group.startswith(MADE) else {}
        voxels = np.full((5, *shape) if group.startswith(MADE) else shape, number + 1, np.float32)
        if group in ("CT", "body"):
            row["sectors"] = f"{number}.sectors.npy"
            np.save(folder / row["sectors"], np.ones((3, SECTORS, CELLS, CELLS), np.float16))
        np.save(folder / row["file"], voxels)
        rows.append(row)
    (folder / "index.json").write_text(json.dumps(rows))
    return folder


def drawn(pack: Path, count: int, kind: str = "") -> Counter[tuple[str, Law, str]]:
    """Count reference, law and what is said to be shown, drawn as for crops but without reading any."""
    pool, rng = Pool(pack, kind), np.random.default_rng(len(kind))
    found: Counter[tuple[str, Law, str]] = Counter()
    for _ in range(count):
        reference = pool.draw(rng)
        law, shown = Law.MADE, reference.kind.removeprefix(MADE)
        if not reference.made:
            law = draw_law(rng, reference.kind, reference.sectors_file is not None, kind)
            shown = draw_kind(rng, reference.kind, law, kind)
        found[reference.kind, law, shown] += 1
    return found


@pytest.fixture(scope="module")
def everything(pack: Path) -> Counter[tuple[str, Law, str]]:
    return drawn(pack, 40_000)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_is_what_remains_of_all_crops(
    everything: Counter[tuple[str, Law, str]], pack: Path, kind: str
) -> None:
    left, own = (
        {source: count for source, count in counts.items() if source[2] == kind}
        for counts in (everything, drawn(pack, 3000, kind))
    )
    totals = sum(left.values()), sum(own.values())
    for source in left | own:
        ours, others = own.get(source, 0), left.get(source, 0)
        both = (ours + others) / sum(totals)
        error = (both * (1 - both) * (1 / totals[0] + 1 / totals[1])) ** 0.5
        # Some 50 comparisons in all.
        assert abs(others / totals[0] - ours / totals[1]) < 4.2 * error, source


@pytest.mark.parametrize("kind", KINDS)
def test_a_crop_is_said_to_show_this_kind_or_nothing_in_one_of_eight(pack: Path, kind: str) -> None:
    told = CropSampler(pack, 2, kind).draw(0, 1000, 2).kind
    assert {tuple(one) for one in told} == {tuple(one_hot(kind)), tuple(one_hot(""))}
    # 500 pairs: a standard error of 0.015.
    assert 1 - told[::2].sum() / 500 == pytest.approx(1 / 8, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_no_law_names_another_kind(kind: str) -> None:
    rng = np.random.default_rng(3)
    for reference in (*STYLES, *KINDS):
        if passing(reference, kind) == 0:
            continue
        laws = {draw_law(rng, reference, True, kind) for _ in range(200)}
        for law in laws:
            assert kind in {draw_kind(rng, reference, law) for _ in range(200)}, (reference, law)


def test_chances_to_pass_for_a_kind_add_up() -> None:
    for reference in (*STYLES, *KINDS):
        assert sum(passing(reference, kind) for kind in KINDS) == pytest.approx(1), reference
    assert [passing("CT", kind) for kind in ("CT", "MR")] == pytest.approx([1, 0])
    assert passing("ultrasound", "US") == pytest.approx(1)
    assert passing("counts", "NM") > passing("counts", "PT") > 0


def test_a_batch_depends_on_its_number_alone(pack: Path) -> None:
    first, second = CropSampler(pack, 1, "US"), CropSampler(pack, 1, "US")
    forth = [first.draw(number, 8, 8) for number in range(3)]
    for number in (2, 0, 1):
        again = second.draw(number, 8, 8)
        assert all(np.array_equal(value, vars(again)[name]) for name, value in vars(forth[number]).items())
    assert not np.array_equal(forth[0].clean, forth[1].clean)


def test_without_a_kind_references_are_drawn_by_the_shares_alone(pack: Path) -> None:
    groups = {**SHARES, **{MADE + kind: share for kind, share in MADE_SHARES.items()}}
    rows = json.loads((pack / "index.json").read_text())
    members: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        name = "phantom" if row.get("phantom") else (MADE if row.get("made") else "") + row["modality"]
        members.setdefault(name, []).append(number)
    chosen = np.array(list(groups.values()))
    names, pool = list(groups), Pool(pack)
    for seed in range(200):
        found, rng = pool.draw(np.random.default_rng(seed)), np.random.default_rng(seed)
        inside = members[names[int(rng.choice(len(names), p=chosen / chosen.sum()))]]
        roots = np.sqrt([np.load(pack / rows[number]["file"]).size for number in inside])
        assert found.file.stem == str(inside[int(rng.choice(len(inside), p=roots / roots.sum()))])


def test_a_pack_that_holds_nothing_of_the_kind_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", np.zeros((3, 8, 8), np.float32))
    row = {"file": "0.npy", "modality": "CT", "split": "train", "volume": True, "contrast": 1.0, "noise": 0.0}
    (tmp_path / "index.json").write_text(json.dumps([row]))
    assert CropSampler(tmp_path, 0, "CT").draw(0, 2, 8).kind.shape == (2, len(KINDS))
    with pytest.raises(QuellError, match="no references to train US with"):
        CropSampler(tmp_path, 0, "US")
