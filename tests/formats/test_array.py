from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quell.errors import InputError
from quell.formats.array import from_array
from quell.image import Modality


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64, bool]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=5),
        elements={"allow_nan": False, "allow_infinity": False, "min_value": 0, "max_value": 1},
    )
)
def test_values_survive_for_every_real_type(array):
    image = from_array(array)
    expected = array if array.ndim == 3 else array[np.newaxis]
    assert np.array_equal(image.voxels, expected.astype(np.float32))
    assert image.volume == (image.shape[0] > 1)


def test_the_callers_array_stays_his():
    array = np.zeros((2, 3), np.float32)
    image = from_array(array)
    array[0, 0] = 7
    assert image.voxels[0, 0, 0] == 0
    assert array.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), complex),
        np.zeros((0, 3)),
        np.array([[np.nan, 1.0]]),
        np.array([[np.inf, 1.0]]),
        np.array([[1e300, 1.0]]),
        np.zeros((2, 2, 2, 2)),
        np.zeros(4),
        np.float32(1),
        np.array([["a"]]),
        np.array([[None]]),
    ],
)
def test_unusable_arrays_are_refused_in_one_line(array):
    with pytest.raises(InputError) as caught:
        from_array(array)
    assert "\n" not in str(caught.value)


def test_modality_units_and_spacing():
    image = from_array(np.zeros((2, 3, 4)), modality="CT", spacing=(3, 0.5, 0.6), volume=False, name="x")
    assert (image.modality, image.units, image.volume, image.name) == (Modality.CT, "HU", False, "x")
    assert image.geometry.known and image.geometry.spacing == (3, 0.5, 0.6)
    assert from_array(np.zeros((3, 4)), spacing=(0.5, 0.6)).geometry.spacing == (1, 0.5, 0.6)
    assert not from_array(np.zeros((3, 4))).geometry.known


@pytest.mark.parametrize(
    "wrong",
    [{"modality": "XX"}, {"spacing": (0, 1)}, {"spacing": (1,)}, {"spacing": (1, np.inf)}, {"volume": True}],
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError):
        from_array(np.zeros((3, 4)), **wrong)
