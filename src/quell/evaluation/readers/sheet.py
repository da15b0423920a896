"""Returned score sheets, unblinded by the key."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quell.errors import InputError
from quell.evaluation.observers.scores import Array
from quell.evaluation.readers.package import sheet_columns


@dataclass(frozen=True, eq=False)
class Readings:
    """All answers of all readers; not a number where one is missing.

    Attributes
    ----------
    readers : tuple of str
    arms : (str, str)
    cases : tuple of str
    preference : ndarray, shape (readers, cases)
        -1 for the first arm, 1 for the second, 0 for neither.
    scores : mapping of str to ndarray, shape (readers, cases, 2)
        By question, for the two arms.
    confidence : ndarray, shape (readers, cases, 2), or None
        That the lesion is there; None where it was not asked for.
    lesion : ndarray of bool, shape (cases,), or None
    repeats : tuple of (case, ndarray of shape (readers,))
        The preference when a case was shown again.
    """

    readers: tuple[str, ...]
    arms: tuple[str, str]
    cases: tuple[str, ...]
    preference: Array
    scores: Mapping[str, Array]
    confidence: Array | None
    lesion: Array | None
    repeats: tuple[tuple[int, Array], ...]


def read_sheets(sheets: Mapping[str, Path], key: Path) -> Readings:
    """Read the sheets that came back.

    Parameters
    ----------
    sheets : mapping of str to Path
        By reader.
    key : Path
        ``key.json`` of the package.

    Raises
    ------
    InputError
        If a file cannot be read, columns or pairs are missing, double or unknown, or an answer is none of
        those allowed; the message names the row.
    """
    known = _read_key(key)
    if not sheets:
        raise InputError(key, "no score sheet was given")
    lesions = known["pairs"][0]["lesion"] is not None
    asked = [*known["questions"], *(["lesion"] if lesions else [])]
    answers = [_read_sheet(Path(path), known, asked) for path in sheets.values()]
    first = [pair for pair in known["pairs"] if pair["repeat_of"] is None]
    place = {pair["pair"]: number for number, pair in enumerate(first)}
    names = [pair["pair"] for pair in first]
    scores = {what: np.array([[one[name][what] for name in names] for one in answers]) for what in asked}
    return Readings(
        tuple(sheets),
        (known["arms"][0], known["arms"][1]),
        tuple(pair["case"] for pair in first),
        np.array([[one[name]["preference"][0] for name in names] for one in answers]),
        {what: scores[what] for what in known["questions"]},
        scores["lesion"] if lesions else None,
        np.array([pair["lesion"] for pair in first], np.float64) if lesions else None,
        tuple(
            (place[pair["repeat_of"]], np.array([one[pair["pair"]]["preference"][0] for one in answers]))
            for pair in known["pairs"]
            if pair["repeat_of"] is not None
        ),
    )


def _read_key(path: Path) -> dict[str, Any]:
    try:
        key = json.loads(Path(path).read_text(encoding="utf-8"))
        pairs = [
            {name: pair[name] for name in ("pair", "case", "A", "B", "lesion", "repeat_of")}
            for pair in key["pairs"]
        ]
        known = {"arms": key["arms"], "questions": list(key["questions"]), "pairs": pairs}
        arms = set(known["arms"])
        whole = len(arms) == 2 and bool(pairs) and all({one["A"], one["B"]} == arms for one in pairs)
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, "is no key of a reader study") from error
    if not whole:
        raise InputError(path, "is no key of a reader study")
    return known


def _read_sheet(path: Path, key: Mapping[str, Any], asked: list[str]) -> dict[str, dict[str, list[float]]]:
    """Return the answers by pair and question, for the first and the second arm."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "cannot be read as a text file") from error
    # Spreadsheets of some countries save semicolons.
    separator = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    rows = list(csv.DictReader(text.splitlines(), delimiter=separator))
    needed = sheet_columns([name for name in asked if name != "lesion"], "lesion" in asked)[:-1]
    columns = list(rows[0]) if rows else []
    if missing := [name for name in needed if name not in columns]:
        raise InputError(path, f"has no column {', '.join(missing)}")
    pairs = {pair["pair"]: pair for pair in key["pairs"]}
    found: dict[str, dict[str, list[float]]] = {}
    for number, row in enumerate(rows, 2):
        # A spreadsheet turns 007 into 7.
        name = (row["pair"] or "").strip().zfill(3)
        if name not in pairs or name in found:
            raise InputError(path, f"row {number}: pair {row['pair']!r} is unknown or there twice")
        found[name] = _answers(path, number, row, asked, first_is_a=pairs[name]["A"] == key["arms"][0])
    if len(found) < len(pairs):
        raise InputError(path, f"pairs are missing: {', '.join(sorted(set(pairs) - set(found)))}")
    return found


def _answers(
    path: Path, number: int, row: Mapping[str, str | None], asked: list[str], *, first_is_a: bool
) -> dict[str, list[float]]:
    chosen = (row["preference"] or "").strip().upper()
    toward_a = -1.0 if first_is_a else 1.0
    meaning = {"": np.nan, "N": 0.0, "=": 0.0, "A": toward_a, "B": -toward_a}
    if chosen not in meaning:
        raise InputError(path, f"row {number}: preference must be A, B or N, got {row['preference']!r}")
    answers = {"preference": [meaning[chosen]]}
    for what in asked:
        pair = [_score(path, number, f"{what} {side}", row) for side in "AB"]
        answers[what] = pair if first_is_a else pair[::-1]
    return answers


def _score(path: Path, number: int, column: str, row: Mapping[str, str | None]) -> float:
    text = (row[column] or "").strip()
    if not text:
        return float("nan")
    if text not in ("1", "2", "3", "4", "5"):
        raise InputError(path, f"row {number}: {column} must be 1 to 5 or empty, got {text!r}")
    return float(text)
