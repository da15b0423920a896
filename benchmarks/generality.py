"""One network over doses, scanners and kernels of CT.

``python benchmarks/generality.py --data DATA [--model NAME ...] [--per-dose 0.25=RUN ...] [-o FILE]``

Validation patients with the thinned difference of ``quell benchmark``. By dose: the gain over the noisy
image, beside that of networks trained for one dose where their runs are given. By scanner and kernel of the
patients: those that the training had (seen) and others. Patients differ in more than their scanner, so the
gain is also told over that of the best non-local means for each image, which knows neither. By kernel of the
noise: the same patients, with noise of one level and of the texture of each kernel of the noise model and of
two beyond them, so that nothing else differs. PSNR over the patient within -160 to 240 HU, in dB.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ct_peers import best, nlm_methods, score
from release_common import Model, named, open_model, save, told_command, told_difference, told_mean

from quell.errors import QuellError
from quell.evaluation.benchmark.cases import Case, Subject, make_case, scored_part
from quell.evaluation.benchmark.subjects import real_subjects
from quell.evaluation.metrics.statistics import bootstrap_mean
from quell.evaluation.references import read_manifest
from quell.image import Modality
from quell.noise.ct import CTNoise
from quell.noise.tomography.kernels import KERNELS, Kernel

DOSES = (0.5, 0.25, 0.1, 0.04)
SCANNER_DOSE = 0.25

SCANS: dict[str, tuple[str, str]] = {
    "crlm_ct_1006_abdomen": ("GE LightSpeed16", ""),
    "lidc_idri_0314_chest_s100_135": ("Philips Brilliance 16P", "D"),
    "kits_00072_upper_abdomen_arterial": ("Siemens Emotion 16", "B30s"),
    "cmb_crc_01068_chest_lungkernel": ("GE LightSpeed VCT", "LUNG"),
    "cptac_pda_00189_lungbase_lungkernel": ("GE Revolution CT", "LUNG"),
    "lungfcp_0006_apex_b50f_lowdose": ("", "B50f"),
    "acrin_flt_001_abdomen_lowdose": ("GE Discovery LS", "SOFT"),
    "crlm_ct_1004": ("GE LightSpeed16", "STANDARD"),
    "acrin_flt_013_trunk_b10f": ("Siemens Sensation 16", "B10f"),
    "sts_001_thigh_lowdose": ("GE Discovery ST", "SOFT"),
}
"""Scanner and kernel of the manifest's CTs, as the list that comes with the data tells; "" if it does not."""

BEYOND = {"smoother than all": Kernel(0.20, 2.2), "sharper than all": Kernel(0.95, 3.1)}


@dataclass(frozen=True, eq=False)
class Scored:
    """One image under every network.

    Attributes
    ----------
    name, patient : str
    noisy, nlm : float
        PSNR of the noisy image and of the best non-local means; NaN where that was not run.
    networks : dict of str to float
    """

    name: str
    patient: str
    noisy: float
    nlm: float
    networks: dict[str, float]


def seen_in_training() -> tuple[set[str], set[str]]:
    """Return scanners and kernels of the CTs that the manifest gives to the training."""
    files = [e["files"] for e in read_manifest() if e["modality"] == "CT" and e.get("split") == "train"]
    scans = [SCANS[key] for file in files if (key := Path(file).name.split(".")[0]) in SCANS]
    return {scanner for scanner, _ in scans if scanner}, {kernel for _, kernel in scans if kernel}


def judged(case: Case, models: Sequence[Model], nlm: bool) -> Scored:
    """Return the PSNR of an image under every network at full strength."""
    z = case.scored
    found = {model.name: score(case, [model.run(one, 1.0)[z] for one in case.noisy])[0] for model in models}
    peer = best(case, nlm_methods(case.sigma))[0][0] if nlm else float("nan")
    noisy = score(case, [one.voxels[z] for one in case.noisy])[0]
    return Scored(case.name, case.patient, noisy, peer, found)


def cases(subjects: Sequence[Subject], dose: float, seed: int) -> Iterator[tuple[Subject, Case]]:
    """Yield the images that can be made at a dose."""
    for number, subject in enumerate(subjects):
        try:
            yield subject, make_case(subject, dose, (seed, number, round(1e6 * dose)))
        except QuellError as error:
            print(f"  left out: {error}", flush=True)


def with_kernel(subject: Subject, case: Case, dose: float, kernel: Kernel, seed: tuple[int, ...]) -> Case:
    """Return a case with noise of the same level and the texture of another kernel."""
    z = subject.scored
    model = replace(CTNoise().calibrate(subject.image), kernel=kernel)
    box = (slice(None), *scored_part(subject.image, z))
    truth, noisy = case.truth.voxels, []
    for number, before in enumerate(case.noisy):
        rng = np.random.default_rng([*seed, number])
        added = model.simulate(subject.image, dose, rng).image.voxels[box] - truth
        size = np.std((before.voxels - truth)[z][case.inside]) / np.std(added[z][case.inside])
        noisy.append(before.with_voxels((truth + size * added).astype(np.float32)))
    return replace(case, noisy=tuple(noisy))


