"""What a series has become when it is denoised and written, and where it says that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quell.formats.contracts import Provenance, Written
from quell.image import Image
from quell.jobs.denoiser_choice import Denoising
from quell.jobs.denoising_settings import JobSettings

if TYPE_CHECKING:
    from quell.inference.contracts import Denoised
    from quell.jobs.prior import Guide
    from quell.models.card import ModelCard


@dataclass(frozen=True, eq=False)
class Treated:
    """A series that is done.

    Attributes
    ----------
    image : Image
        The source, or the slices of it that speak for it.
    result : Denoised
        Of this image; its seconds are those of all steps.
    written : tuple of Written
    guide : Guide, optional
        The prior that was used.
    places : tuple of int
        The z index in the series of each slice of the image, where it is not the whole.
    """

    image: Image
    result: Denoised
    written: tuple[Written, ...]
    guide: Guide | None = None
    places: tuple[int, ...] = ()


def origin(
    denoising: Denoising, image: Image, settings: JobSettings, guide: Guide | None = None
) -> Provenance:
    """Return how the denoised image of an image comes about."""
    card = denoising.denoiser(image.modality, image.volume).card
    return Provenance(
        model=card.identifier,
        model_version=card.version,
        model_sha256=card.sha256,
        strength=denoising.strength(image),
        sigma=settings.sigma,
        slices_used=_slices_used(card, image),
        prior=guide.what if guide else "",
        grain=denoising.grain(image),
    )


def _slices_used(card: ModelCard, image: Image) -> int:
    """Return how many neighbours feed a slice; in three dimensions all that there are, on both sides."""
    if not image.volume:
        return 1
    return card.slices if card.dimensions == 2 else 2 * image.shape[0] - 1
