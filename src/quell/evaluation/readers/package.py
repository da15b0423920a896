"""A reader study to hand out: blinded pairs of images in random order, score sheets, and a key to keep."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quell.errors import InputError, QuellError
from quell.formats.atomic import atomic_folder
from quell.image import FloatArray

FOR_READERS = "for-readers"
KEY = "key.json"
_KEY_VERSION = 1

QUESTIONS = ("noise", "sharpness", "texture", "confidence", "artefacts")
"""What readers score by default, from 1 (unacceptable) to 5 (excellent)."""

_INSTRUCTIONS = """\
Reader study
============

For every row of your sheet (score_sheet_N.csv) open the two pictures of that pair, images/PAIR_A.png and
images/PAIR_B.png, side by side at the same size. They show the same place in the same window. Go through the
rows in the order of your sheet, and do not go back.

preference   A, B, or N where you have none.
{questions}
Leave a field empty where you cannot answer. Save the sheet as CSV and send it back.

For research use only. Not for diagnosis.
"""


@dataclass(frozen=True, eq=False)
class ReaderCase:
    """One pair of pictures of the same place.

    Attributes
    ----------
    name : str
        For the key only; must not hold a patient's name.
    first, second : ndarray, shape (y, x)
        The two arms, in the units of the image.
    window : (low, high)
        Shown black and white, the same for both.
    aspect : float
        Height of a pixel over its width.
    lesion : bool or None
        Whether the lesion that is asked for is there; None where nothing is asked.
    """

    name: str
    first: FloatArray
    second: FloatArray
    window: tuple[float, float]
    aspect: float = 1.0
    lesion: bool | None = None


@dataclass(frozen=True)
class _Shown:
    """A case as it is shown: its number, which arm is A, and the pair that it repeats."""

    pair: str
    case: ReaderCase
    swapped: bool
    repeat_of: str | None


def write_reader_package(
    cases: Sequence[ReaderCase],
    arms: tuple[str, str],
    out: Path | str,
    rng: np.random.Generator,
    *,
    readers: int = 1,
    repeats: int = 0,
    questions: Sequence[str] = QUESTIONS,
) -> Path:
    """Write a folder with what the readers get, and beside it the key.

    ``out/for-readers`` holds ``images/``, one ``score_sheet_N.csv`` for each reader, and
    ``instructions.txt``; ``out/key.json`` tells which picture is which and must stay with whoever runs
    the study. The pictures are grey PNG without metadata. Which arm is A, the numbers of the pairs, and
    the order in which each reader goes through them are drawn.

    Parameters
    ----------
    cases : sequence of ReaderCase
        Either all or none with a known lesion.
    arms : (str, str)
        Names of the first and the second pictures, such as ("standard", "quell").
    out : Path
        A folder of this name is replaced.
    rng : numpy.random.Generator
    readers : int
    repeats : int
        Cases that are shown twice, to see how well readers agree with themselves.
    questions : sequence of str

    Returns
    -------
    Path
        The folder for the readers.

    Raises
    ------
    QuellError
        If there is no case, more repeats than cases, or arms of one name.
    InputError
        If the pictures of a case differ in shape, hold values that are not finite, or the window is empty.
    OutputError
        If the folder cannot be written.
    """
    _check(cases, arms, readers, repeats)
    shown = _shuffled(cases, repeats, rng)
    out = Path(out)
    with atomic_folder(out) as folder:
        pictures = folder / FOR_READERS / "images"
        pictures.mkdir(parents=True)
        for one in shown:
            _save_pair(one, pictures)
        columns = sheet_columns(questions, cases[0].lesion is not None)
        for reader in range(1, readers + 1):
            order = [shown[k].pair for k in rng.permutation(len(shown))]
            _save_sheet(folder / FOR_READERS / f"score_sheet_{reader}.csv", columns, order)
        text = _INSTRUCTIONS.format(questions=_explained(questions, cases[0].lesion is not None))
        (folder / FOR_READERS / "instructions.txt").write_text(text, encoding="utf-8")
        key = json.dumps(_key(shown, arms, questions), indent=1)
        (folder / KEY).write_text(key, encoding="utf-8")
    return out / FOR_READERS


def sheet_columns(questions: Sequence[str], lesions: bool) -> list[str]:
    """Return the columns of a score sheet."""
    asked = [*questions, "lesion"] if lesions else list(questions)
    return ["pair", "preference", *(f"{what} {side}" for what in asked for side in "AB"), "comment"]


def _check(cases: Sequence[ReaderCase], arms: tuple[str, str], readers: int, repeats: int) -> None:
    if not cases or readers < 1:
        raise QuellError("a reader study needs at least one case and one reader")
    if not 0 <= repeats <= len(cases):
        raise QuellError(f"{repeats} of {len(cases)} cases cannot be shown twice")
    if arms[0] == arms[1]:
        raise QuellError(f"the two arms of a reader study need different names, got {arms[0]!r} twice")
    if len({case.lesion is None for case in cases}) > 1:
        raise QuellError("either all cases or none say whether the lesion is there")
    for case in cases:
        if case.first.ndim != 2 or case.first.shape != case.second.shape:
            raise InputError(
                case.name, f"the pictures have shapes {case.first.shape} and {case.second.shape}"
            )
        if not (np.isfinite(case.first).all() and np.isfinite(case.second).all()):
            raise InputError(case.name, "holds values that are not finite")
        if not case.window[0] < case.window[1]:
            raise InputError(case.name, f"the window from {case.window[0]:g} to {case.window[1]:g} is empty")


def _shuffled(cases: Sequence[ReaderCase], repeats: int, rng: np.random.Generator) -> list[_Shown]:
    """Number cases and repeats in random order, and draw which side is which: half of them each way."""
    again = rng.permutation(len(cases))[:repeats]
    indices = [*range(len(cases)), *(int(k) for k in again)]
    order = rng.permutation(len(indices))
    sides = rng.permutation(np.arange(len(indices)) % 2).astype(bool)
    numbers = {int(place): f"{number + 1:03d}" for number, place in enumerate(order)}
    shown = [
        _Shown(
            numbers[place],
            cases[index],
            bool(sides[place]),
            numbers[index] if place >= len(cases) else None,
        )
        for place, index in enumerate(indices)
    ]
    return sorted(shown, key=lambda one: one.pair)


def _save_pair(shown: _Shown, folder: Path) -> None:
    from PIL import Image as Picture

    case = shown.case
    low, high = case.window
    values = (case.second, case.first) if shown.swapped else (case.first, case.second)
    for side, plane in zip("AB", values, strict=True):
        grey = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1) * 255
        picture = Picture.fromarray(np.rint(grey).astype(np.uint8))
        if abs(case.aspect - 1) > 0.01:
            rows, columns = plane.shape
            wide, tall = max(1.0, 1 / case.aspect), max(1.0, case.aspect)
            size = (round(columns * wide), round(rows * tall))
            picture = picture.resize(size, Picture.Resampling.BICUBIC)
        picture.save(folder / f"{shown.pair}_{side}.png")


def _save_sheet(path: Path, columns: Sequence[str], order: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([pair, *[""] * (len(columns) - 1)] for pair in order)


def _explained(questions: Sequence[str], lesions: bool) -> str:
    lines = [f"{name:<12} 1 (unacceptable) to 5 (excellent), for A and for B." for name in questions]
    if lesions:
        lines.append("lesion       1 (surely none) to 5 (surely there), for A and for B.")
    return "\n".join(lines)


def _key(shown: Sequence[_Shown], arms: tuple[str, str], questions: Sequence[str]) -> dict[str, Any]:
    pairs = [
        {
            "pair": one.pair,
            "case": one.case.name,
            "A": arms[int(one.swapped)],
            "B": arms[1 - int(one.swapped)],
            "lesion": one.case.lesion,
            "repeat_of": one.repeat_of,
            "window": list(one.case.window),
        }
        for one in shown
    ]
    return {"version": _KEY_VERSION, "arms": list(arms), "questions": list(questions), "pairs": pairs}
