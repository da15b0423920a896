"""A denoiser at one strength, whatever its card says: what a comparison of strengths needs."""

from __future__ import annotations

from dataclasses import dataclass

from quell.image import Image
from quell.inference.contracts import Denoised, Denoiser, Sigma
from quell.models.card import ModelCard


@dataclass(frozen=True)
class AtStrength:
    """Take a fixed share of the noise away, as a plain blend.

    Attributes
    ----------
    inner : Denoiser
    strength : float
        0 to 1.
    """

    inner: Denoiser
    strength: float

    @property
    def card(self) -> ModelCard:
        """That of the denoiser."""
        return self.inner.card

    def denoise(self, image: Image, strength: float = 1.0, sigma: Sigma = "auto") -> Denoised:
        """Denoise at a share of this strength; see `quell.inference.contracts.Denoiser.denoise`."""
        return self.inner.denoise(image, strength * self.strength, sigma)
