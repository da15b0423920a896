"""A prior image: found by its modality, brought onto the grid of the study by where both lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from quell.errors import InputError, QuellError
from quell.image import Geometry, Image, Modality
from quell.jobs.prior import Prior, on_grid

pytest.importorskip("scipy", reason="resampling needs SciPy")

AXIAL = Geometry().direction


def grid(spacing: tuple[float, float, float], origin: tuple[float, float, float], **more: Any) -> Geometry:
    return Geometry(spacing, origin, more.get("direction", AXIAL), known=True)


def ramp(shape: tuple[int, int, int], geometry: Geometry, modality: Modality = Modality.CT) -> Image:
    """Return an image whose value is a plane over the position in the patient."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    steps = [np.array(d) * s for d, s in zip(geometry.direction, geometry.spacing, strict=True)]
    place = sum(i[..., None] * step for i, step in zip((z, y, x), steps, strict=True)) + np.array(
        geometry.origin
    )
    values = place @ np.array([1.0, 2.0, 3.0]) + 5
    return Image(values.astype(np.float32), modality, geometry=geometry, volume=True, name="prior")


TILTED = ((0.0, -np.sin(0.3), np.cos(0.3)), (0.0, np.cos(0.3), np.sin(0.3)), (1.0, 0.0, 0.0))
FLIPPED = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((6, 10, 12), grid((4, 4, 4), (8, 9, 10))),
        ((9, 20, 24), grid((2.5, 1.1, 0.9), (11.3, 9.7, 10.1))),
        ((5, 8, 9), grid((3, 3, 3), (14, 12, 20), direction=TILTED)),
        ((5, 8, 9), grid((3, 3, 3), (40, 12, 30), direction=FLIPPED)),
    ],
)
def test_linear_structure_is_where_it_was(shape: tuple[int, int, int], geometry: Geometry) -> None:
    # Neither linear interpolation nor smoothing changes a plane, away from the border.
    prior = ramp((40, 50, 60), grid((1.5, 1.2, 1.0), (-3, -4, -5)))
    image = ramp(shape, geometry, Modality.PT)
    found, share = on_grid(prior, image)
    assert share == 1
    assert (found.geometry, found.modality) == (image.geometry, Modality.CT)
    np.testing.assert_allclose(found.voxels, image.voxels, atol=0.02)


def test_what_is_outside_is_empty_and_told(tmp_path: Path) -> None:
    prior = ramp((10, 20, 20), grid((2, 2, 2), (0, 0, 0)))
    image = ramp((10, 20, 20), grid((2, 2, 2), (20, 0, 0)), Modality.PT)
    guide = Prior(prior).guide(image, ("CT",))
    assert (guide.image.voxels[:, :, 10:] == prior.voxels.min()).all()
    np.testing.assert_allclose(guide.image.voxels[:, :, :9], image.voxels[:, :, :9], atol=0.02)
    assert "covers only 50%" in guide.note and "resampled" in guide.note


def test_the_same_grid_is_not_touched() -> None:
    prior = ramp((4, 10, 12), grid((2, 1, 1), (3, 4, 5)))
    found, share = on_grid(prior, replace(prior, modality=Modality.PT))
    assert share == 1
    assert np.array_equal(found.voxels, prior.voxels)


def test_the_noise_of_a_fine_prior_is_averaged_on_a_coarse_grid() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((32, 96, 96)).astype(np.float32)
    prior = Image(noise, Modality.CT, geometry=grid((1, 1, 1), (0, 0, 0)), volume=True)
    image = ramp((7, 20, 20), grid((4, 4, 4), (8, 8, 3)), Modality.PT)
    # Taken point by point its standard deviation would be 1; a Gaussian of 1.5 voxels leaves about
    # (2 sqrt(pi) 1.5) ** -1.5 = 0.08.
    assert on_grid(prior, image)[0].voxels.std() < 0.12


