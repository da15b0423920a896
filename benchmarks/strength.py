"""What strength and grain do: noise that is left, its texture, likeness to the truth, detection.

    python benchmarks/strength.py --data DATA --modality CT -o docs/results/strength.json

The default strength and grain of a model's card are chosen with it. The network is run once for each
acquisition of a flat object, and blended with the input at every strength, as ``--strength`` does; at the
strength of `MOST` also with every grain, as ``--grain`` does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from release_common import told_command

from quell.evaluation.at_strength import AtStrength
from quell.evaluation.denoisers import find_denoiser
from quell.evaluation.evidence.noise import periodograms
from quell.evaluation.evidence.plan import plan_for
from quell.evaluation.evidence.subject import Subject, flat_object, repeat
from quell.evaluation.noise_texture import texture_shift
from quell.image import Modality
from quell.inference.grain import without_grain
from quell.jobs.benchmark import BenchmarkSettings, run_benchmark
from quell.machine import describe_machine
from quell.models.registry import locate

STRENGTHS = tuple(k / 20 for k in range(4, 21))
SHIFT = 10.0
"""Percent by which the mean frequency of the noise may move."""

KEPT = 7.5
"""Percent within which the grain is chosen to keep it: other objects differ from this one by a few."""

MOST = {"CT": 0.7, "MR": 0.7, "PT": 0.5, "NM": 0.5, "US": 0.7, "XR": 0.5}
"""Default strength. Contrast of what is faint and small is lost in proportion to it: where values of small
hot spots are read, and in radiographs, which are full of it, half of the noise stays."""

GRAINS = tuple(k / 20 for k in range(20))

REAL = (Modality.CT, Modality.MR, Modality.XR)


def flat_noise(
    modality: Modality, model: str, repeats: int, seed: int
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return the change of SD and mean frequency (percent) on the flat object by dose.

    First for every strength without grain, then for every grain at the strength of `MOST`.
    """
    plan = replace(plan_for(modality, quick=True), repeats=repeats, seed=seed)
    subject = Subject(AtStrength(find_denoiser(model).denoiser, 1.0), plan)
    flat, by_strength, by_grain = flat_object(plan), [], []
    for dose in plan.doses:
        one = repeat(subject, flat.truth, dose, np.random.default_rng([seed, 7]), "flat")
        before, removed = periodograms(one.noisy, one, flat), one.noisy - one.denoised

        def change(strength: float, grain: float) -> dict[str, float]:
            left = np.stack([without_grain(pixels.copy(), grain) for pixels in removed])  # noqa: B023
            after = periodograms(one.noisy - np.float32(strength) * left, one, flat)  # noqa: B023
            found = texture_shift(before, after, repeats=50)  # noqa: B023
            return {"sd": found.sd.value, "shift": found.mean.value}

        by_strength += [{"dose": dose, "strength": s} | change(s, 0.0) for s in STRENGTHS]
        by_grain += [{"dose": dose, "grain": g} | change(MOST[modality.value], g) for g in GRAINS]
    return by_strength, by_grain


def least(rows: Sequence[dict[str, float]]) -> float:
    """Return the least grain at which the mean frequency stays within `KEPT` at every dose.

    Where none does, the one at which it moves least.
    """
    moved = {
        grain: max(abs(row["shift"]) for row in rows if row["grain"] == grain)
        for grain in sorted({row["grain"] for row in rows})
    }
    kept = [grain for grain, shift in moved.items() if shift <= KEPT]
    return kept[0] if kept else min(moved, key=lambda grain: moved[grain])


def highest(rows: Sequence[dict[str, float]]) -> float:
    """Return the highest strength at which the mean frequency stays within the limit at every dose."""
    doses = {row["dose"] for row in rows}

    def at(dose: float, strength: float) -> float:
        return next(abs(r["shift"]) for r in rows if r["dose"] == dose and r["strength"] == strength)

    kept = [s for s in STRENGTHS if all(at(dose, s) <= SHIFT for dose in doses)]
    return max(kept, default=0.0)


def likeness(modality: Modality, model: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return PSNR and SSIM by dose, and the AUC of the task at the middle dose, at every strength."""
    names = (model, *(f"{model}@{strength:g}" for strength in (0.4, 0.6, 0.8, 0.9, 1.0)))
    settings = BenchmarkSettings(
        modalities=(modality,),
        denoisers=names,
        data=arguments.data if modality in REAL else None,
        images=arguments.images,
        tuning_images=2,
        budget=2,
        rounds=2,
        task=True,
        pairs=arguments.pairs,
        seed=arguments.seed,
        command="python benchmarks/strength.py",
    )
    found = run_benchmark(settings)
    rows: list[dict[str, Any]] = []
    for table in found.tables:
        for row in table.rows:
            kept = {key: row.values[key].value for key in ("psnr", "ssim") if key in row.values}
            rows.append({"dose": table.dose, "denoiser": row.denoiser} | kept)
    for one in found.detections:
        for entry in one.rows:
            auc = None if entry.auc is None else entry.auc.value
            name = entry.denoiser
            rows.append({"dose": one.dose, "signal": one.signal, "denoiser": name, "auc": auc})
    return rows


def _told(row: dict[str, float]) -> str:
    return f"SD {row['sd']:+.0f} %, mean frequency {row['shift']:+.0f} %"


def main() -> None:
    """Measure what is asked for, print it and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="universal.fast")
    parser.add_argument("--data", type=Path, help="folder of the manifest's images; CT, MR and XR need it")
    parser.add_argument("--modality", action="append", help="CT, MR, PT, NM, US, XR; all of them")
    parser.add_argument("--repeats", type=int, default=10, help="acquisitions of the flat object")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texture-only", action="store_true")
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    model = arguments.model
    card = locate(model).card
    told: dict[str, Any] = {"model": card.identifier, "version": card.version, "sha256": card.sha256}
    told |= {"command": told_command("strength.py", sys.argv[1:])}
    told |= {"machine": describe_machine(), "modalities": {}}
    for name in arguments.modality or ("CT", "MR", "PT", "NM", "US", "XR"):
        modality = Modality(name)
        rows, by_grain = flat_noise(modality, model, arguments.repeats, arguments.seed)
        chosen = {"strength": MOST[name], "grain": least(by_grain)}
        found = {"texture": rows, "highest": highest(rows), "by_grain": by_grain, "chosen": chosen}
        told["modalities"][name] = found
        print(f"{name}: mean frequency within {SHIFT:g} % up to strength {highest(rows):g} without grain,")
        print(f"  and at strength {MOST[name]:g} with a grain of {chosen['grain']:g}:")
        for row in (row for row in by_grain if row["grain"] == chosen["grain"]):
            print(f"  dose {row['dose']:g}: {_told(row)}")
        if not arguments.texture_only:
            told["modalities"][name]["likeness"] = likeness(modality, model, arguments)
            for row in told["modalities"][name]["likeness"]:
                print(
                    "  "
                    + ", ".join(
                        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
                    )
                )
    if arguments.out:
        arguments.out.write_text(json.dumps(told, indent=1, default=str) + "\n", "utf-8")


if __name__ == "__main__":
    main()
