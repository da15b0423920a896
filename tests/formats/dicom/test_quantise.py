"""Rounding to stored values: nothing lost, nothing wrapped, padding untouched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.formats.dicom.quantise import Padding, Storage, quantise, round_keeping_sums
from quell.formats.dicom.rescale import Rescale

INT16 = Storage(16, 16, signed=True)
UINT12 = Storage(16, 12, signed=False)


@st.composite
def storages(draw: st.DrawFn) -> Storage:
    bits = draw(st.integers(2, 16))
    return Storage(8 if bits <= 8 else 16, bits, draw(st.booleans()))


def read(stored: np.ndarray, rescale: Rescale) -> np.ndarray:
    """Apply a rescale as the reader does, in float32."""
    return stored.astype(np.float32) * np.float32(rescale.slope) + np.float32(rescale.intercept)


@settings(deadline=None, max_examples=200)
@given(storages(), st.floats(1e-6, 1e4), st.floats(-1, 1), st.integers(0, 2**32 - 1), st.booleans())
def test_unchanged_values_come_back_identical(
    storage: Storage, slope: float, offset: float, seed: int, padded: bool
) -> None:
    # float32 cannot hold 16 bits behind an intercept of more than about 100 times their range.
    rescale = Rescale(slope, offset * slope * 65536)
    stored = np.random.default_rng(seed).integers(storage.low, storage.high + 1, (7, 9)).astype(storage.dtype)
    padding = Padding(int(stored[0, 0]), int(stored[0, 0])) if padded else None
    done = quantise(read(stored, rescale), rescale, storage, padding=padding)
    assert np.array_equal(done.stored, stored)
    assert done.stored.dtype == storage.dtype and done.clamped == 0


def test_values_are_rounded_not_truncated() -> None:
    values = np.random.default_rng(0).uniform(-1000, 2000, (200, 200)).astype(np.float32)
    rescale = Rescale(1.0, -1024.0)
    error = read(quantise(values, rescale, INT16).stored, rescale) - values
    assert np.abs(error).max() <= 0.5 + 1e-3
    # Truncation would give -0.5; the mean of 40000 roundings has a standard error of 0.0014.
    assert abs(error.mean()) < 0.01


@given(storages())
def test_values_out_of_range_are_clamped_and_counted(storage: Storage) -> None:
    values = np.array([[storage.low - 1e5, storage.low, storage.high, storage.high + 1e6]], np.float32)
    done = quantise(values, Rescale(), storage)
    assert done.stored.tolist() == [[storage.low, storage.low, storage.high, storage.high]]
    assert done.clamped == 2


def test_half_a_step_outside_is_no_clamp() -> None:
    done = quantise(np.array([[-0.4, 4095.4]], np.float32), Rescale(), UINT12)
    assert done.stored.tolist() == [[0, 4095]] and done.clamped == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        quantise(np.array([[0, bad]], np.float32), Rescale(), INT16)


@settings(deadline=None)
@given(
    st.sampled_from([-32768, -2000, -1, 0, 1, 4000, 32767]),
    st.integers(0, 50),
    st.sampled_from([Rescale(), Rescale(1.0, -1024.0), Rescale(0.37, 11.5)]),
    st.integers(0, 999),
)
def test_no_real_pixel_gets_a_padding_value(first: int, width: int, rescale: Rescale, seed: int) -> None:
    padding = Padding(first, min(first + width, 32767))
    rng = np.random.default_rng(seed)
    is_padding = rng.random((20, 20)) < 0.3
    padded = rng.integers(padding.first, padding.last + 1, (20, 20)).astype(np.int16)
    # Real values near the padding, none of them exactly a stored value.
    near = (rng.uniform(padding.first - 3, padding.last + 3, (20, 20)) // 1 + 0.3) * rescale.slope
    values = np.where(is_padding, read(padded, rescale), near + rescale.intercept).astype(np.float32)
    done = quantise(values, rescale, INT16, padding=padding).stored
    assert np.array_equal(done[is_padding], padded[is_padding])
    real = done[~is_padding].astype(int)
    assert not ((real >= padding.first) & (real <= padding.last)).any()


def test_a_real_pixel_is_moved_by_one_step_only() -> None:
    values = np.array([[-2000.4, -1999.7, -2001.2]], np.float32)
    assert quantise(values, Rescale(), INT16, padding=Padding(-2000, -2000)).stored.tolist() == [
        [-2001, -1999, -2001]
    ]


def test_padding_survives_another_slope() -> None:
    values = np.array([[0.0, 5.0, 70000.0]], np.float32)
    done = quantise(values, Rescale(1.0), INT16, target=Rescale(2.5), padding=Padding(0, 0))
    assert done.stored.tolist() == [[0, 2, 28000]]


@settings(deadline=None)
@given(st.floats(0.01, 3.0), st.integers(0, 99))
def test_counts_keep_their_sum_over_every_stretch(level: float, seed: int) -> None:
    counts = np.random.default_rng(seed).gamma(2.0, level / 2, (30, 200))
    rounded = round_keeping_sums(counts)
    assert (rounded >= 0).all() and np.array_equal(rounded, np.rint(rounded))
    drift = np.cumsum(rounded, axis=1) - np.cumsum(counts, axis=1)
    assert np.abs(drift).max() <= 1 + 1e-9


def test_counts_below_one_half_are_not_lost() -> None:
    background = np.full((256, 256), 0.3)
    rounded = round_keeping_sums(background)
    assert np.rint(background).sum() == 0
    assert rounded.sum() == pytest.approx(background.sum(), rel=0.002)
    # No stripes: a column gets what every other column gets, within the discrepancy of the offsets.
    assert np.abs(rounded.sum(axis=0) - 0.3 * 256).max() <= 4


@given(st.integers(0, 999))
def test_whole_counts_stay_as_they_are(seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(3.0, (15, 40)).astype(np.float32)
    assert np.array_equal(round_keeping_sums(counts), counts)
