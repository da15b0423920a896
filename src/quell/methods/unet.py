"""A U-Net with a path from the input to the output (FBPConvNet)."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from quell.image import Modality
from quell.methods.base import plain
from quell.methods.contracts import DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.reference import ReferenceMethod, StackConfig
from quell.networks.fbp_convnet import FBPConvNet


class UNetConfig(StackConfig):
    """Settings of the U-Net.

    Attributes
    ----------
    depth
        Times that the resolution is halved.
    """

    steps: int = Field(50_000, ge=1)
    batch: int = Field(16, ge=1)
    size: int = Field(128, ge=8)
    rate: float = Field(1e-3, gt=0)
    depth: int = Field(4, ge=1, le=6)

    @model_validator(mode="after")
    def _whole_cells(self) -> UNetConfig:
        if self.size % 2**self.depth:
            raise ValueError(f"size must be a multiple of {2**self.depth} with a depth of {self.depth}")
        return self


class UNetMethod(ReferenceMethod):
    """U-Net that corrects the image: FBPConvNet.

    Source: Ronneberger, Fischer, Brox, MICCAI 2015; Jin, McCann, Froustey, Unser, IEEE Transactions on
    Image Processing 26(9), 2017, and the public code of the latter. Faithful: four halvings, 64 channels
    and twice as many a level, 3 x 3 convolutions with batch normalisation and ReLU (two a level, three at
    the first), max pooling, transposed 3 x 3 convolutions, zero padding, start of the last layer, the input
    added to the output, the squared error. Ours: Adam at 0.001 with a cosine instead of stochastic gradient
    descent, batches of 16 crops instead of one whole image, gradients cut off at a norm of 1, neighbouring
    slices as channels where asked for.
    """

    facts = MethodFacts(
        name="unet",
        title="U-Net with a path from the input to the output",
        source="Ronneberger et al., MICCAI 2015; Jin et al., IEEE Trans. Image Processing 26(9), 2017",
        fidelity=Fidelity.NAMED,
        ours="optimiser, crops, size of the batch",
        need=Need.PAIRED,
        modalities=(Modality.CT, Modality.MR, Modality.PT, Modality.NM, Modality.US, Modality.XR),
        objects=("anatomy-ct",),
    )
    Config = UNetConfig
    config: UNetConfig

    def __init__(self, config: UNetConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.networks["denoiser"] = FBPConvNet(config.slices, config.width, config.depth)
        self.optimisers["denoiser"] = self.adam("denoiser")

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a trial of seconds."""
        return {"steps": 30, "batch": 4, "size": 32, "width": 8, "depth": 2, "rate": 2e-2}

    def exported(self) -> Exported:
        """Return the network with its normalisation fixed."""
        network, depth = plain(self.networks["denoiser"]).eval(), self.config.depth
        return Exported(network, slices=self.config.slices, multiple=2**depth, halo=FBPConvNet.halo(depth))


METHOD = UNetMethod
