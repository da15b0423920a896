"""``pet-unet``: a U-Net from low-count to full-count PET, told of MR or CT where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodConfig, MethodFacts, Need
from quell.methods.pet_ddpm import know
from quell.networks.unet2d import UNet2d


class PETUNetConfig(MethodConfig):
    """Settings of ``pet-unet``.

    Attributes
    ----------
    slices
        Neighbouring slices in, odd.
    widths
        Channels at 1, 1/2, 1/4 ... of the resolution.
    """

    slices: int = Field(3, ge=1)
    rate: float = Field(2e-4, gt=0)
    widths: tuple[int, ...] = Field((32, 64, 128, 256), min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> PETUNetConfig:
        multiple = 2 ** (len(self.widths) - 1)
        if self.slices % 2 == 0:
            raise ValueError(f"slices is an odd number, got {self.slices}")
        if min(self.widths) < 1 or self.size % multiple:
            raise ValueError(f"widths are positive, and size a multiple of {multiple}")
        return self


class PETUNet(BaseMethod):
    """Low-count to full-count PET by a residual U-Net: a reconstruction.

    Source: Chen et al., "Ultra-low-dose 18F-florbetaben amyloid PET imaging using deep learning with
    multi-contrast MRI inputs", Radiology 290 (2019) 649, known to us by its citation and by what others
    tell of it. It is the other reading of the citation "Johnson 2019", which could not be resolved.

    Faithful: a U-Net in two dimensions from low-count PET, with or without MR as further channels, to the
    full-count image; the residual is learned; absolute error.

    Ours: depth and widths, strided convolutions without batch normalisation, neighbouring slices as channels,
    one MR or CT in the place of several contrasts, doses of 5 to 25 % beside the 1 % of the paper.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="pet-unet",
        title="U-Net from low-count to full-count PET, with an MR or CT if there is one",
        source="Chen et al., Radiology 290 (2019) 649 (not read in full)",
        fidelity=Fidelity.RECONSTRUCTION,
        need=Need.PAIRED,
        modalities=(Modality.PT,),
        ours="depth, widths, no batch normalisation, neighbouring slices, one prior for three, doses",
        prior=(Modality.MR, Modality.CT),
        objects=("anatomy-pet",),
        doses=(0.05, 0.1, 0.25),
    )
    Config: ClassVar[type[MethodConfig]] = PETUNetConfig

    def __init__(self, config: PETUNetConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        channels = config.slices * (2 if data.prior else 1)
        self.networks = {"denoiser": ResidualUNet(channels, config.slices, config.widths)}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"steps": 30, "batch": 4, "size": 16, "widths": (8, 8), "rate": 2e-2}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean absolute error."""
        if batch.clean is None:
            raise QuellError("pet-unet learns from pairs: noisy images, each with its clean one")
        found = self.networks["denoiser"](know(batch.noisy, batch.prior, self.data.prior))
        yield "denoiser", torch.mean(torch.abs(found - middle(batch.clean)))

    def exported(self) -> Exported:
        """Return the network, with the prior as an input of its own."""
        network = plain(self.networks["denoiser"])
        assert isinstance(network, ResidualUNet)
        return Exported(
            WithPrior(network) if self.data.prior else network,
            slices=self.config.slices,
            multiple=network.inner.multiple,
            halo=network.inner.halo,
            prior=self.data.prior,
        )


class ResidualUNet(nn.Module):
    """A U-Net whose output is added to the slice that counts.

    Parameters
    ----------
    channels : int
        Slices of the PET, and of the prior after them.
    slices : int
        Of the PET.
    widths : sequence of int
    """

    def __init__(self, channels: int, slices: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.inner, self.centre = UNet2d(channels, 1, widths), slices // 2
        nn.init.zeros_(self.inner.head.weight)

    def forward(self, known: Tensor) -> Tensor:
        """Return the image, shape (n, 1, y, x), of slices (n, channels, y, x)."""
        residual: Tensor = self.inner(known)
        return known[:, self.centre : self.centre + 1] + residual


class WithPrior(nn.Module):
    """A network that takes PET and prior in one, given them one by one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Tensor, prior: Tensor) -> Tensor:
        """Return the image of slices and prior slices, each (n, slices, y, x)."""
        image: Tensor = self.network(torch.cat([noisy, prior], dim=1))
        return image


METHOD = PETUNet
