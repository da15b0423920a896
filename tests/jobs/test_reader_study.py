"""Reader studies from two studies: what is handed out, and what the sheets say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_samples import SHAPE, save, three
from PIL import Image as Pillow

from quell.cli.main import main
from quell.errors import InputError, QuellError
from quell.jobs.reader_study import ReaderSettings, analyse_reader_study, make_reader_study


@pytest.fixture
def arms(tmp_path: Path) -> dict[str, Path]:
    _, low, clean = three()
    return {
        "standard": save(low, tmp_path / "low" / "a_ct.nii"),
        "quell": save(clean, tmp_path / "clean" / "b_ct.nii"),
    }


def fill(package: Path, reader: int, prefer: str) -> Path:
    """Fill in a sheet as a reader who sees through the blinding would: the preferred arm gets fives."""
    key = json.loads((package / "key.json").read_text("utf-8"))
    arm_of = {pair["pair"]: pair for pair in key["pairs"]}
    path = package / "for-readers" / f"score_sheet_{reader}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for one in rows:
        side = "A" if arm_of[one["pair"]]["A"] == prefer else "B"
        one["preference"] = side
        for column in one:
            if column.endswith((" A", " B")):
                one[column] = "5" if column.endswith(side) else "2"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_what_is_handed_out_does_not_tell_the_arms_apart(arms: dict[str, Path], tmp_path: Path) -> None:
    made = make_reader_study(arms, tmp_path / "package", ReaderSettings(readers=2, repeats=1))
    assert (made.cases, made.pairs) == (3, 4)
    names = [path.name for path in made.for_readers.rglob("*")]
    text = " ".join(p.read_text("utf-8") for p in made.for_readers.glob("*.*"))
    assert not any(word in f"{names} {text}" for word in ("quell", "standard", "a_ct", "b_ct"))
    assert len(list((made.for_readers / "images").glob("*.png"))) == 8
    picture = np.asarray(Pillow.open(made.for_readers / "images" / "001_A.png"))
    assert picture.shape == SHAPE[1:]


def test_answers_come_back_to_their_arms(arms: dict[str, Path], tmp_path: Path) -> None:
    make_reader_study(arms, tmp_path / "package", ReaderSettings(readers=2, seed=5))
    sheets = [fill(tmp_path / "package", reader, "quell") for reader in (1, 2)]
    study = analyse_reader_study(tmp_path / "package", sheets)
    assert study.readings.arms == ("standard", "quell")
    assert study.preference_share.value == 1.0
    assert {(q.first.value, q.second.value) for q in study.questions} == {(2.0, 5.0)}


def test_the_commands_make_and_analyse(
    arms: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "package"
    given = [word for name, path in arms.items() for word in ("--arm", f"{name}={path}")]
    assert main(["readers", "make", *given, "-o", str(package), "--readers", "1", "-q"]) == 0
    assert "key.json" in capsys.readouterr().out
    sheet = fill(package, 1, "standard")
    assert main(["readers", "analyse", str(package), str(sheet), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["arms"] == ["standard", "quell"] and values["preference_share_of_second"]["value"] == 0
    assert main(["readers", "analyse", str(package), str(sheet)]) == 0
    assert "standard" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["make", "--arm", "a=x", "-o", "out"],
        ["make", "--arm", "a=x", "--arm", "a=y", "-o", "out"],
        ["make", "--arm", "ax", "--arm", "b=y", "-o", "out"],
        ["make", "--arm", "a=nowhere", "--arm", "b=nowhere", "-o", "out"],
        ["analyse", "nowhere", "sheet.csv"],
        [],
    ],
)
def test_wrong_calls_end_with_2_and_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["readers", *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("quell: error")]
    assert len(errors) == 1 and not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_not_replaced(arms: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(QuellError, match="other things"):
        make_reader_study(arms, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_arms_that_do_not_fit_are_refused(arms: dict[str, Path], tmp_path: Path) -> None:
    other = save(three()[2][:, :50], tmp_path / "cut" / "c_ct.nii")
    with pytest.raises(InputError, match="shape"):
        make_reader_study({**arms, "quell": other}, tmp_path / "package")


@pytest.mark.parametrize(
    "settings",
    [{"readers": 0}, {"slices": 0}, {"seed": -1}, {"questions": ("noise", "noise")}, {"repeats": 9}],
)
def test_reader_settings_that_make_no_sense(
    arms: dict[str, Path], tmp_path: Path, settings: dict[str, object]
) -> None:
    with pytest.raises(QuellError):
        make_reader_study(arms, tmp_path / "package", ReaderSettings(**settings))
