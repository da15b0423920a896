"""Quell from Python: what one puts in comes out, denoised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

import quell
from quell.errors import InputError, QuellError
from quell.evaluation.report.record import StudyRecord
from quell.image import Image, Modality
from quell.inference.contracts import Runtime
from quell.inference.levels import median_level
from quell.jobs.denoising import Denoising, JobSettings
from quell.noise.flat import flat_noise_ratio


@pytest.fixture(autouse=True)
def exact_engine(onnx: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the networks once for all tests."""
    monkeypatch.setattr("quell.inference.runtimes.make_runtime", lambda *choices: onnx)


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(40, 20, (48, 40))


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    Pillow.fromarray((pixels + 100).clip(0, 255).astype(np.uint8)).save(folder / "a.png")
    nibabel.save(
        nibabel.Nifti1Image(np.stack([pixels] * 3).astype(np.float32).T, np.eye(4)), folder / "b.nii"
    )
    return folder


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.uint8])
@pytest.mark.parametrize("shape", [(48, 40), (1, 48, 40), (4, 48, 40)])
def test_an_array_gives_an_array_of_its_shape(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: Any
) -> None:
    noisy = rng.normal(100, 20, shape).clip(0, 255).astype(dtype)
    before = noisy.copy()
    clean = quell.denoise(noisy)
    assert clean.shape == shape
    assert clean.dtype == np.float32
    assert clean.std() < 0.5 * noisy.std()
    np.testing.assert_array_equal(noisy, before)


def test_the_array_that_comes_out_belongs_to_the_caller(pixels: np.ndarray) -> None:
    clean = quell.denoise(pixels)
    clean += 1
    assert clean.flags.owndata


def test_what_makes_an_array_is_taken_for_one(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(quell.denoise(pixels.tolist()), quell.denoise(pixels))


def test_along_z_an_array_is_a_volume(rng: np.random.Generator) -> None:
    stack = rng.normal(0, 1, (3, 32, 32))
    alone = np.stack([quell.denoise(pixels) for pixels in stack])
    assert np.abs(quell.denoise(stack) - alone).max() > 1e-3


def test_an_image_gives_an_image(pixels: np.ndarray) -> None:
    image = Image(pixels[None].astype(np.float32), Modality.CT, "HU", name="scan")
    clean = quell.denoise(image)
    assert isinstance(clean, Image)
    assert (clean.shape, clean.modality, clean.units, clean.name) == (image.shape, Modality.CT, "HU", "scan")
    np.testing.assert_array_equal(clean.voxels[0], quell.denoise(pixels, modality="CT"))


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_gives_the_denoised_series(folder: Path, kind: type) -> None:
    images = quell.denoise(kind(folder))
    assert [image.shape for image in images] == [(1, 48, 40), (3, 48, 40)]
    for image, source in zip(images, quell.read(folder), strict=True):
        assert image.voxels.std() < 0.6 * source.voxels.std()
        assert image.geometry == source.geometry


def test_the_modality_that_is_named_is_that_of_the_images_of_a_path(folder: Path) -> None:
    assert {image.modality for image in quell.denoise(folder, modality="MR")} == {Modality.MR}


def test_a_path_with_an_output_gives_the_record_and_the_files(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = quell.denoise(str(folder), out=str(out), residual=True)
    assert isinstance(record, StudyRecord)
    assert record.exit_code == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "a_denoised.png",
        "a_residual.tif",
        "b_denoised.nii",
        "b_residual.nii",
    ]


def test_settings_are_passed_on(pixels: np.ndarray) -> None:
    noisy = pixels.astype(np.float32)
    np.testing.assert_array_equal(quell.denoise(noisy, strength=0), noisy)
    weak, strong = quell.denoise(noisy, sigma=2.0), quell.denoise(noisy, sigma=20.0)
    assert np.abs(noisy - weak).mean() < 0.5 * np.abs(noisy - strong).mean()


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 2},
        {"sigma": -1},
        {"modality": "XX"},
        {"model": "no.model"},
        {"engine": "x"},
        {"out": "y"},
    ],
)
def test_what_cannot_be_used_is_a_quell_error(pixels: np.ndarray, settings: dict[str, Any]) -> None:
    with pytest.raises(QuellError):
        quell.denoise(pixels, **settings)


def test_an_unknown_setting_is_a_type_error(pixels: np.ndarray) -> None:
    with pytest.raises(TypeError, match="strenght"):
        quell.denoise(pixels, strenght=0.5)


@pytest.mark.parametrize("array", [np.zeros((0, 4)), np.zeros(4), np.full((8, 8), np.nan), ["a", "b"]])
def test_an_array_that_is_no_image_is_an_input_error(array: Any) -> None:
    with pytest.raises(InputError):
        quell.denoise(array)


def test_a_path_where_nothing_is_is_an_input_error(tmp_path: Path) -> None:
    for function in (quell.read, quell.denoise):
        with pytest.raises(InputError, match="nothing"):
            function(tmp_path / "nothing")


@pytest.mark.parametrize(
    "name", ["ct/pancreas_ct_0001_slice_j2k.dcm", "ultrasound/hc18", "mri/phantom_philips_cs"]
)
def test_real_images_lose_noise_and_nothing_on_the_average(shared_data: Path, name: str) -> None:
    path = shared_data / name
    if not path.exists():
        pytest.skip(f"{name} is not installed")
    path = sorted(path.iterdir())[0] if path.is_dir() else path
    (image,) = quell.read(path)
    result = Denoising(JobSettings()).denoise(image)
    level = median_level(result.noise, image)
    removed = image.voxels - result.image.voxels
    assert level > 0
    assert flat_noise_ratio(image, result.image.voxels, result.noise.level) < 0.8
    assert abs(removed.mean()) < 0.1 * level


def test_the_package_offers_what_it_names() -> None:
    for name in quell.__all__:
        assert getattr(quell, name) is not None
    with pytest.raises(AttributeError, match="denoize"):
        quell.denoize  # noqa: B018


def test_counts_are_thinned_from_a_path_an_image_and_an_array(tmp_path: Path) -> None:
    pytest.importorskip("quell.noise.planar", reason="without the model of planar scintigraphy")
    counts = np.random.default_rng(0).poisson(60.0, (96, 96)).astype(np.uint16)
    Pillow.fromarray(counts).save(tmp_path / "scan.png")
    quarter = quell.simulate(counts, modality="NM", dose=0.25, seed=1)
    assert quarter.shape == counts.shape and quarter.flags.writeable
    # 552 960 counts: their quarter is known to 0.23 %.
    assert quarter.sum() == pytest.approx(counts.sum() / 4, rel=0.01)
    (read,) = quell.simulate(tmp_path / "scan.png", modality="NM", dose=0.25, seed=1)
    assert read.voxels.sum() == pytest.approx(counts.sum() / 4, rel=0.01)
    np.testing.assert_array_equal(quell.simulate(read, dose=1.0).voxels, read.voxels)
    record = quell.simulate(tmp_path / "scan.png", tmp_path / "out", modality="NM", dose=0.25, seed=1)
    assert record.exit_code == 0 and record.series[0].amount == "25 % dose"
    again = quell.simulate(counts, modality="NM", dose=0.25, seed=1)
    np.testing.assert_array_equal(again, quarter)


@pytest.mark.parametrize(
    "settings",
    [{}, {"dose": 2}, {"dose": 0.5, "modality": "XX"}, {"dose": 0.5}, {"dose": 0.5, "modality": "US"}],
)
def test_a_simulation_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(QuellError):
        quell.simulate(np.ones((8, 8)), **settings)
