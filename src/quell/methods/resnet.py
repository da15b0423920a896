"""The residual network of Missert et al. that subtracts the noise."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from quell.image import Modality
from quell.methods.base import plain
from quell.methods.contracts import DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.reference import ReferenceMethod, StackConfig
from quell.networks.missert_resnet import GROUPS, MissertResNet


class ResNetConfig(StackConfig):
    """Settings of the residual network; those of the benchmark of Eulig et al. by default.

    Attributes
    ----------
    blocks
        Residual blocks.
    """

    steps: int = Field(20_000, ge=1)
    batch: int = Field(64, ge=1)
    size: int = Field(64, ge=8)
    rate: float = Field(1e-4, gt=0)
    width: int = Field(128, ge=GROUPS)
    blocks: int = Field(10, ge=1)

    @field_validator("width")
    @classmethod
    def _groups(cls, value: int) -> int:
        if value % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS}: convolutions have as many groups")
        return value


class ResNetMethod(ReferenceMethod):
    """Residual network whose output is subtracted from the image.

    Source: Missert, Leng, Yu, McCollough, International Conference on Image Formation in X-Ray Computed
    Tomography, 2018, as Eulig, Ommer, Kachelriess, Medical Physics 51(12), 2024, built and tuned it.
    Faithful to the latter: layers, ten blocks of 128 channels, Adam at 0.0001, 64 crops of 64 x 64, 20 000
    steps, mean squared error. Ours: the scaling (Hounsfield units by 1000, not their mean and deviation), a
    cosine for the learning rate.
    """

    facts = MethodFacts(
        name="resnet",
        title="Residual network that subtracts the noise",
        source="Missert et al., CT Meeting 2018, as in Eulig et al., Medical Physics 51(12), 2024",
        fidelity=Fidelity.NAMED,
        ours="the scaling, the course of the learning rate",
        need=Need.PAIRED,
        modalities=(Modality.CT,),
        objects=("anatomy-ct",),
    )
    Config = ResNetConfig
    config: ResNetConfig

    def __init__(self, config: ResNetConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.networks["denoiser"] = MissertResNet(config.slices, config.width, config.blocks)
        self.optimisers["denoiser"] = self.adam("denoiser")

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a trial of seconds."""
        return {"steps": 30, "batch": 4, "size": 32, "width": 8, "blocks": 2, "rate": 5e-3}

    def exported(self) -> Exported:
        """Return the network with its normalisation fixed."""
        network = plain(self.networks["denoiser"]).eval()
        return Exported(network, slices=self.config.slices, halo=MissertResNet.halo(self.config.blocks))


METHOD = ResNetMethod
