"""Cases of a benchmark: their noise is that of the dose, and nobody is tuned on what is judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from quell.errors import InputError
from quell.evaluation.benchmark.cases import DOSES, Case, Subject, data_hash, make_case
from quell.evaluation.benchmark.scoring import score_case
from quell.evaluation.benchmark.subjects import drawn_subjects, real_subjects
from quell.evaluation.references import listed, read_manifest
from quell.image import Image, Modality
from quell.noise.contracts import Simulated

COUNTS = 60.0


def counted() -> Subject:
    """Return a plain scan of raw counts."""
    expected = np.full((1, 300, 280), COUNTS)
    # A dark part, so that there is a patient and what is not.
    expected[:, :60] = 1
    voxels = np.random.default_rng(3).poisson(expected).astype(np.float32)
    return Subject("plain", "plain", Image(voxels, Modality.NM, "counts"), 0)


@pytest.fixture(scope="module")
def plain() -> Case:
    return make_case(counted(), 0.1, (0,))


def test_thinned_counts_scatter_as_a_binomial(plain: Case) -> None:
    # Thinning c counts leaves a variance of d (1 - d) c around d c; 70 000 pixels give it to 0.5 %.
    error = (plain.noisy[0].voxels - plain.truth.voxels)[0][plain.inside]
    assert np.var(error) == pytest.approx(0.1 * 0.9 * COUNTS, rel=0.03)
    assert error.mean() == pytest.approx(0, abs=0.05)
    # All of the noise, that of the reference included: d c.
    assert plain.sigma == pytest.approx(np.sqrt(0.1 * COUNTS), rel=0.03)
    assert plain.own == pytest.approx(1 / 3)


def test_realisations_have_noise_of_their_own(plain: Case) -> None:
    errors = [(one.voxels - plain.truth.voxels)[0][plain.inside] for one in plain.noisy]
    # The correlation of 60 000 independent pairs has a standard deviation of 0.004.
    assert abs(np.corrcoef(errors)[0, 1]) < 0.02


def test_the_same_seed_gives_the_same_case(plain: Case) -> None:
    again, other = make_case(counted(), 0.1, (0,)), make_case(counted(), 0.1, (1,))
    assert data_hash([again]) == data_hash([plain]) != data_hash([other])


def test_no_case_is_larger_than_what_is_scored(plain: Case) -> None:
    assert plain.truth.shape == plain.noisy[1].shape == (1, 256, 256)
    assert plain.inside.shape == (256, 256)


@pytest.mark.parametrize("modality", [Modality.MR, Modality.PT, Modality.NM, Modality.XR])
def test_objects_are_noisier_at_lower_doses(modality: Modality) -> None:
    subject = drawn_subjects(modality, 1, 1).test[0]
    doses = (DOSES[modality][0], DOSES[modality][-1])
    cases = [make_case(subject, dose, (0,)) for dose in doses]
    # Counts fall with the dose, so that it is the noise over the signal that grows.
    relative = [c.sigma / np.mean(np.abs(c.truth.voxels[c.scored][c.inside])) for c in cases]
    assert relative[1] > 1.5 * relative[0]
    assert all(case.own == 0 for case in cases)


def test_ultrasound_is_judged_at_its_own_brightness() -> None:
    case = make_case(drawn_subjects(Modality.US, 1, 1).test[0], 1.0, (0,))
    truth, noisy = (one.voxels[0][case.inside].mean() for one in (case.truth, case.noisy[0]))
    assert truth == pytest.approx(noisy, abs=1.5)


def test_nobody_is_tuned_on_what_is_judged(shared_data: Path) -> None:
    drawn = drawn_subjects(Modality.CT, 3, 3)
    assert not {s.name for s in drawn.test} & {s.name for s in drawn.tuning}
    trained = {
        one.path.name.split(".")[0]
        for e in read_manifest()
        for one in listed(e, shared_data)
        if one.split == "train"
    }
    for modality in (Modality.MR, Modality.PT, Modality.US):
        found = real_subjects(shared_data, modality, 4, 2)
        assert found.test and found.tuning
        assert not {s.patient for s in found.test} & trained
        assert {s.patient for s in found.tuning} <= trained


def test_a_folder_without_anything_usable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        real_subjects(tmp_path / "absent", Modality.CT, 2, 1)
    with pytest.raises(InputError):
        real_subjects(tmp_path, Modality.CT, 2, 1)


def test_scores_of_known_results(plain: Case) -> None:
    noisy = [one.voxels for one in plain.noisy]
    untouched = score_case(plain, noisy)
    assert untouched["reduction"] == untouched["shift"] == 0
    assert untouched["rmse"] == pytest.approx(100 * np.sqrt(0.9 / (0.1 * COUNTS)), rel=0.03)
    halved = score_case(plain, [(one + plain.truth.voxels) / 2 for one in noisy])
    assert halved["reduction"] == pytest.approx(50, abs=1e-3)
    assert halved["shift"] == pytest.approx(0, abs=1e-3)
    assert halved["rmse"] == pytest.approx(untouched["rmse"] / 2, rel=1e-3)
    assert halved["psnr"] > untouched["psnr"] + 4
    brighter = score_case(plain, [one + np.float32(0.05 * 0.1 * COUNTS) for one in noisy])
    assert brighter["bias"] - untouched["bias"] == pytest.approx(5, rel=0.01)
    blurred = score_case(plain, [gaussian_filter(one, (0, 1, 1)) for one in noisy])
    # White noise under a Gaussian of s pixels keeps 1 / (2 s sqrt(pi)) of its standard deviation.
    assert blurred["reduction"] == pytest.approx(100 * (1 - 0.5 / np.sqrt(np.pi)), abs=1.5)
    assert blurred["shift"] < -30


def test_a_case_without_noise_is_refused() -> None:
    subject = counted()
    dark = replace(subject, image=subject.image.with_voxels(np.zeros_like(subject.image.voxels)))
    with pytest.raises(InputError):
        make_case(dark, 0.1, (0,))


def test_a_simulation_that_moves_the_mean_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
            noise = rng.normal(-0.6, 1, image.shape).astype(np.float32)
            return Simulated(image.with_voxels(image.voxels * np.float32(dose) + noise))

    monkeypatch.setattr("quell.evaluation.benchmark.cases.noise_model", lambda image: Starved())
    with pytest.raises(InputError, match="dose is too low"):
        make_case(counted(), 0.1, (0,))
