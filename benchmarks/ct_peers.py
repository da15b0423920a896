"""CT at lower doses: the network, told nothing, against peers that are told more than they could know.

``python benchmarks/ct_peers.py --data DATA [--model NAME ...] [--peer NAME=RUN ...] [-o FILE]``

Validation patients at a part of their dose (the thinned difference of ``quell benchmark``). Non-local means
and total variation get, for every image anew, the settings that the truth says are best. BM3D is told the
power spectrum of the noise of that very image, averaged over many realisations of the noise model; where
the reference has noise of its own, it is tried with that added and without, and the truth chooses. The
networks are told nothing; where a row says ``best``, the truth chooses strength and level for them, too. BM3D
may be used for non-commercial purposes only and is no dependency: without the package the table says so.
PSNR and SSIM over the patient within -160 to 240 HU; intervals are 95 % bootstrap intervals over patients.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from exact_bm3d import Method, Pixels, bm3d_methods, exact_power, why_no_bm3d
from release_common import Model, named, open_model, save, told_command, told_difference, told_mean

from quell.errors import QuellError
from quell.evaluation.benchmark.cases import Case, Subject, make_case
from quell.evaluation.benchmark.subjects import real_subjects
from quell.evaluation.metrics.fidelity import psnr, ssim
from quell.filters.level import NoiseLevel
from quell.filters.nonlocal_means import NonLocalMeans
from quell.filters.total_variation import TotalVariation
from quell.image import Modality
from quell.inference.contracts import Sigma

DOSES = (0.5, 0.25, 0.1)
NOISY, NLM, TV, BM3D = "noisy", "non-local means, best", "total variation, best", "BM3D, exact spectrum"

NLM_GRID = tuple(product(((5, 6), (7, 9)), (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.6), (1, 0)))
NETWORK_GRID = tuple(product((0.4, 0.55, 0.7, 0.85, 1.0), (True, False)))
"""Strengths, and whether the network is told the level of the noise that was added."""

TV_GRID = (0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0, 2.6)


@dataclass
class Row:
    """One method at one dose.

    Attributes
    ----------
    psnr, ssim : list of float
        Of each image, mean over its realisations.
    settings : list of str
        What the truth chose for each image; empty where nothing is chosen.
    """

    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)

    def add(self, scores: tuple[float, float], settings: str = "") -> None:
        """Add an image."""
        self.psnr.append(scores[0])
        self.ssim.append(scores[1])
        self.settings.append(settings)


def score(case: Case, results: Sequence[Pixels]) -> tuple[float, float]:
    """Return PSNR and SSIM of the slice that counts, means over the realisations."""
    truth = case.truth.voxels[case.scored].astype(np.float64)
    about = {"window": case.window, "mask": case.inside}
    return (
        float(np.mean([psnr(truth, one, **about) for one in results])),
        float(np.mean([ssim(truth, one, **about) for one in results])),
    )


def best(case: Case, methods: dict[str, Method]) -> tuple[tuple[float, float], str]:
    """Return the scores of the method with the highest PSNR, and its name."""
    noisy = [one.voxels[case.scored].astype(np.float64) for one in case.noisy]
    found = {name: score(case, [method(pixels) for pixels in noisy]) for name, method in methods.items()}
    chosen = max(found, key=lambda name: found[name][0])
    return found[chosen], chosen


def nlm_methods(sigma: float) -> dict[str, Method]:
    """Return non-local means at every setting of the grid, told the level of the noise."""
    level = NoiseLevel(sigma, 0.0, 0.0)
    methods: dict[str, Method] = {}
    for (patch, distance), h, known in NLM_GRID:
        name = f"patch {patch}, distance {distance}, h {h:g} sigma"
        name += "" if known else ", sigma not taken off"
        methods[name] = partial(NonLocalMeans(patch, distance, h, known).apply, noise=level)
    return methods


def tv_methods(sigma: float) -> dict[str, Method]:
    """Return total variation at every setting of the grid."""
    level = NoiseLevel(sigma, 0.0, 0.0)
    return {f"weight {w:g} sigma": partial(TotalVariation(w).apply, noise=level) for w in TV_GRID}


def best_network(case: Case, model: Model) -> tuple[tuple[float, float], str]:
    """Return the scores of a network with the settings that the truth chooses, as for its peers."""
    found = {}
    for strength, told in NETWORK_GRID:
        level: Sigma = case.sigma if told else "auto"
        results = [
            model.denoiser.denoise(one, strength=strength, sigma=level).image.voxels[case.scored]
            for one in case.noisy
        ]
        found[f"strength {strength:g}, level {'told' if told else 'estimated'}"] = score(case, results)
    chosen = max(found, key=lambda name: found[name][0])
    return found[chosen], chosen


def networks(models: Sequence[Model], peers: Sequence[Model]) -> Iterator[tuple[str, Model, float | None]]:
    """Yield name of the row, model and strength; None stands for what users get."""
    for model in models:
        yield model.name, model, 1.0
        yield f"{model.name}, default strength", model, None
    for peer in peers:
        yield peer.name, peer, 1.0


def one_dose(arguments: argparse.Namespace, dose: float, subjects: Sequence[Subject]) -> dict[str, Any]:
    """Measure everything at one dose; what could not be made is told under ``left_out``."""
    rows: dict[str, Row] = {}
    images, left_out = [], []
    for number, subject in enumerate(subjects):
        try:
            case = make_case(subject, dose, (arguments.seed, number, round(1e6 * dose)))
        except QuellError as error:
            left_out.append(str(error))
            continue
        images.append({"name": case.name, "patient": case.patient, "own_noise_over_added": case.own})
        for name, result in _judged(arguments, subject, case, dose):
            rows.setdefault(name, Row()).add(*result)
        print(f"  {case.name}: " + ", ".join(f"{n} {r.psnr[-1]:.2f}" for n, r in rows.items()), flush=True)
    return {"images": images, "left_out": left_out, **_summary(arguments, rows, images)}


def _judged(
    arguments: argparse.Namespace, subject: Subject, case: Case, dose: float
) -> Iterator[tuple[str, tuple[tuple[float, float], str]]]:
    yield NOISY, (score(case, [one.voxels[case.scored] for one in case.noisy]), "")
    for name, model, strength in networks(arguments.models, arguments.peers):
        results = [model.run(one, strength)[case.scored] for one in case.noisy]
        yield name, (score(case, results), "")
    for model in arguments.models:
        yield f"{model.name}, best", best_network(case, model)
    yield NLM, best(case, nlm_methods(case.sigma))
    yield TV, best(case, tv_methods(case.sigma))
    if not arguments.no_bm3d:
        power = exact_power(subject, case, dose, arguments.realisations, arguments.seed)
        yield BM3D, best(case, bm3d_methods(power, case.own))


def _summary(
    arguments: argparse.Namespace, rows: dict[str, Row], images: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    patients = [one["patient"] for one in images]
    ours = {name for model in arguments.models for name in rows if name.split(",")[0] == model.name}
    return {
        "rows": {
            name: {
                **{key: told_mean(getattr(row, key), patients) for key in ("psnr", "ssim")},
                "per_image": [
                    {"psnr": round(p, 4), "ssim": round(s, 5), "settings": text}
                    for p, s, text in zip(row.psnr, row.ssim, row.settings, strict=True)
                ],
            }
            for name, row in rows.items()
        },
        "differences": {
            name: {
                other: {
                    key: told_difference(getattr(rows[name], key), getattr(row, key), patients)
                    for key in ("psnr", "ssim")
                }
                for other, row in rows.items()
                if other not in ours
            }
            for name in rows
            if name in ours
        },
    }


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of reference images")
    parser.add_argument("--model", action="append", help="name or folder of a network; several times")
    parser.add_argument("--peer", action="append", type=named, default=[], help="NAME=RUN, a trained peer")
    parser.add_argument("--dose", action="append", type=float, help="several times for several")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--realisations", type=int, default=24, help="for the spectrum that BM3D is told")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    arguments.models = [open_model(name) for name in arguments.model or ["universal.fast"]]
    arguments.peers = [open_model(place, name) for name, place in arguments.peer]
    arguments.no_bm3d = why_no_bm3d()
    if arguments.no_bm3d:
        print(f"without BM3D: {arguments.no_bm3d}", flush=True)
    subjects = real_subjects(arguments.data, Modality.CT, arguments.images, 1, arguments.seed).test
    doses = {}
    for dose in arguments.dose or DOSES:
        print(f"dose {dose:g}, PSNR in dB", flush=True)
        doses[f"{dose:g}"] = one_dose(arguments, dose, subjects)
        for name, row in doses[f"{dose:g}"]["rows"].items():
            print(f"{name:40} {row['psnr']['value']:6.2f} dB  SSIM {row['ssim']['value']:.4f}", flush=True)
    values = {
        "window_hu": [-160, 240],
        "seed": arguments.seed,
        "bm3d": {"why_not": arguments.no_bm3d, "realisations": arguments.realisations},
        "doses": doses,
    }
    command = told_command("ct_peers.py", sys.argv[1:])
    save(arguments.out, "quell-ct-peers", command, [*arguments.models, *arguments.peers], values)


if __name__ == "__main__":
    main()
