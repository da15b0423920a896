"""``cui-cdip``: a deep image prior for PET that sees the patient's CT or MR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from quell.errors import InputError, QuellError
from quell.image import BoolArray, FloatArray, Image, Modality
from quell.methods.contracts import Fidelity, MethodFacts, Need, StudyConfig, StudyResult
from quell.methods.shared.deep_prior_fit import Fit, Judge, Rule, fit
from quell.methods.shared.held_out import hold_out, split_counts
from quell.methods.shared.quiet_blocks import quiet_noise
from quell.models.scaling import usual_scaling
from quell.networks.deep_prior import DeepPriorUNet

_NOISE_CHANNELS = 8
_SOFT_TISSUE = (-160.0, 240.0)
"""Window of CT, HU, in which muscle, fat and organs differ."""


class CuiCDIPConfig(StudyConfig):
    """Settings of ``cui-cdip``.

    Attributes
    ----------
    input
        What the network sees: the prior image, or fixed noise (a plain deep image prior).
    widths
        Channels at 1, 1/2, 1/4 ... of the resolution.
    iterations
        The most that there are of L-BFGS.
    history
        Pairs of vectors that L-BFGS keeps.
    stop
        ``"discrepancy"``: when the residual is as strong as the noise that was found in the image;
        ``"validation"``: when left-out data (counts, or voxels where there are none) are told no better;
        ``"never"``: after all iterations.
    strength
        Residual at which a discrepancy is reached, as a multiple of the noise that was found, which structure
        makes a little too high.
    patience
        Iterations without a better figure after which a validation stops.
    held_out
        Share of the counts, or of the voxels, that are left out for a validation.
    every
        Iterations between two looks at the rule.
    slab_voxels
        Volumes above it are fitted slab by slab along z.
    overlap
        Slices that neighbouring slabs share.
    device
        ``"cpu"`` gives the same result for the same seed; ``"cuda"`` nearly so.
    """

    input: Literal["prior", "noise"] = "prior"
    widths: tuple[int, ...] = Field((16, 32, 64, 128), min_length=1)
    iterations: int = Field(200, ge=1)
    history: int = Field(10, ge=1)
    stop: Literal["discrepancy", "validation", "never"] = "discrepancy"
    strength: float = Field(0.85, gt=0)
    patience: int = Field(20, ge=1)
    held_out: float = Field(0.1, gt=0, lt=1)
    every: int = Field(2, ge=1)
    slab_voxels: int = Field(1_000_000, ge=1)
    overlap: int = Field(8, ge=0)
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _fits(self) -> CuiCDIPConfig:
        if min(self.widths) < 1:
            raise ValueError("widths are positive")
        if self.every > self.iterations:
            raise ValueError("every is at most iterations")
        return self


@dataclass(frozen=True)
class Piece:
    """Slices that are fitted together, as indices of the first and of the one after the last."""

    start: int
    stop: int


class CuiCDIP:
    """Conditional deep image prior.

    Source: Cui et al., "PET image denoising using unsupervised deep learning", Eur J Nucl Med Mol Imaging 46
    (2019) 2780; abstract and independent notes were read. An untrained network f is fitted to the noisy
    image x of one patient, min over its weights of ``|x - f(prior)|^2``, and its image is the result:
    networks tell structure sooner than noise, and structure that the prior shows soonest.

    Faithful: the input is the CT or MR of the same patient, the label is the noisy PET, a U-Net in three
    dimensions, L-BFGS, one patient and no training data.

    Ours: widths, normalisation, the number of iterations and both rules to stop; a second channel for soft
    tissue where the prior is CT; slabs for large volumes; planes in two dimensions.

    Parameters
    ----------
    config : CuiCDIPConfig
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="cui-cdip",
        title="deep image prior for PET that sees the CT or MR of the patient",
        source=(
            "Cui, Gong, Guo et al., Eur J Nucl Med Mol Imaging 46 (2019) 2780 "
            "(abstract and independent notes read)"
        ),
        fidelity=Fidelity.NAMED,
        need=Need.ONE_IMAGE,
        modalities=(Modality.PT,),
        ours="widths, normalisation, iterations, both rules to stop, the soft-tissue channel of CT, slabs",
        dimensions=3,
        prior=(Modality.CT, Modality.MR),
        needs_prior=True,
        objects=("anatomy-pet",),
    )
    Config: ClassVar[type[StudyConfig]] = CuiCDIPConfig

    def __init__(self, config: CuiCDIPConfig) -> None:
        self.config = config

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"widths": (4, 8), "iterations": 10}

    def denoise(self, image: Image, prior: Image | None, seed: int = 0) -> StudyResult:
        """Denoise one image.

        Parameters
        ----------
        image : Image
        prior : Image, optional
            CT or MR of the patient on the same grid.
        seed : int
            Of the weights that the fit begins with.

        Raises
        ------
        InputError
            If there is no prior where one is needed, it does not fit, or a value is no number.
        """
        self._check(image, prior)
        known = None if self.config.input == "noise" else prior_channels(image, prior)
        usable = _usable(image)
        scale = usual_scaling(Modality.PT).of(image)[1]
        if not usable.any() or np.ptp(image.voxels[usable]) == 0:
            return StudyResult(image.voxels.copy(), facts={"iterations": 0, "stopped": "no noise was found"})
        values = (image.voxels / np.float32(scale)).astype(np.float32)
        whole, fits = self._slabs(replace(image, voxels=values), known, usable, scale, seed)
        low, high = float(image.voxels[usable].min()), float(image.voxels[usable].max())
        result = np.where(usable, np.clip(whole * scale, low, high), image.voxels).astype(np.float32)
        return StudyResult(result, facts=_facts(fits))

    def _check(self, image: Image, prior: Image | None) -> None:
        if not np.isfinite(image.voxels).all():
            raise InputError(image.name, "values that are no numbers cannot be fitted")
        if self.config.input == "noise":
            return
        if prior is None:
            raise InputError(
                image.name,
                "cui-cdip needs the CT or MR of the patient as prior (input: noise does without, as a plain "
                "deep image prior)",
            )
        if prior.shape != image.shape:
            raise InputError(
                prior.name, f"a prior lies on the grid of its image: {image.shape}, not {prior.shape}"
            )
        if prior.modality not in self.facts.prior:
            raise InputError(prior.name, f"a prior is CT or MR, not {prior.modality.value}")
        if not np.isfinite(prior.voxels).all():
            raise InputError(prior.name, "a prior has numbers only")

    def _slabs(
        self, image: Image, known: FloatArray | None, usable: BoolArray, scale: float, seed: int
    ) -> tuple[FloatArray, list[Fit]]:
        """Fit piece after piece and blend where they overlap; `image` is in network units of `scale`."""
        total = np.zeros(image.shape, np.float32)
        weights = np.zeros((image.shape[0], 1, 1), np.float32)
        counted = image.units == "counts" and bool((image.voxels[usable] >= 0).all())
        fits = []
        for piece in pieces(image, self.config.slab_voxels, self.config.overlap):
            part = slice(piece.start, piece.stop)
            ramp = _ramp(piece.stop - piece.start, self.config.overlap)
            values, weights[part] = image.voxels[part], weights[part] + ramp
            if usable[part].any() and np.ptp(values[usable[part]]) > 0:
                channels = None if known is None else known[:, part]
                data = replace(image, voxels=values.copy(), padding=None, gaps=())
                one = self._fit(data, channels, usable[part], scale if counted else 0.0, seed + piece.start)
                values = one.image.cpu().numpy().reshape(values.shape)
                fits.append(one)
            total[part] += ramp * values
        return total / weights, fits

    def _fit(self, data: Image, known: FloatArray | None, usable: BoolArray, counts: float, seed: int) -> Fit:
        """Fit one piece; the global generator of torch is left as it was."""
        device, flat = _device(self.config.device), len(data.voxels) == 1
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            told = torch.rand((_NOISE_CHANNELS, *data.shape)).numpy() if known is None else known
            # What is not usable may be anything, and a network's input and loss must stay small.
            values = np.where(usable, data.voxels, 0)
            target, weight, seen = (_tensor(v, flat, device) for v in (values[None], usable[None], told))
            problem = _Problem(self.config, seen, target, weight, seed)
            if self.config.stop == "validation":
                return problem.validated(counts)
            rule = Rule()
            if self.config.stop == "discrepancy":
                sigma = _tensor(quiet_noise(data, usable)[None], flat, device)
                if not (sigma > 0).any():
                    raise InputError(data.name, "too small to find its noise; stop: validation needs none")
                rule = Rule(_residual(target, sigma), self.config.strength)
            return problem.run(target, weight, rule, self.config.iterations)


