"""Learn from single noisy images: a pixel from all around it but itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.backbone import BackboneConfig, export_backbone, make_backbone
from quell.methods.shared.blind_spots import WINDOW, cell_side, hide
from quell.methods.shared.noise_correlation import reach_within
from quell.methods.shared.unit_noise import (
    PutBack,
    UnitNoise,
    UnitNoiseConfig,
    export_in_unit_noise,
    with_middle,
)

MOST = 4
"""Pixels from which on the noise must not be alike; from further away a pixel cannot be guessed."""


class Noise2VoidConfig(BackboneConfig, UnitNoiseConfig):
    """Settings.

    Attributes
    ----------
    cell
        One pixel is hidden in each cell of this side: 64 pixels of a crop of 64 x 64, as in the paper.
    """

    cell: int = Field(8, ge=4)


class Noise2Void(BaseMethod):
    """Predict hidden pixels from their surroundings.

    Krull, Buchholz and Jug, "Noise2Void - learning denoising from single noisy images", CVPR 2019: 64 pixels
    of a crop of 64 x 64, stratified, each replaced by one drawn from the 5 x 5 around it; the squared error
    at those pixels alone. Any law of noise that leaves the mean as it is; pixels must not share noise.

    Ours: the pixel itself is not among the replacements (in the paper it may be, one time in 25); hidden
    pixels keep a distance at which none replaces what another hides; only the middle slice hides, its
    neighbours are seen; the network. Where noise is alike up to r - 1 pixels (autocorrelation of 0.2 and
    more), the square of 2 r - 1 pixels around each is hidden with it (Broaddus et al., ISBI 2020); above
    r = 4 the method is refused. Images are brought to noise of unit level first, and in use the guess and
    the noisy pixel are joined to the posterior mean (Laine et al., NeurIPS 2019), see
    `quell.methods.shared.unit_noise`.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="noise2void",
        title="learns from single noisy images: hidden pixels from their surroundings",
        source="Krull, Buchholz, Jug, Noise2Void - learning denoising from single noisy images, CVPR 2019",
        fidelity=Fidelity.NAMED,
        ours="the network; a hidden pixel never replaces itself; wide blind spots for correlated noise; unit "
        "noise by local estimate; the posterior mean in use",
        need=Need.NOISY_ONLY,
        modalities=(Modality.CT, Modality.PT, Modality.NM, Modality.MR, Modality.XR),
    )
    Config = Noise2VoidConfig
    config: Noise2VoidConfig

    def __init__(self, config: Noise2VoidConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        reason = "a blind spot as wide hides what it would be guessed from; use noise2noise, gr2r or unsure"
        self.radius = reach_within(data.correlation, MOST, reason) - 1
        self.cell = cell_side(self.radius, config.cell)
        if config.size < self.cell + 2 * (self.radius + WINDOW):
            raise QuellError(f"size must be at least {self.cell + 2 * (self.radius + WINDOW)} for this noise")
        self.unit = UnitNoise(data.modality.value) if config.unit_noise else None
        self.networks = {"denoiser": make_backbone(config)}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"width": 8, "batch": 8, "size": 32, "steps": 30, "rate": 1.5e-2, "cell": 4}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the squared error at the hidden pixels."""
        stack = self.unit.of(batch.noisy).stack if self.unit else batch.noisy
        noisy = middle(stack)
        spots = hide(noisy, self.radius, self.cell)
        guess = self.networks["denoiser"](with_middle(stack, spots.hidden))
        error = (guess - noisy).square() * spots.centres
        yield "denoiser", error.sum() / spots.centres.sum().clamp(min=1)

    def exported(self) -> Exported:
        """Return the network, which sees all pixels; on unit noise, the posterior mean of its guess."""
        told = export_backbone(plain(self.networks["denoiser"]), self.config)
        if self.unit is None:
            return told
        return export_in_unit_noise(replace(told, module=PutBack(told.module)), self.unit)


METHOD = Noise2Void
