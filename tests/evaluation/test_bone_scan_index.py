"""Hotspots: those that were drawn are found, few counts make false ones, and the tests are those of SciPy."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.bone_scan_index import (
    BoneReading,
    HotspotRule,
    Skeleton,
    blurred,
    compare_levels,
    learn_skeleton,
    normal_uptake,
    read_bones,
)
from quell.noise.emission.counting import thin_counts
from quell.phantoms.coverage import Grid
from quell.phantoms.objects import TestObject, make_object

pytest.importorskip("scipy")

GRID = Grid((1, 512, 128), (1.0, 4.52, 4.52))
SPACING = (4.52, 4.52)
CAMERA_MM = 7.4


def drawn(lesions: int, seed: int = 5) -> TestObject:
    return make_object("bone-scan", seed, grid=GRID, lesions=lesions)


@pytest.fixture(scope="module")
def patient() -> tuple[TestObject, np.ndarray, Skeleton]:
    """A scan of full counts with eight lesions, and what is normal for the patient."""
    rng = np.random.default_rng(2)
    sick = drawn(8)
    scan = rng.poisson(blurred(sick.truth.voxels[0], SPACING, CAMERA_MM)).astype(np.float32)
    healthy = blurred(drawn(0).truth.voxels[0], SPACING, CAMERA_MM)
    return sick, scan, learn_skeleton(scan, SPACING, healthy=healthy)


def plain_skeleton(rule: HotspotRule) -> Skeleton:
    return Skeleton(np.full((64, 64), 100.0), np.ones((64, 64), np.bool_), (2.0, 2.0), rule)


def test_every_disc_is_counted_and_measured() -> None:
    rule = HotspotRule(blur_mm=0, least_mm2=30)
    scan = np.full((64, 64), 100.0)
    y, x = np.ogrid[:64, :64]
    for row, column, radius in ((10, 10, 4), (10, 50, 6), (45, 30, 9)):
        scan[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = 200
    scan[60, 60] = 900  # 4 mm^2, too small
    found = read_bones(scan, plain_skeleton(rule))
    assert found.hotspots == 3
    assert set(np.unique(found.labels)) == {0, 1, 2, 3}
    assert found.index == pytest.approx(100 * (scan == 200).sum() / 64**2)
    assert read_bones(np.full((64, 64), 139.0), plain_skeleton(rule)).hotspots == 0


def test_only_the_skeleton_is_read() -> None:
    skeleton = plain_skeleton(HotspotRule())
    bone = skeleton.bone.copy()
    bone[:, :32] = False
    scan = np.full((64, 64), 100.0)
    scan[20:30, 10:20] = 300
    half = Skeleton(skeleton.normal, bone, skeleton.spacing, skeleton.rule)
    assert read_bones(scan, skeleton).hotspots == 1
    assert read_bones(scan, half).hotspots == 0


def test_the_lesions_that_were_drawn_are_the_hotspots(
    patient: tuple[TestObject, np.ndarray, Skeleton],
) -> None:
    sick, scan, skeleton = patient
    found = read_bones(scan, skeleton)
    noiseless = blurred(sick.truth.voxels[0], SPACING, CAMERA_MM)
    seen = 0
    for lesion in sick.parameters["inserts"]:
        at = sick.labels[0] == lesion["label"]
        # Large and hot enough to stay above the rule after the blur of camera and reader.
        clear = lesion["diameter_mm"] > 15 and lesion["ratio"] > 2
        assert not clear or found.labels[at].max() > 0
        seen += int(found.labels[at].max() > 0)
    assert 1 <= seen <= found.hotspots
    assert abs(read_bones(noiseless, skeleton).hotspots - found.hotspots) <= 1
    outside = found.labels[blurred(sick.labels[0] > 0, SPACING, 15.0).round(2) == 0]
    assert outside.max() == 0  # nothing is hot where no lesion is


def test_a_healthy_scan_has_no_hotspot(patient: tuple[TestObject, np.ndarray, Skeleton]) -> None:
    _, _, skeleton = patient
    healthy = blurred(drawn(0).truth.voxels[0], SPACING, CAMERA_MM)
    scan = np.random.default_rng(3).poisson(healthy)
    assert read_bones(scan, skeleton).hotspots == 0


def test_few_counts_make_false_hotspots(patient: tuple[TestObject, np.ndarray, Skeleton]) -> None:
    _, scan, skeleton = patient
    rng = np.random.default_rng(4)
    few = thin_counts(scan, 0.005, rng) / 0.005
    assert read_bones(few, skeleton).hotspots > read_bones(scan, skeleton).hotspots + 3


def test_normal_uptake_keeps_bones_and_drops_what_is_short() -> None:
    scan = np.full((80, 60), 2.0)
    scan[:, 28:33] = 20  # a long bone, 10 mm wide
    with_lesion = scan.copy()
    with_lesion[38:45, 27:34] = 90
    found = normal_uptake(with_lesion, (2.0, 2.0), 90.0)
    np.testing.assert_allclose(found[30:50, 30], 20)
    np.testing.assert_allclose(found, normal_uptake(scan, (2.0, 2.0), 90.0))
    skeleton = learn_skeleton(with_lesion, (2.0, 2.0))
    assert read_bones(with_lesion, skeleton).hotspots == 1


def reading(hotspots: int, index: float) -> BoneReading:
    return BoneReading(hotspots, index, np.zeros((1, 1), np.int32))


def test_the_p_values_are_those_of_scipy() -> None:
    from scipy.stats import wilcoxon

    rng = np.random.default_rng(6)
    counts = rng.integers(0, 10, (3, 12))
    shares = rng.random((3, 12))
    reference, first, second = (
        [reading(int(c), float(s)) for c, s in zip(a, b, strict=True)]
        for a, b in zip(counts, shares, strict=True)
    )
    tests = compare_levels(reference, {("gaussian", 0.1): first, ("unfiltered", 0.05): second})
    assert [(t.name, t.level) for t in tests] == [("gaussian", 0.1), ("unfiltered", 0.05)]
    for test, c, s in zip(tests, counts[1:], shares[1:], strict=True):
        assert test.hotspots.wilcoxon == pytest.approx(wilcoxon(c, counts[0]).pvalue)
        assert test.index.wilcoxon == pytest.approx(wilcoxon(s, shares[0]).pvalue)
        assert test.hotspots.difference.value == pytest.approx((c - counts[0]).mean())
        assert test.hotspots_p >= test.hotspots.wilcoxon
    same = compare_levels(reference, {("same", 1.0): reference})[0]
    assert (same.hotspots.wilcoxon, same.index.wilcoxon) == (1.0, 1.0)


def test_what_does_not_fit_is_told() -> None:
    skeleton = plain_skeleton(HotspotRule())
    with pytest.raises(QuellError, match="does not fit"):
        read_bones(np.ones((4, 4)), skeleton)
    with pytest.raises(QuellError, match="no uptake"):
        learn_skeleton(np.zeros((64, 64)), (2.0, 2.0))
    with pytest.raises(QuellError, match="no normal uptake"):
        learn_skeleton(np.ones((64, 64)), (2.0, 2.0), healthy=np.ones((4, 4)))
    with pytest.raises(QuellError):
        compare_levels([reading(1, 1.0)], {("few", 0.5): []})
    with pytest.raises(ValueError, match="hotter than normal"):
        HotspotRule(ratio=1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        HotspotRule(bone_share=0.0)
