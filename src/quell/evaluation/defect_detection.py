"""How well an observer finds perfusion defects in denoised volumes, by their extent, severity and wall.

As in the evaluation of DEMIST (Rahman et al., IEEE TRPMS, 2024): a channelized Hotelling observer with
frequency channels reads slices centred on the defect, or on the same place of the same heart without it; the
area under its ROC curve is compared between ways to make the images, for all defects and for each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.observers.auc import PairedTest, auc_interval, paired_delong
from quell.evaluation.observers.channels import Channels, annular_frequency
from quell.evaluation.observers.hotelling import InternalNoise, channelized_hotelling_observer
from quell.evaluation.observers.scores import Interval, Scores
from quell.evaluation.observers.splits import Split, pairs_needed
from quell.image import FloatArray

ALL = "all"


@dataclass(frozen=True)
class DefectKind:
    """What a defect is like; each in words, which make the strata.

    Attributes
    ----------
    extent : str
        Share of the wall.
    severity : str
        Share of the uptake that is missing.
    wall : str
        Where it lies.
    """

    extent: str
    severity: str
    wall: str


@dataclass(frozen=True, eq=False)
class DefectRegions:
    """Regions around defects, and around the same places without them.

    Attributes
    ----------
    present, absent : ndarray of float32, shape (cases, side, side)
    kinds : tuple of DefectKind
    patients : ndarray of int64, shape (cases,)
        Regions of one patient train or test together.
    """

    present: FloatArray
    absent: FloatArray
    kinds: tuple[DefectKind, ...]
    patients: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.present) == len(self.absent) == len(self.kinds) == len(self.patients):
            raise QuellError("regions, kinds and patients must be as many of each")


@dataclass(frozen=True, eq=False)
class Detection:
    """What the observer makes of one stratum of one way to make the images.

    Attributes
    ----------
    name : str
        Of the way.
    by, value : str
        ``"all"``, ``"extent"``, ``"severity"`` or ``"wall"``, and which of its values.
    pairs : int
    auc : Interval
    scores : Scores
    """

    name: str
    by: str
    value: str
    pairs: int
    auc: Interval
    scores: Scores


def cut_square(volume: FloatArray, place: Sequence[float], side: int) -> FloatArray:
    """Return a square of the slice of a place, mirrored beyond the border.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x)
    place : (z, y, x)
        In voxels; the nearest is the middle.
    side : int
        Odd.

    Raises
    ------
    QuellError
        If the place lies outside of the volume.
    """
    z, y, x = (round(float(p)) for p in place)
    inside = all(0 <= at < size for at, size in zip((z, y, x), volume.shape, strict=True))
    if not inside or side % 2 == 0:
        raise QuellError(f"no odd square of {side} pixels around {(z, y, x)} in a volume of {volume.shape}")
    half = side // 2
    padded = np.pad(volume[z], half, mode="reflect" if min(volume.shape[1:]) > half else "symmetric")
    return np.asarray(padded[y : y + side, x : x + side], np.float32)


def frequency_channels(side: int, count: int = 4) -> Channels:
    """Return annular channels of an octave each, the highest up to a quarter of a cycle per pixel."""
    edges = [0.25 / 2 ** (count - k) for k in range(count + 1)]
    return annular_frequency((side, side), edges=edges)


def read_defects(
    name: str,
    regions: DefectRegions,
    *,
    channels: Channels | None = None,
    split: Split | None = None,
    noise: InternalNoise | None = None,
    seed: int = 0,
) -> tuple[Detection, ...]:
    """Let an observer read all regions, and those of each kind that are enough to train one of its own.

    Parameters
    ----------
    name : str
        Of the way the images were made.
    regions : DefectRegions
    channels : Channels, optional
        `frequency_channels` by default.
    split : Split, optional
        Leave-one-out by default.
    noise : InternalNoise, optional
    seed : int
        Of the internal noise: the same for all ways to make images, so that they are compared without it.

    Raises
    ------
    QuellError
        If all together are too few.
    """
    channels = channels or frequency_channels(regions.present.shape[-1])
    split = split or Split()
    least = pairs_needed(len(channels), split)
    found = []
    for by, value, chosen in _strata(regions):
        if by != ALL and (chosen.sum() < least or len(np.unique(regions.patients[chosen])) < 2):
            continue
        seen = channelized_hotelling_observer(
            regions.present[chosen],
            regions.absent[chosen],
            channels,
            split=split,
            internal_noise=noise,
            rng=np.random.default_rng(seed),
            groups=regions.patients[chosen],
        )
        area = auc_interval(seen.scores)
        found.append(Detection(name, by, value, int(chosen.sum()), area, seen.scores))
    return tuple(found)


def _strata(regions: DefectRegions) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    yield ALL, ALL, np.ones(len(regions.kinds), np.bool_)
    for by in ("extent", "severity", "wall"):
        values = np.array([getattr(kind, by) for kind in regions.kinds])
        for value in np.unique(values):
            yield by, str(value), values == value


def compare_detection(
    first: Sequence[Detection], second: Sequence[Detection]
) -> Mapping[tuple[str, str], PairedTest]:
    """Compare two ways to make images stratum by stratum: second minus first, by DeLong.

    Raises
    ------
    QuellError
        If the strata or their cases differ.
    """
    if [(d.by, d.value) for d in first] != [(d.by, d.value) for d in second]:
        raise QuellError("two readings can be compared only where they have the same strata")
    return {(a.by, a.value): paired_delong(a.scores, b.scores) for a, b in zip(first, second, strict=True)}
