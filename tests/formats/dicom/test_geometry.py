"""Order, spacing, direction and gaps of a stack, for any orientation and any order of the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import AXIAL, NM, ct_slice, dataset, item, save, shared_data
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.formats.dicom.discover import find_series
from quell.formats.dicom.geometry import depths, stack_geometry
from quell.formats.dicom.planes import Plane, plane_of
from quell.formats.dicom.series import DicomSeries
from quell.image import Geometry


def rotation(a: float, b: float, c: float) -> np.ndarray:
    """Return the rotation by three Euler angles."""

    def about(axis: int, angle: float) -> np.ndarray:
        turned = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        turned[i, i] = turned[j, j] = np.cos(angle)
        turned[i, j], turned[j, i] = -np.sin(angle), np.sin(angle)
        return turned

    return about(2, a) @ about(1, b) @ about(2, c)


def position_of(geometry: Geometry, z: float, y: float, x: float) -> np.ndarray:
    """Return where a voxel lies by the geometry alone."""
    steps = np.array([z, y, x])[:, None] * np.array(geometry.spacing)[:, None] * np.array(geometry.direction)
    return np.array(geometry.origin) + steps.sum(axis=0)


def planes_along(axes: np.ndarray, step: np.ndarray, count: int) -> list[Plane]:
    row, column = (tuple(axes[:, i].tolist()) for i in range(2))
    start = np.array([11.0, -7.0, 3.0])
    return [
        Plane(tuple((start + i * step).tolist()), row, column, (0.5, 0.75), 2.0, None) for i in range(count)
    ]


angles = st.floats(-3.1, 3.1)


@settings(max_examples=60, deadline=None)
@given(angles, angles, angles, st.booleans(), st.permutations(range(7)), st.floats(-0.4, 0.4))
def test_any_orientation_and_order_gives_the_same_stack(
    a: float, b: float, c: float, mirrored: bool, order: list[int], tilt: float
) -> None:
    axes = rotation(a, b, c)
    if mirrored:
        axes = axes[:, [1, 0, 2]]
    normal = np.cross(axes[:, 0], axes[:, 1])
    step = 2.5 * normal + 2.5 * np.tan(tilt) * axes[:, 1]
    planes = planes_along(axes, step, 7)
    shuffled = [planes[i] for i in order]
    along = depths(shuffled)
    assert along is not None
    assert [shuffled[i] for i in np.argsort(along)] == planes
    found = stack_geometry(planes)
    assert found.volume and not found.gaps
    for z, plane in enumerate(planes):
        np.testing.assert_allclose(position_of(found.geometry, z, 0, 0), plane.position, atol=1e-6)
    corner = np.array(planes[3].position) + 4 * 0.5 * axes[:, 1] + 6 * 0.75 * axes[:, 0]
    np.testing.assert_allclose(position_of(found.geometry, 3, 4, 6), corner, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.geometry.direction, axis=1), 1)


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(5)), st.sampled_from([(0, 1), (1, 0), (2, 0), (1, 2)]), st.booleans())
def test_names_and_numbers_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], axes: tuple[int, int], flip: bool
) -> None:
    basis = np.eye(3) * (-1 if flip else 1)
    row, column = basis[axes[0]], basis[axes[1]]
    normal = np.cross(row, column)
    folder = tmp_path_factory.mktemp("slices")
    slices = [
        ct_slice(
            i,
            ImagePositionPatient=(i * 3.0 * normal).tolist(),
            ImageOrientationPatient=[*row, *column],
            InstanceNumber=order[i],
        )
        for i in order
    ]
    (series,) = find_series(save(folder, slices), folder).series
    image = series.read()
    np.testing.assert_array_equal(image.voxels[:, 0, 0], range(5))
    np.testing.assert_allclose(image.geometry.direction[0], normal, atol=1e-12)
    assert image.geometry.spacing == (3.0, 0.7, 0.8)


def one_series(folder: Path, heights: list[float], **elements: object) -> DicomSeries:
    paths = save(folder, [ct_slice(z, **elements) for z in heights])
    (series,) = find_series(paths, folder).series
    return series


def test_a_missing_slice_is_a_gap(tmp_path: Path) -> None:
    series = one_series(tmp_path, [0, 3, 6, 12, 15])
    assert series.gaps == (2,) and series.volume
    assert series.geometry.spacing[0] == pytest.approx(3)
    assert any("gap of 6.0 mm after slice 3: about 1 missing" in note for note in series.notes)


def test_unequal_spacing_is_noted_and_is_no_gap(tmp_path: Path) -> None:
    series = one_series(tmp_path, [0, 3, 6, 9.5, 12.5])
    assert series.gaps == ()
    assert any("unequal slice spacing, 3.00 to 3.50 mm" in note for note in series.notes)


def test_thin_slices_far_apart_are_no_volume(tmp_path: Path) -> None:
    series = one_series(tmp_path, [0, 10, 20, 30], SliceThickness=1.0)
    assert not series.volume and series.shape == (4, 4, 5)
    assert any("10 mm apart" in note for note in series.notes)


def test_missing_pixel_spacing_leaves_the_geometry_unknown(tmp_path: Path) -> None:
    series = one_series(tmp_path, [0, 3, 6], PixelSpacing=None)
    assert not series.geometry.known and series.geometry.spacing == (1.0, 1.0, 1.0)
    assert "pixel spacing is not given" in series.notes
    assert series.volume


def test_missing_position_means_no_volume(tmp_path: Path) -> None:
    slices = [ct_slice(z, ImagePositionPatient=None) for z in (2, 0, 1)]
    (series,) = find_series(save(tmp_path, slices), tmp_path).series
    assert not series.volume
    np.testing.assert_array_equal(series.read().voxels[:, 0, 0], [0, 1, 2])
    assert any("position in the patient is not given" in note for note in series.notes)


@pytest.mark.parametrize(
    "cosines", [[0.0] * 6, [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0]], ids=["zeros", "parallel", "long"]
)
def test_impossible_orientations_are_not_believed(cosines: list[float]) -> None:
    plane = plane_of(ct_slice(0, ImageOrientationPatient=cosines))
    assert not plane.placed


def test_different_orientations_become_different_stacks(tmp_path: Path) -> None:
    axial = [ct_slice(z) for z in (0, 3)]
    sagittal = [
        ct_slice(9, ImageOrientationPatient=[0, 1, 0, 0, 0, -1], ImagePositionPatient=[x, 0, 0])
        for x in (0, 3, 6)
    ]
    found = find_series(save(tmp_path, axial + sagittal), tmp_path)
    assert sorted(series.shape[0] for series in found.series) == [2, 3]
    assert len({series.name for series in found.series}) == 2


@pytest.mark.parametrize(("spacing", "sign"), [(4.0, 1.0), (-4.0, -1.0)])
def test_sign_of_spacing_stacks_nuclear_slices(tmp_path: Path, spacing: float, sign: float) -> None:
    # PS3.3 C.8.4.15: a positive spacing stacks along the normal, a negative one against it.
    detector = item(ImagePositionPatient=[1.0, 2.0, 3.0], ImageOrientationPatient=list(AXIAL))
    ds = dataset(
        NM,
        "NM",
        np.arange(3 * 4 * 4, dtype=np.uint16).reshape(3, 4, 4),
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        DetectorInformationSequence=detector,
        SpacingBetweenSlices=spacing,
        PixelSpacing=[4.4, 4.4],
        SliceVector=[1, 2, 3],
    )
    (series,) = find_series(save(tmp_path, [ds]), tmp_path).series
    assert series.volume and series.gaps == ()
    np.testing.assert_allclose(position_of(series.geometry, 2, 0, 0), [1, 2, 3 + 2 * spacing])
    np.testing.assert_allclose(series.geometry.direction[0], [0, 0, sign])
    assert series.geometry.spacing == (4.0, 4.4, 4.4)


def test_real_ct_is_ordered_by_position() -> None:
    folder = shared_data("ct", "crlm_ct_1004")
    (series,) = find_series(list(folder.glob("*.dcm")), folder).series
    heights = [float(i.header.ImagePositionPatient[2]) for i in series.instances]
    assert series.shape == (41, 512, 512) and series.volume and not series.gaps
    assert np.all(np.diff(heights) > 0)
    assert series.geometry.spacing[0] == pytest.approx(5.0)
