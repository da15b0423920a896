"""Detection by kind of defect: the areas are those of the observer, for the regions of each stratum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.defect_detection import (
    DefectKind,
    DefectRegions,
    compare_detection,
    cut_square,
    frequency_channels,
    read_defects,
)
from quell.evaluation.observers.auc import auc, paired_delong
from quell.evaluation.observers.hotelling import InternalNoise, channelized_hotelling_observer

pytest.importorskip("scipy")

SIDE = 17
COUNT = 80


def regions(contrast: float = 1.0, noise: float = 1.0, seed: int = 0) -> DefectRegions:
    """Draw defects of two severities in white noise; twice the severity has twice the contrast."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    signal = -contrast * np.exp(-(x**2 + y**2) / 8)
    severe = np.arange(COUNT) % 2 == 1
    present, absent = noise * rng.standard_normal((2, COUNT, SIDE, SIDE))
    present += np.where(severe, 2, 1)[:, None, None] * signal
    kinds = tuple(
        DefectKind("10 %", "50 %" if s else "25 %", ("anterior", "inferior", "lateral")[min(k // 36, 2)])
        for k, s in enumerate(severe)
    )
    return DefectRegions(
        present.astype(np.float32), absent.astype(np.float32), kinds, np.arange(COUNT, dtype=np.int64) // 2
    )


def test_strata_are_read_by_observers_of_their_own() -> None:
    data = regions(0.5)
    found = {(d.by, d.value): d for d in read_defects("low dose", data)}
    assert next(iter(found)) == ("all", "all")
    assert {by for by, _ in found} == {"all", "extent", "severity", "wall"}
    # 8 of 80 lie in the lateral wall: too few to train four channels.
    assert ("wall", "lateral") not in found
    assert found["all", "all"].pairs == found["extent", "10 %"].pairs == COUNT
    chosen = np.array([k.severity == "50 %" for k in data.kinds])
    direct = channelized_hotelling_observer(
        data.present[chosen], data.absent[chosen], frequency_channels(SIDE), groups=data.patients[chosen]
    )
    assert found["severity", "50 %"].auc.value == pytest.approx(auc(direct.scores))
    assert found["severity", "50 %"].auc.value > found["severity", "25 %"].auc.value


def test_less_noise_is_found_to_be_better() -> None:
    # The same noise in both, half as strong in the second: internal noise is what makes it count.
    noisy, quiet = regions(0.5), regions(1.0)
    seen = [read_defects(name, data) for name, data in (("noisy", noisy), ("quiet", quiet))]
    tests = compare_detection(*seen)
    assert tests["all", "all"].difference.value > 0
    direct = paired_delong(seen[0][0].scores, seen[1][0].scores)
    assert tests["all", "all"].p_value == pytest.approx(direct.p_value)
    assert set(tests) == {(d.by, d.value) for d in seen[0]}


def test_internal_noise_costs_and_is_the_same_for_all() -> None:
    data = regions(0.7)
    without = read_defects("a", data)[0]
    first, second = (read_defects(name, data, noise=InternalNoise(3.0))[0] for name in "ab")
    assert first.auc.value < without.auc.value
    np.testing.assert_array_equal(first.scores.present, second.scores.present)


def test_squares_are_centred_and_mirrored_at_the_border() -> None:
    volume = np.zeros((3, 12, 10), np.float32)
    volume[1, 5, 6] = 1
    cut = cut_square(volume, (1.2, 5.4, 6.0), 5)
    assert cut.shape == (5, 5)
    assert cut[2, 2] == 1
    assert cut.sum() == 1
    volume[1, 0, 0] = 7
    corner = cut_square(volume, (1, 0, 0), 5)
    assert corner.shape == (5, 5)
    assert corner[2, 2] == 7
    for wrong in ((3, 0, 0), (1, 12, 0), (1, 0, -2)):
        with pytest.raises(QuellError, match="no odd square"):
            cut_square(volume, wrong, 5)
    with pytest.raises(QuellError, match="no odd square"):
        cut_square(volume, (1, 5, 5), 4)


def test_channels_are_octaves_up_to_a_quarter() -> None:
    channels = frequency_channels(33, 4)
    power = np.abs(np.fft.fft2(channels.weights, s=(256, 256))) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    for plane, middle in zip(power, (1 / 64, 1 / 32, 1 / 16, 1 / 8), strict=True):
        # A region cuts the wide channels off, which spreads them to both sides.
        assert 0.5 * middle < (plane * radius).sum() / plane.sum() < 3 * middle


def test_what_does_not_fit_is_told() -> None:
    data = regions()
    with pytest.raises(QuellError, match="as many of each"):
        replace(data, kinds=data.kinds[:3])
    few = DefectRegions(data.present[:6], data.absent[:6], data.kinds[:6], data.patients[:6])
    with pytest.raises(QuellError, match="at least"):
        read_defects("few", few)
    with pytest.raises(QuellError, match="same strata"):
        compare_detection(read_defects("a", data), read_defects("b", data)[:2])
