"""Features and boosted trees in one module: the network of the gradient-boosting methods; ours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quell.networks.boosted_trees import BoostedTrees
from quell.networks.speckle_cnn import SpeckleCNN
from quell.networks.speckle_features import GREYS, Bank, SpeckleFeatures

OUTPUTS = ("image", "lower", "upper")


class BoostedSpeckle(nn.Module):
    """Start from a network, or from a weighted sum of the features, and add trees.

    Parameters
    ----------
    bank : Bank
    trees : int
        For the image.
    depth : int
    interval : int
        Trees for either end of the interval.
    network : SpeckleCNN, optional
        What it gives, and what it took away, are two more features.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, bank: Bank, trees: int, depth: int, *, interval: int, network: SpeckleCNN | None = None
    ) -> None:
        super().__init__()
        self.features = SpeckleFeatures(bank)
        self.network = network
        self.register_buffer("weight", torch.zeros(1, len(self.names), 1, 1))
        self.register_buffer("bias", torch.zeros(len(OUTPUTS)))
        self.image, self.lower, self.upper = (
            BoostedTrees(count, depth) for count in (trees, interval, interval)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in their order."""
        return (*self.features.names, *(("network", "residual") if self.network is not None else ()))

    def trees(self, name: str) -> BoostedTrees:
        """Return the trees of an output."""
        return {"image": self.image, "lower": self.lower, "upper": self.upper}[name]

    @property
    def halo(self) -> int:
        """Pixels on each side that an output pixel depends on."""
        return max(self.features.halo, self.network.halo if self.network is not None else 0)

    def tell(self, noisy: Tensor) -> Tensor:
        """Return the features of the middle slice, shape (n, f, y, x), in grey values."""
        centre = noisy.shape[1] // 2
        middle = noisy[:, centre : centre + 1]
        found: Tensor = self.features(middle)
        if self.network is None:
            return found
        seen = self.network(noisy) * GREYS
        return torch.cat([found, seen, middle * GREYS - seen], dim=1)

    def start(self, features: Tensor) -> Tensor:
        """Return what the trees are added to, shape (n, 1, y, x), in grey values."""
        if self.network is not None:
            return features[:, -2:-1]
        return (features * self.weight).sum(1, keepdim=True) + self.bias[0]

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the image and the ends of its interval, each (n, 1, y, x), in network units.

        Parameters
        ----------
        noisy : Tensor, shape (n, slices, y, x)
        """
        features = self.tell(noisy)
        image = self.start(features) + self.image(features)
        low = self.bias[1] + self.lower(features)
        high = self.bias[2] + self.upper(features)
        # Trees of two quantiles are grown apart and may cross.
        lower, upper = image + torch.minimum(low, high), image + torch.maximum(low, high)
        return image / GREYS, lower / GREYS, upper / GREYS
