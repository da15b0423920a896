"""Real repeats: how much nearer a denoised scan is to another scan of the same thing.

``python benchmarks/repeats.py --data DATA [--model NAME ...] [-o FILE]``

Two scans a and b of one object differ by the noise of both. Against b the error of a denoised a can fall to
sqrt(1/2) of that of a itself, where all its noise is gone and nothing else: the noise of b stays. Where a
share r of the noise is left (what two denoised scans still differ by), sqrt((1 + r^2) / 2) is what theory
allows; an error above that is signal that was taken away. Root mean squares over the object, the mean of
both directions; a difference of the means of the two scans is taken off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from noise_estimation import SIEMENS, part
from release_common import open_model, save, told_command

from quell.evaluation.references import load as load_reference
from quell.filters.level import foreground
from quell.formats.open import open_study
from quell.image import BoolArray, FloatArray, Image
from quell.noise.repeat import compare_repeats

FLOOR = float(np.sqrt(0.5))

TOLERANCE = 0.02
"""Of the error against the other repeat: measured over allowed, above which signal was taken away."""

MUCH = 0.5
"""Share of the variance in common above which it is told."""

SMOOTH = 3.0
"""Pixels over which scans are averaged to find the object."""

QRM = ((4, 12), (5, 13))
"""Slices of the phantom that is the same along z."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two scans of one thing.

    Attributes
    ----------
    name, kind : str
    first, second : Image
    """

    name: str
    kind: str
    first: Image
    second: Image


def pairs(data: Path) -> Iterator[Pair]:
    """Yield the repeats of a data folder; those that are not there are left out."""
    for source in (_mri, _epi, _ultrasound, _ct):
        yield from source(data)


def _mri(data: Path) -> Iterator[Pair]:
    names = [(f"sola_{name}", "dcm") for name in SIEMENS]
    for name, ending in [*names, ("ge_explorer_sag", "dcm"), ("aera_tra", "IMA")]:
        files = [data / "mri" / "pairs" / f"{name}_acq{k}.{ending}" for k in (1, 2)]
        if all(file.is_file() for file in files):
            yield Pair(name, "MR", *(open_study(file).series[0].read() for file in files))


def _epi(data: Path) -> Iterator[Pair]:
    for way in ("ap", "pa", "lr", "rl"):
        file = data / "mri" / "pairs" / f"fbirn_epi_skyra_pe_{way}_2vols.nii.gz"
        if file.is_file():
            image = load_reference(file, "MR")
            yield Pair(f"fbirn_epi_{way}", "MR", part(image, 0, 5), part(image, 5, 10))


def _ultrasound(data: Path) -> Iterator[Pair]:
    file = data / "ultrasound" / "plus" / "UltrasonixCurvilinearScanConvertedData.igs.mha"
    if file.is_file():
        frames = load_reference(file, "US")
        for k in range(frames.shape[0] - 1):
            yield Pair(
                f"frames {k + 1} and {k + 2}", "US", part(frames, k, k + 1), part(frames, k + 1, k + 2)
            )


def _ct(data: Path) -> Iterator[Pair]:
    folder = data / "ct" / "phantom"
    files = [folder / f"ge_ct750hd_qa_img{name}.dcm" for name in "AB"]
    if all(file.is_file() for file in files):
        yield Pair("water, 5 mm apart", "CT", *(open_study(file).series[0].read() for file in files))
    file = folder / "qrm_canon_aquilion_one_fc12.nii.gz"
    if file.is_file():
        whole = load_reference(file, "CT")
        yield Pair("insert, 3 mm apart", "CT", *(part(whole, *ends) for ends in QRM))


def inside(pair: Pair) -> BoolArray:
    """Return the object: what is above the background in both scans together."""
    from scipy.ndimage import gaussian_filter

    # Smoothed, since pixels that are chosen by their noise have less of it than others.
    sum_ = gaussian_filter(pair.first.voxels + pair.second.voxels, (0, SMOOTH, SMOOTH))
    mean = pair.first.with_voxels(sum_ / np.float32(2))
    mask: BoolArray = mean.voxels > foreground(mean)[0]
    for image in (pair.first, pair.second):
        if image.padding is not None:
            mask &= ~image.padding
    return mask if mask.any() else np.ones(mask.shape, np.bool_)


def distance(one: FloatArray, other: FloatArray, mask: BoolArray) -> float:
    """Return the root mean squared difference over a mask, that of the means taken off."""
    return float(np.std(one[mask].astype(np.float64) - other[mask]))


def judge(pair: Pair, run: Callable[[Image], FloatArray]) -> dict[str, Any]:
    """Return the errors against the other repeat, over that of the noisy scans, and what theory allows.

    Parameters
    ----------
    pair : Pair
    run : callable
        From an image to its denoised voxels.
    """
    a, b = pair.first.voxels, pair.second.voxels
    mask = inside(pair)
    clean_a, clean_b = run(pair.first), run(pair.second)
    noisy = distance(a, b, mask)
    error = float(np.sqrt((distance(clean_a, b, mask) ** 2 + distance(clean_b, a, mask) ** 2) / 2))
    left = distance(clean_a, clean_b, mask) / noisy
    allowed = float(np.sqrt((1 + left**2) / 2))
    ratio = error / noisy
    return {
        "name": pair.name,
        "kind": pair.kind,
        "pixels": int(mask.sum()),
        "difference_of_the_noisy": noisy,
        "error_over_noisy": ratio,
        "floor": FLOOR,
        "noise_left": left,
        "allowed": allowed,
        # In noise levels of one scan; negative where the noise of the two scans is not independent.
        "signal_lost": float(np.sign(ratio - allowed) * np.sqrt(abs(2 * (ratio**2 - allowed**2)))),
        "met": bool(ratio < 1 and ratio <= allowed * (1 + TOLERANCE)),
    }


def doubts(pair: Pair) -> dict[str, Any]:
    """Return what stands against a pair: that it moved, or a texture that is the same in both scans.

    ``shared`` is the share of the variance of plain parts that both scans have in common. It looks like noise
    to whoever has one scan alone, and is signal to the judgement by the other.
    """
    found = compare_repeats(pair.first, pair.second)
    remarks = list(found.remarks)
    if found.shared > MUCH:
        remarks.append(f"{100 * found.shared:.0f} % of what looks like noise is the same in both scans")
    return {"shared": found.shared, "remarks": remarks}


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of real images")
    parser.add_argument("--model", action="append", help="name or folder of a network; several times")
    parser.add_argument("--only", help="pairs whose name holds this")
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    models = [open_model(name) for name in arguments.model or ["universal.fast"]]
    found = [pair for pair in pairs(arguments.data) if (arguments.only or "") in pair.name]
    if not found:
        parser.error("no repeats in that folder")
    said = {pair.name: doubts(pair) for pair in found}
    results = {}
    for model in models:
        print(f"{model.name} {model.version}, {model.engine}")
        print(f"{'':28} {'error':>7} {'allowed':>8} {'if gone':>8} {'noise left':>11} {'signal lost':>12}")
        rows = [judge(pair, model.run) | said[pair.name] for pair in found]
        for row in rows:
            told = f"{row['error_over_noisy']:7.3f} {row['allowed']:8.3f} {FLOOR:8.3f}"
            told += f" {row['noise_left']:11.3f} {row['signal_lost']:12.3f}"
            mark = "" if row["met"] else "  above"
            print(f"{row['kind']} {row['name']:25} {told}{mark} {'; '.join(row['remarks'])}", flush=True)
        results[model.name] = rows
    command = told_command("repeats.py", sys.argv[1:])
    save(arguments.out, "quell-repeats", command, models, {"tolerance": TOLERANCE, "results": results})


if __name__ == "__main__":
    main()
