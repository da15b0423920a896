"""Known lesions in drawn anatomy: how much of each survives, and what appears where nothing was put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quell.errors import QuellError
from quell.evaluation.evidence.plan import Lesions
from quell.evaluation.evidence.record import (
    Cell,
    Column,
    Curve,
    Plot,
    Quantity,
    Reading,
    Section,
    Shown,
    Table,
)
from quell.evaluation.evidence.showing import centred, picture
from quell.evaluation.evidence.subject import Subject
from quell.evaluation.lesion_survival import LesionStudy, lesion_study
from quell.evaluation.lesions import Lesion, spread_lesions
from quell.evaluation.metrics.statistics import bootstrap_mean
from quell.image import Image, Modality
from quell.noise.contracts import Simulated

_QUIETER = 4.0
_TRIES = 20

READINGS = (
    Reading(
        "Recovery",
        "Share of the contrast of a lesion that is left, by a matched filter, in drawn anatomy with and "
        "without the lesion under the same noise. 1 is all of it; below one half the lesion counts as lost. "
        "This is the mean over such lesions, with an interval over them; it says nothing of whether they "
        "can be told from noise, which the detection section does. The anatomy is drawn, not real.",
        "contrast recovery as in NEMA NU 2; lesion insertion as FDA reviews ask for it (Myers 2015)",
    ),
    Reading(
        "False structures",
        "Spots like a small lesion, beyond the given contrast, where nothing was put, in one litre. Before "
        "denoising all are noise and look like it. What is left of them in a smooth image looks like a "
        "finding. Fewer is better; more than before would mean that the denoiser makes structure.",
        "matched filter on the difference to the quiet original",
    ),
)


@dataclass(frozen=True)
class _Reducer:
    """Lowers the dose of an image that was taken at `factor` times the full dose."""

    model: Any
    factor: float

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        found: Simulated = self.model.simulate(image, dose / self.factor, rng)
        return found


def lesion_section(subject: Subject) -> Section:
    """Put lesions into anatomies, lower the dose, denoise, and look for them and for others."""
    kinds = subject.plan.lesions
    if kinds is None:
        note = (
            f"Not measured for {subject.plan.modality.value}: no anatomy in which a lesion of known contrast "
            "means something is planned."
        )
        return Section("lesions", "Lesions in anatomy", notes=(note,))
    try:
        studies = _studies(subject, kinds)
    except QuellError as error:
        return Section("lesions", "Lesions in anatomy", notes=(f"Not measured: {error}.",))
    units = studies[0].noisy.units
    survival = tuple(_survival_rows(studies))
    false = tuple(_false_rows(studies))
    shown = [_shown(study) for study in studies if study.dose == min(s.dose for s in studies)][:1]
    return Section(
        "lesions",
        "Lesions in anatomy",
        READINGS,
        (),
        (
            Table("survival", "What is left of lesions", _survival_columns(units), survival),
            Table("false_structures", _false_title(studies[0]), _FALSE, false),
        ),
        tuple(_plots(survival, kinds, units)),
        tuple(shown),
        tuple(dict.fromkeys(text for study in studies for text in study.warnings)),
    )


def _studies(subject: Subject, kinds: Lesions) -> list[LesionStudy]:
    found = []
    doses = sorted({subject.plan.doses[0], subject.plan.low})
    for number in range(subject.plan.anatomies):
        image, reducer, lesions = _patient(subject, kinds, number)
        for k, dose in enumerate(doses):
            subject.step(f"lesions, anatomy {number + 1}, dose {dose:g}")
            found.append(
                lesion_study(
                    *(image, lesions, reducer, dose, subject.denoise, subject.rng(8, number, k)),
                    resolution_mm=kinds.resolution_mm,
                    threshold=kinds.threshold,
                    diameter_mm=kinds.spot_mm,
                )
            )
    return found


def _patient(subject: Subject, kinds: Lesions, number: int) -> tuple[Image, _Reducer, tuple[Lesion, ...]]:
    """Draw anatomies until one has room for all lesions, and scan it."""
    from quell.phantoms.objects import make_object

    for attempt in range(_TRIES):
        seed = 1000 * subject.plan.seed + _TRIES * number + attempt
        made = make_object(kinds.anatomy, seed, lesions=0)
        rng = subject.rng(9, number, attempt)
        try:
            lesions = spread_lesions(
                made.truth,
                kinds.diameters_mm,
                kinds.contrasts,
                rng,
                allowed=_tissue(made.truth, kinds),
                apart=2.0,
            )
        except QuellError:
            continue
        model: Any = subject.plan.scanner(made.truth)
        if made.attenuation is not None:
            model = replace(model, attenuation=made.attenuation)
        factor = _QUIETER if subject.plan.modality is Modality.CT else 1.0
        if factor > 1:
            model = model.at_dose(factor)
        return model.acquire(made.truth, 1.0, rng).image, _Reducer(model, factor), lesions
    raise QuellError(f"no anatomy of {_TRIES} has room for the lesions")


def _tissue(truth: Image, kinds: Lesions) -> Any:
    """Return where lesions may lie: soft tissue, some pixels from other tissue, not in the outer slices."""
    from scipy.ndimage import binary_erosion

    inside = (truth.voxels > kinds.low) & (truth.voxels < kinds.high)
    inside = binary_erosion(inside, np.ones((1, 3, 3)), iterations=3)
    margin = truth.shape[0] // 4
    inside[:margin] = False
    inside[truth.shape[0] - margin :] = False
    return inside


def _survival_rows(studies: Sequence[LesionStudy]) -> list[dict[str, Cell]]:
    groups: dict[tuple[float, float, float], list[Any]] = {}
    for study in studies:
        for one in study.survivals:
            key = (study.dose, one.lesion.diameter_mm, one.lesion.contrast)
            groups.setdefault(key, []).append(one)
    rows: list[dict[str, Cell]] = []
    for (dose, diameter, contrast), found in sorted(groups.items()):
        recovery = bootstrap_mean([one.recovery for one in found])
        rows.append(
            {
                "dose": dose,
                "diameter": diameter,
                "contrast": contrast,
                "recovery": Quantity.of(recovery, len(found)),
                "peak": Quantity.of(bootstrap_mean([one.peak for one in found]), len(found)),
                "noisy": float(np.mean([one.noisy_recovery for one in found])),
                "lost": f"{sum(one.lost for one in found)} of {len(found)}",
            }
        )
    return rows


def _survival_columns(units: str) -> tuple[Column, ...]:
    return (
        Column("dose", "Dose"),
        Column("diameter", "Diameter", "mm"),
        Column("contrast", "Contrast", units),
        Column("recovery", "Recovery"),
        Column("peak", "Peak"),
        Column("noisy", "Recovery before"),
        Column("lost", "Lost"),
    )


_FALSE = (
    Column("dose", "Dose"),
    Column("before", "Per litre before"),
    Column("after", "Per litre after"),
    Column("bright", "Bright after"),
    Column("dark", "Dark after"),
)


def _false_title(study: LesionStudy) -> str:
    found = study.false_after
    return f"False spots of {found.diameter_mm:g} mm beyond {found.threshold:g} {study.noisy.units}"


def _false_rows(studies: Sequence[LesionStudy]) -> list[dict[str, Cell]]:
    rows: list[dict[str, Cell]] = []
    for dose in sorted({study.dose for study in studies}):
        same = [study for study in studies if study.dose == dose]
        before = bootstrap_mean([study.false_before.per_litre for study in same])
        after = bootstrap_mean([study.false_after.per_litre for study in same])
        rows.append(
            {
                "dose": dose,
                "before": Quantity.of(before, len(same)),
                "after": Quantity.of(after, len(same)),
                "bright": sum(study.false_after.bright for study in same),
                "dark": sum(study.false_after.dark for study in same),
            }
        )
    return rows


def _plots(rows: Sequence[dict[str, Cell]], kinds: Lesions, units: str) -> list[Plot]:
    plots = []
    for dose in sorted({float(str(row["dose"])) for row in rows}):
        curves = []
        for contrast, role in zip(kinds.contrasts, ("before", "truth", "after"), strict=False):
            same = [row for row in rows if row["dose"] == dose and row["contrast"] == contrast]
            x = tuple(float(str(row["diameter"])) for row in same)
            y = tuple(row["recovery"] for row in same)
            points = tuple(one for one in y if isinstance(one, Quantity))
            curves.append(Curve(f"{contrast:g} {units}", role, x, points))
        plots.append(
            Plot(
                f"recovery_{dose:g}",
                f"Recovery of lesions, dose {dose:g}",
                "diameter (mm)",
                "share of the contrast that is left",
                tuple(curves),
                ((1.0, "all"), (0.5, "lost below")),
            )
        )
    return plots


def _shown(study: LesionStudy) -> Shown:
    largest = max(study.survivals, key=lambda one: (one.lesion.contrast, -one.lesion.diameter_mm)).lesion
    z, y, x = largest.site
    before, after = (centred(image.voxels[z], (y, x)) for image in (study.noisy, study.denoised))
    caption = f"Anatomy with lesions, dose {study.dose:g}"
    return Shown(picture(before, after, caption), study.noisy.units)
