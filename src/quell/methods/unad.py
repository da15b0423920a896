"""UNAD: pre-training on neighbouring slices, then regression of the distribution of the noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

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
    Stage,
)
from quell.methods.shared.reference import clean_of
from quell.models.scaling import Scaling, ScalingKind, usual_scaling
from quell.networks.redcnn_plus import (
    HALO,
    SMALLEST,
    DistributionRegression,
    RedCNNPlus,
    WithSpread,
    distribution_focal_loss,
)

PUBLISHED_BINS = (-160.0, 200.0)
"""First and last bin in HU."""

NEIGHBOURS = (-3, -2, -1, 1, 2, 3)
WEIGHTS = (0.1, 0.3, 1.0, 1.0, 0.3, 0.1)
"""Weights of the squared errors of the neighbouring slices."""

STACK = 7
"""Slices that the pre-training needs: one and three on each side."""

PRETRAINING = 0.174
"""Share of the authors' iterations, by our count: 10 800 of 62 200."""


class UnadConfig(MethodConfig):
    """Settings of UNAD; those of the authors' code by default.

    Attributes
    ----------
    batch, size
        Crops of a step of the pre-training (five of each of eight slices) and their rows and columns.
    width
        Channels of the network.
    pretraining
        Share of the steps that pre-training takes; None for the authors' share where the volumes have seven
        slices, and none where they have not.
    pretraining_rate
        Its learning rate; `rate` is that of the training.
    starts
        Shares of the training at which crops grow. The authors count epochs; in iterations theirs are 0,
        0.26, 0.47 and 0.68.
    sizes
        Rows and columns of the crops from then on; no larger than the images.
    batches
        Slices of a step from then on.
    crops
        Crops of each slice from then on; a step has slices times crops.
    bins
        ``"residual"`` puts the first and the last bin at the 0.1 % and 99.9 % quantiles of clean minus noisy,
        ``"published"`` at -160 and 200 HU.
    bin_count
        Number of bins.
    distribution_weight, image_weight
        Weights of the distribution focal loss and of the squared error, the latter in the numbers of the
        network.
    gain
        Multiplies what the network sees; ours. Above 1, the mean of the images is taken off before. The
        authors' numbers (1 for 4096 HU) make the noise so small that some thousand steps pass before the
        network sees it.
    decay
        ``"published"`` halves the learning rate once, as the authors' code does; ``"written"`` halves it
        again and again, as its settings say.
    decay_every
        Share of the training after which it is halved: 4500 of 51 400 iterations.
    """

    steps: int = Field(62_200, ge=1)
    batch: int = Field(40, ge=1)
    size: int = Field(64, ge=SMALLEST)
    rate: float = Field(1e-4, gt=0)
    slices: int = Field(1, ge=1, le=1)
    width: int = Field(96, ge=1)
    pretraining: float | None = Field(None, ge=0, lt=1)
    pretraining_rate: float = Field(1e-5, gt=0)
    starts: tuple[float, ...] = (0.0, 0.5, 0.7, 0.85)
    sizes: tuple[int, ...] = (64, 96, 128, 256)
    batches: tuple[int, ...] = (16, 8, 6, 4)
    crops: tuple[int, ...] = (10, 6, 4, 2)
    bins: Literal["residual", "published"] = "residual"
    bin_count: int = Field(19, ge=2)
    distribution_weight: float = Field(0.2, ge=0)
    image_weight: float = Field(1.0, ge=0)
    gain: float = Field(1.0, ge=1)
    decay: Literal["published", "written"] = "published"
    decay_every: float = Field(4500 / 51_400, gt=0)

    @model_validator(mode="after")
    def _growth(self) -> UnadConfig:
        if len({len(self.starts), len(self.sizes), len(self.batches), len(self.crops)}) > 1:
            raise ValueError("starts, sizes, batches and crops must be of one length")
        if not self.starts or self.starts[0] != 0 or any(a >= b for a, b in pairwise((*self.starts, 1.0))):
            raise ValueError("starts must begin with 0 and rise, below 1")
        if min(self.sizes) < SMALLEST or min(*self.batches, *self.crops) < 1:
            raise ValueError(f"sizes must be at least {SMALLEST}, batches and crops at least 1")
        return self


