"""How sharp inserts stay: transfer function by contrast and noise, and what small faint signals keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quell.errors import QuellError
from quell.evaluation.evidence.detection import Detected
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
from quell.evaluation.evidence.subject import Repeats, Subject, repeat, with_inserts
from quell.evaluation.inserts import rod_stamp
from quell.evaluation.metrics.contracts import Values
from quell.evaluation.metrics.statistics import Interval, bca_bounds
from quell.evaluation.tasks.task import Pairs
from quell.evaluation.transfer import TransferFunction, task_transfer
from quell.phantoms.uniform import Insert

CHANGE_LIMIT = 2.0
_BAR = "MTF50 changes by no more than 2 % at full strength, for every contrast"
_DRAWS = 1000

READINGS = (
    Reading(
        "Transfer function (TTF), MTF50 and MTF10",
        "From the profile across the edge of a round insert: how much of each spatial frequency gets "
        "through. MTF50 and MTF10 are where a half and a tenth is left. A network treats strong and faint "
        "edges differently, so that there is a curve for each contrast and noise level. Compare after with "
        "before: a lower MTF50 means blurred edges of that contrast; a higher one, edges drawn steeper than "
        "the scanner showed them, which is a change of the image, too. Where the contrast-to-noise ratio of "
        "all images together is below 15 the figure is uncertain and no verdict is given.",
        "Richard et al. 2012 (Med Phys 39:4115); Chen et al. 2014 (Med Phys 41:071911); AAPM TG-233",
    ),
    Reading(
        "Contrast kept",
        "Contrast of small faint signals after denoising over that before, in the same images, by a matched "
        "filter over the mean of many cases with and without the signal. 1 means nothing of it was taken. "
        "Non-linear methods keep large edges and flatten what is small and faint: the transfer function "
        "does not show that, this does.",
        "contrast recovery as in NEMA NU 2, relative to the noisy image",
    ),
)


@dataclass(frozen=True, eq=False)
class Rods:
    """Repeated images of the rods at one dose."""

    repeats: Repeats
    inserts: tuple[Insert, ...]


def image_rods(subject: Subject) -> tuple[Rods, ...]:
    """Image the rods at a low and at the full dose; nothing where the plan has no rods."""
    if subject.plan.inserts is None:
        return ()
    truth, inserts = with_inserts(subject.plan)
    doses = sorted({subject.plan.low, subject.plan.doses[-1]})
    return tuple(
        Rods(repeat(subject, truth, dose, subject.rng(2, k), "edges"), inserts)
        for k, dose in enumerate(doses)
    )


def resolution_section(rods: Sequence[Rods], detected: Sequence[Detected]) -> Section:
    """Measure transfer functions and the contrast that small signals keep."""
    rows: list[dict[str, Cell]] = []
    checks: list[Check] = []
    plots: list[Plot] = []
    notes = [] if rods else ["No transfer function: speckle has no edges that one could be measured at."]
    for one in rods:
        for insert in one.inserts:
            try:
                before, after = (_transfer(stack, one, insert) for stack in _stacks(one))
            except QuellError as error:
                notes.append(f"Insert of {insert.contrast:g} at dose {one.repeats.dose:g}: {error}.")
                continue
            row, check = _row(one, insert, before, after)
            rows.append(row)
            checks.append(check)
            if one is rods[0]:
                plots.append(_plot(one, insert, before, after))
    kept = [_kept_row(one) for one in detected if one.round]
    tables = [Table("transfer", "Edges by contrast and dose", _COLUMNS, tuple(rows))] if rows else []
    tables += (
        [Table("contrast_kept", "Contrast kept of small faint signals", _KEPT, tuple(kept))] if kept else []
    )
    return Section(
        "resolution",
        "Resolution",
        READINGS,
        tuple(checks),
        tuple(tables),
        (*plots[:3], *change_plots(rows)),
        notes=tuple(notes),
    )


def _stacks(one: Rods) -> tuple[Values, Values]:
    return one.repeats.noisy.astype(np.float64), one.repeats.denoised.astype(np.float64)


def _transfer(stack: Values, one: Rods, insert: Insert) -> TransferFunction:
    return task_transfer(stack, insert.centre, insert.radius, one.repeats.spacing[1])


def _row(
    one: Rods, insert: Insert, before: TransferFunction, after: TransferFunction
) -> tuple[dict[str, Cell], Check]:
    number, dose = len(one.repeats.noisy), one.repeats.dose
    first, second = within_nyquist(before.f50, before), within_nyquist(after.f50, after)
    change = ratio_change(first, second, number)
    unseen = not math.isfinite(before.f50.value) and not math.isfinite(after.f50.value)
    uncertain = bool(before.warnings) or unseen or not math.isfinite(change.value)
    verdict = Verdict.MET if abs(change.value) <= CHANGE_LIMIT else Verdict.SHORT
    sides = [abs(end) <= CHANGE_LIMIT for end in (change.low, change.high)]
    sure = not uncertain and (all(sides) if verdict is Verdict.MET else not change.low < 0 < change.high)
    sure = sure and (verdict is Verdict.MET or not any(sides))
    check = Check(
        f"Change of MTF50, contrast {insert.contrast:g}, dose {dose:g}",
        _BAR,
        change,
        "%",
        Verdict.NO_BAR if uncertain else verdict,
        sure,
        _why(before, unseen),
    )
    row: dict[str, Cell] = {
        "contrast": insert.contrast,
        "dose": dose,
        "cnr": before.contrast_to_noise,
        "f50_before": Quantity.of(before.f50, number),
        "f50_after": Quantity.of(after.f50, number),
        "f50_change": change,
        "f10_before": Quantity.of(before.f10, number),
        "f10_after": Quantity.of(after.f10, number),
        "f10_change": ratio_change(before.f10, after.f10, number),
    }
    return row, check


def within_nyquist(found: Interval, transfer: TransferFunction) -> Interval:
    """Return where a curve crosses a level; the Nyquist frequency where it does so only beyond.

    A pixel as large as the blur shows no more than that: a change from there is at least as large.
    """
    if math.isfinite(found.value):
        return found
    nyquist = float(transfer.frequency[-1])
    return Interval(nyquist, nyquist, nyquist, found.level, found.groups)


def _why(before: TransferFunction, unseen: bool) -> str:
    if before.warnings:
        return f"contrast to noise of all images {before.contrast_to_noise:.1f}: too uncertain"
    return "beyond the Nyquist frequency before and after" if unseen else ""


def change_plots(rows: Sequence[Mapping[str, Cell]]) -> tuple[Plot, ...]:
    """Return the change of MTF50 over the contrast for each dose, with its bar."""
    plots = []
    for dose in sorted({float(str(row["dose"])) for row in rows}):
        points = [(float(str(row["contrast"])), row["f50_change"]) for row in rows if row["dose"] == dose]
        known = [(x, q) for x, q in points if isinstance(q, Quantity) and math.isfinite(q.value)]
        known.sort(key=lambda point: point[0])
        curve = Curve("MTF50", "after", tuple(x for x, _ in known), tuple(q for _, q in known))
        bars = ((CHANGE_LIMIT, "bar"), (-CHANGE_LIMIT, ""))
        title = f"Change of MTF50, dose {dose:g}"
        plots.append(Plot(f"f50_change_{dose:g}", title, "contrast", "%", (curve,), bars))
    return tuple(plots)


_COLUMNS = (
    Column("contrast", "Contrast"),
    Column("dose", "Dose"),
    Column("cnr", "Contrast to noise"),
    Column("f50_before", "MTF50 before", "1/mm"),
    Column("f50_after", "after", "1/mm"),
    Column("f50_change", "Change", "%"),
    Column("f10_before", "MTF10 before", "1/mm"),
    Column("f10_after", "after", "1/mm"),
    Column("f10_change", "Change", "%"),
)

_KEPT = (
    Column("task", "Task"),
    Column("signal", "Signal"),
    Column("dose", "Dose"),
    Column("kept", "Contrast kept"),
)


def ratio_change(before: Interval, after: Interval, number: int) -> Quantity:
    """Return the change from one figure to the other in percent, with an interval.

    The interval is made of those of the two on the logarithmic scale (MOVER; Zou and Donner 2008, Stat Med
    27:1693) as if they were independent. They are of the same images, so that it is too wide rather than
    too narrow.
    """
    ends = (before.value, before.low, before.high, after.value, after.low, after.high)
    if not (before.value > 0 and after.value > 0):
        return Quantity(math.nan, number=number)
    value = 100 * (after.value / before.value - 1)
    if before.value == after.value:
        return Quantity(0.0, 0.0, 0.0, before.level, number)
    if not all(end > 0 for end in ends):
        return Quantity(value, level=before.level, number=number)
    b, b_low, b_high = math.log(before.value), math.log(before.low), math.log(before.high)
    a, a_low, a_high = math.log(after.value), math.log(after.low), math.log(after.high)
    down, up = math.hypot(a - a_low, b_high - b), math.hypot(a_high - a, b - b_low)
    low, high = (100 * (math.exp(a - b + reach) - 1) for reach in (-down, up))
    return Quantity(value, low, high, before.level, number)


def _kept_row(one: Detected) -> dict[str, Cell]:
    return {
        "task": one.task.name,
        "signal": one.signal.name,
        "dose": one.dose,
        "kept": contrast_kept(one.before, one.after, one.task.resolution_mm),
    }


def contrast_kept(before: Pairs, after: Pairs, resolution_mm: float, seed: int = 0) -> Quantity:
    """Return the contrast of a round signal after over that before, with an interval over the images."""
    disc: Values = rod_stamp((1.0, *before.spacing), before.signal.diameter_mm, resolution_mm)[0]
    template: Values = np.zeros((before.present.shape[1], before.present.shape[2]))
    height, width = min(disc.shape[0], template.shape[0]), min(disc.shape[1], template.shape[1])
    template[_middle(template.shape[0], height), _middle(template.shape[1], width)] = disc[
        _middle(disc.shape[0], height), _middle(disc.shape[1], width)
    ]
    template -= template.mean()
    _, index = np.unique(before.groups, return_inverse=True)
    first, second = (
        np.bincount(index, ((pairs.present - pairs.absent) * template).sum(axis=(1, 2), dtype=np.float64))
        for pairs in (before, after)
    )
    value = float(second.sum() / first.sum())
    drawn = np.random.default_rng(seed).multinomial(len(first), np.full(len(first), 1 / len(first)), _DRAWS)
    replicates = (drawn @ second) / (drawn @ first)
    without = (second.sum() - second) / (first.sum() - first)
    if len(first) < 2 or np.ptp(replicates) == 0:
        return Quantity(value, value, value, number=len(first))
    return Quantity(value, *bca_bounds(value, replicates, without), number=len(first))


def _middle(length: int, part: int) -> slice:
    first = (length - part) // 2
    return slice(first, first + part)


def _plot(one: Rods, insert: Insert, before: TransferFunction, after: TransferFunction) -> Plot:
    def curve(name: str, role: str, found: TransferFunction) -> Curve:
        shown = found.frequency <= 1.6 * max(before.f10.value if before.f10.value > 0 else 1.0, 0.1)
        x, y = found.frequency[shown], found.value[shown]
        return Curve(name, role, tuple(map(float, x)), tuple(Quantity(float(v)) for v in y))

    return Plot(
        f"ttf_{insert.contrast:g}_{one.repeats.dose:g}",
        f"Transfer function, contrast {insert.contrast:g} {one.repeats.units}, dose {one.repeats.dose:g}",
        "spatial frequency (1/mm)",
        "share that gets through",
        (curve("noisy", "before", before), curve("denoised", "after", after)),
        ((0.5, "MTF50"), (0.1, "MTF10")),
        dots=False,
    )
