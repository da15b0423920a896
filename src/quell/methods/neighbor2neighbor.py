"""Learn from single noisy images: neighbouring pixels as two noisy images of one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodFacts, Need, Stage
from quell.methods.shared.backbone import BackboneConfig, backbone_multiple, export_backbone, make_backbone
from quell.methods.shared.noise_correlation import reach_within
from quell.methods.shared.pixel_pairs import OnLattices, neighbour_loss, on_lattice
from quell.methods.shared.unit_noise import PutBack, UnitNoise, UnitNoiseConfig, export_in_unit_noise

MOST = 3
"""Pixels from which on the noise must not be alike; a wider lattice leaves no anatomy to learn from."""


class Neighbor2NeighborConfig(BackboneConfig, UnitNoiseConfig):
    """Settings.

    Attributes
    ----------
    gamma
        Weight of the second term at the end of the training; it rises from 0 in proportion.
    """

    gamma: float = Field(2.0, ge=0)


class Neighbor2Neighbor(BaseMethod):
    """Predict one pixel of each cell of two by two from its neighbour.

    Huang et al., "Neighbor2Neighbor: Self-supervised denoising from single noisy images", CVPR 2021: the
    sampler, the loss, gamma of 2, rising with the training. Any law of noise that
    leaves the mean as it is; pixels must not share noise.

    Ours: where the noise is alike up to r - 1 pixels (autocorrelation of 0.2 and more), every r-th pixel is
    taken first, and the pairs lie r pixels apart; the trained network is then run on the r x r interleaved
    sub-images too, whose noise is white as in the training (the idea of Zhou et al., "When AWGN-based
    denoiser meets real noises", AAAI 2020). Above r = 3 the method is refused. Images are brought to noise
    of unit level first, and in use what the guess could not know is put back, see
    `quell.methods.shared.unit_noise`. The network is ours.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="neighbor2neighbor",
        title="learns from single noisy images: a pixel from its neighbour",
        source="Huang et al., Neighbor2Neighbor: Self-supervised denoising from single noisy images, "
        "CVPR 2021",
        fidelity=Fidelity.NAMED,
        ours="the network; interleaved sub-images where the noise is correlated; unit noise by local "
        "estimate; the posterior mean in use",
        need=Need.NOISY_ONLY,
        modalities=(Modality.CT, Modality.PT, Modality.NM, Modality.MR, Modality.XR),
    )
    Config = Neighbor2NeighborConfig
    config: Neighbor2NeighborConfig

    def __init__(self, config: Neighbor2NeighborConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        reason = "no two neighbours have independent noise; use noise2noise, gr2r or unsure"
        self.stride = reach_within(data.correlation, MOST, reason)
        self._multiple = 2 * backbone_multiple(config)
        if config.size < self._multiple:
            raise QuellError(f"size must be at least {self._multiple}: cells of two by two halve it")
        self.unit = UnitNoise(data.modality.value) if config.unit_noise else None
        self.networks = {"denoiser": make_backbone(config)}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"width": 8, "batch": 8, "size": 32, "steps": 30, "rate": 1.5e-2}

    def stage(self, progress: float) -> Stage:
        """Return the one stage: crops as much larger as the lattice is coarser."""
        side = self.config.size * self.stride
        return Stage("train", self.config.batch, (self.config.slices, side, side))

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the error to the neighbour with the ramped second term."""
        stack = self.unit.of(batch.noisy).stack if self.unit else batch.noisy
        noisy = on_lattice(stack, self.stride, self._multiple)
        yield "denoiser", neighbour_loss(self.networks["denoiser"], noisy, self.config.gamma * progress)

    def exported(self) -> Exported:
        """Return the network, on interleaved sub-images where the noise is correlated."""
        network = plain(self.networks["denoiser"])
        told, r = export_backbone(network, self.config), self.stride
        if r > 1:
            module = OnLattices(network, self.config.slices, r)
            told = Exported(module, told.slices, multiple=r * told.multiple, halo=r * told.halo)
        if self.unit is None:
            return told
        return export_in_unit_noise(replace(told, module=PutBack(told.module)), self.unit)


METHOD = Neighbor2Neighbor
