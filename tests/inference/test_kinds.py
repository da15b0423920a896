"""Networks are told what an image shows, in the order of their card, and old ones are told nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.image import Image, Modality
from quell.inference.contracts import Network, Runtime
from quell.inference.kinds import KINDS, kind_of, one_hot
from quell.inference.network_denoiser import NetworkDenoiser
from quell.models.card import ModelCard
from quell.models.registry import default_card
from quell.noise.spectrum import DESCRIPTOR_SIZE


def image(modality: Modality, volume: bool = True) -> Image:
    voxels = np.random.default_rng(0).standard_normal((2, 32, 40)).astype(np.float32)
    return Image(voxels, modality=modality, volume=volume)


@pytest.mark.parametrize(
    ("modality", "volume", "kind"),
    [
        *((one, volume, one.value) for one in Modality for volume in (True, False) if one.value in KINDS[:3]),
        (Modality.US, False, "US"),
        (Modality.US, True, "US"),
        (Modality.XR, False, "XR"),
        (Modality.NM, False, "NM"),
        (Modality.NM, True, "SPECT"),
        (Modality.UNKNOWN, False, ""),
        (Modality.UNKNOWN, True, ""),
    ],
)
def test_every_image_is_of_one_kind_or_of_none(modality: Modality, volume: bool, kind: str) -> None:
    assert kind_of(image(modality, volume)) == kind


def test_every_modality_that_is_known_has_a_kind() -> None:
    for modality in Modality:
        assert (kind_of(image(modality)) in KINDS) == (modality is not Modality.UNKNOWN)


@pytest.mark.parametrize("order", [KINDS, tuple(reversed(KINDS)), ("US", "CT")])
def test_the_order_is_the_one_that_is_given(order: tuple[str, ...]) -> None:
    for place, kind in enumerate(order):
        told = one_hot(kind, order)
        assert told.dtype == np.float32 and told.shape == (len(order),)
        assert told[place] == told.sum() == 1
    assert not one_hot("", order).any()
    assert not one_hot("MG", order).any()


class Recorder:
    """A runtime whose networks do nothing and remember what they were given."""

    description = "recorder"

    def __init__(self) -> None:
        self.shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        self.given: dict[str, list[tuple[np.ndarray, ...]]] = {"denoiser": [], "estimator": []}

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        role = file.stem
        self.shapes[role] = dict(shapes)

        def network(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
            self.given[role].append(tuple(one.copy() for one in inputs))
            if role == "denoiser":
                return (np.zeros_like(inputs[0][:, :1]),)
            rows, columns = inputs[0].shape[2:]
            level = np.zeros((1, 1, rows // 8, columns // 8), np.float32)
            return level, np.zeros((1, DESCRIPTOR_SIZE), np.float32)

        return network


def recorded(modality: Modality, **changes: Any) -> Recorder:
    card: ModelCard = default_card(Modality.CT).model_copy(update=changes)
    files = {role: Path(f"{role}.onnx") for role in ("denoiser", "estimator")}
    runtime = Recorder()
    NetworkDenoiser(card, files, runtime, streams=1).denoise(image(modality))
    return runtime


@pytest.mark.parametrize("kinds", [KINDS, tuple(reversed(KINDS))])
@pytest.mark.parametrize("modality", [Modality.MR, Modality.NM, Modality.UNKNOWN])
def test_both_networks_are_told_the_kind_in_the_order_of_the_card(
    modality: Modality, kinds: tuple[str, ...]
) -> None:
    found = recorded(modality, kinds=kinds)
    told = one_hot(kind_of(image(modality)), kinds)
    assert len(found.given["denoiser"]) == 2 and found.given["estimator"]
    for _, condition in found.given["denoiser"]:
        assert condition.shape == found.shapes["denoiser"]["condition"] == (1, DESCRIPTOR_SIZE + len(kinds))
        assert condition.dtype == np.float32
        np.testing.assert_array_equal(condition[0, DESCRIPTOR_SIZE:], told)
    for _, kind in found.given["estimator"]:
        assert kind.shape == found.shapes["estimator"]["kind"]
        np.testing.assert_array_equal(kind[0], told)


def test_a_card_without_kinds_is_told_the_spectrum_alone() -> None:
    found = recorded(Modality.MR, kinds=())
    assert [*found.shapes["denoiser"]] == ["normalised", "spectrum"]
    assert [*found.shapes["estimator"]] == ["scaled"]
    assert all(given[1].shape == (1, DESCRIPTOR_SIZE) for given in found.given["denoiser"])
    assert all(len(given) == 1 for given in found.given["estimator"])


def test_the_recorder_is_a_runtime() -> None:
    runtime: Runtime = Recorder()
    assert runtime.description
