"""One table: every denoiser on the same images at one dose, classical methods tuned on others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quell.errors import QuellError
from quell.evaluation.benchmark.cases import Case, data_hash
from quell.evaluation.benchmark.gallery import make_gallery
from quell.evaluation.benchmark.record import NOISY, Difference, Row, Table
from quell.evaluation.benchmark.scoring import COLUMNS, run, score_case, score_image
from quell.evaluation.denoisers import CLASSICAL, Entrant
from quell.evaluation.metrics.statistics import bootstrap_mean, compare_paired, holm
from quell.filters.tuning import Case as TuningCase
from quell.filters.tuning import tune
from quell.image import FloatArray, Modality
from quell.inference.contracts import Denoiser

Watch = Callable[[str], None]
"""Told what is done next."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What a table is made of.

    Attributes
    ----------
    modality : Modality
    dose : float
    meaning, source : str
    test, tuning : tuple of Case
    budget : int
    seed : int
    """

    modality: Modality
    dose: float
    meaning: str
    source: str
    test: tuple[Case, ...]
    tuning: tuple[Case, ...]
    budget: int
    seed: int


@dataclass(frozen=True, eq=False)
class Measured:
    """A table, and the entrants as they were tuned for it."""

    table: Table
    tuned: tuple[Entrant, ...]


@dataclass(frozen=True, eq=False)
class _Tried:
    row: Row
    entrant: Entrant | None
    results: tuple[FloatArray, ...]
    """Of the first case, for the pictures."""


def measure_table(bench: Bench, entrants: Sequence[Entrant], watch: Watch, pictures: bool = True) -> Measured:
    """Tune, denoise and score.

    A denoiser that fails gets a row that says why; the others go on.

    Parameters
    ----------
    bench : Bench
    entrants : sequence of Entrant
        The first is what the others are compared with.
    watch : callable
    pictures : bool
        Whether the page gets pictures of the first case.
    """
    noisy = _Tried(_scored(bench, NOISY, None, ""), None, _first(bench))
    tried = [noisy]
    for entrant in entrants:
        watch(entrant.name)
        tried.append(_try(bench, entrant))
    rows = _compared([one.row for one in tried], bench)
    patients = list(dict.fromkeys(case.patient for case in bench.test))
    names = tuple(dict.fromkeys(text for case in bench.test for text in case.warnings))
    own = float(np.mean([case.own for case in bench.test]))
    table = Table(
        modality=bench.modality,
        dose=bench.dose,
        meaning=bench.meaning,
        rows=rows,
        images=tuple(case.name for case in bench.test),
        patients=len(patients),
        grouped=len(patients) > 1,
        own_noise=own,
        ceiling=_ceiling(bench.test),
        tuning_images=tuple(case.name for case in bench.tuning),
        budget=bench.budget,
        source=bench.source,
        data_sha256=data_hash((*bench.test, *bench.tuning)),
        warnings=names,
    )
    shown = {one.row.denoiser: one.results[0] for one in tried if one.results}
    gallery = make_gallery(bench.test[0], table, shown) if pictures else None
    tuned = tuple(one.entrant for one in tried if one.entrant is not None)
    return Measured(replace(table, gallery=gallery), tuned)


def _first(bench: Bench) -> tuple[FloatArray, ...]:
    return tuple(one.voxels for one in bench.test[0].noisy)


def _try(bench: Bench, entrant: Entrant) -> _Tried:
    name, settings = entrant.name, ""
    try:
        if entrant.kind == CLASSICAL:
            entrant, settings = tuned_for(bench, entrant)
        row = _scored(bench, name, entrant.denoiser, settings, told=entrant.kind == CLASSICAL)
        results = tuple(_results(bench.test[0], entrant.denoiser, entrant.kind == CLASSICAL))
    except Exception as error:
        # A denoiser of somebody else may raise anything; the table goes on without it.
        plain = isinstance(error, QuellError)
        why = str(error) if plain else f"{type(error).__name__}: {error}"
        return _Tried(Row(name, settings, failed=" ".join(why.split())), None, ())
    return _Tried(row, entrant, results)


def tuned_for(bench: Bench, entrant: Entrant) -> tuple[Entrant, str]:
    """Return a classical method with the settings of the best PSNR on the tuning cases, told in words."""
    whole = getattr(entrant.denoiser, "method").facts.dimensions == 3  # noqa: B009
    cases = [case if whole else case.single() for case in bench.tuning]
    told = [TuningCase(case.truth, case.noisy[0], case.sigma) for case in cases]
    found = tune(entrant.name, told, score_image, budget=bench.budget)
    words = ", ".join(f"{key} {value}" for key, value in found.best.settings.items())
    return entrant.using(found.denoiser()), f"{words} (best of {len(found.trials)})"


def _results(case: Case, denoiser: Denoiser | None, told: bool) -> list[FloatArray]:
    return [run(denoiser, image, case.sigma if told else "auto") for image in case.noisy]


def _scored(bench: Bench, name: str, denoiser: Denoiser | None, settings: str, told: bool = False) -> Row:
    found: dict[str, dict[str, float]] = {}
    for case in bench.test:
        found[case.name] = score_case(case, _results(case, denoiser, told))
    groups = _groups(bench.test)
    values = {
        column.key: bootstrap_mean([one[column.key] for one in found.values()], groups, seed=bench.seed)
        for column in COLUMNS
    }
    return Row(name, settings, values, found)


def _groups(cases: Sequence[Case]) -> list[Hashable] | None:
    """Return the patient of each case; None where there is one patient, whose images are then drawn."""
    patients = [case.patient for case in cases]
    return list(patients) if len(set(patients)) > 1 else None


def _compared(rows: list[Row], bench: Bench) -> tuple[Row, ...]:
    """Return the rows with their difference to the first denoiser (the second row)."""
    if len(rows) < 2 or rows[1].failed:
        return tuple(rows)
    first = rows[1]
    others = [row for row in rows if row is not first and not row.failed]
    tests = [
        compare_paired(_column(row), _column(first), _groups(bench.test), seed=bench.seed) for row in others
    ]
    known = [test.student for test in tests if np.isfinite(test.student)]
    adjusted: Iterator[float] = iter(holm(known) if known else ())
    differences = {
        row.denoiser: Difference(
            test.difference,
            test.student,
            float(next(adjusted)) if np.isfinite(test.student) else float("nan"),
            test.wilcoxon,
        )
        for row, test in zip(others, tests, strict=True)
    }
    return tuple(replace(row, difference=differences.get(row.denoiser)) for row in rows)


def _column(row: Row, key: str = "psnr") -> list[float]:
    return [values[key] for values in row.per_image.values()]


def _ceiling(cases: Sequence[Case]) -> float:
    """Return the mean PSNR of a result without any error against references with noise of their own."""
    found = []
    for case in cases:
        own = case.own * case.sigma / np.hypot(1, case.own)
        span = case.window[1] - case.window[0]
        found.append(np.inf if own == 0 else 20 * np.log10(span / own))
    return float(np.mean(found))
