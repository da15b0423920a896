"""A reader study from two studies: a blinded package to hand out, and the analysis of what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quell.errors import InputError, QuellError
from quell.evaluation.metrics.comparison import compare
from quell.evaluation.readers.analysis import ReaderStudy, analyse_sheets
from quell.evaluation.readers.package import KEY, QUESTIONS, ReaderCase, write_reader_package
from quell.evaluation.report.summary import display_window
from quell.formats.contracts import PassedOver
from quell.image import Image, Modality
from quell.jobs.common import Progress, Silent, check_paths
from quell.jobs.evaluation_pairs import Pair, pair_studies


@dataclass(frozen=True)
class ReaderSettings:
    """Choices of the user about a reader study.

    Attributes
    ----------
    readers : int
        How many sheets are written, each in an order of its own.
    slices : int
        Pictures of each series, evenly spaced, the ends left out.
    repeats : int
        Pictures that are shown twice, to see how well readers agree with themselves.
    questions : tuple of str
        What is scored from 1 to 5.
    window : tuple of float or None
        Shown black and white; None for the usual one of the modality.
    modality : Modality or None
        Of series whose format does not say it.
    seed : int
        Of everything that is drawn.
    """

    readers: int = 2
    slices: int = 3
    repeats: int = 0
    questions: tuple[str, ...] = QUESTIONS
    window: tuple[float, float] | None = None
    modality: Modality | None = None
    seed: int = 0

    def check(self) -> None:
        """Raise QuellError for values that make no sense, before any work is done."""
        for what in ("readers", "slices"):
            if getattr(self, what) < 1:
                raise QuellError(f"{what} must be at least 1, got {getattr(self, what)}")
        if self.seed < 0:
            raise QuellError(f"the seed must not be negative, got {self.seed}")
        if len(set(self.questions)) < len(self.questions):
            raise QuellError("a question is asked twice")
        taken = {"pair", "preference", "comment", "lesion"} & set(self.questions)
        if taken or not all(one.strip() and "," not in one for one in self.questions):
            raise QuellError(f"questions need names other than {', '.join(sorted(taken)) or 'nothing'}")


@dataclass(frozen=True)
class MadeStudy:
    """What was written.

    Attributes
    ----------
    for_readers : Path
        The folder to hand out.
    key : Path
        What tells the pictures apart; it stays with whoever runs the study.
    cases, pairs : int
        Pairs of pictures, without and with those shown twice.
    readers : int
    passed_over : tuple of PassedOver
    """

    for_readers: Path
    key: Path
    cases: int
    pairs: int
    readers: int
    passed_over: tuple[PassedOver, ...] = ()


def make_reader_study(
    arms: Mapping[str, Path],
    out: Path,
    settings: ReaderSettings | None = None,
    *,
    progress: Progress | None = None,
) -> MadeStudy:
    """Write blinded, randomised pairs of pictures of two studies, score sheets, and the key.

    Parameters
    ----------
    arms : mapping of str to Path
        Two names and their studies, of the same patients.
    out : Path
        Folder of the package; replaced if it is there.
    settings : ReaderSettings, optional
    progress : Progress, optional

    Raises
    ------
    QuellError
        If the studies do not fit each other, or the package cannot be written.
    """
    chosen = settings or ReaderSettings()
    chosen.check()
    if len(arms) != 2:
        raise QuellError(f"a reader study needs two arms of different names, got {len(arms)}")
    (first, first_path), (second, second_path) = arms.items()
    for path in arms.values():
        check_paths(path, out)
    _check_place(out)
    called = f"study of the arm {first}"
    found = pair_studies(first_path, second_path, None, chosen.modality, called=called)
    watch = progress or Silent()
    cases = [
        case for number, pair in enumerate(found.pairs, 1) for case in _cases(pair, number, chosen, watch)
    ]
    folder = write_reader_package(
        cases,
        (first, second),
        out,
        np.random.default_rng(chosen.seed),
        readers=chosen.readers,
        repeats=chosen.repeats,
        questions=chosen.questions,
    )
    pairs = len(cases) + chosen.repeats
    return MadeStudy(folder, out / KEY, len(cases), pairs, chosen.readers, found.passed_over)


def analyse_reader_study(
    package: Path, sheets: Sequence[Path], *, level: float = 0.95, seed: int = 0
) -> ReaderStudy:
    """Unblind the sheets that came back and analyse them.

    Parameters
    ----------
    package : Path
        The folder that `make_reader_study` wrote, or its key.
    sheets : sequence of Path
        One a reader; readers are called after their files.
    level : float
        Nominal coverage of the intervals.
    seed : int

    Raises
    ------
    QuellError
        If the key or a sheet cannot be used; the message names the row.
    """
    if not 0 < level < 1:
        raise QuellError(f"the level of intervals must lie between 0 and 1, got {level:g}")
    key = package / KEY if package.is_dir() else package
    if not key.is_file():
        raise InputError(package, f"holds no {KEY}: it is no package of a reader study")
    if not sheets:
        raise InputError(package, "no score sheet was given")
    names = [path.stem for path in sheets]
    named = {path.stem if names.count(path.stem) == 1 else str(path): path for path in sheets}
    if len(named) < len(sheets):
        raise QuellError("a score sheet was given twice")
    return analyse_sheets(named, key, np.random.default_rng(seed), level=level)


def _check_place(out: Path) -> None:
    """Refuse to replace a folder that is no package of a reader study."""
    if out.is_dir() and any(out.iterdir()) and not (out / KEY).is_file():
        raise QuellError(f"{out}: is a folder with other things in it; choose another place")


def _cases(pair: Pair, number: int, settings: ReaderSettings, watch: Progress) -> list[ReaderCase]:
    """Return the pictures of one pair of series; names tell them apart in the key."""
    watch.begin(pair.test.name, pair.test.shape[0])
    first, second = _images(pair)
    # The same checks as of an evaluation: shape, geometry, units, finite values.
    compare(second, first, window=(0.0, 1.0), noisy_reference=True)
    depth = first.shape[0]
    _, dy, dx = first.geometry.spacing
    chosen = np.unique(((np.arange(settings.slices) + 0.5) * depth / settings.slices).astype(int))
    cases = []
    for z in (int(one) for one in chosen):
        name = f"{number}: {second.name}, slice {z + 1} of {depth}"
        window = settings.window or display_window(first, z)
        cases.append(ReaderCase(name, first.voxels[z], second.voxels[z], window, dy / dx))
    watch.advance("read", depth)
    watch.end(True, "")
    return cases


def _images(pair: Pair) -> tuple[Image, Image]:
    if pair.reference is None:
        raise QuellError("a reader study needs two arms")
    first, second = pair.reference.read(), pair.test.read()
    if Modality.UNKNOWN in (first.modality, second.modality) and first.modality is not second.modality:
        known = first.modality if second.modality is Modality.UNKNOWN else second.modality
        first, second = replace(first, modality=known), replace(second, modality=known)
    return first, second
