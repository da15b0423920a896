"""The laws of speckle, on simulated fields and on raw lines of a real scanner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from quell.noise.echo.speckle import (
    LOG_SD,
    MEAN_OVER_SD,
    complex_lines,
    echo_decibels,
    envelope,
    log_compress,
    mean_intensity,
    white_echoes,
)

RAYLEIGH = (0, np.sqrt(0.5))
"""Location and scale of a Rayleigh law of mean intensity 1."""


def test_the_constants_are_those_of_the_literature() -> None:
    assert pytest.approx(1.913, abs=0.001) == MEAN_OVER_SD
    assert pytest.approx(5.57, abs=0.005) == LOG_SD


def test_one_look_is_rayleigh(rng: np.random.Generator) -> None:
    amplitude = envelope(white_echoes(rng, (300, 300))).ravel()
    # 9e4 independent samples: the SD of mean/SD is about 0.0062, of the log-SD 0.017 dB.
    assert amplitude.mean() / amplitude.std() == pytest.approx(MEAN_OVER_SD, abs=0.025)
    assert (20 * np.log10(amplitude)).std() == pytest.approx(LOG_SD, abs=0.07)
    assert stats.kstest(amplitude, "rayleigh", args=RAYLEIGH).pvalue > 1e-3


@pytest.mark.parametrize("looks", [1, 2, 5])
def test_the_mean_intensity_of_averaged_envelopes(rng: np.random.Generator, looks: int) -> None:
    mean = envelope(white_echoes(rng, (looks, 200_000))).mean(axis=0)
    # The SD of the mean square of 2e5 samples is at most 1 / sqrt(2e5) = 0.0022.
    assert (mean**2).mean() == pytest.approx(mean_intensity(looks), abs=0.009)


def test_compression_is_undone(rng: np.random.Generator) -> None:
    level = rng.uniform(-55, 0, 1000)
    grey = log_compress(3 * 10 ** (level / 20), 60, white=3)
    assert echo_decibels(grey, 60) == pytest.approx(level, abs=1e-4)


def test_what_lies_beyond_black_and_white_is_cut_off() -> None:
    grey = log_compress(np.array([0, 1e-9, 0.01, 0.1, 1, 5]), 40, top=100)
    assert grey == pytest.approx([0, 0, 0, 50, 100, 100], abs=1e-4)


def test_raw_lines_in_either_layout(rng: np.random.Generator) -> None:
    i, q = rng.integers(-99, 99, (2, 6, 10))
    interleaved = np.stack([i, q], axis=-1).reshape(6, 20)
    alternating = np.stack([i, q], axis=1).reshape(12, 10)
    expected = (i + 1j * q).T
    assert np.array_equal(complex_lines(interleaved), expected)
    assert np.array_equal(complex_lines(alternating, "alternating"), expected)
    with pytest.raises(ValueError, match="pairs"):
        complex_lines(interleaved[:, 1:])


def plain_region(shared_data: Path) -> np.ndarray:
    """Return the envelope of plain tissue of a phantom, freed of its slow change, of mean intensity 1."""
    raw = np.fromfile(shared_data / "ultrasound" / "plus" / "BkCurvilinearRfData.raw", np.int16)
    part = envelope(complex_lines(raw.reshape(358, 3480)))[60:140, 100:250].astype(float)
    for axis, degree in ((1, 2), (0, 4)):
        place = np.arange(part.shape[1 - axis])
        profile = np.sqrt((part**2).mean(axis=axis))
        trend = np.polyval(np.polyfit(place, profile, degree), place)
        part = part / np.expand_dims(trend, axis)
    return part


def test_the_envelope_of_a_real_scanner_obeys_the_same_laws(shared_data: Path) -> None:
    part = plain_region(shared_data)
    # About 12000 / (4.4 * 4.1) = 670 independent cells: the SD of mean/SD is 0.07, of the log-SD 0.2 dB.
    assert part.mean() / part.std() == pytest.approx(MEAN_OVER_SD, abs=0.15)
    assert (20 * np.log10(part)).std() == pytest.approx(LOG_SD, abs=0.4)
    apart = part[::8, ::4].ravel()
    apart = apart / np.sqrt((apart**2).mean())
    assert stats.kstest(apart, "rayleigh", args=RAYLEIGH).pvalue > 0.01
