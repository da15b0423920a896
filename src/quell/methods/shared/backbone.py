"""The network of the methods whose point is how to learn: one of three, by name."""

from __future__ import annotations

from enum import Enum

from pydantic import Field, field_validator
from torch import nn

from quell.methods.contracts import Exported, MethodConfig
from quell.networks.plain_cnn import PlainCNN
from quell.networks.small_unet import HALO, MULTIPLE, SmallUNet


class Backbone(str, Enum):
    """Networks to choose from."""

    UNET = "unet"
    """Three resolutions, 20 thousand multiplications a pixel at a width of 16."""
    DNCNN = "dncnn"
    """17 convolutions of 64 channels without batch normalisation, 554 thousand."""
    SMALL = "small"
    """Six convolutions of 24 channels, 21 thousand."""


_WIDTH = {Backbone.UNET: 16, Backbone.DNCNN: 64, Backbone.SMALL: 24}
_DEPTH = {Backbone.DNCNN: 17, Backbone.SMALL: 6}


class BackboneConfig(MethodConfig):
    """Settings of a method with a network to choose.

    Attributes
    ----------
    network
        See `Backbone`.
    width
        Channels at full resolution; 0 for the usual ones.
    bias
        Whether convolutions add a constant; without, the network commutes with a gain of the image.
    """

    network: Backbone = Backbone.UNET
    width: int = Field(0, ge=0)
    bias: bool = True

    @field_validator("slices")
    @classmethod
    def odd(cls, slices: int) -> int:
        """Refuse a stack without a middle."""
        if slices % 2 == 0:
            raise ValueError("slices must be odd: the middle one is denoised")
        return slices


def make_backbone(config: BackboneConfig) -> nn.Module:
    """Return the network of the settings."""
    width = config.width or _WIDTH[config.network]
    if config.network is Backbone.UNET:
        return SmallUNet(config.slices, width, config.bias)
    return PlainCNN(config.slices, width, _DEPTH[config.network], config.bias)


def backbone_multiple(config: BackboneConfig) -> int:
    """Return what rows and columns must be a multiple of."""
    return MULTIPLE if config.network is Backbone.UNET else 1


def export_backbone(module: nn.Module, config: BackboneConfig, samples: int = 0) -> Exported:
    """Return what is told of a module that runs the backbone once on its input."""
    halo = HALO if config.network is Backbone.UNET else _DEPTH[config.network]
    multiple = backbone_multiple(config)
    return Exported(module, config.slices, multiple=multiple, halo=halo, samples=samples)
