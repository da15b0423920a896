"""Train the universal denoiser and its noise estimator together; ``quell train release`` is the command."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from quell.errors import ModelError, QuellError
from quell.inference.kinds import KINDS
from quell.inference.normalise import difference_scale, level_from_log, local_mean
from quell.networks.noise_estimator import BLOCK, NoiseEstimator
from quell.networks.universal_unet import UniversalUNet
from quell.noise.grid import block_mean
from quell.training.corruption import Corrupted, Scanned, corrupt
from quell.training.crops import Crops, CropSampler
from quell.training.widening import widened

CHECKPOINT = "checkpoint.pt"

Line: TypeAlias = dict[str, float]
Told: TypeAlias = Callable[[Line], None]

WIDTHS = {"fast": (16, 32, 64), "standard": (24, 48, 96)}
"""Channels of the denoiser of each tier, about 9 and 20 thousand multiplications per pixel."""


@dataclass(frozen=True)
class Options:
    """What a run is made of; stored with every checkpoint."""

    crops: int = 3_000_000
    batch: int = 16
    size: int = 96
    rate: float = 2e-3
    seed: int = 0
    told: float = 0.15
    tier: str = "fast"
    kind: str = ""

    @property
    def steps(self) -> int:
        """Length of the run."""
        return max(1, self.crops // self.batch)


def chosen_device(accelerator: str) -> torch.device:
    """Return where to train.

    Parameters
    ----------
    accelerator : str
        ``"auto"``, ``"cpu"`` or ``"gpu"``.

    Raises
    ------
    QuellError
        If a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise QuellError("there is no GPU that PyTorch can use")
    return torch.device("cuda" if has_gpu and accelerator != "cpu" else "cpu")


