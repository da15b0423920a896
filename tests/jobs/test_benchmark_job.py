"""The whole benchmark: it runs without data, repeats itself, and says what it cannot use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.errors import InputError, QuellError
from quell.evaluation.benchmark.record import Benchmark
from quell.formats.nifti_new import write_new_nifti
from quell.image import Geometry, Image, Modality
from quell.jobs.benchmark import BenchmarkSettings, run_benchmark

SMALL = BenchmarkSettings(
    modalities=(Modality.NM,),
    denoisers=("gaussian", "median"),
    doses=(0.1,),
    images=2,
    tuning_images=1,
    budget=2,
    rounds=1,
    seed=4,
)


@pytest.fixture(scope="module")
def found() -> Benchmark:
    return run_benchmark(SMALL)


def test_it_runs_anywhere(found: Benchmark) -> None:
    (table,) = found.tables
    assert [row.denoiser for row in table.rows] == ["noisy", "gaussian", "median"]
    assert not any(row.failed for row in table.rows)
    assert found.exit_code == 0 and len(found.speed) == 2
    # At a tenth of the counts any smoothing is better than none.
    assert table.rows[1].values["psnr"].value > table.rows[0].values["psnr"].value + 3


def test_the_same_seed_gives_the_same_numbers(found: Benchmark) -> None:
    again, other = run_benchmark(SMALL), run_benchmark(replace(SMALL, seed=5))
    assert [r.values for r in again.tables[0].rows] == [r.values for r in found.tables[0].rows]
    assert again.tables[0].data_sha256 == found.tables[0].data_sha256 != other.tables[0].data_sha256


def test_an_observer_reads_the_same_cases() -> None:
    found = run_benchmark(replace(SMALL, task=True, pairs=40, rounds=0))
    (detection,) = found.detections
    assert [row.denoiser for row in detection.rows] == ["noisy", "gaussian", "median"]
    noisy = detection.rows[0].d_prime
    # The contrast is chosen for about 1.5; forty pairs give it to a third or so.
    assert noisy is not None and 0.7 < noisy.value < 2.6
    assert found.speed == ()


@pytest.mark.parametrize(
    "change",
    [
        {"denoisers": ("no-such",)},
        {"images": 1},
        {"budget": 0},
        {"doses": (1.5,)},
        {"doses": (float("nan"),)},
        {"doses": (64.0,)},
        {"timeout": float("nan")},
        {"task": True, "pairs": 3},
        {"seed": -1},
    ],
)
def test_senseless_choices_end_before_any_work(change: dict[str, Any]) -> None:
    said: list[str] = []
    with pytest.raises(QuellError):
        run_benchmark(replace(SMALL, **change), say=said.append)
    assert said == []


def test_a_folder_with_nothing_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        run_benchmark(replace(SMALL, data=tmp_path / "absent"))
    with pytest.raises(QuellError):
        run_benchmark(replace(SMALL, data=tmp_path))
    with pytest.raises(QuellError, match="nothing can be judged"):
        run_benchmark(replace(SMALL, data=tmp_path, modalities=()))


def test_a_folder_of_ones_own_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        voxels = rng.normal(500, 5, (4, 72, 72)).astype(np.float32)
        voxels[:, 20:50, 20 : 30 + 5 * number] += 300
        geometry = Geometry((3.0, 1.0, 1.0), known=True)
        write_new_nifti(
            Image(voxels, Modality.MR, geometry=geometry, volume=True), tmp_path / f"{number}.nii.gz"
        )
    own = replace(SMALL, data=tmp_path, modalities=(Modality.MR,), rounds=0)
    (table,) = run_benchmark(own).tables
    assert len(table.images) == 2 and table.patients == 2
    # Several modalities, or none, leave open what such files are.
    with pytest.raises(QuellError, match="--modality"):
        run_benchmark(replace(own, modalities=(Modality.MR, Modality.CT)))


def test_doses_go_to_the_modality_that_understands_them() -> None:
    both = replace(SMALL, modalities=(Modality.NM, Modality.XR), doses=(0.2, 2.0), rounds=0)
    assert [(t.modality, t.dose) for t in run_benchmark(both).tables] == [
        (Modality.NM, 0.2),
        (Modality.XR, 0.2),
    ]
