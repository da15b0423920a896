"""A reader study goes out blind and comes back with the numbers that were put in."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from quell.errors import InputError, QuellError
from quell.evaluation.readers.agreement import fleiss_kappa, intraclass_correlation, weighted_kappa
from quell.evaluation.readers.analysis import analyse_sheets
from quell.evaluation.readers.package import ReaderCase, write_reader_package
from quell.evaluation.readers.proportion import binomial_interval, sign_test
from quell.evaluation.readers.sheet import read_sheets

ARMS = ("standard", "quell")
Answer = Callable[[dict[str, object], np.random.Generator], dict[str, str]]


def cases(count: int = 20, lesions: bool = True) -> list[ReaderCase]:
    """Pictures whose first arm is dark and whose second is bright."""
    return [
        ReaderCase(
            f"case {k}",
            np.full((12, 10), 10.0 + k, np.float32),
            np.full((12, 10), 60.0 + k, np.float32),
            (0.0, 100.0),
            lesion=k % 2 == 0 if lesions else None,
        )
        for k in range(count)
    ]


def fill(sheet: Path, key: Path, answer: Answer, seed: int = 0) -> None:
    """Let a reader answer every row of a sheet."""
    pairs = {pair["pair"]: pair for pair in json.loads(key.read_text())["pairs"]}
    rng = np.random.default_rng(seed)
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update(answer(pairs[row["pair"]], rng))
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def fond_of_quell(pair: dict[str, object], rng: np.random.Generator) -> dict[str, str]:
    """Prefer quell, give it 4 and the standard 2, find its lesions and guess those of the standard."""
    answers = {"preference": "A" if pair["A"] == "quell" else "B"}
    for side in "AB":
        good = pair[side] == "quell"
        answers[f"noise {side}"] = "4" if good else "2"
        answers[f"lesion {side}"] = str((5 if pair["lesion"] else 1) if good else int(rng.integers(1, 6)))
    return answers


@pytest.fixture
def study(tmp_path: Path) -> Path:
    out = tmp_path / "study"
    write_reader_package(
        cases(), ARMS, out, np.random.default_rng(1), readers=2, repeats=4, questions=("noise",)
    )
    return out


def sheets(study: Path, *answers: Answer) -> dict[str, Path]:
    found = {}
    for number, answer in enumerate(answers, 1):
        sheet = study / "for-readers" / f"score_sheet_{number}.csv"
        fill(sheet, study / "key.json", answer, number)
        found[f"reader {number}"] = sheet
    return found


def test_readers_get_no_hint(study: Path) -> None:
    handed = study / "for-readers"
    texts = [file.read_bytes() for file in handed.rglob("*") if file.suffix in (".csv", ".txt")]
    names = " ".join(file.name for file in handed.rglob("*"))
    for word in ("quell", "standard", "case"):
        assert word not in names and not any(word in text.decode().lower() for text in texts[:2])
    assert not list(handed.rglob("key*"))
    for file in (handed / "images").iterdir():
        with Picture.open(file) as picture:
            assert picture.mode == "L" and not picture.info


def test_pictures_are_those_of_the_key_in_one_window(study: Path) -> None:
    key = json.loads((study / "key.json").read_text())
    assert len(key["pairs"]) == 24
    for pair in key["pairs"]:
        number = int(pair["case"].split()[1])
        for side in "AB":
            with Picture.open(study / "for-readers" / "images" / f"{pair['pair']}_{side}.png") as picture:
                grey = np.asarray(picture)
            value = (10 if pair[side] == "standard" else 60) + number
            assert grey.shape == (12, 10) and (grey == round(value * 2.55)).all()


def test_sides_and_order_are_drawn(study: Path) -> None:
    key = json.loads((study / "key.json").read_text())
    assert sum(pair["A"] == "quell" for pair in key["pairs"]) == 12
    assert [pair["case"] for pair in key["pairs"]] != sorted(pair["case"] for pair in key["pairs"])
    orders = []
    for number in (1, 2):
        with (study / "for-readers" / f"score_sheet_{number}.csv").open(newline="") as file:
            orders.append([row["pair"] for row in csv.DictReader(file)])
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_pixels_that_are_not_square_are_shown_in_their_shape(tmp_path: Path) -> None:
    one = cases(1)[0]
    tall = ReaderCase("tall", one.first, one.second, one.window, aspect=3.0)
    folder = write_reader_package([tall], ARMS, tmp_path / "out", np.random.default_rng(0))
    with Picture.open(folder / "images" / "001_A.png") as picture:
        assert picture.size == (10, 36)


def test_what_readers_say_comes_back(study: Path) -> None:
    found = analyse_sheets(
        sheets(study, fond_of_quell, fond_of_quell), study / "key.json", np.random.default_rng(0), count=300
    )
    first = found.preferences[0]
    assert (first.first, first.second, first.neither, first.missing) == (0, 20, 0, 0)
    assert first.share.value == 1 and first.share.low == pytest.approx(0.025 ** (1 / 20))
    assert first.p_value == pytest.approx(2 * 0.5**20)
    assert found.preference_share.value == 1 and found.repeat_agreement == 1
    noise = found.questions[0]
    assert (noise.first.value, noise.second.value, noise.difference.value) == (2, 4, 2)
    assert noise.correlation == pytest.approx(1) and noise.kappa == pytest.approx(1)
    assert [one.reader for one in found.detections] == ["reader 1", "reader 2", "mean of the readers"]
    mean = found.detections[-1]
    assert mean.second.value == 1 and 0.2 < mean.first.value < 0.8
    assert mean.test.p_value < 0.01 and mean.test.difference.low > 0


def test_missing_answers_are_left_out(study: Path) -> None:
    def silent(pair: dict[str, object], rng: np.random.Generator) -> dict[str, str]:
        answers = fond_of_quell(pair, rng)
        if pair["case"] == "case 3":
            answers |= {"preference": "", "noise A": "", "lesion B": ""}
        return answers | ({"preference": "n"} if pair["case"] == "case 4" else {})

    found = analyse_sheets(sheets(study, silent), study / "key.json", np.random.default_rng(0), count=100)
    one = found.preferences[0]
    assert (one.second, one.neither, one.missing) == (18, 1, 1)
    assert found.questions[0].difference.value == 2
    assert len(found.detections) == 1


def test_sheets_of_spreadsheets_are_read(study: Path) -> None:
    given = sheets(study, fond_of_quell)
    sheet = given["reader 1"]
    text = sheet.read_text().replace(",", ";").replace("\n0", "\n")
    sheet.write_text("\ufeff" + text, encoding="utf-8")
    assert read_sheets(given, study / "key.json").preference.tolist() == [[1.0] * 20]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",4,2,", ",6,2,", "row .*: noise A must be 1 to 5"),
        ("\n001,", "\n099,", "pair '099' is unknown"),
        ("\n001,", "\n002,", "unknown or there twice"),
        ("preference", "choice", "has no column preference"),
        (",A,", ",C,", "preference must be A, B or N"),
    ],
)
def test_a_sheet_at_fault_is_named_with_the_row(study: Path, old: str, new: str, message: str) -> None:
    given = sheets(study, fond_of_quell)
    sheet = given["reader 1"]
    assert old in sheet.read_text()
    sheet.write_text(sheet.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_sheets(given, study / "key.json")


def test_a_row_that_is_missing_is_named(study: Path) -> None:
    given = sheets(study, fond_of_quell)
    lines = given["reader 1"].read_text().splitlines()
    given["reader 1"].write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match=f"pairs are missing: {lines[-1][:3]}"):
        read_sheets(given, study / "key.json")


@pytest.mark.parametrize("content", ["", "[]", '{"arms": ["a", "b"], "questions": [], "pairs": []}'])
def test_a_key_at_fault_is_refused(study: Path, content: str) -> None:
    given = sheets(study, fond_of_quell)
    (study / "key.json").write_text(content)
    with pytest.raises(InputError, match="is no key"):
        read_sheets(given, study / "key.json")


def test_bad_cases_leave_nothing_behind(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = cases(3)
    holed = ReaderCase("holed", np.full((4, 4), np.nan, np.float32), np.ones((4, 4), np.float32), (0, 1))
    uneven = ReaderCase("uneven", np.ones((4, 4), np.float32), np.ones((4, 5), np.float32), (0, 1))
    for bad, message in (([], "at least one"), ([holed], "not finite"), ([uneven], "shapes")):
        with pytest.raises(QuellError, match=message):
            write_reader_package(bad, ARMS, tmp_path / "out", rng)
    with pytest.raises(QuellError, match="either all cases"):
        write_reader_package([*good, *cases(1, lesions=False)], ARMS, tmp_path / "out", rng)
    with pytest.raises(QuellError, match="different names"):
        write_reader_package(good, ("a", "a"), tmp_path / "out", rng)
    assert list(tmp_path.iterdir()) == []


def test_exact_interval_is_that_of_the_tables() -> None:
    """Clopper-Pearson 95 % of 8 in 10, and of none in 10."""
    found = binomial_interval(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    assert binomial_interval(0, 10).high == pytest.approx(0.3085, abs=1e-4)
    assert sign_test(8, 10) == pytest.approx(0.109375)
    assert sign_test(5, 10) == 1 and sign_test(0, 0) == 1


def test_exact_interval_never_holds_the_truth_less_often_than_it_says() -> None:
    from scipy.stats import binom

    intervals = [binomial_interval(hits, 15) for hits in range(16)]
    for share in np.linspace(0.02, 0.98, 25):
        assert sum(binom.pmf(k, 15, share) for k in range(16) if share in intervals[k]) >= 0.95


def test_fleiss_kappa_is_that_of_his_example() -> None:
    """14 raters, 10 subjects, 5 categories (Fleiss 1971): kappa 0.210."""
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    choices = np.array([np.repeat(np.arange(5), row) for row in counts]).T
    assert fleiss_kappa(choices) == pytest.approx(0.210, abs=5e-4)


def test_intraclass_correlation_is_that_of_the_example() -> None:
    """Four judges of six targets (Shrout & Fleiss 1979): ICC(2,1) = 0.29."""
    scores = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert intraclass_correlation(scores.T) == pytest.approx(0.29, abs=0.005)


def test_weighted_kappa_agrees_with_its_weights() -> None:
    rng = np.random.default_rng(3)
    first = rng.integers(1, 6, 60)
    second = np.clip(first + rng.integers(-1, 2, 60), 1, 5)
    table = np.zeros((5, 5))
    np.add.at(table, (first - 1, second - 1), 1 / 60)
    weights = (np.arange(5)[:, None] - np.arange(5)) ** 2
    chance = np.outer(table.sum(1), table.sum(0))
    expected = 1 - (weights * table).sum() / (weights * chance).sum()
    assert weighted_kappa(np.stack([first, second])) == pytest.approx(expected)
    assert weighted_kappa(np.stack([first, first])) == 1
