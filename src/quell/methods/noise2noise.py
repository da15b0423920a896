"""Learn from two noisy images of each object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.backbone import BackboneConfig, export_backbone, make_backbone

ALL = (Modality.CT, Modality.PT, Modality.NM, Modality.US, Modality.MR, Modality.XR)


def swapped(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return input and target, for each crop in one or the other direction at random.

    Raises
    ------
    QuellError
        If there is no second image.
    """
    if batch.second is None:
        raise QuellError("Noise2Noise needs two noisy images of each object")
    swap = torch.rand(batch.noisy.shape[0], 1, 1, 1, device=batch.noisy.device) < 0.5
    return torch.where(swap, batch.second, batch.noisy), torch.where(swap, batch.noisy, batch.second)


class Noise2Noise(BaseMethod):
    """Predict one noisy image from the other.

    Lehtinen et al., "Noise2Noise: Learning image restoration without clean data", ICML 2018. With the
    squared error, a target with noise of mean zero that is independent of the input's has the same minimum
    as the clean image (their argument): ``E|R(y) - y'|^2 = E|R(y) - x|^2 + E|y' - x|^2``. Nothing is asked
    of the law or of the correlation of the noise within an image.

    The loss is theirs; the network (`quell.methods.shared.backbone`) and drawing the direction for each crop
    are ours.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="noise2noise",
        title="learns from two noisy images of each object, without a clean one",
        source="Lehtinen et al., Noise2Noise: Learning image restoration without clean data, ICML 2018",
        fidelity=Fidelity.NAMED,
        ours="the network; the direction is drawn for each crop",
        need=Need.NOISY_PAIRS,
        modalities=ALL,
    )
    Config = BackboneConfig
    config: BackboneConfig

    def __init__(self, config: BackboneConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.networks = {"denoiser": make_backbone(config)}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"width": 8, "batch": 8, "size": 32, "steps": 30, "rate": 1.5e-2}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the squared error to the other noisy image."""
        source, target = swapped(batch)
        yield "denoiser", (self.networks["denoiser"](source) - middle(target)).square().mean()

    def exported(self) -> Exported:
        """Return the network."""
        return export_backbone(plain(self.networks["denoiser"]), self.config)


METHOD = Noise2Noise
