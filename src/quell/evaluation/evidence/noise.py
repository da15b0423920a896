"""How much noise is left, and how it looks: standard deviation and power spectrum from repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from quell.errors import QuellError
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
    at_most,
)
from quell.evaluation.evidence.subject import FlatObject, Repeats
from quell.evaluation.noise_power import Periodograms, periodograms_of_repeats
from quell.evaluation.noise_texture import noise_texture, texture_shift

SHIFT_LIMIT = 10.0
_BAR = "mean frequency of the noise shifts by no more than 10 %"
_SIDES = (64, 48, 32, 24, 16)
_BOOTSTRAP = 500

READINGS = (
    Reading(
        "SD and noise left",
        "Standard deviation of the noise over repeated acquisitions of one object, the root of the integral "
        "of the power spectrum. Less is quieter, not better: the sections on resolution and on the task say "
        "what it cost. Halving it is what four times the dose would do.",
        "AAPM TG-233 (2019)",
    ),
    Reading(
        "Noise power spectrum",
        "How the variance is spread over spatial frequencies, radially averaged. A denoised curve that lies "
        "below the noisy one everywhere by the same factor keeps the texture; one that has lost its right "
        "end looks blotchy or waxy.",
        "IEC 62220-1; AAPM TG-233 (2019)",
    ),
    Reading(
        "Mean and peak frequency, shift",
        "Centre of gravity and highest point of that curve; their change against the noisy image in "
        "percent. Negative means coarser grains. Vendors report 5 to 20 % for their products. Only what "
        "varies between repeats is in it: a mistake that is the same each time is under Bias.",
        "AAPM TG-233 (2019), f_av and f_peak",
    ),
    Reading(
        "Area",
        "Area under the radial curve: the amount of noise with low frequencies weighted more than in the SD.",
        "AAPM TG-233 (2019)",
    ),
)


def noise_section(repeats: Sequence[Repeats], flat: FlatObject) -> Section:
    """Measure the noise of the flat object at every dose, before and after."""
    rows: list[dict[str, Cell]] = []
    checks: list[Check] = []
    plots: list[Plot] = []
    for one in repeats:
        before, after = periodograms(one.noisy, one, flat), periodograms(one.denoised, one, flat)
        row, check = _measured(one, before, after)
        rows.append(row)
        checks.extend(check)
        plots.append(_plot(one, before, after))
    kept = {0, len(plots) // 2, len(plots) - 1}
    return Section(
        "noise",
        "Noise",
        READINGS,
        tuple(checks),
        (Table("noise_by_dose", "Noise by dose", _columns(repeats[0].units), tuple(rows)),),
        (*(plot for k, plot in enumerate(plots) if k in kept), *shift_plot(rows)),
    )


def periodograms(stack: np.ndarray, one: Repeats, flat: FlatObject) -> Periodograms:
    """Return the power of the noise in the plain part, in the largest regions that fit.

    Raises
    ------
    QuellError
        If the plain part is too small.
    """
    for side in _SIDES:
        try:
            return periodograms_of_repeats(stack, one.spacing, flat.plain, side=side)
        except QuellError as error:
            last = error
    raise last


def _measured(
    one: Repeats, before: Periodograms, after: Periodograms
) -> tuple[dict[str, Cell], tuple[Check, ...]]:
    number = len(one.noisy)
    first = noise_texture(before, repeats=_BOOTSTRAP)
    row: dict[str, Cell] = {
        "dose": one.dose,
        "sd_before": Quantity.of(first.sd, number),
    }
    if not after.power.sum() > 1e-12 * before.power.sum():
        row |= {"sd_after": Quantity(0.0, number=number), "sd_change": Quantity(-100.0, number=number)}
        return row, ()
    second = noise_texture(after, repeats=_BOOTSTRAP)
    shift = texture_shift(before, after, repeats=_BOOTSTRAP)
    row |= {
        "sd_after": Quantity.of(second.sd, number),
        "sd_change": Quantity.of(shift.sd, number),
        "mean_before": Quantity.of(first.mean, number),
        "mean_after": Quantity.of(second.mean, number),
        "mean_shift": Quantity.of(shift.mean, number),
        "peak_shift": Quantity.of(shift.peak, number),
        "area_change": Quantity.of(shift.area, number),
    }
    name = f"Shift of the mean frequency, dose {one.dose:g}"
    check = at_most(name, Quantity.of(shift.mean, number), SHIFT_LIMIT, "%", _BAR)
    return row, (check,)


def shift_plot(rows: Sequence[Mapping[str, Cell]]) -> tuple[Plot, ...]:
    """Return the shift of the mean frequency over the dose, with its bar."""
    points = [(float(str(row["dose"])), row.get("mean_shift")) for row in rows]
    known = [(dose, found) for dose, found in points if isinstance(found, Quantity)]
    if not known:
        return ()
    doses, shifts = zip(*known, strict=True)
    bars = ((SHIFT_LIMIT, "bar"), (-SHIFT_LIMIT, ""))
    curve = Curve("denoised against noisy", "after", doses, shifts)
    title = "Shift of the mean frequency of the noise"
    return (Plot("mean_shift", title, "dose", "%", (curve,), bars, log_x=True),)


def _columns(units: str) -> tuple[Column, ...]:
    return (
        Column("dose", "Dose"),
        Column("sd_before", "SD before", units),
        Column("sd_after", "SD after", units),
        Column("sd_change", "Change of SD", "%"),
        Column("mean_before", "Mean frequency before", "1/mm"),
        Column("mean_after", "after", "1/mm"),
        Column("mean_shift", "Shift", "%"),
        Column("peak_shift", "Shift of the peak", "%"),
        Column("area_change", "Change of the area", "%"),
    )


def _plot(one: Repeats, before: Periodograms, after: Periodograms) -> Plot:
    def curve(name: str, role: str, found: Periodograms) -> Curve:
        frequency, power = found.radial()
        mean = power.mean(axis=0)
        error = 1.96 * power.std(axis=0, ddof=1) / np.sqrt(len(power))
        y = [Quantity(float(m), float(m - e), float(m + e)) for m, e in zip(mean, error, strict=True)]
        return Curve(name, role, tuple(float(f) for f in frequency), tuple(y))

    return Plot(
        f"nps_{one.dose:g}",
        f"Noise power spectrum, dose {one.dose:g}",
        "spatial frequency (1/mm)",
        f"({one.units})² mm²",
        (curve("noisy", "before", before), curve("denoised", "after", after)),
        dots=False,
    )
