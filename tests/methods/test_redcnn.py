"""RED-CNN: the published network, and what it can be used for."""

from __future__ import annotations

import pytest
import torch

from quell.errors import QuellError
from quell.methods.redcnn import REDCNNMethod
from quell.networks.redcnn import REACH, REDCNN, SMALLEST
from samples.synthetic_training import facts_for


def test_it_has_the_published_number_of_parameters() -> None:
    # 96 channels, 5 x 5, nine layers of weights between 96 channels but the first and the last of the ten.
    assert sum(p.numel() for p in REDCNN().parameters()) == 1_848_865


@pytest.mark.parametrize("slices", [1, 3])
def test_without_weights_it_gives_the_middle_slice(slices: int) -> None:
    net = REDCNN(slices, 4)
    with torch.no_grad():
        for value in net.parameters():
            value.zero_()
    noisy = torch.rand(2, slices, 24, 30)
    assert torch.equal(net(noisy), noisy[:, slices // 2 : slices // 2 + 1])


def test_a_tile_with_its_halo_equals_the_whole() -> None:
    torch.manual_seed(0)
    net = REDCNN(1, 4).double()
    noisy = torch.rand(1, 1, 96, 80, dtype=torch.float64)
    with torch.no_grad():
        whole, tile = net(noisy), net(noisy[:, :, 16:80, 8:])
    inside = slice(REACH, 64 - REACH)
    same = whole[:, :, 16:80][:, :, inside, 8 + REACH :]
    assert torch.allclose(same, tile[:, :, inside, REACH:], atol=1e-12)
    # One pixel nearer to the cut it does not: the halo is no larger than it must be.
    edge = whole[0, 0, 16 + REACH - 1, 8 + REACH :] - tile[0, 0, REACH - 1, REACH:]
    assert edge.abs().max() > 1e-12


def test_the_smallest_image_is_the_smallest() -> None:
    net = REDCNN(1, 2)
    assert net(torch.rand(1, 1, SMALLEST, SMALLEST)).shape == (1, 1, SMALLEST, SMALLEST)
    with pytest.raises(RuntimeError):
        net(torch.rand(1, 1, SMALLEST - 1, SMALLEST - 1))
    with pytest.raises(QuellError, match="at least 21"):
        REDCNNMethod(REDCNNMethod.Config(width=2), facts_for(REDCNNMethod, (1, 20, 64)))