def by_dose(
    rows: Sequence[Scored], models: Sequence[Model], special: Model | None, seed: int
) -> dict[str, Any]:
    """Return gains over the noisy images, and the difference to the network of that dose alone."""
    patients = [row.patient for row in rows]
    values: dict[str, Any] = {"images": [row.name for row in rows]}
    for model in [*models, *([special] if special else [])]:
        gains = [row.networks[model.name] - row.noisy for row in rows]
        values.setdefault("gain", {})[model.name] = told_mean(gains, patients, seed)
    if special is not None:
        theirs = [row.networks[special.name] for row in rows]
        values["minus_special"] = {
            m.name: told_difference([row.networks[m.name] for row in rows], theirs, patients, seed)
            for m in models
        }
    return values


def by_scan(rows: Sequence[Scored], model: Model) -> dict[str, Any]:
    """Return the gains of every patient, and those of unseen minus seen scanners and kernels."""
    seen = dict(zip(("scanner", "kernel"), seen_in_training(), strict=True))
    told = []
    for row in rows:
        scan = dict(zip(("scanner", "kernel"), SCANS.get(row.patient, ("", "")), strict=True))
        gain = row.networks[model.name] - row.noisy
        known = {f"{key}_seen": scan[key] in seen[key] if scan[key] else None for key in scan}
        told.append({"name": row.name, **scan, **known, "gain": gain,
                     "over_best_nlm": row.networks[model.name] - row.nlm})  # fmt: skip
    values: dict[str, Any] = {"per_image": told}
    for key in ("scanner", "kernel"):
        values[f"unseen_minus_seen_{key}"] = {
            measure: _between([one[measure] for one in told], [one[f"{key}_seen"] for one in told])
            for measure in ("gain", "over_best_nlm")
        }
    return values


def _between(values: Sequence[float], seen: Sequence[bool | None]) -> dict[str, Any] | None:
    """Return the mean of the unseen minus that of the seen; None where there are none of either."""
    sides = [[v for v, one in zip(values, seen, strict=True) if one is side] for side in (False, True)]
    if not all(sides):
        return None
    unseen, known = (bootstrap_mean(side) for side in sides)
    return {"value": unseen.value - known.value, "unseen": len(sides[0]), "seen": len(sides[1])}


def by_kernel(
    subjects: Sequence[Subject], models: Sequence[Model], dose: float, seed: int
) -> dict[str, dict[str, Any]]:
    """Return the margin over the best non-local means for noise of every kernel, per network."""
    values: dict[str, dict[str, Any]] = {}
    made = list(cases(subjects, dose, seed))
    for place, (name, kernel) in enumerate((KERNELS | BEYOND).items()):
        rows = [
            judged(with_kernel(subject, case, dose, kernel, (seed, place, number)), models, nlm=True)
            for number, (subject, case) in enumerate(made)
        ]
        patients = [row.patient for row in rows]
        values[name] = {"seen": name not in BEYOND, "f50_per_mm": kernel.f50} | {
            model.name: {
                "gain": told_mean([r.networks[model.name] - r.noisy for r in rows], patients, seed),
                "over_best_nlm": told_mean([r.networks[model.name] - r.nlm for r in rows], patients, seed),
            }
            for model in models
        }
        told = ", ".join(f"{m.name} {values[name][m.name]['over_best_nlm']['value']:+.2f}" for m in models)
        print(f"noise of kernel '{name}': over the best non-local means {told} dB", flush=True)
    return values


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of reference images")
    parser.add_argument("--model", action="append", help="name or folder of a network; several times")
    parser.add_argument("--per-dose", action="append", type=named, default=[], help="DOSE=RUN")
    parser.add_argument("--dose", action="append", type=float, help="several times for several")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    models = [open_model(name) for name in arguments.model or ["universal.fast"]]
    special = {
        float(dose): open_model(run, f"trained at {float(dose):g}") for dose, run in arguments.per_dose
    }
    subjects = real_subjects(arguments.data, Modality.CT, arguments.images, 1, arguments.seed).test
    doses: dict[str, Any] = {}
    scans: dict[str, Any] = {}
    wanted = arguments.dose or DOSES
    middle = SCANNER_DOSE if SCANNER_DOSE in wanted else wanted[0]
    for dose in wanted:
        own = special.get(dose)
        every = [*models, *([own] if own else [])]
        rows = [judged(c, every, nlm=dose == middle) for _, c in cases(subjects, dose, arguments.seed)]
        if not rows:
            continue
        doses[f"{dose:g}"] = by_dose(rows, models, own, arguments.seed)
        told = ", ".join(f"{n} {g['value']:+.2f}" for n, g in doses[f"{dose:g}"]["gain"].items())
        print(f"dose {dose:g}: gain over noisy {told} dB", flush=True)
        if dose == middle:
            scans = {"dose": dose, "models": {model.name: by_scan(rows, model) for model in models}}
    kernels = {"dose": middle, "kernels": by_kernel(subjects, models, middle, arguments.seed)}
    left_out = [
        f"dose {dose:g}: no run of a network trained at it alone was given"
        for dose in wanted
        if dose not in special
    ]
    values = {"doses": doses, "scans": scans, "noise_kernels": kernels, "left_out": left_out}
    command = told_command("generality.py", sys.argv[1:])
    save(arguments.out, "quell-generality", command, [*models, *special.values()], values)


if __name__ == "__main__":
    main()
