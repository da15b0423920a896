"""What denoising does to the values themselves: plain regions, inserts, hot spheres, counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

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
from quell.evaluation.evidence.resolution import Rods
from quell.evaluation.evidence.subject import FlatObject, Repeats, Subject, mean_over
from quell.evaluation.metrics.bias import peak
from quell.evaluation.metrics.contracts import Values
from quell.evaluation.metrics.statistics import bootstrap_mean
from quell.image import BoolArray, Modality
from quell.phantoms.uniform import Insert

HU_LIMIT, MEAN_LIMIT, PEAK_LIMIT, COUNT_LIMIT = 1.0, 2.0, 5.0, 0.5
_CORE = 3.0
_QUIET = 40.0
_SPHERE_REPEATS = 6

READINGS = (
    Reading(
        "Bias in plain regions",
        "Mean of a plain region after denoising minus that before, in the same images, so that what the "
        "scanner itself gets wrong is left out; for the middle and four parts around it. In CT no region "
        "should move by more than 1 HU. A mean that stays says nothing of single pixels.",
        "FDA reviews of CT reconstruction: CT number accuracy and uniformity",
    ),
    Reading(
        "Inserts",
        "The same in the core of inserts of known contrast, three pixels from their edge: whether strong and "
        "faint contrasts keep their value (linearity).",
        "as above",
    ),
    Reading(
        "SUVmean, SUVpeak",
        "Mean over a hot sphere, and the highest mean over 1 cm³ with its centre in it, against an image of "
        "forty times the dose, before and after. Noise alone pushes the peak up; denoising must bring it "
        "back and not below.",
        "NEMA NU 2; Wahl et al. 2009 (J Nucl Med 50:122S)",
    ),
    Reading(
        "Counts",
        "Sum over the whole image after denoising against before. Within 0.5 % activity is kept.",
        "NEMA NU 1",
    ),
)


def bias_section(
    subject: Subject, repeats: Sequence[Repeats], flat: FlatObject, rods: Sequence[Rods]
) -> Section:
    """Measure bias in the flat object, in inserts, and for emission in spheres and counts."""
    modality = subject.plan.modality
    tables, checks = [], []
    for table, found in (
        _plain(repeats, flat, modality),
        _inserts(rods, modality),
        _counts(repeats, modality),
        _spheres(subject),
    ):
        checks += found
        tables += [table] if table.rows else []
    wanted = {"Bias in plain regions", "Inserts"}
    wanted |= {"Counts"} if modality in (Modality.NM, Modality.PT) else set()
    wanted |= {"SUVmean, SUVpeak"} if modality is Modality.PT else set()
    readings = tuple(one for one in READINGS if one.name in wanted)
    plots = tuple(plot for table in tables for plot in bias_plot(table, modality))
    return Section("bias", "Bias", readings, tuple(checks), tuple(tables), plots)


def bias_plot(table: Table, modality: Modality) -> tuple[Plot, ...]:
    """Return the bias of the plain regions over the dose, with its bar where there is one."""
    key, limit, unit = {
        Modality.CT: ("bias", HU_LIMIT, "HU"),
        Modality.PT: ("share", MEAN_LIMIT, "%"),
    }.get(modality, ("bias", 0.0, table.columns[-2].unit))
    if table.key != "plain_regions":
        return ()
    roles = {"middle": "after", "right": "truth", "left": "before"}
    curves = []
    for name, role in roles.items():
        rows = [row for row in table.rows if row["region"] == name]
        x = tuple(float(str(row["dose"])) for row in rows)
        y = tuple(found for row in rows if isinstance(found := row[key], Quantity))
        curves += [Curve(name, role, x, y)] if y else []
    bars = ((limit, "bar"), (-limit, "")) if limit else ((0.0, "no bias"),)
    return (Plot("bias", "Bias of plain regions", "dose", unit, tuple(curves), bars, log_x=True),)


def regions_of(plain: BoolArray) -> dict[str, BoolArray]:
    """Return the middle of a plain part and four parts around it."""
    rows, columns = np.nonzero(plain)
    y0, x0 = rows.mean(), columns.mean()
    y, x = np.indices(plain.shape)
    away = np.hypot(y - y0, x - x0)
    near = away <= 0.4 * np.sqrt(plain.sum() / np.pi)
    angle = np.arctan2(y - y0, x - x0)
    found = {"middle": plain & near}
    for name, turn in (("right", 0.0), ("below", 0.5), ("left", 1.0), ("above", -0.5)):
        apart = np.abs((angle - turn * np.pi + np.pi) % (2 * np.pi) - np.pi)
        found[name] = plain & ~near & (apart <= np.pi / 4)
    return {name: mask for name, mask in found.items() if mask.sum() >= 16}


def _plain(repeats: Sequence[Repeats], flat: FlatObject, modality: Modality) -> tuple[Table, list[Check]]:
    rows: list[dict[str, Cell]] = []
    checks = []
    for one in repeats:
        for name, mask in regions_of(flat.plain).items():
            before, after = mean_over(one.noisy, mask), mean_over(one.denoised, mask)
            change = Quantity.of(bootstrap_mean(after - before), len(before))
            share = _percent(after, before)
            rows.append(
                {
                    "dose": one.dose,
                    "region": name,
                    "mean": float(before.mean()),
                    "bias": change,
                    "share": share,
                }
            )
            where = f"{name} of the plain object, dose {one.dose:g}"
            if modality is Modality.CT:
                bar = "CT: no more than 1 HU in uniform regions"
                checks.append(at_most(f"Bias, {where}", change, HU_LIMIT, "HU", bar))
            elif modality is Modality.PT:
                bar = "SUVmean within 2 %"
                checks.append(at_most(f"Bias of SUVmean, {where}", share, MEAN_LIMIT, "%", bar))
    units = repeats[0].units
    columns = (
        Column("dose", "Dose"),
        Column("region", "Region"),
        Column("mean", "Mean before", units),
        Column("bias", "Bias", units),
        Column("share", "Bias", "%"),
    )
    return Table("plain_regions", "Plain regions", columns, tuple(rows)), checks


def _percent(after: Values, before: Values) -> Quantity:
    """Return the change of a mean in percent of it; empty where the mean is about zero (water in HU)."""
    middle = float(before.mean())
    if abs(middle) < 1e-6 or np.ptp(before) > abs(middle):
        return Quantity(float("nan"))
    return Quantity.of(bootstrap_mean(100 * (after - before) / middle), len(before))


def _inserts(rods: Sequence[Rods], modality: Modality) -> tuple[Table, list[Check]]:
    rows: list[dict[str, Cell]] = []
    checks = []
    for one in rods:
        for insert in one.inserts:
            mask = _core(insert, one.repeats.noisy.shape[1:])
            before, after = mean_over(one.repeats.noisy, mask), mean_over(one.repeats.denoised, mask)
            change = Quantity.of(bootstrap_mean(after - before), len(before))
            dose = one.repeats.dose
            rows.append(
                {"contrast": insert.contrast, "dose": dose, "mean": float(before.mean()), "bias": change}
            )
            if modality is Modality.CT:
                name = f"Bias in the insert of {insert.contrast:g} HU, dose {dose:g}"
                checks.append(
                    at_most(name, change, HU_LIMIT, "HU", "CT: no more than 1 HU in uniform regions")
                )
    units = rods[0].repeats.units if rods else ""
    columns = (
        Column("contrast", "Contrast"),
        Column("dose", "Dose"),
        Column("mean", "Mean before", units),
        Column("bias", "Bias", units),
    )
    return Table("inserts", "Core of the inserts", columns, tuple(rows)), checks


def _core(insert: Insert, shape: tuple[int, ...]) -> BoolArray:
    y, x = np.indices((shape[0], shape[1]))
    away = np.hypot(y - insert.centre[0], x - insert.centre[1])
    return np.asarray(away <= max(insert.radius - _CORE, 1.0), np.bool_)


def _counts(repeats: Sequence[Repeats], modality: Modality) -> tuple[Table, list[Check]]:
    rows: list[dict[str, Cell]] = []
    checks = []
    for one in repeats if modality in (Modality.NM, Modality.PT) else ():
        before, after = (stack.sum(axis=(1, 2), dtype=np.float64) for stack in (one.noisy, one.denoised))
        share = Quantity.of(bootstrap_mean(100 * (after / before - 1)), len(before))
        rows.append({"dose": one.dose, "counts": float(before.mean()), "share": share})
        name = f"Counts kept, dose {one.dose:g}"
        checks.append(at_most(name, share, COUNT_LIMIT, "%", "counts preserved within 0.5 %"))
    columns = (Column("dose", "Dose"), Column("counts", "Sum before"), Column("share", "Change", "%"))
    return Table("counts", "Sum over the image", columns, tuple(rows)), checks


_SPHERES = (
    Column("diameter", "Sphere", "mm"),
    Column("dose", "Dose"),
    Column("mean_before", "SUVmean before", "%"),
    Column("mean_after", "after", "%"),
    Column("peak_before", "SUVpeak before", "%"),
    Column("peak_after", "after", "%"),
)


def _spheres(subject: Subject) -> tuple[Table, list[Check]]:
    """Image the hot spheres of the NEMA phantom, and compare with an image almost free of noise."""
    empty = Table("spheres", "Hot spheres against an image of forty times the dose", _SPHERES, ())
    if subject.plan.modality is not Modality.PT:
        return empty, []
    from quell.phantoms.coverage import Grid
    from quell.phantoms.objects import make_object

    made = make_object("pet-nema-iq", grid=Grid((12, 96, 96), (4.0, 4.0, 4.0)), sphere_plane_mm=0.0)
    bare: Any = subject.plan.scanner(made.truth)
    model = replace(bare, attenuation=made.attenuation)
    rng = subject.rng(4)
    spacing = made.truth.geometry.spacing
    hot = {
        float(one["diameter_mm"]): made.labels == one["label"]
        for one in made.parameters["inserts"]
        if one["kind"] == "hot sphere"
    }
    quiet = model.acquire(made.truth, _QUIET, rng).image.voxels
    rows: list[dict[str, Cell]] = []
    checks = []
    for dose in subject.plan.doses:
        subject.step(f"hot spheres, dose {dose:g}")
        noisy = [
            model.acquire(made.truth, dose, rng).image
            for _ in range(min(_SPHERE_REPEATS, subject.plan.repeats))
        ]
        stacks = {"before": [i.voxels for i in noisy], "after": [subject.denoise(i).voxels for i in noisy]}
        for diameter, mask in hot.items():
            row: dict[str, Cell] = {"diameter": diameter, "dose": dose}
            for when, images in stacks.items():
                row[f"mean_{when}"] = _against(quiet, images, lambda v, m=mask: float(v[m].mean()))
                row[f"peak_{when}"] = _against(quiet, images, lambda v, m=mask: peak(v, m, spacing))
            rows.append(row)
            for key, limit in (("mean", MEAN_LIMIT), ("peak", PEAK_LIMIT)):
                found = row[f"{key}_after"]
                name = f"SUV{key}, sphere of {diameter:g} mm, dose {dose:g}"
                if isinstance(found, Quantity):
                    checks.append(at_most(name, found, limit, "%", f"SUV{key} within {limit:g} %"))
    return Table(empty.key, empty.title, _SPHERES, tuple(rows)), checks


def _against(quiet: Any, images: Sequence[Any], value: Any) -> Quantity:
    true = value(quiet)
    shares = [100 * (value(image) / true - 1) for image in images]
    return Quantity.of(bootstrap_mean(shares), len(shares))
