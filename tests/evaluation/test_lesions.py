"""Lesions put into images, what is left of them, and what is found where none is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stand_in import GaussianNoise, smooth

from quell.errors import InputError, QuellError
from quell.evaluation.false_structures import false_structures, matched_contrast
from quell.evaluation.lesion_survival import difference, lesion_study, survival
from quell.evaluation.lesions import Lesion, insert_lesions, spread_lesions
from quell.image import Geometry, Image

SPACING = (2.0, 1.0, 1.0)


def ground(shape: tuple[int, int, int] = (11, 64, 64), volume: bool = True, **fields: object) -> Image:
    y = np.linspace(0, 50, shape[1], dtype=np.float32)
    voxels = np.broadcast_to(y[:, None], shape).copy()
    return Image(voxels, geometry=Geometry(SPACING, known=True), volume=volume, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("volume", [True, False])
@pytest.mark.parametrize("contrast", [30.0, -30.0])
def test_what_nothing_was_done_to_survives_whole(volume: bool, contrast: float) -> None:
    image = ground(volume=volume)
    lesion = Lesion((5, 30, 30), 6.0, contrast)
    shown = difference(insert_lesions(image, [lesion], 1.5), image)
    found = survival(image, lesion, shown, shown, 1.5)
    assert found.recovery == pytest.approx(1) and found.peak == pytest.approx(1)
    assert found.width == pytest.approx(1) and not found.lost
    # Frames have no neighbours: a lesion lies in one only.
    assert (np.abs(shown).sum(axis=(1, 2)) > 0).sum() == (1 if not volume else 5)


def test_half_of_the_contrast_is_half() -> None:
    image = ground()
    lesion = Lesion((5, 30, 30), 8.0, 20.0)
    shown = difference(insert_lesions(image, [lesion], 1.5), image)
    found = survival(image, lesion, shown, 0.49 * shown, 1.5)
    assert found.recovery == pytest.approx(0.49) and found.lost and math.isnan(found.width)


def test_what_is_wider_is_seen_as_wider() -> None:
    image = ground()
    narrow, wide = (Lesion((5, 32, 32), size, 20.0) for size in (8.0, 12.0))
    shown, wider = (difference(insert_lesions(image, [one], 0.0), image) for one in (narrow, wide))
    assert survival(image, narrow, shown, wider, 0.0).width == pytest.approx(1.5, rel=0.1)


def test_noise_that_is_the_same_in_both_cancels() -> None:
    study = lesion_study(
        ground(),
        [Lesion((5, 20, 20), 6.0, 5.0), Lesion((5, 44, 44), 6.0, -5.0)],
        GaussianNoise(30.0),
        0.25,
        lambda image: image,
        np.random.default_rng(0),
        resolution_mm=1.0,
        threshold=10.0,
    )
    assert [one.recovery for one in study.survivals] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert study.false_before == study.false_after
    assert study.warnings == ("a stand-in",)


def test_blur_keeps_less_of_smaller_lesions() -> None:
    image = ground((15, 96, 96))
    lesions = [
        Lesion((7, 20, 20), 3.0, 30.0),
        Lesion((7, 60, 24), 6.0, 30.0),
        Lesion((7, 48, 70), 12.0, 30.0),
    ]
    study = lesion_study(
        image, lesions, GaussianNoise(5.0), 1.0, smooth, np.random.default_rng(1),
        resolution_mm=1.0, threshold=10.0,
    )  # fmt: skip
    left = [one.recovery for one in study.survivals]
    assert left[0] < left[1] < left[2] < 1


def test_places_lie_apart_and_where_they_may() -> None:
    image = ground((15, 128, 128))
    allowed = np.zeros(image.shape, np.bool_)
    allowed[:, 20:100, 20:110] = True
    lesions = spread_lesions(image, (3, 6), (10, 20, 40), np.random.default_rng(2), allowed=allowed, each=2)
    assert sorted((one.diameter_mm, one.contrast) for one in lesions) == sorted(
        [(d, c) for d in (3, 6) for c in (10, 20, 40)] * 2
    )
    assert all(allowed[one.site] for one in lesions)
    for i, one in enumerate(lesions):
        for other in lesions[:i]:
            gap = np.linalg.norm((np.array(one.site) - other.site) * SPACING)
            assert gap >= 3 * max(one.diameter_mm, other.diameter_mm)


def test_too_many_lesions_are_refused() -> None:
    with pytest.raises(QuellError, match="no room"):
        spread_lesions(ground((3, 40, 40)), (9,), (10,), np.random.default_rng(3), each=30)


def test_matched_filter_gives_the_contrast_of_a_ball_on_a_slope() -> None:
    image = ground((15, 64, 64))
    shown = insert_lesions(image, [Lesion((7, 30, 34), 6.0, 25.0)], 0.0)
    found = matched_contrast(shown.voxels.astype(float), image, 6.0)
    # The slope is odd around the ball, hence takes no part.
    assert found[7, 30, 34] == pytest.approx(25.0, rel=0.01)
    peak = np.unravel_index(
        (found - matched_contrast(image.voxels.astype(float), image, 6.0)).argmax(), found.shape
    )
    assert peak == (7, 30, 34)


@pytest.mark.parametrize("volume", [True, False])
def test_every_false_spot_is_counted_once_with_its_sign(volume: bool) -> None:
    truth = ground((15, 96, 96), volume)
    spots = [Lesion((4, 20, 20), 5.0, 30.0), Lesion((9, 20, 60), 5.0, 30.0), Lesion((9, 70, 40), 5.0, -30.0)]
    image = insert_lesions(truth, spots, 0.0)
    found = false_structures(image, truth, 5.0, 15.0)
    assert (found.bright, found.dark) == (2, 1)
    assert false_structures(truth, truth, 5.0, 15.0).per_litre == 0
    assert false_structures(image, truth, 5.0, 40.0).bright == 0
    left_out = false_structures(image, truth, 5.0, 15.0, apart_from=spots[:2])
    assert (left_out.bright, left_out.dark) == (0, 1) and left_out.volume_ml < found.volume_ml
    assert found.per_litre == pytest.approx(3000 / found.volume_ml)


def test_padding_does_not_count() -> None:
    padding = np.zeros((11, 64, 64), np.bool_)
    padding[:, :, :32] = True
    truth = ground(padding=padding)
    image = insert_lesions(truth, [Lesion((5, 30, 12), 5.0, 30.0)], 0.0)
    assert false_structures(image, truth, 5.0, 15.0).bright == 0


def test_fewer_spots_pass_a_higher_threshold() -> None:
    truth = ground((8, 80, 80))
    noisy = GaussianNoise(20.0).simulate(truth, 1.0, np.random.default_rng(4)).image
    counts = [false_structures(noisy, truth, 4.0, level).bright for level in (5.0, 10.0, 15.0, 20.0)]
    assert counts == sorted(counts, reverse=True) and counts[0] > 5 * counts[-1]


def test_bad_input_is_refused() -> None:
    image = ground()
    unknown = Image(image.voxels)
    with pytest.raises(InputError, match="spacing is unknown"):
        insert_lesions(unknown, [Lesion((5, 5, 5), 3.0, 1.0)], 1.0)
    with pytest.raises(InputError, match="lies outside"):
        insert_lesions(image, [Lesion((5, 99, 5), 3.0, 1.0)], 1.0)
    with pytest.raises(QuellError, match="cannot be compared"):
        difference(image, ground((11, 64, 65)))
    with pytest.raises(ValueError, match="positive"):
        false_structures(image, image, 5.0, 0.0)
    with pytest.raises(QuellError, match="at least one"):
        lesion_study(
            image, [], GaussianNoise(1.0), 1.0, smooth, np.random.default_rng(5), resolution_mm=1, threshold=1
        )