class _Problem:
    """One piece and the network that is fitted to it, from the same start each time."""

    def __init__(
        self, config: CuiCDIPConfig, known: Tensor, target: Tensor, weight: Tensor, seed: int
    ) -> None:
        self.config, self.known, self.target, self.weight, self.seed = config, known, target, weight, seed

    def run(self, target: Tensor, weight: Tensor, rule: Rule, iterations: int) -> Fit:
        torch.manual_seed(self.seed)
        network = DeepPriorUNet(self.known.shape[1], self.config.widths, self.known.ndim - 2)
        network.to(self.known.device)
        return fit(
            network, self.known, target, weight, rule, iterations, self.config.every, self.config.history
        )

    def validated(self, unit: float) -> Fit:
        """Find the number of iterations with part of the data, then do as many with all of it."""
        rng = np.random.default_rng(self.seed)
        share = self.config.held_out
        if unit > 0:
            target, judge = split_counts(self.target, self.weight, unit, share, rng)
            weight = self.weight
        else:
            target = self.target
            weight, judge = hold_out(self.target, self.weight, share, rng)
        rule = Rule(judge, None, self.config.patience)
        trial = self.run(target, weight, rule, self.config.iterations)
        full = self.run(self.target, self.weight, Rule(), max(trial.iterations, self.config.every))
        full.reason, full.evaluations = trial.reason, full.evaluations + trial.evaluations
        return full