def test_padding_of_a_prior_is_taken_for_its_lowest_value() -> None:
    prior = ramp((4, 10, 12), grid((2, 1, 1), (3, 4, 5)))
    hidden = np.zeros(prior.shape, bool)
    hidden[:, :2] = True
    marked = replace(prior, voxels=np.where(hidden, np.float32(-3024), prior.voxels), padding=hidden)
    found, _ = on_grid(marked, replace(prior, modality=Modality.PT))
    assert (found.voxels[:, :2] == prior.voxels[~hidden].min()).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"geometry": Geometry()}, "shape"),
        ({"geometry": grid((2, 2, 2), (900, 0, 0))}, "lies elsewhere"),
        ({"gaps": (3,)}, "missing slices"),
        ({"volume": False}, "no volume"),
    ],
)
def test_what_cannot_be_brought_onto_the_grid_is_refused(change: dict[str, Any], reason: str) -> None:
    prior = replace(ramp((10, 20, 20), grid((2, 2, 2), (0, 0, 0))), **change)
    image = ramp((9, 18, 18), grid((2, 2, 2), (2, 2, 2)), Modality.PT)
    with pytest.raises(InputError, match=reason) as caught:
        on_grid(prior, image)
    assert "\n" not in str(caught.value)


def test_without_places_the_same_shape_counts_as_the_same_grid() -> None:
    prior = replace(ramp((4, 10, 12), grid((2, 1, 1), (3, 4, 5))), geometry=Geometry())
    image = Image(np.zeros((4, 10, 12), np.float32), Modality.PT, volume=True)
    assert np.array_equal(on_grid(prior, image)[0].voxels, prior.voxels)


def nifti(path: Path, value: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(0).normal(value, 5, (8, 8, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), path)
    return path


def test_the_series_of_the_wanted_modality_is_taken(tmp_path: Path) -> None:
    nifti(tmp_path / "a" / "ct_a.nii", 40)
    nifti(tmp_path / "a" / "t1w_a.nii", 300)
    image = ramp((4, 8, 8), grid((2, 2, 2), (0, 0, 0)), Modality.PT)
    prior = Prior(tmp_path / "a")
    guide = prior.guide(replace(image, geometry=prior._series[0].read().geometry), ("MR",))
    assert guide.image.modality is Modality.MR
    assert guide.image.voxels.mean() == pytest.approx(300, abs=5)
    assert guide.what.startswith("MR ")
    with pytest.raises(InputError, match="must be NM, it is CT and MR"):
        prior.guide(image, ("NM",))
    with pytest.raises(InputError, match="2 series that may be the prior"):
        prior.guide(image, ("CT", "MR"))


def test_a_format_that_says_no_modality_is_taken_at_the_word_of_the_user(tmp_path: Path) -> None:
    file = nifti(tmp_path / "other.nii", 300)
    prior = Prior(file)
    image = ramp((4, 8, 8), prior._series[0].read().geometry, Modality.PT)
    if prior._series[0].modality is not Modality.UNKNOWN:
        pytest.skip("the values gave the modality away")
    assert prior.guide(image, ("MR",)).image.modality is Modality.MR


def test_the_provenance_tells_priors_apart() -> None:
    image = ramp((4, 8, 8), grid((2, 2, 2), (0, 0, 0)), Modality.PT)
    one = ramp((4, 8, 8), grid((2, 2, 2), (0, 0, 0)))
    other = one.with_voxels(one.voxels + 1)
    first, again, second = (Prior(p).guide(image, ("CT",)).what for p in (one, one, other))
    assert first == again != second


def test_nothing_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Prior(tmp_path / "nothing")


def test_without_scipy_only_the_same_grid_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "scipy", None)
    prior = ramp((4, 10, 12), grid((2, 1, 1), (3, 4, 5)))
    assert on_grid(prior, replace(prior, modality=Modality.PT))[1] == 1
    with pytest.raises(QuellError, match=r"quell\[lab\]"):
        on_grid(prior, ramp((4, 10, 12), grid((2, 1, 1), (4, 4, 5)), Modality.PT))