class UnadMethod(BaseMethod):
    """UNAD: Universal Anatomy-initialized Noise Distribution Learning.

    Source: Gu, Deng, Wang, ICASSP 2024, and the authors' public code, from whose behaviour this was written
    anew. Faithful: the network RED-CNN+ (2 093 395 parameters); pre-training on noisy images alone, which
    predicts six neighbouring slices from the one between, weighted 0.1, 0.3, 1, 1, 0.3, 0.1, at a learning
    rate of 0.00001; all its weights but the last layer's go into the training; 19 bins whose expectation is
    added to the image; mean squared error plus 0.2 times the distribution focal loss, in units of 4096 HU;
    crops that grow while batches shrink; Adam at 0.0001, halved once. Ours: bins that are fitted to the
    data (the authors' on request), the standard deviation of each pixel's distribution as a second output,
    gradients cut off at a norm of 1, shares of the steps in place of epochs, other modalities with their
    usual scaling.

    Attributes
    ----------
    notes : tuple of str
        What was left out for this data, and why.
    """

    facts = MethodFacts(
        name="unad",
        title="UNAD: anatomy-initialised learning of the noise distribution",
        source="Gu, Deng, Wang, ICASSP 2024, and the authors' public code",
        fidelity=Fidelity.NAMED,
        ours="bins fitted to the data, the spread of the distribution as an output, cut gradients",
        need=Need.PAIRED,
        modalities=(Modality.CT,),
        objects=("anatomy-ct",),
    )
    Config = UnadConfig
    config: UnadConfig

    def __init__(self, config: UnadConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        if min(data.shape[1:]) < SMALLEST:
            raise QuellError(f"unad needs images of at least {SMALLEST} rows and columns")
        self.notes: tuple[str, ...] = ()
        self.share = self._pretraining_share()
        self._handed_over = self.share == 0
        bins = make_bins(config, data)
        self.centre = data.mean if config.gain > 1 else 0.0
        backbone = RedCNNPlus(config.width, config.bin_count, bias=1.0)
        self.networks["denoiser"] = DistributionRegression(backbone, bins, config.gain, self.centre)
        self.optimisers["denoiser"] = self.adam("denoiser")
        if self.share:
            self.networks["neighbours"] = RedCNNPlus(config.width, len(NEIGHBOURS))
            self.optimisers["neighbours"] = self.adam("neighbours", rate=config.pretraining_rate)

    @classmethod
    def scaling(cls, modality: Modality) -> Scaling:
        """Return the authors' scaling for CT, the usual one for anything else."""
        if modality is Modality.CT:
            return Scaling(kind=ScalingKind.FIXED, offset=-1024.0, scale=4096.0)
        return usual_scaling(modality)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a trial of seconds, without pre-training."""
        return {
            **{"steps": 30, "batch": 2, "size": 32, "width": 8, "pretraining": 0.0, "rate": 3e-3},
            **{"starts": (0.0, 0.7), "sizes": (32, 40), "batches": (4, 2), "crops": (1, 1)},
        }

    def _pretraining_share(self) -> float:
        asked, slices = self.config.pretraining, self.data.shape[0]
        if asked == 0 or slices >= STACK:
            return PRETRAINING if asked is None else asked
        why = f"pre-training needs volumes of at least {STACK} slices, and there is one of {slices}"
        if asked is not None:
            raise QuellError(f"unad: {why}; set pretraining to 0")
        self.notes = (f"No pre-training: {why}.",)
        return 0.0

    def is_first(self, progress: float) -> bool:
        """Whether the network is still pre-trained."""
        return progress < self.share

    def trained(self, progress: float) -> float:
        """Return the share of the training after the pre-training that is done."""
        return max(0.0, (progress - self.share) / (1 - self.share))

    def stage(self, progress: float) -> Stage:
        """Return the stage ``neighbours``, or one of the growing crops."""
        config, (_, *shape) = self.config, self.data.shape
        if self.is_first(progress):
            side = min(config.size, *shape)
            return Stage("neighbours", config.batch, (STACK, side, side))
        number = sum(start <= self.trained(progress) for start in config.starts) - 1
        side = min(config.sizes[number], *shape)
        return Stage(f"crops of {side}", config.batches[number] * config.crops[number], (1, side, side))

    def rate(self, progress: float) -> float:
        """Return the factor of the learning rate."""
        if self.is_first(progress):
            return 1.0
        halvings = int(self.trained(progress) / self.config.decay_every)
        return float(0.5 ** (min(halvings, 1) if self.config.decay == "published" else halvings))

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the error of the predicted neighbours, or that of image and distribution."""
        if self.is_first(progress):
            seen = self.config.gain * (middle(batch.noisy) - self.centre)
            yield "neighbours", neighbour_loss(self.networks["neighbours"](seen), batch.noisy)
            return
        noisy, clean = middle(batch.noisy), middle(clean_of(batch))
        denoised, logits = self.networks["denoiser"](noisy)
        bins = plain(self.networks["denoiser"]).bins
        assert isinstance(bins, Tensor)
        focal = distribution_focal_loss(logits, clean - noisy, bins.flatten())
        squared = functional.mse_loss(denoised, clean)
        yield "denoiser", self.config.image_weight * squared + self.config.distribution_weight * focal

    def step(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        """Learn from one batch; take over the weights when the pre-training has ended."""
        if not self._handed_over and not self.is_first(progress):
            learned = plain(self.networks["neighbours"]).state_dict()
            kept = {name: value for name, value in learned.items() if not name.startswith("output.")}
            backbone = plain(self.networks["denoiser"]).backbone
            assert isinstance(backbone, torch.nn.Module)
            backbone.load_state_dict(kept, strict=False)
            self._handed_over = True
        return super().step(batch, progress, fabric)

    def state(self) -> dict[str, Any]:
        """Return weights, optimisers, and whether the weights of the pre-training were taken over."""
        return {**super().state(), "handed_over": self._handed_over}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        super().restore(state)
        self._handed_over = bool(state["handed_over"])

    def exported(self) -> Exported:
        """Return the network with the spread of its distribution."""
        network = plain(self.networks["denoiser"])
        assert isinstance(network, DistributionRegression)
        return Exported(WithSpread(network), halo=HALO, outputs=("image", "spread"))


def make_bins(config: UnadConfig, data: DataFacts) -> Tensor:
    """Return the bins in the numbers of the network.

    Raises
    ------
    QuellError
        If the range of the noise is not known, or the published bins are asked for another modality than CT.
    """
    if config.bins == "published":
        if data.modality is not Modality.CT:
            raise QuellError(
                "unad: the published bins are in HU; set bins to 'residual' for other images than CT"
            )
        ends = PUBLISHED_BINS
    elif data.residual is None:
        raise QuellError("unad: bins are fitted to clean minus noisy images, and there are no clean ones")
    else:
        ends = data.residual
    if not ends[0] < ends[1]:
        raise QuellError("unad: clean and noisy images do not differ, so there are no bins")
    return torch.linspace(ends[0], ends[1], config.bin_count) / data.scale


def neighbour_loss(predicted: Tensor, stack: Tensor) -> Tensor:
    """Return the weighted mean squared error of six neighbours.

    Parameters
    ----------
    predicted : Tensor, shape (n, 6, y, x)
    stack : Tensor, shape (n, 7, y, x)
        The neighbours with the slice between them.
    """
    centre = stack.shape[1] // 2
    wanted = stack[:, [centre + offset for offset in NEIGHBOURS]]
    weights = torch.tensor(WEIGHTS, device=stack.device, dtype=stack.dtype).reshape(1, -1, 1, 1)
    return (weights * (predicted - wanted).square()).mean()


METHOD = UnadMethod
