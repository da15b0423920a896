"""What the reference networks of the field have in common: clean targets and the mean squared error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lightning_fabric import Fabric
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from quell.errors import QuellError
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, MethodConfig


class StackConfig(MethodConfig):
    """Settings of methods that denoise the middle one of an odd number of slices.

    Attributes
    ----------
    width
        Channels of the network.
    """

    width: int = Field(64, ge=1)

    @field_validator("slices")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("the number of slices must be odd: the middle one is denoised")
        return value


class ReferenceMethod(BaseMethod):
    """A network ``denoiser`` that lowers the mean squared error against the clean slice."""

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean squared error."""
        denoised = self.networks["denoiser"](batch.noisy)
        yield "denoiser", functional.mse_loss(denoised, middle(clean_of(batch)))

    def step(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        """Learn from one batch."""
        # What was exported between two steps has its normalisation fixed.
        plain(self.networks["denoiser"]).train()
        return super().step(batch, progress, fabric)


def clean_of(batch: Batch) -> Tensor:
    """Return the clean crops of a batch.

    Raises
    ------
    QuellError
        If there are none.
    """
    if batch.clean is None:
        raise QuellError(
            "this method learns from noisy images with their clean ones, and there are no clean ones"
        )
    return batch.clean
