"""DnCNN, U-Net and the residual network: what they are by construction, and that they learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from paired_runs import assert_engines_agree, draw, facts_of_data, falls, reach, tile_error, train, weights
from pydantic import ValidationError

from quell.errors import QuellError
from quell.methods.base import middle, plain
from quell.methods.dncnn import DnCnnMethod
from quell.methods.resnet import ResNetMethod
from quell.methods.shared.reference import clean_of
from quell.methods.unet import UNetMethod

METHODS = (DnCnnMethod, UNetMethod, ResNetMethod)


def make(kind: Any, **changes: Any) -> Any:
    torch.manual_seed(0)
    return kind(kind.Config(**{**kind.tiny(), **changes}), facts_of_data())


@pytest.mark.parametrize("kind", METHODS)
def test_thirty_steps_lower_the_loss(kind: Any) -> None:
    method = make(kind)
    assert falls(train(method, 30), "denoiser") < 0.7


@pytest.mark.parametrize("kind", METHODS)
def test_engines_agree_after_training(kind: Any, tmp_path: Path) -> None:
    # Five steps, so that the statistics of the normalisation are no longer 0 and 1.
    method = make(kind, slices=3)
    train(method, 5)
    assert_engines_agree(method.exported(), tmp_path)


@pytest.mark.parametrize("kind", METHODS)
def test_a_tile_with_its_halo_equals_the_whole(kind: Any) -> None:
    exported = make(kind).exported()
    assert tile_error(exported) < 1e-5
    assert 0.6 * exported.halo < reach(exported) <= exported.halo


@pytest.mark.parametrize("kind", METHODS)
def test_a_silent_last_layer_makes_the_identity(kind: Any) -> None:
    network = make(kind, slices=3).networks["denoiser"].eval()
    torch.nn.init.zeros_(network.last.weight)
    torch.nn.init.zeros_(network.last.bias)
    stack = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network(stack), middle(stack))


@pytest.mark.parametrize("kind", METHODS)
def test_normalisation_is_fixed_in_what_is_exported_and_learns_again(kind: Any) -> None:
    method = make(kind)
    train(method, 2)
    assert not any(module.training for module in method.exported().module.modules())
    before = {name: value.clone() for name, value in method.exported().module.named_buffers()}
    train(method, 1, first=2)
    after = dict(method.exported().module.named_buffers())
    assert any(not torch.equal(before[name], after[name]) for name in before if name.endswith("running_mean"))


@pytest.mark.parametrize("kind", METHODS)
def test_going_on_from_a_state_is_exact(kind: Any) -> None:
    whole, part = make(kind), make(kind)
    train(whole, 6)
    train(part, 3)
    again = make(kind)
    train(again, 1)
    again.restore(part.state())
    train(again, 3, first=3)
    torch.testing.assert_close(
        weights(plain(again.networks["denoiser"])), weights(plain(whole.networks["denoiser"])), rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *((kind, {"slices": 2}) for kind in METHODS),
        (UNetMethod, {"size": 40, "depth": 4}),
        (ResNetMethod, {"width": 12}),
        (DnCnnMethod, {"widht": 8}),
    ],
)
def test_settings_that_cannot_work_are_refused(kind: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        kind.Config(**wrong)


def test_noisy_images_alone_are_refused() -> None:
    batch = draw((1, 32, 32), 1, 0)
    with pytest.raises(QuellError, match="no clean ones"):
        clean_of(type(batch)(**{**vars(batch), "clean": None}))


def test_paper_sizes() -> None:
    def count(method: Any) -> int:
        return sum(p.numel() for p in method.networks["denoiser"].parameters())

    # 640 + 15 (36 864 + 128) + 577: the first layer and the last have a bias, the others a normalisation.
    assert count(DnCnnMethod(DnCnnMethod.Config(), facts_of_data())) == 556_097
    # 9 x 9, ten blocks of 3 x 3, grouped 3 x 3, 1 x 1 and two normalisations, 3 x 3.
    block = 128 * 128 * 9 + 128 + 128 * 16 * 9 + 128 + 128 * 128 + 128 + 4 * 128
    assert (
        count(ResNetMethod(ResNetMethod.Config(), facts_of_data()))
        == 82 * 128 - 128 + 128 + 10 * block + 1153
    )
    # A level of twice the width has four times the weights; the paths up have 3 x 3, the decoder sees both.
    width, unet = 64, UNetMethod(UNetMethod.Config(), facts_of_data())
    convolutions = 9 * (width + 2 * width**2) + sum(9 * 3 * (w // 2) ** 2 * 2 for w in (128, 256, 512, 1024))
    convolutions += sum(9 * (2 * w * w + 2 * w * w + w * w) for w in (64, 128, 256, 512))
    normalised = 3 * 64 + 2 * (128 + 256 + 512 + 1024) + 3 * (64 + 128 + 256 + 512)
    assert count(unet) == convolutions + 2 * normalised + 65


def test_learning_rate_of_dncnn_is_a_tenth_after_three_fifths() -> None:
    method = make(DnCnnMethod)
    assert [method.rate(progress) for progress in (0.0, 0.59, 0.6, 1.0)] == [1.0, 1.0, 0.1, 0.1]
