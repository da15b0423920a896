"""Overlapping slices share slabs as their thicknesses say."""

from __future__ import annotations

import pytest

from quell.noise.tomography.slabs import slabs_of_slices


def common(slabs: tuple[tuple[object, ...], ...], i: int, j: int) -> float:
    return sum(one.share for one in slabs[i] if one in slabs[j])  # type: ignore[attr-defined]


@pytest.mark.parametrize("thickness", [None, 0.7, 2.0, 2.5, 3.3, 4.0, 5.0, 9.0])
def test_shares_are_those_of_intervals(thickness: float | None) -> None:
    slabs = slabs_of_slices(12, 2.0, thickness)
    width = max(2.0, thickness or 0)
    for z, own in enumerate(slabs):
        assert sum(one.share for one in own) == pytest.approx(1)
        for other in range(12):
            # Thicknesses are rounded to a twentieth of the distance.
            overlap = max(0.0, 1 - abs(z - other) * 2.0 / width)
            assert common(slabs, z, other) == pytest.approx(overlap, abs=0.03)


def test_nothing_is_shared_over_a_gap() -> None:
    slabs = slabs_of_slices(8, 1.0, 3.0, gaps=(2, 5))
    assert common(slabs, 2, 3) == 0 and common(slabs, 5, 6) == 0
    assert common(slabs, 1, 2) == pytest.approx(2 / 3) and common(slabs, 3, 5) == pytest.approx(1 / 3)


def test_numbers_count_and_long_stacks_are_quick() -> None:
    slabs = slabs_of_slices(3000, 1.0, 5.0)
    numbers = {one.number for own in slabs for one in own}
    assert numbers == set(range(len(numbers)))
    assert all(one.slices == tuple(sorted(one.slices)) for own in slabs for one in own)
