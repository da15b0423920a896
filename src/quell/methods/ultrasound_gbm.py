"""Gradient boosting on features of every pixel of a B-mode; ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lightning_fabric import Fabric
from pydantic import Field, model_validator

from quell.image import Modality
from quell.methods.base import BaseMethod
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
from quell.methods.shared.pixel_boosting import PixelBoosting, PixelBoostingConfig, bank_for, behind
from quell.networks.boosted_speckle import OUTPUTS, BoostedSpeckle

_MOST = 1000


class UltrasoundGBMConfig(MethodConfig):
    """Settings of `UltrasoundGBM`; `rate` is not used.

    Attributes
    ----------
    steps
        Collecting, one tree for the image at each of the steps that are left, then the interval.
    boosting
        How pixels are collected and trees grown.
    """

    steps: int = Field(154, ge=2)
    size: int = Field(128, ge=16)
    batch: int = Field(4, ge=1)
    boosting: PixelBoostingConfig = PixelBoostingConfig()

    @property
    def trees(self) -> int:
        """For the image."""
        return self.steps - self.boosting.gather - self.boosting.interval

    @model_validator(mode="after")
    def _fits(self) -> UltrasoundGBMConfig:
        if not 0 < self.trees <= _MOST:
            raise ValueError(
                f"steps without those of collecting and of the interval are trees: 1 to {_MOST}, "
                f"got {self.trees}"
            )
        if self.slices % 2 == 0:
            raise ValueError("slices must be odd")
        return self


class UltrasoundGBM(BaseMethod):
    """Regress the clean log intensity of a pixel on what surrounds it, by boosted trees.

    Source: none. No paper that takes speckle out by gradient boosting was found. That a denoised pixel can
    be regressed on a bank of filters is in van Ginneken and Mendrik 2006 (ICPR; nearest neighbours and
    support vectors on CT). Ours: the bank; the start from a ridge regression on all features, so that the
    trees have only the rest to find; squared error on log-compressed values; quantiles that are grown on
    pixels which the trees of the image have not seen, and widened until they cover patients that were kept
    back (Romano et al. 2019, NeurIPS). Of several slices only the middle one is read.

    Parameters
    ----------
    config : UltrasoundGBMConfig
    data : DataFacts

    Raises
    ------
    QuellError
        At the first tree, where LightGBM is not installed.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="ultrasound-gbm",
        title="gradient boosting on local statistics, slopes and classical filters, for speckle",
        source="none; regression on a filter bank: van Ginneken and Mendrik 2006, ICPR",
        fidelity=Fidelity.OURS,
        ours="everything: features, start, losses, intervals",
        need=Need.PAIRED,
        modalities=(Modality.US,),
        objects=("anatomy-us", "us-cysts"),
        doses=(1.0,),
    )
    Config: ClassVar[type[MethodConfig]] = UltrasoundGBMConfig

    def __init__(self, config: UltrasoundGBMConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        module = BoostedSpeckle(
            bank_for(data), config.trees, config.boosting.growth.depth, interval=config.boosting.interval
        )
        self.boosting = PixelBoosting(module, config.boosting)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a training of seconds."""
        growth = {"depth": 3, "fewest": 5}
        boosting = {"gather": 4, "pixels": 400, "interval": 4, "growth": growth}
        return {"steps": 30, "batch": 2, "size": 32, "boosting": boosting}

    def setup(self, fabric: Fabric) -> None:
        """Put the module on the device; there is nothing for an optimiser."""
        self.boosting.module.to(fabric.device)

    def stage(self, progress: float) -> Stage:
        """Return the one stage."""
        return Stage("boosting", self.config.batch, (self.config.slices, self.config.size, self.config.size))

    def step(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        """Collect pixels, or add trees; return the mean squared error in network units."""
        gone = progress if behind(progress, self.config.steps, self.boosting.taken) else 0.0
        return self.boosting.step(batch, fabric, gone)

    def state(self) -> dict[str, Any]:
        """Return pixels and trees."""
        return self.boosting.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, to the bit."""
        self.boosting.restore(state)

    def exported(self) -> Exported:
        """Return features and trees."""
        module = self.boosting.module.eval()
        return Exported(module, self.config.slices, halo=module.halo, outputs=OUTPUTS)


METHOD = UltrasoundGBM
