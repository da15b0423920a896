"""Crops by one gather: equal to plain slicing, the same for the same seed, turned as physics allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from quell.image import Modality
from quell.methods.contracts import Stage
from quell.training.data.contracts import Stack, Variant
from quell.training.data.places import FOREGROUND, Atlas
from quell.training.data.pool import Pool

CROP = Stage("train", 6, (3, 16, 16))


def numbered(shape: tuple[int, int, int] = (5, 40, 48), images: int = 1, **fields: object) -> Stack:
    """Return a stack in which every voxel has a value of its own."""
    voxels = np.arange(images * int(np.prod(shape)), dtype=np.float32).reshape(images, *shape)
    fields = {"volume": True, "modality": Modality.CT} | fields
    return Stack("a", "a", voxels, (Variant(0),), **fields)  # type: ignore[arg-type]


def all_orientations(crop: np.ndarray) -> list[np.ndarray]:
    """Return a crop (z, y, x) in all ways in which it may lie."""
    turned = [crop, crop[:, ::-1], crop[:, :, ::-1], crop[:, ::-1, ::-1]]
    turned += [one.transpose(0, 2, 1) for one in turned]
    return turned + [one[::-1] for one in turned]


def test_a_gather_is_plain_slicing() -> None:
    stack = numbered()
    batch = Pool([stack]).draw(CROP, (1,))
    for crop in batch.noisy.numpy().astype(np.int64):
        # The lowest value of the middle slice is that of its upper left corner before it was turned.
        z, y, x = np.unravel_index(crop[1].min(), stack.shape)
        neighbours = np.clip([z - 1, z, z + 1], 0, stack.shape[0] - 1)
        plain = stack.voxels[0][neighbours, y : y + 16, x : x + 16].astype(np.int64)
        assert any(np.array_equal(crop, one) for one in all_orientations(plain))


def test_every_orientation_comes_up() -> None:
    batch = Pool([numbered((1, 16, 16), volume=False)]).draw(Stage("", 200, (1, 16, 16)), (0,))
    assert len({crop.tobytes() for crop in batch.noisy.numpy()}) == 8


def test_ultrasound_turns_left_and_right_only() -> None:
    stack = numbered((1, 16, 16), volume=False, modality=Modality.US)
    found = {c.tobytes() for c in Pool([stack]).draw(Stage("", 100, (1, 16, 16)), (0,)).noisy.numpy()}
    assert found == {stack.voxels[0].tobytes(), stack.voxels[0][:, :, ::-1].copy().tobytes()}


def test_pixels_that_are_not_square_are_not_transposed() -> None:
    stack = numbered((1, 16, 16), volume=False, square=False)
    crops = Pool([stack]).draw(Stage("", 100, (1, 16, 16)), (0,)).noisy.numpy()
    rows = {float(abs(crop[0, 1, 0] - crop[0, 0, 0])) for crop in crops}
    assert rows == {16.0}


def test_the_seed_alone_decides() -> None:
    first, again = Pool([numbered(), numbered()]), Pool([numbered(), numbered()])
    first.draw(CROP, (7,))
    a, b, other = first.draw(CROP, (3, 4)), again.draw(CROP, (3, 4)), again.draw(CROP, (3, 5))
    assert torch.equal(a.noisy, b.noisy)
    assert not torch.equal(a.noisy, other.noisy)


def test_torch_s_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Pool([numbered()]).draw(CROP, (0,))
    assert torch.equal(before, torch.get_rng_state())


def test_neighbours_end_at_gaps_and_frames_have_none() -> None:
    def slices(stack: Stack) -> set[tuple[int, ...]]:
        crops = Pool([stack]).draw(Stage("", 300, (3, 8, 8)), (0,)).noisy.numpy()
        plane = stack.shape[1] * stack.shape[2]
        found = {tuple((crop[:, 0, 0] // plane).astype(int)) for crop in crops}
        return {min(one, one[::-1]) for one in found}

    assert slices(numbered((4, 8, 8), gaps=(1,))) == {(0, 0, 1), (0, 1, 1), (2, 2, 3), (2, 3, 3)}
    assert slices(numbered((3, 8, 8), volume=False)) == {(0, 0, 0), (1, 1, 1), (2, 2, 2)}


def test_small_images_are_mirrored() -> None:
    stack = numbered((1, 5, 32), volume=False)
    crop = Pool([stack]).draw(Stage("", 1, (1, 9, 32)), (0,)).noisy.numpy()[0, 0]
    mirrored = np.pad(stack.voxels[0, 0], ((2, 2), (0, 0)), mode="reflect")
    assert any(np.array_equal(crop, mirrored[::a, ::b]) for a in (1, -1) for b in (1, -1))


def test_depth_is_cropped_and_mirrored_in_three_dimensions() -> None:
    stack = numbered((6, 8, 8))
    deep = Pool([stack], dimensions=3).draw(Stage("", 20, (4, 8, 8)), (0,)).noisy.numpy()
    z = (deep[:, :, 0, 0] // 64).astype(int)
    assert (np.abs(np.diff(z, axis=1)) == 1).all() and z.min() == 0 and z.max() == 5
    short = Pool([numbered((3, 8, 8))], dimensions=3).draw(Stage("", 8, (5, 8, 8)), (0,)).noisy.numpy()
    assert {tuple((one[:, 0, 0] // 64).astype(int)) for one in short} == {(1, 0, 1, 2, 1), (1, 2, 1, 0, 1)}


def test_roles_are_the_same_place_each_in_network_units() -> None:
    stack = numbered(images=4)
    step = np.prod(stack.shape)
    variants = (Variant(1, 0, 2, 0.25, 10.0, 4.0),)
    batch = Pool([replace(stack, variants=variants, prior=3, prior_offset=1.0, prior_scale=2.0)]).draw(
        CROP, (0,)
    )
    values = batch.noisy * 4 + 10
    assert torch.equal(batch.clean * 4 + 10, values - step)
    assert torch.equal(batch.second * 4 + 10, values + step)
    assert torch.equal(batch.prior * 2 + 1, values + 2 * step)
    assert batch.dose.tolist() == [0.25] * 6 and batch.scale.tolist() == [4.0] * 6


def test_what_only_some_images_have_is_not_there() -> None:
    with_clean = replace(numbered(images=2), variants=(Variant(1, 0),))
    assert Pool([with_clean]).draw(CROP, (0,)).clean is not None
    assert Pool([with_clean, numbered()]).draw(CROP, (0,)).clean is None


def test_unpaired_crops_come_from_clean_images() -> None:
    noisy = numbered()
    clean = replace(numbered(), voxels=-1 - numbered().voxels, variants=(Variant(-1, 0),))
    batch = Pool([noisy, clean], unpaired=True).draw(CROP, (0,))
    assert batch.noisy.min() >= 0 and batch.unpaired.max() < 0


def test_points_are_where_the_voxel_is() -> None:
    stack = replace(numbered((12, 30, 30), images=1), points=np.array([[5.0, 21.0, 4.0]]))
    value = stack.voxels[0, 5, 21, 4]
    for dimensions, patch in ((2, (3, 16, 16)), (3, (6, 16, 16))):
        batch = Pool([stack], dimensions).draw(Stage("", 60, patch), (2,))
        held = 0
        for crop, point in zip(batch.noisy, batch.points[:, 0], strict=True):
            if point.isnan().any():
                assert not (crop == value).any()
                continue
            z, y, x = (round(float(p)) for p in point)
            assert crop[z, y, x] == value
            held += 1
        assert held >= 20


def test_crops_look_for_something() -> None:
    voxels = np.zeros((1, 1, 256, 256), np.float32)
    voxels[..., :64, :64] = 100
    stack = Stack("a", "a", voxels, (Variant(0),), Modality.NM)
    means = Pool([stack]).draw(Stage("", 300, (1, 32, 32)), (0,)).noisy.mean(dim=(1, 2, 3))
    # A random crop meets more than a tenth of the square with 9 %; four tries make 31 %.
    assert 0.24 < float((means > 100 * FOREGROUND).float().mean()) < 0.40


def test_large_images_do_not_drown_the_small() -> None:
    atlas = Pool([numbered((1, 16, 16)), numbered((16, 64, 64))])
    crops = atlas.draw(Stage("", 2000, (1, 8, 8)), (0,)).noisy
    small = float((crops.amax(dim=(1, 2, 3)) < 256).float().mean())
    # Weights go by the root of the size: 1 of 17, and some crops of the large one start with low values.
    assert small > 1 / 17 - 0.02


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 70)])
def test_any_shape_can_be_cropped(shape: tuple[int, int, int]) -> None:
    for dimensions in (2, 3):
        batch = Pool([numbered(shape)], dimensions).draw(Stage("", 4, (4, 16, 16)), (0,))
        assert batch.noisy.shape == (4, 4, 16, 16) and bool(batch.noisy.isfinite().all())


def test_an_atlas_needs_no_torch_to_be_exact() -> None:
    stack = numbered()
    places = Atlas([stack], 2).draw(np.random.default_rng(0), np.zeros(50, np.int64), (3, 16, 16))
    total = places.slices[:, :, None, None] + places.rows[:, None, :, None] + places.columns[:, None, None, :]
    assert total.min() >= 0 and total.max() < stack.voxels[0].size


def test_crops_tell_their_patient() -> None:
    first = numbered((1, 16, 16), volume=False)
    far = replace(first, voxels=first.voxels + 1000)
    stacks = [first, replace(far, patient="b"), replace(first, name="again")]
    batch = Pool(stacks).draw(Stage("", 60, (1, 16, 16)), (0,))
    assert batch.patient is not None and set(batch.patient.tolist()) == {0, 1}
    assert torch.equal(batch.noisy.amin((1, 2, 3)) >= 1000, batch.patient == 1)
