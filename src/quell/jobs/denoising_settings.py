"""What a user may choose about the denoising of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quell.errors import QuellError
from quell.formats.contracts import WriteOptions
from quell.image import Image, Modality


@dataclass(frozen=True)
class JobSettings:
    """Choices of the user about one run.

    Attributes
    ----------
    model : str or None
        ``name.tag``, or the folder of a training run; None takes the default of each kind of image.
    method : str or None
        A method that learns from the one study that it denoises, in place of a model.
    method_settings : mapping
        Its settings by name; the defaults for those that are not there.
    prior : Path, Image or None
        Another image of the patient, for models and methods that can be told of one.
    strength : float or None
        Share of the estimated noise to take away, 0 to 1; None for what the model's card says for the kind
        of image.
    grain : float or None
        Share of the fine noise that stays, 0 to 1; None for what the card says, where it chooses the strength
        too, and for none with a strength of the user's.
    sigma : float or None
        Median noise level in the units of the image; None estimates it.
    noise_map, residual, spread, report : bool
        What to write besides the denoised series.
    device, engine : str
        See `quell.inference.runtimes.make_runtime`.
    threads : int or None
        Processor threads; None takes all cores.
    modality : Modality or None
        For formats that do not say.
    write : WriteOptions
    tier : str or None
        Of the default model, one of `quell.models.registry.TIERS`; None takes the first.
    """

    model: str | None = None
    method: str | None = None
    method_settings: Mapping[str, Any] = field(default_factory=dict)
    prior: Path | Image | None = None
    strength: float | None = None
    sigma: float | None = None
    noise_map: bool = False
    residual: bool = False
    spread: bool = False
    report: bool = False
    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    modality: Modality | None = None
    write: WriteOptions = field(default_factory=WriteOptions)
    tier: str | None = None
    grain: float | None = None

    def check(self) -> None:
        """Raise QuellError for values that make no sense, before any work is done."""
        from quell.inference.runtimes import check_names
        from quell.models.registry import check_tier, locate

        if self.strength is not None and not 0 <= self.strength <= 1:
            raise QuellError(f"strength must lie between 0 and 1, got {self.strength}")
        if self.grain is not None and not 0 <= self.grain <= 1:
            raise QuellError(f"grain must lie between 0 and 1, got {self.grain}")
        if self.grain is not None and self.method is not None:
            raise QuellError("a method leaves no grain: leave out --grain")
        if self.sigma is not None and not (np.isfinite(self.sigma) and self.sigma > 0):
            raise QuellError(f"sigma must be a positive number or 'auto', got {self.sigma}")
        if self.threads is not None and self.threads < 1:
            raise QuellError(f"threads must be at least 1, got {self.threads}")
        check_names(self.engine, self.device)
        if self.model is not None and self.method is not None:
            raise QuellError("give a model or a method, not both")
        if self.method_settings and self.method is None:
            raise QuellError("settings of a method need the method: --method NAME")
        if self.tier is not None and (self.model is not None or self.method is not None):
            raise QuellError("a tier is of the default model: leave it out with a model or a method")
        check_tier(self.tier)
        if self.model is not None:
            locate(self.model)
