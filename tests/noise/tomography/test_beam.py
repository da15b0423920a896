"""How noisy the logarithm of few quanta is."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.tomography.beam import FLOOR, Beam, excess_variance, log_variance


@pytest.mark.parametrize("electronic_noise", [0.0, 3.0, 8.0])
@pytest.mark.parametrize("quanta", [0.5, 4.0, 30.0, 390.0, 410.0, 3000.0])
def test_variance_of_the_logarithm(quanta: float, electronic_noise: float) -> None:
    rng = np.random.default_rng(5)
    signal = rng.poisson(quanta, 200_000) + electronic_noise * rng.standard_normal(200_000)
    logarithm = np.log(np.maximum(signal, FLOOR))
    # The SD of a variance from n samples is sqrt((kurtosis - 1) / n) of it; four of them.
    spread = logarithm - logarithm.mean()
    error = 4 * np.sqrt(((spread**4).mean() / logarithm.var() ** 2 - 1) / len(signal))
    found = log_variance(np.array([quanta], np.float32), electronic_noise)[0]
    assert found == pytest.approx(logarithm.var(), rel=error + 0.01)


def test_many_quanta_follow_the_first_order() -> None:
    quanta = np.array([1e5, 1e6], np.float32)
    np.testing.assert_allclose(log_variance(quanta, 8.0), 1 / quanta + 64 / quanta**2, rtol=1e-4)
    np.testing.assert_allclose(excess_variance(quanta, 0.25, 0.0), 3 / quanta, rtol=1e-3)


def test_full_dose_adds_no_variance_and_less_dose_more() -> None:
    quanta = np.geomspace(1, 1e6, 50).astype(np.float32)
    assert not excess_variance(quanta, 1.0, 8.0).any()
    much = quanta > 100
    assert (excess_variance(quanta, 0.2, 8.0)[much] > excess_variance(quanta, 0.5, 8.0)[much]).all()


def test_a_full_bowtie_evens_out_its_disc() -> None:
    beam = Beam(bowtie=1.0, tube_modulation=0.0, bowtie_mm=300)
    u = np.linspace(-140, 140, 41)
    integrals = (2 * beam.water * np.sqrt(150**2 - u**2)).astype(np.float32)[None]
    quanta = beam.quanta(integrals, u)
    np.testing.assert_allclose(quanta, quanta[0, 20], rtol=1e-4)


def test_the_tube_works_harder_for_thick_views() -> None:
    integrals = np.array([[1.0, 4.0], [1.0, 6.0]], np.float32)
    for strength, ratio in ((0.0, 1.0), (0.5, np.exp(0.5)), (1.0, np.e)):
        current = Beam(tube_modulation=strength).current(integrals)
        assert current[1] / current[0] == pytest.approx(ratio, rel=1e-5)
        assert current.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    "bad", [{"flux": 0}, {"water": -1}, {"electronic_noise": -1}, {"bowtie": 2}, {"tube_modulation": -0.1}]
)
def test_senseless_parameters_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Beam(**bad)
