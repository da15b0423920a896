"""SPECT of the heart denoised for the detection of defects: DEMIST (Rahman et al. 2023/24).

Source: Rahman MA, Yu Z, Laforest R, Abbey CK, Siegel BA, Jha AK, IEEE Trans Radiat Plasma Med Sci, 2024, doi
10.1109/TRPMS.2024.3379215, arXiv 2306.04249; the abstracts were read, the body could not be had.

Faithful: a network that takes the reconstructed volume of low dose to that of normal dose, and a loss that
adds to the mean squared error a term in the channels of an anthropomorphic observer at the defect; doses of
6.25, 12.5 and 25 %.

Ours, since not found: the form of the term, its channels (octaves from 1/64 cycles per pixel), the weight,
the layers of the network, and slices as they were reconstructed where the authors read short-axis slices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, plain
from quell.methods.contracts import (
    Batch,
    DataFacts,
    Exported,
    Fidelity,
    MethodConfig,
    MethodFacts,
    Need,
)
from quell.networks.unet3d import UNet3d

Locations = Literal["defects", "random-in-mask", "all"]


class DemistConfig(MethodConfig):
    """Settings of `Demist`.

    Attributes
    ----------
    weight
        Of the channel term (lambda of the paper); 0 makes the task-agnostic network to compare with.
    first_band
        Lower edge of the first channel, cycles per pixel.
    channels
        Number of channels, each an octave.
    locations
        Where the channels look: at the defects, at as many random places of the object, or everywhere, which
        makes the term a mean squared error weighted by frequency and no longer one of the task.
    reach
        Slices on each side of that of the defect that the channels look at as well.
    widths
        Channels of the U-Net at 1, 1/2, 1/4 ... of the resolution.
    """

    batch: int = Field(2, ge=1)
    size: int = Field(48, ge=8)
    slices: int = Field(32, ge=1)
    rate: float = Field(5e-4, gt=0)
    weight: float = Field(10.0, ge=0)
    first_band: float = Field(1 / 64, gt=0, lt=0.5)
    channels: int = Field(4, ge=1)
    locations: Locations = "defects"
    reach: int = Field(1, ge=0)
    widths: tuple[int, ...] = (16, 32, 64, 128)

    @model_validator(mode="after")
    def _fits(self) -> DemistConfig:
        if not self.widths or min(self.widths) < 1:
            raise ValueError("a U-Net has at least one level of at least one channel")
        multiple = 2 ** (len(self.widths) - 1)
        if self.size % multiple or self.slices % multiple:
            raise ValueError(f"size and slices must be multiples of {multiple} for {len(self.widths)} levels")
        if self.first_band * 2 ** (self.channels - 1) >= math.sqrt(0.5):
            raise ValueError(
                "the last channel lies above all frequencies that an image has: take fewer channels or a "
                "lower first_band"
            )
        return self


class Demist(BaseMethod):
    """Learn the normal dose, with an eye for what an observer sees at the defects.

    Parameters
    ----------
    config : DemistConfig
    data : DataFacts

    Raises
    ------
    QuellError
        If the images have too few slices for the crops.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="demist",
        title="3-D network for perfusion SPECT whose loss holds the channels of an observer",
        source="Rahman et al., IEEE TRPMS, 2024, doi 10.1109/TRPMS.2024.3379215 (abstract)",
        fidelity=Fidelity.NAMED,
        need=Need.PAIRED,
        modalities=(Modality.NM,),
        ours="form and channels of the term, its weight, the U-Net, slices as reconstructed",
        dimensions=3,
        objects=("spect-cardiac",),
        doses=(0.0625, 0.125, 0.25),
    )
    Config: ClassVar[type[MethodConfig]] = DemistConfig

    def __init__(self, config: DemistConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        if data.shape[0] < 2:
            raise QuellError("demist learns from volumes, and the images have one slice")
        self.networks = {"denoiser": UNet3d(1, 1, config.widths, residual=True)}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a quick trial."""
        return {"widths": (4, 8), "size": 16, "slices": 8, "batch": 2, "rate": 1e-2}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean squared error with the channel term."""
        if batch.clean is None:
            raise QuellError("demist needs the volumes of normal dose")
        error = self.networks["denoiser"](batch.noisy[:, None])[:, 0] - batch.clean
        loss = error.square().mean()
        if self.config.weight:
            loss = loss + self.config.weight * self.channel_loss(error.float(), batch)
        yield "denoiser", loss

    def channel_loss(self, error: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared response of the channels to the error, at the locations of the settings.

        Parameters
        ----------
        error : Tensor, shape (n, z, y, x)
        batch : Batch
            Its `points` where the channels look at defects; its `clean` where they look within the object.
        """
        config = self.config
        edges = (config.first_band, config.channels)
        if config.locations == "all":
            return mean_band_power(error, *edges)
        if config.locations == "defects":
            points = batch.points
            if points is None:
                raise QuellError("demist needs the places of the defects, or locations other than defects")
        else:
            points = places_within(batch.clean)  # type: ignore[arg-type]
        return channel_term(error, points, *edges, reach=config.reach)

    def exported(self) -> Exported:
        """Return the 3-D U-Net."""
        network = plain(self.networks["denoiser"])
        assert isinstance(network, UNet3d)
        return Exported(network, dimensions=3, multiple=network.multiple, halo=network.halo)


def padded_length(length: int, first: float) -> int:
    """Return a length that holds a whole period of the lowest frequency, 1 / `first` pixels or more."""
    return max(length, math.ceil(1 / first))


def band_masks(shape: tuple[int, int], first: float, count: int, device: torch.device) -> Tensor:
    """Return the channels in the plane of frequencies: 1 in ``[first 2^k, first 2^(k+1))``, 0 elsewhere.

    Square annular channels (Myers and Barrett, J. Opt. Soc. Am. A 4:2447, 1987), which do not overlap.

    Parameters
    ----------
    shape : (rows, columns)
        Of the plane whose Fourier transform is meant.
    first : float
        Cycles per pixel.
    count : int

    Returns
    -------
    Tensor of float32, shape (count, rows, columns)
        In the order of an FFT.
    """
    rows = torch.fft.fftfreq(shape[0], device=device, dtype=torch.float64)
    columns = torch.fft.fftfreq(shape[1], device=device, dtype=torch.float64)
    radius = torch.hypot(rows[:, None], columns[None, :])
    edges = [first * 2.0**k for k in range(count + 1)]
    masks = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    return torch.stack(masks).float()


def _transformed(error: Tensor, first: float) -> Tensor:
    """Return the Fourier transform of each slice, padded by zeros so that the lowest band is not empty."""
    size = (padded_length(error.shape[-2], first), padded_length(error.shape[-1], first))
    spectrum: Tensor = torch.fft.fft2(error, s=size)
    return spectrum


def channel_term(error: Tensor, points: Tensor, first: float, count: int, reach: int = 1) -> Tensor:
    """Return the mean squared response of channels centred on points to an error.

    The response of channel u_c centred on r is the band-passed error at r: ``u_c(. - r)^T e = IFFT(C_c
    FFT(e))[r]``, since u_c is even.

    Parameters
    ----------
    error : Tensor, shape (n, z, y, x)
    points : Tensor, shape (n, p, 3)
        Positions (z, y, x) in pixels, rounded to the nearest; NaN, and what lies outside, counts as none.
    first, count : float, int
        See `band_masks`.
    reach : int
        Slices on each side of that of a point.

    Returns
    -------
    Tensor
        A number: the mean over points, slices and channels; 0 where there is no point.
    """
    item, z, y, x = _pixels(points, error.shape, reach)
    if len(item) == 0:
        return error.sum() * 0
    spectrum = _transformed(error[item, z], first)
    masks = band_masks((spectrum.shape[-2], spectrum.shape[-1]), first, count, error.device)
    passed = torch.fft.ifft2(spectrum[:, None] * masks).real
    at = torch.arange(len(item), device=error.device)
    seen: Tensor = passed[at, :, y, x]
    return seen.square().mean()


def _pixels(points: Tensor, shape: torch.Size, reach: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return item, slice, row and column of all that channels look at."""
    known = torch.isfinite(points).all(dim=-1)
    item, which = known.nonzero(as_tuple=True)
    place = points[item, which].round().long()
    steps = torch.arange(-reach, reach + 1, device=points.device)
    z = (place[:, :1] + steps).flatten()
    item, y, x = (v.repeat_interleave(len(steps)) for v in (item, place[:, 1], place[:, 2]))
    limits = zip((z, y, x), shape[1:], strict=True)
    inside = torch.stack([(v >= 0) & (v < size) for v, size in limits]).all(dim=0)
    return item[inside], z[inside], y[inside], x[inside]


def mean_band_power(error: Tensor, first: float, count: int) -> Tensor:
    """Return what `channel_term` would be with a point on every pixel of every slice, by Parseval.

    Pixels of the padding count as well, so that the sum over frequencies is that over places.
    """
    spectrum = _transformed(error, first)
    rows, columns = spectrum.shape[-2:]
    masks = band_masks((rows, columns), first, count, error.device)
    power = spectrum.real.square() + spectrum.imag.square()
    # Band by band, since all at once would be as large as the volume times the channels.
    sums = torch.stack([(power * mask).sum(dim=(-2, -1)).mean() for mask in masks])
    mean: Tensor = sums.mean() / (rows * columns) / (error.shape[-2] * error.shape[-1])
    return mean


def places_within(clean: Tensor, count: int = 1, share: float = 0.5) -> Tensor:
    """Draw positions, shape (n, count, 3), above a share of the way from the minimum to the maximum."""
    flat = clean.flatten(1)
    inside = (flat >= torch.lerp(flat.amin(1, True), flat.amax(1, True), share)).float()
    drawn = torch.multinomial(inside, count, replacement=True)
    rows, columns = clean.shape[-2:]
    z, rest = drawn // (rows * columns), drawn % (rows * columns)
    return torch.stack((z, rest // columns, rest % columns), dim=-1).float()


METHOD = Demist
