"""What a model observer detects before and after: d', AUC, paired comparison, equivalent dose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quell.evaluation.evidence.detection import READER_NOISE, Detected
from quell.evaluation.evidence.plan import ENOUGH_IMAGES
from quell.evaluation.evidence.record import (
    Cell,
    Check,
    Column,
    Curve,
    Plot,
    Quantity,
    Reading,
    Section,
    Table,
    Verdict,
)
from quell.evaluation.observers.auc import auc_interval
from quell.evaluation.observers.bootstrap import bootstrap_interval, d_prime_figure
from quell.evaluation.observers.comparison import Comparison, compare, holm
from quell.evaluation.observers.dose import DosePoint, equivalent_dose
from quell.evaluation.observers.scores import Scores

SIGNIFICANT = 0.05
_BAR = "AUC after denoising is never below that of the same images undenoised, for any signal"
_DRAWS = 1000

READINGS = (
    Reading(
        "Model observer",
        "The channelized Hotelling observer is the best linear reader of six Laguerre-Gauss channels (Gabor "
        "channels for the perfusion defect); it knows signal and place, learns from all images but the one "
        "that it reads, and reads the same noisy cases before and after the denoiser. It sets an upper "
        "limit for such readers and can undo a blur that can be undone. The observer with reader noise adds "
        f"white noise of {READER_NOISE:g} times the noise of a full-dose image, as an eye does: contrast "
        "that a denoiser took away is then lost. No human reader has been compared with them here.",
        "Barrett et al. 1993 (PNAS 90:9758); Barrett and Myers 2004; Ahumada 1987",
    ),
    Reading(
        "d′ and AUC",
        "d′ is the distance of the mean scores with and without the signal in standard deviations: 0 "
        "nothing is seen, 1 a hard case, above 3 too easy to tell methods apart. AUC is the share of pairs, "
        "one with and one without the signal, that are put in the right order: 0.5 is guessing. Intervals "
        "are of 95 %: DeLong's for the AUC with the regions of one image taken together, bootstrap for d′.",
        "DeLong 1988; Obuchowski 1997; Hedges 1981",
    ),
    Reading(
        "Change of AUC, p",
        "Paired: the same cases, so that hard and easy ones cancel. p is corrected for the number of signals "
        "and doses of its observer (Holm). A negative change is a signal that was easier to see before. The "
        "bar counts every one of them, sure or not; where p is not below 0.05 it says so.",
        "DeLong 1988; Holm 1979",
    ),
    Reading(
        "Equivalent dose",
        "The dose at which images that were not denoised are read as well as the denoised ones of a lower "
        "dose. Above the dose that was given the denoiser helps this reader; below it, it harms. It never "
        "leaves the doses that were measured. In ultrasound a dose is a number of looks.",
        "Rose 1948 (d′ over the root of the dose); isotonic regression",
    ),
)


def task_section(detected: Sequence[Detected], seed: int) -> Section:
    """Compare what two observers detect before and after, at every dose."""
    tables: list[Table] = []
    checks: list[Check] = []
    for key, title in (("plain", "Observer"), ("human", "Observer with reader noise")):
        rows, found = _compared(detected, key, title, seed)
        tables.append(Table(f"detectability_{key}", title, _COLUMNS, tuple(rows)))
        checks += found
    tables.append(Table("equivalent_dose", "Equivalent dose", _DOSE, tuple(_equivalent(detected, seed))))
    warnings = dict.fromkeys(text for one in detected for text in one.before.warnings)
    return Section(
        "task",
        "Detection",
        READINGS,
        tuple(checks),
        tuple(tables),
        _plots(detected, seed),
        notes=tuple(warnings),
    )


def scores_of(one: Detected, key: str) -> tuple[Scores, Scores]:
    """Return the scores of one of the two observers, before and after."""
    return one.plain if key == "plain" else one.human


def _compared(
    detected: Sequence[Detected], key: str, title: str, seed: int
) -> tuple[list[dict[str, Cell]], list[Check]]:
    both = [scores_of(one, key) for one in detected]
    found = [compare(*pair, np.random.default_rng([seed, 5, k]), count=_DRAWS) for k, pair in enumerate(both)]
    p_auc = holm([one.auc.p_value if one.auc.p_value == one.auc.p_value else 1.0 for one in found])
    p_d = holm([one.d_prime.p_value for one in found])
    rows, checks = [], []
    for k, one in enumerate(detected):
        rows.append(_row(one, both[k], found[k], p_auc[k], p_d[k], seed))
        checks.append(_check(one, rows[-1], title))
    return rows, checks


def _row(
    one: Detected,
    scores: tuple[Scores, Scores],
    found: Comparison,
    p_auc: float,
    p_d: float,
    seed: int,
) -> dict[str, Cell]:
    number = len(scores[0].present)
    return {
        "task": one.task.name,
        "signal": f"{one.signal.name} {one.task.contrast_units}",
        "dose": one.dose,
        "d_before": _d_prime(scores[0], seed),
        "d_after": _d_prime(scores[1], seed),
        "d_change": Quantity.of(found.d_prime.difference, number),
        "d_p": p_d,
        "auc_before": Quantity.of(auc_interval(scores[0]), number),
        "auc_after": Quantity.of(auc_interval(scores[1]), number),
        "auc_change": Quantity.of(found.auc.difference, number),
        "auc_p": p_auc,
    }


def _d_prime(scores: Scores, seed: int) -> Quantity:
    rng = np.random.default_rng([seed, 6])
    found = bootstrap_interval(scores, d_prime_figure(scores), rng, count=_DRAWS)
    return Quantity.of(found, len(scores.present))


def _check(one: Detected, row: Mapping[str, Cell], title: str) -> Check:
    name = f"{title}: change of AUC, {one.task.name} {one.signal.name}, dose {one.dose:g}"
    return check_of(name, row, len(np.unique(one.before.groups)))


def check_of(name: str, row: Mapping[str, Cell], images: int) -> Check:
    """Hold the change of an AUC against its bar.

    A loss is sure where the paired test of the AUC or, since the AUC has no room above easy signals, that
    of d' says so, each corrected for the number of comparisons, and there are images enough.
    """
    change, d_change = row["auc_change"], row["d_change"]
    assert isinstance(change, Quantity) and isinstance(d_change, Quantity)
    p_auc, p_d = float(str(row["auc_p"])), float(str(row["d_p"]))
    met, enough = change.value >= 0, images >= ENOUGH_IMAGES
    less = p_auc < SIGNIFICANT or (p_d < SIGNIFICANT and d_change.value < 0)
    remark = "" if met else f"d′ {d_change.value:+.2f}; p after Holm {p_auc:.2g} (AUC), {p_d:.2g} (d′)"
    if not (met or enough):
        remark += f"; {images} images are too few to trust it"
    sure = enough and (p_auc < SIGNIFICANT if met else less)
    return Check(name, _BAR, change, "", Verdict.MET if met else Verdict.SHORT, sure, remark)


_COLUMNS = (
    Column("task", "Task"),
    Column("signal", "Signal"),
    Column("dose", "Dose"),
    Column("d_before", "d′ before"),
    Column("d_after", "d′ after"),
    Column("d_change", "Change of d′"),
    Column("d_p", "p"),
    Column("auc_before", "AUC before"),
    Column("auc_after", "AUC after"),
    Column("auc_change", "Change of AUC"),
    Column("auc_p", "p"),
)

_DOSE = (
    Column("task", "Task"),
    Column("signal", "Signal"),
    Column("dose", "Dose that was denoised"),
    Column("plain", "reads like, observer"),
    Column("human", "reads like, with reader noise"),
    Column("remark", "Remark"),
)


def _series(detected: Sequence[Detected]) -> list[list[Detected]]:
    """Return the doses of each signal together, rising."""
    groups: dict[tuple[str, str], list[Detected]] = {}
    for one in detected:
        groups.setdefault((one.task.name, one.signal.name), []).append(one)
    return [sorted(group, key=lambda one: one.dose) for group in groups.values()]


def _equivalent(detected: Sequence[Detected], seed: int) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for group in _series(detected):
        for one in group[:-1]:
            row: dict[str, Cell] = {"task": one.task.name, "signal": one.signal.name, "dose": one.dose}
            remarks = []
            for key, name in (("plain", "observer"), ("human", "with reader noise")):
                points = [DosePoint(other.dose, scores_of(other, key)[0]) for other in group]
                target = DosePoint(one.dose, scores_of(one, key)[1])
                found = equivalent_dose(points, target, np.random.default_rng([seed, 7]), count=_DRAWS)
                row[key] = Quantity.of(found.dose, len(one.before.present))
                if found.beyond:
                    remarks.append(f"{name}: {found.beyond} the doses measured")
            row["remark"] = "; ".join(remarks)
            rows.append(row)
    return rows


def _plots(detected: Sequence[Detected], seed: int) -> tuple[Plot, ...]:
    plots = []
    for group in _series(detected):
        x = tuple(one.dose for one in group)
        curves = [
            Curve(name, role, x, tuple(_d_prime(one.plain[k], seed) for one in group))
            for k, (name, role) in enumerate((("noisy", "before"), ("denoised", "after")))
        ]
        first = group[0]
        plots.append(
            Plot(
                f"d_prime_{first.task.name}_{first.signal.name}",
                f"{first.task.name}: {first.signal.name} {first.task.contrast_units}",
                "dose",
                "d′",
                tuple(curves),
                log_x=True,
            )
        )
    return tuple(plots)