class Pair(nn.Module):
    """The estimator and the denoiser as one set of weights.

    Parameters
    ----------
    tier : str
        One of `WIDTHS`.
    """

    def __init__(self, tier: str = "fast") -> None:
        super().__init__()
        self.estimator = NoiseEstimator()
        # Channels last runs about twice as fast on a CPU.
        self.denoiser = UniversalUNet(widths=WIDTHS[tier]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: Corrupted, told: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the noise of the middle slice, the log level and the descriptor.

        Parameters
        ----------
        batch : Corrupted
        told : Tensor of bool, shape (n, 1)
            True where the denoiser is given the true level and spectrum instead of the estimates.
        """
        middle = batch.noisy.shape[1] // 2
        centre = batch.noisy[:, middle : middle + 1]
        scale = difference_scale(centre) + 1e-8
        log_level, descriptor = self.estimator(centre / scale, batch.kind)
        log_level = log_level + scale.log()
        level = torch.where(told[:, :, None, None], batch.level, level_from_log(log_level.detach(), BLOCK))
        spectrum = torch.where(told, batch.descriptor, descriptor.detach())
        condition = torch.cat((spectrum, batch.kind), dim=1)
        with torch.autocast(centre.device.type, torch.bfloat16):
            normalised = self.denoiser((batch.noisy - local_mean(centre)) / level, condition)
        return level * normalised.float(), log_level, descriptor


def starting_weights(file: Path, pair: Pair) -> dict[str, Tensor]:
    """Return the weights of a model that ships, widened to those of a pair.

    Parameters
    ----------
    file : Path
        ``weights.safetensors``.
    pair : Pair

    Raises
    ------
    ModelError
        If they cannot be read, or do not fit.
    """
    try:
        return widened(load_file(file), pair.state_dict())
    except (OSError, RuntimeError, SafetensorError, ModelError) as error:
        raise ModelError(f"{file}: no weights to begin with: {' '.join(str(error).split())}") from error


LASTING = {"CT": 0.5, "MR": 0.75, "PT": 3.0, "SPECT": 3.0, "NM": 3.0, "US": 0.5, "XR": 0.5}
"""By how much more an error counts that lasts: where hot spots are measured, more."""

_LASTING_OTHERS = 1.0


def lasting_weight(kind: Tensor) -> Tensor:
    """Return the weights of `LASTING` for every pair of crops, shape (n / 2, 1, 1, 1)."""
    by_kind = torch.tensor([LASTING[one] for one in KINDS], device=kind.device)
    chosen = kind[::2] @ by_kind + _LASTING_OTHERS * (1 - kind[::2].sum(dim=1))
    return chosen[:, None, None, None]


def lasting(error: Tensor) -> Tensor:
    """Return the square of what is wrong on the average over the noise, without bias.

    The mean squared error of an estimate is its variance and the square of its bias, and the least of the
    sum shrinks what is faint or rare: its bias costs less than the noise that it would keep. The product of
    the errors for two independent noises has the square of the bias alone as its mean; added, it
    moves the balance towards contrasts that stay.

    Parameters
    ----------
    error : Tensor, shape (n, 1, y, x)
        Two and two of one crop, see `quell.training.crops.Crops`; in units of the level.

    Returns
    -------
    Tensor, shape (n / 2, 1, y, x)
        Large errors count by their size, as in the loss of the image.
    """
    tempered = error / (1 + 4 * error.square()) ** 0.25
    product: Tensor = tempered[::2] * tempered[1::2]
    return product


def losses(
    batch: Corrupted, noise: Tensor, log_level: Tensor, descriptor: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the errors of the image, of the level and of the spectrum, each in natural units.

    The image's error is in units of the true level, so that every dose counts the same; below 0.5
    it is squared (the mean is wanted, free of bias), above it is absolute. What is wrong in the same way
    with two noises counts more, see `lasting`.
    """
    middle = batch.noisy.shape[1] // 2
    true = batch.noisy[:, middle : middle + 1] - batch.clean
    error = (noise - true) / batch.level
    image = (batch.weight * ((error.square() + 0.25).sqrt() - 0.5)).mean()
    image = image + (lasting_weight(batch.kind) * batch.weight[::2] * lasting(error)).mean()
    inside = block_mean((batch.weight > 0).to(true), BLOCK) > 0.99
    wrong = (log_level - block_mean(batch.level.log(), BLOCK)).abs() * inside
    return image, wrong.sum() / inside.sum().clamp(min=1), (descriptor - batch.descriptor).abs().mean()


Loss: TypeAlias = Callable[[Corrupted, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Of a batch and of what a `Pair` says of it; see `losses`."""


class _Batches(Dataset[Crops]):
    """Batches of crops by their number, for loaders that draw side by side."""

    def __init__(self, pack: Path, options: Options) -> None:
        self._sampler, self._options = CropSampler(pack, options.seed, options.kind), options

    def __len__(self) -> int:
        return self._options.steps

    def __getitem__(self, number: int) -> Crops:
        return self._sampler.draw(number, self._options.batch, self._options.size)


class Run:
    """A training run that can stop and go on.

    Parameters
    ----------
    pack, folder : Path
    options : Options
    device : torch.device
    start : Path, optional
        Weights to begin with (``weights.safetensors`` of a model that ships); drawn anew if not given.
    workers : int
        Processes that draw crops; 0 for this one.
    loss : callable
        Stands in for `losses`, for experiments; no checkpoint says which it was.
    """

    def __init__(
        self,
        pack: Path,
        folder: Path,
        options: Options,
        device: torch.device,
        start: Path | None = None,
        workers: int = 0,
        loss: Loss = losses,
    ) -> None:
        self.folder, self.options, self.device, self.workers = folder, options, device, workers
        self.loss = loss
        torch.manual_seed(options.seed)
        self.batches = _Batches(pack, options)
        self.pair = Pair(options.tier).to(device)
        self.average = Pair(options.tier).to(device).requires_grad_(False)
        self.average.load_state_dict(self.pair.state_dict())
        self.optimiser = torch.optim.Adam(self.pair.parameters(), lr=options.rate, betas=(0.9, 0.99))
        self.step, self.seconds, self.cpu_seconds = 0, 0.0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).exists():
            self._load()
        elif start is not None:
            self.start_from(start)

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.step / self.options.steps

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of a model instead of random ones; see `starting_weights`."""
        state = starting_weights(weights, self.pair)
        self.pair.load_state_dict(state)
        self.average.load_state_dict(state)

    def train(self, minutes: float = math.inf, told: Told = lambda line: None) -> bool:
        """Go on until the run is done, or for so many minutes, with a checkpoint every three.

        Parameters
        ----------
        minutes : float
        told : callable
            Given a line of the log, as a dict, twice a minute.

        Returns
        -------
        bool
            Whether it is done.
        """
        begun = saved = report = time.monotonic()
        totals: list[tuple[float, ...]] = []
        wall, cpu = begun, time.process_time()
        for crops in self._loader():
            totals.append(self.advance(crops))
            now, used = time.monotonic(), time.process_time()
            self.seconds, self.cpu_seconds = self.seconds + now - wall, self.cpu_seconds + used - cpu
            wall, cpu = now, used
            if now - report > 30 or self.step == self.options.steps:
                told(self._report(np.mean(totals, axis=0)))
                totals, report = [], now
            if now - begun > 60 * minutes:
                break
            if now - saved > 180:
                self._save()
                saved = now
        self._save()
        return self.step >= self.options.steps

    def _loader(self) -> DataLoader[Crops]:
        numbers = range(self.step, self.options.steps)
        more: dict[str, Any] = {"prefetch_factor": 4} if self.workers else {}
        # A loader takes a number from its generator, and a run that goes on makes one loader more.
        own = torch.Generator().manual_seed(self.options.seed)
        return DataLoader(
            self.batches,
            batch_size=None,
            sampler=numbers,
            num_workers=self.workers,
            collate_fn=_as_drawn,
            generator=own,
            **more,
        )

    def advance(self, crops: Crops) -> tuple[float, ...]:
        """Take one step; return the errors of the image, of the level and of the spectrum."""
        batch = self.corrupted(crops)
        told = torch.rand(self.options.batch, 1, device=self.device) < self.options.told
        image, level, spectrum = self.loss(batch, *self.pair(batch, told))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(image + 0.5 * level + 0.1 * spectrum)
        nn.utils.clip_grad_norm_(self.pair.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return image.item(), level.item(), spectrum.item()

    def corrupted(self, crops: Crops) -> Corrupted:
        """Add noise of levels drawn from the seed and the number of the step."""
        rng = np.random.default_rng([self.options.seed, 1, self.step])
        lowest = np.maximum(2 * crops.noise, 0.005)
        highest = np.maximum(0.22, 1.5 * lowest)
        drawn = np.repeat(rng.random(len(lowest) // 2), 2)
        sigma = (lowest * (highest / lowest) ** drawn).astype(np.float32)

        def here(array: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(self.device, non_blocking=True)

        level, focus = here(crops.level[:, None]), here(crops.focus[:, None])
        scanned = Scanned(here(crops.noisy), level, here(crops.descriptor), focus)
        return corrupt(
            *(here(crops.clean), here(crops.noise), here(sigma), here(crops.alone), here(crops.law)),
            *(here(crops.sectors), here(crops.kind), scanned),
        )

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / 200)
        return (
            self.options.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(self.progress, 1))))
        )

    def _update_average(self) -> None:
        # The mean of the last weights is worth a longer schedule (Polyak and Juditsky 1992).
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mine, now in zip(self.average.parameters(), self.pair.parameters(), strict=True):
                mine.lerp_(now, 1 - keep)

    def _report(self, mean: Any) -> Line:
        line: Line = {
            "step": self.step,
            "crops": self.step * self.options.batch,
            "minutes": round(self.seconds / 60, 2),
            "cpu_minutes": round(self.cpu_seconds / 60, 2),
            "image": round(float(mean[0]), 4),
            "level": round(float(mean[1]), 4),
            "spectrum": round(float(mean[2]), 4),
        }
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        return line

    def _save(self) -> None:
        state = {
            "pair": self.pair.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": (self.step, self.seconds, self.cpu_seconds),
            "options": vars(self.options),
            "rng": torch.get_rng_state(),
            "device_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
        }
        part = self.folder / (CHECKPOINT + ".part")
        torch.save(state, part)
        part.replace(self.folder / CHECKPOINT)

    def _load(self) -> None:
        state = torch.load(self.folder / CHECKPOINT, map_location=self.device, weights_only=True)
        self.pair.load_state_dict(state["pair"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.cpu_seconds = state["progress"]
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda" and state["device_rng"] is not None:
            torch.cuda.set_rng_state(state["device_rng"].cpu())


def _as_drawn(crops: Any) -> Any:
    """Keep a batch as it is: its arrays become tensors where they are used."""
    return crops
