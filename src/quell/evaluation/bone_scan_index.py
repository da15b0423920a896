"""Hotspots of a bone scan and their share of the skeleton: a stand-in for the bone scan index.

Murata et al. (Radiol Phys Technol 17:269, 2024) let BONENAVI, a commercial program, read scans of few counts,
and test whether its bone scan index and number of hotspots differ from those of the full scan. The program
cannot be had. Here a pixel of the skeleton is hot where the scan, blurred a little, exceeds the normal uptake
at its place by a fixed factor; normal uptake and skeleton come from the reference once, so that all scans of
a patient are read by the same rule. Hotspots are counted, and the index is the share of the skeleton that is
hot, in percent of its area in the projection. It is no bone scan index: that one weighs each bone by its mass
(Imbriaco et al., Clin Cancer Res 4:1765, 1998) and tells metastases from other hot places.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.statistics import PairedTest, compare_paired, holm
from quell.evaluation.observers.scores import Array
from quell.image import BoolArray, FloatArray

Plane = FloatArray | Array

_ORIENTATIONS = 12
_SIGMA_OF_FWHM = 1 / math.sqrt(8 * math.log(2))


@dataclass(frozen=True)
class HotspotRule:
    """What counts as a hotspot.

    Attributes
    ----------
    ratio : float
        Uptake over that which is normal at the place.
    blur_mm : float
        Full width at half maximum of the blur before the reading.
    least_mm2 : float
        Smallest area.
    span_mm : float
        Length of the lines along which `normal_uptake` looks: more than twice a lesion, less than a bone.
    bone_share : float
        What is read as skeleton: normal uptake above this share of its 99.5 % quantile. Low, since shafts of
        long bones take up a third of what the spine does; it holds the denser soft tissue as well.
    """

    ratio: float = 1.4
    blur_mm: float = 7.0
    least_mm2: float = 40.0
    span_mm: float = 90.0
    bone_share: float = 0.12

    def __post_init__(self) -> None:
        if self.ratio <= 1 or self.blur_mm < 0 or self.least_mm2 < 0 or self.span_mm <= 0:
            raise ValueError("a hotspot is hotter than normal, and lengths and areas are not negative")
        if not 0 < self.bone_share < 1:
            raise ValueError(
                f"a share of the skeleton's uptake lies between 0 and 1, got {self.bone_share:g}"
            )


@dataclass(frozen=True, eq=False)
class Skeleton:
    """What is normal for one patient.

    Attributes
    ----------
    normal : ndarray, shape (y, x)
        Uptake without lesions, in counts of a full scan, blurred as `HotspotRule` asks for.
    bone : ndarray of bool, shape (y, x)
    spacing : (row, column)
        Size of a pixel in mm.
    rule : HotspotRule
    """

    normal: Plane
    bone: BoolArray
    spacing: tuple[float, float]
    rule: HotspotRule


@dataclass(frozen=True, eq=False)
class BoneReading:
    """What was found in one scan.

    Attributes
    ----------
    hotspots : int
    index : float
        Share of the skeleton that is hot, in percent.
    labels : ndarray of int32, shape (y, x)
        Number of the hotspot, 0 elsewhere.
    """

    hotspots: int
    index: float
    labels: np.ndarray


@dataclass(frozen=True)
class LevelTest:
    """One way to make images, at one level of counts, against the reference of the same patients.

    Attributes
    ----------
    name : str
    level : float
        Share of the counts.
    hotspots, index : PairedTest
        Of the scans minus the reference; the p value of the paper is that of Wilcoxon.
    hotspots_p, index_p : float
        Wilcoxon's p values adjusted by Holm for all that were compared.
    """

    name: str
    level: float
    hotspots: PairedTest
    index: PairedTest
    hotspots_p: float
    index_p: float


def learn_skeleton(
    reference: Plane,
    spacing: tuple[float, float],
    rule: HotspotRule | None = None,
    *,
    healthy: Plane | None = None,
) -> Skeleton:
    """Find normal uptake and skeleton of a patient.

    Parameters
    ----------
    reference : ndarray, shape (y, x)
        Scan of full counts.
    spacing : (row, column)
        Size of a pixel in mm.
    rule : HotspotRule, optional
    healthy : ndarray, shape (y, x), optional
        What would be expected of the patient without lesions, where it is known (test objects). By default it
        is estimated from the reference, see `normal_uptake`.

    Raises
    ------
    QuellError
        If there is nothing in the scan, or the shapes differ.
    """
    rule = rule or HotspotRule()
    if healthy is not None and healthy.shape != reference.shape:
        raise QuellError(f"a scan of {reference.shape} has no normal uptake of {healthy.shape}")
    if healthy is None:
        normal = normal_uptake(blurred(reference, spacing, rule.blur_mm), spacing, rule.span_mm)
    else:
        normal = blurred(healthy, spacing, rule.blur_mm)
    top = float(np.quantile(normal, 0.995))
    if top <= 0:
        raise QuellError("there is no uptake in the reference scan")
    return Skeleton(normal, np.asarray(normal > rule.bone_share * top), spacing, rule)


def normal_uptake(scan: Plane, spacing: tuple[float, float], span_mm: float) -> Array:
    """Estimate the uptake without lesions from a scan.

    The median along a line through the pixel, of all directions the highest: bones are longer than lines and
    survive, what is shorter than half a line does not (as in the opening by lines of Soille, Breen and Jones,
    IEEE Trans Pattern Anal Mach Intell 18:562, 1996, with the median in place of the minimum, which noise
    would pull down). Ends of bones, joints, kidneys and bladder are short as well, and come out hot; they do
    so in the reference too.

    Parameters
    ----------
    scan : ndarray, shape (y, x)
        Blurred a little.
    spacing : (row, column)
        Size of a pixel in mm.
    span_mm : float
    """
    from scipy.ndimage import median_filter

    values = np.asarray(scan, np.float64)
    found = np.zeros_like(values)
    for angle in np.arange(_ORIENTATIONS) * math.pi / _ORIENTATIONS:
        line = _line(angle, spacing, span_mm)
        np.maximum(found, median_filter(values, footprint=line, mode="nearest"), out=found)
    return found


def _line(angle: float, spacing: tuple[float, float], span_mm: float) -> BoolArray:
    """Return the pixels of a line, every second of a long one."""
    half = (span_mm / 2 * abs(math.sin(angle)) / spacing[0], span_mm / 2 * abs(math.cos(angle)) / spacing[1])
    steps = max(5, 2 * (math.ceil(max(half)) // 2) + 1)
    along = np.linspace(-span_mm / 2, span_mm / 2, steps)
    rows = np.rint(along * math.sin(angle) / spacing[0]).astype(int)
    columns = np.rint(along * math.cos(angle) / spacing[1]).astype(int)
    line = np.zeros((2 * int(np.abs(rows).max()) + 1, 2 * int(np.abs(columns).max()) + 1), np.bool_)
    line[rows + line.shape[0] // 2, columns + line.shape[1] // 2] = True
    return line


def blurred(scan: Plane, spacing: tuple[float, float], width_mm: float) -> Array:
    """Convolve with a Gaussian of this full width at half maximum."""
    from scipy.ndimage import gaussian_filter

    sigma = [width_mm * _SIGMA_OF_FWHM / side for side in spacing]
    return np.asarray(gaussian_filter(np.asarray(scan, np.float64), sigma, mode="nearest"))


def read_bones(scan: Plane, skeleton: Skeleton) -> BoneReading:
    """Count the hotspots of a scan.

    Parameters
    ----------
    scan : ndarray, shape (y, x)
        Scaled to the counts of the full scan.
    skeleton : Skeleton
        Of the patient.

    Raises
    ------
    QuellError
        If the shapes differ.
    """
    from scipy.ndimage import label

    if scan.shape != skeleton.normal.shape:
        raise QuellError(f"a skeleton of {skeleton.normal.shape} does not fit a scan of {scan.shape}")
    rule = skeleton.rule
    hot = skeleton.bone & (blurred(scan, skeleton.spacing, rule.blur_mm) > rule.ratio * skeleton.normal)
    parts, count = label(hot, structure=np.ones((3, 3), int))
    pixel = skeleton.spacing[0] * skeleton.spacing[1]
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = sizes * pixel >= rule.least_mm2
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    labels = numbers[parts]
    index = 100 * float((labels > 0).sum()) / float(skeleton.bone.sum())
    return BoneReading(int(kept.sum()), index, labels)


def compare_levels(
    reference: Sequence[BoneReading], readings: Mapping[tuple[str, float], Sequence[BoneReading]]
) -> tuple[LevelTest, ...]:
    """Test for every way to make images, and every level, whether hotspots or index differ.

    Parameters
    ----------
    reference : sequence of BoneReading
        One a patient.
    readings : mapping
        From name and level to readings of the same patients in the same order.

    Raises
    ------
    QuellError
        If the numbers of patients differ.
    """
    counts, shares = [r.hotspots for r in reference], [r.index for r in reference]
    pairs = [
        (
            compare_paired([r.hotspots for r in found], counts),
            compare_paired([r.index for r in found], shares),
        )
        for found in readings.values()
    ]
    adjusted = holm([p for pair in pairs for p in (pair[0].wilcoxon, pair[1].wilcoxon)]).reshape(-1, 2)
    return tuple(
        LevelTest(name, level, *pair, float(p[0]), float(p[1]))
        for (name, level), pair, p in zip(readings, pairs, adjusted, strict=True)
    )
