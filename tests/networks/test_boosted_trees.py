"""Trees in a module are the trees that were grown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quell.networks.boosted_trees import BoostedTrees, read_tree

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")

DEPTH, ROUNDS = 4, 12


def grown(rng: np.random.Generator) -> tuple[np.ndarray, lightgbm.Booster]:
    features = rng.normal(size=(3000, 7)).astype(np.float32)
    # Whole numbers, so that values lie on thresholds' sides exactly as often as in images.
    features[:, 0] = np.rint(3 * features[:, 0])
    target = np.sin(features[:, 0]) + features[:, 1] * features[:, 2] + 0.1 * rng.normal(size=3000)
    parameters = {"max_depth": DEPTH, "num_leaves": 2**DEPTH, "verbosity": -1, "num_threads": 1}
    data = lightgbm.Dataset(features, target)
    return features, lightgbm.train(parameters | {"use_missing": False}, data, ROUNDS)


def test_module_equals_the_booster(rng: np.random.Generator) -> None:
    features, booster = grown(rng)
    module = BoostedTrees(ROUNDS + 3, DEPTH)  # Room that is not used adds nothing.
    for number, told in enumerate(booster.dump_model()["tree_info"]):
        module.put(number, read_tree(told["tree_structure"], DEPTH))
    image = torch.from_numpy(features.T.reshape(1, 7, 50, 60).copy())
    found = module(image)[0, 0].numpy().ravel()
    np.testing.assert_allclose(found, booster.predict(features), atol=1e-6)


def test_arrays_equal_the_booster_tree_by_tree(rng: np.random.Generator) -> None:
    features, booster = grown(rng)
    for number, told in enumerate(booster.dump_model()["tree_info"]):
        tree = read_tree(told["tree_structure"], DEPTH)
        one = booster.predict(features, start_iteration=number, num_iteration=1)
        np.testing.assert_allclose(tree.predict(features), one, rtol=1e-12, atol=1e-15)


def test_thresholds_part_32_bit_values_as_64_bit_ones_do() -> None:
    limit = 0.1  # No 32-bit float; the nearest one lies above it.
    told = {"split_feature": 0, "threshold": limit, "decision_type": "<="}
    tree = read_tree(told | {"left_child": {"leaf_value": -1.0}, "right_child": {"leaf_value": 1.0}}, 1)
    nearest = np.float32(limit)
    assert float(nearest) > limit
    below = np.nextafter(nearest, np.float32(0))
    np.testing.assert_array_equal(tree.predict(np.array([[nearest], [below]])), [1.0, -1.0])


def test_a_tree_that_is_too_deep_is_refused() -> None:
    leaf = {"leaf_value": 0.0}
    split = {"split_feature": 0, "threshold": 0.0, "decision_type": "<="}
    deep = split | {"left_child": split | {"left_child": leaf, "right_child": leaf}, "right_child": leaf}
    with pytest.raises(ValueError, match="deeper"):
        read_tree(deep, 1)
