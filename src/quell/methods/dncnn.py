"""DnCNN: a plain residual network."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from quell.image import Modality
from quell.methods.base import plain
from quell.methods.contracts import DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.reference import ReferenceMethod, StackConfig
from quell.networks.dncnn import DnCNN


class DnCnnConfig(StackConfig):
    """Settings of DnCNN; the paper's values by default.

    Attributes
    ----------
    depth
        Convolutions.
    """

    steps: int = Field(80_000, ge=1)
    batch: int = Field(128, ge=1)
    size: int = Field(40, ge=8)
    depth: int = Field(17, ge=3)


class DnCnnMethod(ReferenceMethod):
    """DnCNN: seventeen convolutions that predict the noise, which is taken off the image.

    Source: Zhang, Zuo, Chen, Meng, Zhang, IEEE Transactions on Image Processing 26(7), 2017, and the
    authors' public training code. Faithful: layers, batch normalisation, start of the weights, residual
    learning with the squared error (equation 1), crops of 40 x 40 in batches of 128, Adam at 0.001 for
    three fifths of the training and at 0.0001 then. Ours: the scaling of medical images, a length of the
    training that does not depend on how many images there are, gradients cut off at a norm of 1,
    neighbouring slices as channels where asked for.
    """

    facts = MethodFacts(
        name="dncnn",
        title="DnCNN: a plain residual network",
        source="Zhang et al., IEEE Trans. Image Processing 26(7), 2017, and the authors' public code",
        fidelity=Fidelity.NAMED,
        ours="the scaling of medical images, the length of the training",
        need=Need.PAIRED,
        modalities=(Modality.CT, Modality.MR, Modality.PT, Modality.NM, Modality.US, Modality.XR),
        objects=("anatomy-ct",),
    )
    Config = DnCnnConfig
    config: DnCnnConfig

    def __init__(self, config: DnCnnConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.networks["denoiser"] = DnCNN(config.slices, config.width, config.depth)
        self.optimisers["denoiser"] = self.adam("denoiser")

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a trial of seconds."""
        return {"steps": 30, "batch": 4, "size": 32, "width": 8, "depth": 4, "rate": 5e-3}

    def rate(self, progress: float) -> float:
        """Return the factor of the learning rate: a tenth after 30 of 50 epochs."""
        return 1.0 if progress < 0.6 else 0.1

    def exported(self) -> Exported:
        """Return the network with its normalisation fixed."""
        network = plain(self.networks["denoiser"]).eval()
        return Exported(network, slices=self.config.slices, halo=self.config.depth)


METHOD = DnCnnMethod
