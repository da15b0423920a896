"""``pet-ddpm``: a diffusion model of full-count PET, told of the low-count image and of an MR or CT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodConfig, MethodFacts, Need
from quell.networks.ddim import DDIMSampler, add_noise, cosine_schedule, velocity
from quell.networks.diffusion_unet import DiffusionUNet

_QUANTILE = 3.09
"""Standard deviations of a Gaussian at its 99.9 % quantile."""


class PETDDPMConfig(MethodConfig):
    """Settings of ``pet-ddpm``.

    Attributes
    ----------
    slices
        Neighbouring slices in, odd.
    widths
        Channels at 1, 1/2, 1/4 ... of the resolution.
    diffusion_steps
        T of the training.
    sampling_steps
        Of the deterministic way back, each one call of the network.
    samples
        Draws whose mean is the result and whose standard deviation is its spread.
    prediction
        What the network predicts: the noise (``"epsilon"``) or the velocity (``"v"``).
    target
        What is diffused: the image, or its difference to the low-count image (``"residual"``).
    """

    slices: int = Field(3, ge=1)
    rate: float = Field(2e-4, gt=0)
    widths: tuple[int, ...] = Field((32, 64, 96), min_length=1)
    diffusion_steps: int = Field(1000, ge=2)
    sampling_steps: int = Field(10, ge=1)
    samples: int = Field(4, ge=1)
    prediction: Literal["epsilon", "v"] = "v"
    target: Literal["image", "residual"] = "residual"

    @model_validator(mode="after")
    def _fits(self) -> PETDDPMConfig:
        multiple = 2 ** (len(self.widths) - 1)
        if self.slices % 2 == 0:
            raise ValueError(f"slices is an odd number, got {self.slices}")
        if min(self.widths) < 1 or self.size % multiple:
            raise ValueError(f"widths are positive, and size a multiple of {multiple}")
        if self.sampling_steps > self.diffusion_steps:
            raise ValueError("sampling_steps is at most diffusion_steps")
        return self


class PETDDPM(BaseMethod):
    """Conditional denoising diffusion for PET.

    Source: Gong, Johnson, El Fakhri, Li, Pan, "PET image denoising based on denoising diffusion probabilistic
    model", Eur J Nucl Med Mol Imaging 51 (2024) 358, of which the abstract was read. It stands for a citation
    of "Johnson 2019" that could not be resolved: no such paper on PET was found.

    Faithful: a denoising diffusion model that is told of the low-count PET and, where there is one, of the
    patient's MR; mean of several draws, and their spread as uncertainty.

    Ours: the network; a cosine schedule; the velocity as target of the prediction; diffusing the difference
    to the low-count image, divided by its standard deviation; ten deterministic steps (Song et al. 2021) in
    the place of the thousand of the training; CT as another prior; all sizes.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="pet-ddpm",
        title="diffusion model told of the low-count PET, several draws give mean and spread",
        source=(
            "Gong, Johnson et al., Eur J Nucl Med Mol Imaging 51 (2024) 358 (abstract read); our reading of "
            'an unresolved citation "Johnson 2019"'
        ),
        fidelity=Fidelity.NAMED,
        need=Need.PAIRED,
        modalities=(Modality.PT,),
        ours="network, schedule, velocity of the residual as target, ten deterministic steps, CT as prior",
        prior=(Modality.MR, Modality.CT),
        objects=("anatomy-pet",),
        doses=(0.25,),
    )
    Config: ClassVar[type[MethodConfig]] = PETDDPMConfig

    def __init__(self, config: PETDDPMConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.known = config.slices * (2 if data.prior else 1)
        self.networks = {"denoiser": DiffusionUNet(self.known, config.widths)}
        self.optimisers = {"denoiser": self.adam("denoiser")}
        self.unit = _unit(config, data)
        self.signal = cosine_schedule(config.diffusion_steps).to(torch.float32)

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"steps": 30, "batch": 4, "size": 16, "widths": (16, 16), "sampling_steps": 3, "rate": 1.2e-2}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean squared error of the prediction at random steps of the diffusion."""
        if batch.clean is None:
            raise QuellError("pet-ddpm learns from pairs: noisy images, each with its clean one")
        known = know(batch.noisy, batch.prior, self.data.prior)
        base = middle(batch.noisy) if self.config.target == "residual" else 0.0
        clean = (middle(batch.clean) - base) / self.unit
        steps = torch.randint(1, self.config.diffusion_steps + 1, (len(clean),), device=clean.device)
        signal = self.signal.to(clean.device)[steps][:, None, None, None]
        noise = torch.randn_like(clean)
        predicted = self.networks["denoiser"](add_noise(clean, noise, signal), known, steps)
        wanted = velocity(clean, noise, signal) if self.config.prediction == "v" else noise
        yield "denoiser", torch.mean((predicted - wanted) ** 2)

    def exported(self) -> Exported:
        """Return the sampler, its steps one after the other."""
        settings, network = self.config, plain(self.networks["denoiser"])
        assert isinstance(network, DiffusionUNet)
        sampler = DDIMSampler(network, settings.diffusion_steps, settings.sampling_steps, settings.prediction)
        kind = PriorDraw if self.data.prior else Draw
        return Exported(
            kind(sampler, self.unit, settings.target == "residual"),
            slices=settings.slices,
            multiple=network.multiple,
            halo=network.reach * settings.sampling_steps,
            prior=self.data.prior,
            samples=settings.samples,
        )


class Draw(nn.Module):
    """One draw of the full-count image.

    Parameters
    ----------
    sampler : nn.Module
    unit : float
        Network units for one unit of what is diffused.
    residual : bool
        Whether the difference to the low-count image is diffused.
    """

    def __init__(self, sampler: nn.Module, unit: float, residual: bool) -> None:
        super().__init__()
        self.sampler, self.unit, self.residual = sampler, unit, residual

    def draw(self, noisy: Tensor, known: Tensor, noise: Tensor) -> Tensor:
        """Return an image, shape (n, 1, y, x)."""
        found: Tensor = self.unit * self.sampler(noise, known)
        return middle(noisy) + found if self.residual else found

    def forward(self, noisy: Tensor, noise: Tensor) -> Tensor:
        """Return an image of slices (n, slices, y, x) and unit noise (n, 1, y, x)."""
        return self.draw(noisy, noisy, noise)


class PriorDraw(Draw):
    """One draw of the full-count image that is told of a prior image."""

    def forward(self, noisy: Tensor, prior: Tensor, noise: Tensor) -> Tensor:  # type: ignore[override]
        """Return an image of slices and prior slices (n, slices, y, x) and unit noise (n, 1, y, x)."""
        return self.draw(noisy, torch.cat([noisy, prior], dim=1), noise)


def know(noisy: Tensor, prior: Tensor | None, wanted: bool) -> Tensor:
    """Return the channels of what is known.

    Raises
    ------
    QuellError
        If a prior is wanted and there is none.
    """
    if not wanted:
        return noisy
    if prior is None:
        raise QuellError("the data was said to have a prior image for each, and a batch has none")
    return torch.cat([noisy, prior], dim=1)


def _unit(config: PETDDPMConfig, data: DataFacts) -> float:
    """Return about one standard deviation of what is diffused, in network units."""
    if config.target == "image":
        return 1.0
    if data.residual is not None and data.residual[1] > data.residual[0]:
        return (data.residual[1] - data.residual[0]) / (2 * _QUANTILE * data.scale)
    return data.sigma if data.sigma > 0 else 1.0


METHOD = PETDDPM
