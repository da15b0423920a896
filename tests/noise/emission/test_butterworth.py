"""The Butterworth filter: its cut-off, its steepness, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.emission.butterworth import butterworth, filter_volume


def test_the_response_falls_to_the_root_of_a_half_at_the_cutoff_and_then_by_its_order() -> None:
    response = butterworth(np.array([0, 0.4, 0.8, 1.6], np.float32), 0.4, 5)
    assert response[0] == 1 and response[1] == pytest.approx(np.sqrt(0.5))
    # Far above the cut-off an octave costs 2^order.
    assert response[2] / response[3] == pytest.approx(2**5, rel=0.01)


def test_constants_stay_and_a_wave_is_damped_by_the_response(rng: np.random.Generator) -> None:
    assert filter_volume(np.full((6, 9, 8), 3, np.float32), 0.3, 5) == pytest.approx(3, rel=1e-5)
    # Even around the border as well, so that the mirror image goes on with the wave.
    wave = np.cos(2 * np.pi * 0.2 * (np.arange(40) + 0.5)).astype(np.float32)
    volume = np.broadcast_to(wave, (8, 8, 40)).copy()
    assert filter_volume(volume, 0.35, 4) == pytest.approx(
        volume * butterworth(np.array(0.4, np.float32), 0.35, 4), abs=1e-4
    )


def test_all_directions_are_filtered_alike(rng: np.random.Generator) -> None:
    volume = rng.standard_normal((12, 12, 12)).astype(np.float32)
    turned = filter_volume(volume.transpose(2, 0, 1), 0.4, 5)
    assert turned == pytest.approx(filter_volume(volume, 0.4, 5).transpose(2, 0, 1), abs=1e-5)
