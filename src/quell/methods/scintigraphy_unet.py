"""Low-count bone scintigraphy: a U-Net from resampled counts to the full count (Murata et al. 2024).

Source: Murata T, Hashimoto T, Onoguchi M, et al., "Verification of image quality improvement of low-count
bone scintigraphy using deep learning", Radiol Phys Technol 17:269, 2024; its abstract was read.

Faithful: low counts made of full ones by Poisson resampling at 75, 50, 25, 10 and 5 %, a U-Net, the image of
full counts as the target.

Ours, since not found there: one network for all levels, five levels of resolution, mean squared error, Adam,
crops of 256 pixels; the choice of a target that is independent of the input; and what the U-Net puts out,
weights of Gaussian blurs of the scan and what is added to their sum. A U-Net that puts out the image itself,
as the paper is understood, is ``output: image``; it takes far longer to keep what is there at high counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import (
    Batch,
    DataFacts,
    Exported,
    Fidelity,
    MethodConfig,
    MethodFacts,
    Need,
)
from quell.networks.blend_unet import CELL, BlendUNet
from quell.networks.root_unet import Counts, RootUNet
from quell.networks.unet2d import doubled

LEVELS = (0.75, 0.5, 0.25, 0.1, 0.05)
"""Shares of the counts of the paper."""


class ScintigraphyConfig(MethodConfig):
    """Settings of `ScintigraphyUNet`.

    Attributes
    ----------
    levels
        Shares of the counts of the noisy images; each crop draws one.
    target
        ``"published"``: the image of full counts, which holds the counts of the input. ``"independent"``:
        the counts that the input did not get, over their share.
    counts
        ``"measured"``: the clean images are raw counts, and anything else is refused. ``"expected"``: they
        are what is expected of a full scan (test objects), and its counts are drawn anew at each step.
        ``"auto"``: raw counts as they are; what is no whole number is an expectation where the noisy images
        times their dose are raw counts, and is refused where they are not.
    output
        ``"blend"``: the U-Net says how much of which blur each pixel takes, and what is added. ``"image"``:
        it puts out the root of the image, without biases.
    even
        Whether the error of each level counts in units of what no network can know of the target. Without,
        the highest level has least to say, and there is least to win.
    width, depth
        Channels at full resolution, and levels of the U-Net; channels double from level to level.
    """

    size: int = Field(256, ge=8)
    levels: tuple[float, ...] = LEVELS
    target: Literal["published", "independent"] = "published"
    counts: Literal["auto", "measured", "expected"] = "auto"
    output: Literal["blend", "image"] = "blend"
    even: bool = True
    width: int = Field(32, ge=1)
    depth: int = Field(5, ge=1, le=8)

    @field_validator("levels")
    @classmethod
    def _shares(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not levels or not all(0 < share < 1 for share in levels):
            raise ValueError("levels are shares of the counts between 0 and 1, and there is at least one")
        return levels

    @model_validator(mode="after")
    def _fits(self) -> ScintigraphyConfig:
        if self.slices != 1:
            raise ValueError("a planar image has no neighbours: slices must be 1")
        multiple = max(2 ** (self.depth - 1), CELL if self.output == "blend" else 1)
        if self.size % multiple:
            raise ValueError(f"size must be a multiple of {multiple} for a U-Net of {self.depth} levels")
        return self


class ScintigraphyUNet(BaseMethod):
    """Learn full counts from resampled ones.

    Parameters
    ----------
    config : ScintigraphyConfig
    data : DataFacts

    Raises
    ------
    QuellError
        If the images are not in counts.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="scintigraphy-unet",
        title="U-Net for planar bone scans of few counts, learned from resampled counts",
        source="Murata et al., Radiol Phys Technol 17:269, 2024 (abstract)",
        fidelity=Fidelity.NAMED,
        need=Need.PAIRED,
        modalities=(Modality.NM,),
        ours="depth, width, loss, rates, one network for all levels, blurs that are blended in the place of "
        "an image that is put out; the independent target",
        objects=("bone-scan", "anatomy-nm"),
        doses=LEVELS,
    )
    Config: ClassVar[type[MethodConfig]] = ScintigraphyConfig

    def __init__(self, config: ScintigraphyConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        if data.units and "count" not in data.units.lower():
            raise QuellError(
                f"scintigraphy-unet resamples counts, and the images are in {data.units}: give it raw counts"
            )
        widths = doubled(config.width, config.depth)
        network = BlendUNet(widths) if config.output == "blend" else RootUNet(1, widths)
        self.networks = {"denoiser": network}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a quick trial."""
        return {"width": 8, "depth": 3, "size": 32, "batch": 4, "counts": "expected", "rate": 2e-3}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean squared error to the target."""
        if batch.clean is None:
            raise QuellError("scintigraphy-unet needs the images of full counts")
        scale = batch.scale.float().reshape(-1, 1, 1, 1)
        given, wanted, share = self.pair(self.full_counts(middle(batch.clean).float() * scale, batch))
        error = self.networks["denoiser"](given / scale).float() - wanted / scale
        yield "denoiser", (self.weight(share) * error.square()).mean()

    def weight(self, share: Tensor) -> Tensor:
        """Return what the squared error counts at a level, 1 in the mean over the levels.

        One over the variance that the target has where the input and the expected counts are known: that of
        the counts that the input did not get.
        """
        if not self.config.even:
            return torch.ones_like(share)

        def known(level: Tensor) -> Tensor:
            return 1 / (1 - level) if self.config.target == "published" else 1 - level

        return known(share) / known(torch.tensor(self.config.levels, device=share.device)).mean()

    def full_counts(self, clean: Tensor, batch: Batch) -> Tensor:
        """Return whole numbers: the counts of full scans, measured or drawn.

        Parameters
        ----------
        clean : Tensor, shape (n, 1, y, x)
            In image units.
        batch : Batch
            Its noisy images tell whether clean ones that are no counts may be taken as expectations.

        Raises
        ------
        QuellError
            If the images are no counts.
        """
        kind = self.config.counts
        if kind == "auto":
            kept = middle(batch.noisy).float() * (batch.scale * batch.dose).reshape(-1, 1, 1, 1)
            kind = "expected" if are_counts(kept) and not are_counts(clean) else "measured"
        if kind == "expected":
            return torch.poisson(clean.clamp(min=0))
        if not are_counts(clean):
            raise QuellError(
                "the clean images are no raw counts: they were filtered, scaled or corrected, or are "
                "expectations (then set counts to expected)"
            )
        return clean.round().clamp(min=0)

    def pair(self, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return input and target, in counts of a full scan, and the level that is drawn for each image.

        Parameters
        ----------
        counts : Tensor, shape (n, 1, y, x)
            Whole numbers.
        """
        levels = torch.tensor(self.config.levels, device=counts.device)
        drawn = levels[torch.randint(len(levels), (len(counts),), device=counts.device)]
        share = drawn.reshape(-1, 1, 1, 1)
        kept = thin(counts, share)
        target = counts if self.config.target == "published" else (counts - kept) / (1 - share)
        return kept / share, target, share

    def exported(self) -> Exported:
        """Return the U-Net with its output kept from falling below zero."""
        network = plain(self.networks["denoiser"])
        assert isinstance(network, (BlendUNet, RootUNet))
        return Exported(Counts(network), multiple=network.multiple, halo=network.halo)


def thin(counts: Tensor, share: Tensor) -> Tensor:
    """Keep each event with the probability `share` (of the shape of the counts, or broadcast to it)."""
    return torch.binomial(counts, share.expand_as(counts).contiguous())


def are_counts(values: Tensor) -> bool:
    """Whether values are whole and not negative, to the rounding of 32-bit floats."""
    whole = values.round()
    off = (values - whole).abs() > 0.01 + 1e-5 * whole.abs()
    return not bool((off | (values < -0.01)).any())


METHOD = ScintigraphyUNet