def prior_channels(image: Image, prior: Image | None) -> FloatArray:
    """Return what the network sees of a prior, shape (channels, z, y, x): about -1 to 1 each.

    CT has two channels: all of it, and the window of soft tissue.
    """
    if prior is None:
        raise InputError(image.name, "there is no prior")
    if prior.modality is Modality.CT:
        low, high = _SOFT_TISSUE
        soft = (np.clip(prior.voxels, low, high) - low) / (high - low) * 2 - 1
        return np.asarray(np.stack([np.clip(prior.voxels, -1000, 1000) / 1000, soft]), np.float32)
    offset, scale = usual_scaling(prior.modality).of(prior)
    return np.asarray(np.clip(2 * (prior.voxels[None] - offset) / scale - 1, -1.5, 1.5), np.float32)


def pieces(image: Image, slab_voxels: int, overlap: int) -> Iterator[Piece]:
    """Yield what is fitted together: runs of neighbouring slices, cut into slabs that overlap.

    Slices that are no neighbours (frames, a gap) are never in one piece.
    """
    depth, rows, columns = image.shape
    if not image.volume:
        yield from (Piece(z, z + 1) for z in range(depth))
        return
    thick = max(slab_voxels // (rows * columns), 1)
    edges = [0, *(gap + 1 for gap in sorted(image.gaps)), depth]
    for start, stop in pairwise(edges):
        step = max(thick - overlap, 1)
        first = start
        while first + thick < stop:
            yield Piece(first, first + thick)
            first += step
        yield Piece(max(start, min(first, stop - thick)), stop)


def _usable(image: Image) -> BoolArray:
    return np.ones(image.shape, np.bool_) if image.padding is None else ~image.padding


def _tensor(values: Any, flat: bool, device: torch.device) -> Tensor:
    """Return a batch of one, (1, channels, y, x) for a single slice, else (1, channels, z, y, x)."""
    tensor = torch.as_tensor(np.ascontiguousarray(values, np.float32), device=device)[None]
    return tensor[:, :, 0] if flat else tensor


def _residual(target: Tensor, sigma: Tensor) -> Judge:
    """Return the judge of a discrepancy: root mean square, over quiet blocks, of residual over noise."""
    quiet = sigma > 0

    def judge(image: Tensor) -> float:
        return float(torch.sqrt(torch.mean(((image - target)[quiet] / sigma[quiet]) ** 2)))

    return judge


def _ramp(depth: int, overlap: int) -> FloatArray:
    """Return weights, shape (depth, 1, 1), that fall towards both ends of a slab."""
    place = np.arange(depth)
    inner = np.minimum(place, place[::-1]) + 1
    return np.minimum(inner / (overlap + 1), 1.0).astype(np.float32)[:, None, None]


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise QuellError("device: cuda was asked for, and there is no such device")
    return torch.device(name)


def _facts(fits: list[Fit]) -> dict[str, float | int | str]:
    return {
        "iterations": max(one.iterations for one in fits),
        "evaluations": sum(one.evaluations for one in fits),
        "stopped": "; ".join(sorted({one.reason for one in fits})),
        "slabs": len(fits),
        "first_loss": fits[0].losses[0],
        "last_loss": fits[0].losses[-1],
    }


METHOD = CuiCDIP
