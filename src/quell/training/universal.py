"""Train the universal denoiser and its noise estimator together.

``python -m quell.training.universal PACK -o RUN --minutes 120`` writes checkpoints from which the
same command goes on; ``python -m quell.training.release RUN`` makes the model that ships.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from quell.inference.normalise import difference_scale, level_from_log, local_mean
from quell.networks.noise_estimator import BLOCK, NoiseEstimator
from quell.networks.universal_unet import UniversalUNet
from quell.noise.grid import block_mean
from quell.training.corruption import Corrupted, corrupt
from quell.training.crops import Crops, CropSampler

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Options:
    """What a run is made of; stored with every checkpoint."""

    minutes: float = 120.0
    crops: int = 0
    batch: int = 16
    size: int = 96
    rate: float = 2e-3
    seed: int = 0
    told: float = 0.15


class Pair(nn.Module):
    """The estimator and the denoiser as one set of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.estimator = NoiseEstimator()
        # Channels last runs about twice as fast on a CPU.
        self.denoiser = UniversalUNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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
        log_level, descriptor = self.estimator(centre / scale)
        log_level = log_level + scale.log()
        level = torch.where(told[:, :, None, None], batch.level, level_from_log(log_level.detach(), BLOCK))
        condition = torch.where(told, batch.descriptor, descriptor.detach())
        with torch.autocast(centre.device.type, torch.bfloat16):
            normalised = self.denoiser((batch.noisy - local_mean(centre)) / level, condition)
        return level * normalised.float(), log_level, descriptor


def losses(
    batch: Corrupted, noise: Tensor, log_level: Tensor, descriptor: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the errors of the image, of the level and of the spectrum, each in natural units.

    The image's error is in units of the true level, so that every dose counts the same; below 0.5
    it is squared (the mean is wanted, free of bias), above it is absolute.
    """
    middle = batch.noisy.shape[1] // 2
    true = batch.noisy[:, middle : middle + 1] - batch.clean
    error = (noise - true) / batch.level * batch.valid
    image = (error.square() + 0.25).sqrt().mean() - 0.5
    inside = block_mean(batch.valid, BLOCK) > 0.99
    wrong = (log_level - block_mean(batch.level.log(), BLOCK)).abs() * inside
    return image, wrong.sum() / inside.sum().clamp(min=1), (descriptor - batch.descriptor).abs().mean()


class Run:
    """A training run that can stop and go on.

    Parameters
    ----------
    pack, folder : Path
    options : Options
    device : torch.device
    start : Path, optional
        Weights to begin with (``weights.safetensors`` of a model that ships); drawn anew if not given.
    """

    def __init__(
        self,
        pack: Path,
        folder: Path,
        options: Options,
        device: torch.device,
        start: Path | None = None,
    ) -> None:
        self.folder, self.options, self.device = folder, options, device
        self.rng = np.random.default_rng(options.seed)
        torch.manual_seed(options.seed)
        self.sampler = CropSampler(pack, self.rng)
        self.pair = Pair().to(device)
        self.average = Pair().to(device).requires_grad_(False)
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
        """Share of the run that is done, by crops where a number was given, by time otherwise."""
        if self.options.crops:
            return self.step * self.options.batch / self.options.crops
        return self.seconds / (60 * self.options.minutes)

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of a model instead of random ones."""
        state = load_file(weights)
        self.pair.load_state_dict(state)
        self.average.load_state_dict(state)

    def train(self) -> None:
        """Go on until the run is done, with a checkpoint every three minutes."""
        saved = report = time.monotonic()
        totals: list[tuple[float, ...]] = []
        while self.progress < 1:
            wall, cpu = time.monotonic(), time.process_time()
            totals.append(self._one_step())
            now = time.monotonic()
            self.seconds += now - wall
            self.cpu_seconds += time.process_time() - cpu
            if now - report > 30:
                self._report(np.mean(totals, axis=0))
                totals, report = [], now
            if now - saved > 180:
                self._save()
                saved = now
        self._save()

    def _one_step(self) -> tuple[float, ...]:
        batch = self._batch(self.sampler.draw(self.options.batch, self.options.size))
        told = torch.rand(self.options.batch, 1, device=self.device) < self.options.told
        image, level, spectrum = losses(batch, *self.pair(batch, told))
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(image + 0.5 * level + 0.1 * spectrum)
        nn.utils.clip_grad_norm_(self.pair.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return image.item(), level.item(), spectrum.item()

    def _batch(self, crops: Crops) -> Corrupted:
        lowest = np.maximum(2 * crops.noise, 0.005)
        highest = np.maximum(0.22, 1.5 * lowest)
        sigma = lowest * (highest / lowest) ** self.rng.random(len(lowest))
        arrays = (crops.clean, crops.noise, sigma.astype(np.float32), crops.alone, crops.law, crops.sectors)
        return corrupt(*(torch.from_numpy(array).to(self.device) for array in arrays))

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

    def _report(self, mean: Any) -> None:
        line = {
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

    def _save(self) -> None:
        state = {
            "pair": self.pair.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "progress": (self.step, self.seconds, self.cpu_seconds),
            "options": vars(self.options),
            "rng": (self.rng.bit_generator.state, torch.get_rng_state()),
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
        generator, torch_state = state["rng"]
        self.rng.bit_generator.state = generator
        self.sampler.draws = self.step
        torch.set_rng_state(torch_state.cpu())


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path, help="folder written by quell.training.pack")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, default=Options.minutes, help="length of the schedule")
    parser.add_argument("--crops", type=int, default=0, help="length of the schedule in crops, instead")
    parser.add_argument("--batch", type=int, default=Options.batch)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=Options.rate, help="highest learning rate")
    parser.add_argument("--start", type=Path, help="weights.safetensors to begin with")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    options = Options(
        minutes=arguments.minutes,
        crops=arguments.crops,
        batch=arguments.batch,
        rate=arguments.rate,
        seed=arguments.seed,
    )
    device = torch.device(arguments.device)
    Run(arguments.pack, arguments.out, options, device, arguments.start).train()


if __name__ == "__main__":
    main()
