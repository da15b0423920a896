"""How well noise is found in an image that is all there is.

``python benchmarks/noise_estimation.py [--data DATA] [--repeats N] [--json FILE]``

Simulated images (see noise_cases.py): the error of the level map, block by block over the parts that
are judged, by the classical estimate, by the estimator network that ships, and by both together as
``quell noise`` combines them; and the error of the first moment of the spectrum. With a folder of real
images: the level of one scan of a pair against the difference of the two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from noise_cases import DOSES, KINDS, Case, blocks_of, simulate

from quell.formats.open import open_study
from quell.image import FloatArray, Image
from quell.jobs.noise_measuring import Network, measure
from quell.jobs.noise_survey import SurveySettings, network_of
from quell.noise.blind.air import air_noise
from quell.noise.contracts import NoiseSpectrum
from quell.noise.estimation import estimate_noise, patient_level
from quell.noise.measures import first_moment
from quell.noise.repeat import Repeat, compare_repeats, repeat_frames

SIEMENS = ("body_ax", "body_cor", "body_sag", "breast", "headneck", "knee")


@dataclass(frozen=True)
class Score:
    """Errors of one image; fractions of the truth.

    Attributes
    ----------
    classical, network, both : tuple of float
        Median and 90th percentile of the error of the level over the blocks, without sign.
    bias : float
        Median error of the classical level, with sign.
    moment : float
        Error of the first moment, with sign.
    """

    classical: tuple[float, float]
    network: tuple[float, float]
    both: tuple[float, float]
    bias: float
    moment: float


def score(case: Case, network: Network) -> Score:
    """Return the errors of all estimates for one simulated image."""
    found = estimate_noise(case.image)
    truth = blocks_of(case.level, found.block)
    mapped = network(case.image)
    learned = mapped.level[:, : truth.shape[1], : truth.shape[2]]
    ratio = found.level[truth > 0] / truth[truth > 0]
    spacing = case.image.geometry.spacing[1:]
    true = first_moment(NoiseSpectrum(np.fft.fftshift(case.power), spacing, 1))
    moment = first_moment(found.spectrum) / true - 1 if found.spectrum else np.nan
    both = measure(case.image, lambda _: mapped).estimate.level
    return Score(
        *(_errors(level, truth) for level in (found.level, learned, both)),
        bias=float(np.median(ratio) - 1),
        moment=float(moment),
    )


def _errors(level: FloatArray, truth: FloatArray) -> tuple[float, float]:
    error = np.abs(level[truth > 0] / truth[truth > 0] - 1)
    return float(np.median(error)), float(np.percentile(error, 90))


def simulated(repeats: int, network: Network) -> dict[str, list[Score]]:
    """Score every kind and dose; print a row each."""
    print(
        f"{'kind, dose':16} {'classical':>16} {'network':>16} {'both':>16} {'bias':>7} {'first moment':>13}"
    )
    print(f"{'':16} {'median':>8}{'p90':>8} {'median':>8}{'p90':>8} {'median':>8}{'p90':>8}")
    scores: dict[str, list[Score]] = {}
    for kind in KINDS:
        for dose in DOSES:
            found = [score(simulate(kind, dose, seed), network) for seed in range(repeats)]
            scores[f"{kind} {dose:g}"] = found
            _row(f"{kind} {dose:g}", found)
    everything = [one for found in scores.values() for one in found]
    _row("median of all", everything, np.median)
    return scores


def _row(name: str, found: list[Score], middle: object = np.mean) -> None:
    average = middle if callable(middle) else np.mean
    cells = [f"{name:16}"]
    for kind in ("classical", "network", "both"):
        errors = np.array([getattr(one, kind) for one in found])
        cells.append(" " + "".join(f"{100 * average(column):7.1f}%" for column in errors.T))
    cells.append(f"{100 * average([one.bias for one in found]):7.1f}%")
    cells.append(f"{100 * np.median(np.abs([one.moment for one in found])):12.1f}%")
    print("".join(cells), flush=True)


def real(data: Path, network: Network) -> dict[str, dict[str, float | None]]:
    """Compare the level of one real scan with what its repeat says; print a row each."""
    print(
        f"\n{'real repeats':28} {'difference':>10} {'shared':>7} {'classical':>10} {'network':>8} {'both':>7}"
    )
    rows: dict[str, dict[str, float | None]] = {}
    for name, image, repeat in pairs(data):
        found = estimate_noise(image).level
        mapped = network(image)
        learned = mapped.level[:, : found.shape[1], : found.shape[2]]
        both = measure(image, lambda _, known=mapped: known).estimate.level
        levels = {"classical": found, "network": learned, "both": both}
        ratios = {kind: patient_level(image, level) / repeat.level for kind, level in levels.items()}
        air = air_noise(image)
        rows[name] = {"difference": repeat.level, "shared": repeat.shared, **ratios}
        rows[name]["air"] = air.level / repeat.level if air else None
        cells = "".join(f"{ratio:8.2f}" for ratio in ratios.values())
        told = f"  air {air.level / repeat.level:.2f}" if air else ""
        print(f"{name:28} {repeat.level:10.3g} {100 * repeat.shared:6.0f}% {cells}{told}", flush=True)
    return rows


def pairs(data: Path) -> Iterator[tuple[str, Image, Repeat]]:
    """Yield name, one scan, and what the difference to its repeat says."""

    def load(path: str) -> Image:
        return open_study(data / path).series[0].read()

    names = [(f"sola_{name}", "dcm") for name in SIEMENS]
    for name, ending in [*names, ("ge_explorer_sag", "dcm"), ("aera_tra", "IMA")]:
        first, second = (load(f"mri/pairs/{name}_acq{k}.{ending}") for k in (1, 2))
        yield name, first, compare_repeats(first, second)
    for way in ("ap", "pa", "lr", "rl"):
        image = load(f"mri/pairs/fbirn_epi_skyra_pe_{way}_2vols.nii.gz")
        first, second = (part(image, start, start + 5) for start in (0, 5))
        yield f"fbirn_epi_{way}", first, compare_repeats(first, second)
    first, second = (load(f"ct/phantom/ge_ct750hd_qa_img{name}.dcm") for name in "AB")
    yield "ct_ge_water", first, compare_repeats(first, second)
    whole = load("ct/phantom/qrm_canon_aquilion_one_fc12.nii.gz")
    yield "ct_qrm_insert", part(whole, 4, 12), compare_repeats(part(whole, 4, 12), part(whole, 5, 13))
    frames = load("ultrasound/plus/UltrasonixCurvilinearScanConvertedData.igs.mha")
    between = repeat_frames(frames)
    if between is not None:
        yield "us_frames", part(frames, 0, 1), between


def part(image: Image, start: int, stop: int) -> Image:
    """Return some slices of an image."""
    padding = None if image.padding is None else image.padding[start:stop].copy()
    return replace(image, voxels=image.voxels[start:stop].copy(), padding=padding, gaps=())


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of real images")
    parser.add_argument("--repeats", type=int, default=8, help="images of each kind and dose")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    network = network_of(SurveySettings(threads=1))
    scores = simulated(arguments.repeats, network)
    values: dict[str, object] = {
        "simulated": {name: [vars(one) for one in found] for name, found in scores.items()}
    }
    if arguments.data is not None:
        values["real"] = real(arguments.data, network)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
