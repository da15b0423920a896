"""Train peers of the universal network on its samples, within a budget of processor time.

``python benchmarks/train_peers.py --pack PACK --body NAME [--minutes 12] [--kind CT] [-o RUN]``

Crops, noise, normalisation and loss are those of ``python -m quell.training.universal``; the estimator of the
noise is that of universal.fast and stays as it is; only the body differs. Sample number n is the same for all
bodies of one seed, batch and size. The budget is time of processors for everything, from the drawing of crops
to the last step; the rate falls as a cosine over it. RUN can be named wherever a network can:
``python benchmarks/ct_peers.py --data DATA --peer DnCNN=RUN``. With ``--start WEIGHTS --sigma LOW HIGH`` the
universal network becomes one for a single dose, for ``benchmarks/generality.py --per-dose``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_bodies import BODIES, RATES, SHIPPED, UNIVERSAL, Peer, kmac, write_model
from peer_samples import Span, corrupted
from torch import nn

from quell.inference.kinds import KINDS
from quell.training.crops import CropSampler
from quell.training.universal import Options, losses

WARM = 0.03
"""Share of the budget over which the rate rises: a number of steps would suit fast bodies or slow ones."""

TOLD = Options().told


@dataclass(frozen=True)
class Plan:
    """What a run is made of.

    Attributes
    ----------
    body : str
    minutes : float
        Of processor time.
    rate : float
    seed, batch, size : int
        As in `quell.training.universal.Options`.
    kind : str
        One of `quell.inference.kinds.KINDS` whose crops alone are used; empty for all.
    sigma : tuple of float
        Lowest and highest level of the noise, over the contrast of the reference (in CT HU / 1000); empty
        for the whole range.
    """

    body: str
    minutes: float = 12.0
    rate: float = 1e-3
    seed: int = 0
    batch: int = 16
    size: int = 96
    kind: str = ""
    sigma: Span = ()


def rate_at(share: float, highest: float) -> float:
    """Return the rate at a share of the budget: a rise, then a cosine down to a hundredth at the end."""
    warm = min(1.0, (share + 0.1 * WARM) / WARM)
    return highest * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


class Training:
    """A run on the processor.

    Parameters
    ----------
    pack, folder : Path
    plan : Plan
    start : Path, optional
        Weights of a universal network to go on from.
    estimator : Path
        Weights of the universal network whose estimator is used; without use if there is a `start`.
    """

    def __init__(
        self, pack: Path, folder: Path, plan: Plan, start: Path | None = None, estimator: Path = SHIPPED
    ) -> None:
        self.folder, self.plan = folder, plan
        torch.manual_seed(plan.seed)
        self.sampler = CropSampler(pack, plan.seed, plan.kind)
        self.peer, self.average = Peer(plan.body), Peer(plan.body).requires_grad_(False)
        if start is None:
            self.peer.take_estimator(estimator)
        else:
            self.peer.start_from(start)
        self.average.load_state_dict(self.peer.state_dict())
        self.peer.estimator.eval()
        self.optimiser = torch.optim.Adam(self.peer.denoiser.parameters(), lr=plan.rate, betas=(0.9, 0.99))
        self.sources = {
            "pack_index_sha256": _sha256(pack / "index.json"),
            "estimator_from_sha256": _sha256(start or estimator),
            "start_sha256": _sha256(start) if start else "",
        }
        self.step = 0
        self.budget = 60 * plan.minutes
        self.begun_cpu, self.begun = time.process_time(), time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.jsonl").write_text("")

    @property
    def share(self) -> float:
        """Share of the budget that is spent."""
        return (time.process_time() - self.begun_cpu) / self.budget

    def train(self, every: float = 30.0) -> None:
        """Spend the budget, with a line of the log every so many seconds."""
        self.begun_cpu, self.begun = time.process_time(), time.monotonic()
        report, errors = self.begun, []
        while (share := self.share) < 1:
            errors.append(self.advance(share))
            if time.monotonic() - report > every:
                self._report(errors)
                report, errors = time.monotonic(), []
        if errors:
            self._report(errors)

    def advance(self, share: float) -> float:
        """Take one step at a share of the budget; return the error of the image."""
        crops = self.sampler.draw(self.step, self.plan.batch, self.plan.size)
        # Bodies draw different numbers of weights at the start; the noise is to be the same.
        torch.manual_seed(int(np.random.SeedSequence([self.plan.seed, 2, self.step]).generate_state(1)[0]))
        batch = corrupted(crops, self.plan.seed, self.step, self.plan.sigma)
        told = torch.rand(self.plan.batch, 1) < TOLD
        image, _, _ = losses(batch, *self.peer(batch, told))
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(share, self.plan.rate)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(image)
        nn.utils.clip_grad_norm_(self.peer.denoiser.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return image.item()

    def told(self) -> dict[str, Any]:
        """Return what is known of the run, without the places of files."""
        cpu, wall = time.process_time() - self.begun_cpu, time.monotonic() - self.begun
        return asdict(self.plan) | {
            "rate_schedule": "cosine over the budget",
            "steps": self.step,
            "crops": self.step * self.plan.batch,
            "cpu_minutes": round(cpu / 60, 3),
            "wall_minutes": round(wall / 60, 3),
            "threads": torch.get_num_threads(),
            "parameters": self.peer.parameters_of_body,
            "kmac_per_pixel": kmac(self.plan.body),
            **self.sources,
        }

    def write(self) -> Path:
        """Write ``training.json`` and the model with the averaged weights; return its card."""
        told = self.told()
        text = json.dumps(told, indent=1) + "\n"
        (self.folder / "training.json").write_text(text, encoding="utf-8")
        return write_model(self.average, self.folder, (self.plan.kind,) if self.plan.kind else (), told)

    def _update_average(self) -> None:
        # As in the training of the universal network; the statistics of batches go with their weights.
        keep = min(0.999, (1 + self.step) / (10 + self.step))
        now = self.peer.denoiser.state_dict()
        with torch.no_grad():
            for name, mine in self.average.denoiser.state_dict().items():
                if mine.is_floating_point():
                    mine.lerp_(now[name], 1 - keep)

    def _report(self, errors: list[float]) -> None:
        line = {
            "step": self.step,
            "crops": self.step * self.plan.batch,
            "cpu_minutes": round((time.process_time() - self.begun_cpu) / 60, 2),
            "minutes": round((time.monotonic() - self.begun) / 60, 2),
            "image": round(float(np.mean(errors)), 4),
        }
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(", ".join(f"{key} {value}" for key, value in line.items()), flush=True)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    """Parse the command line, train and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pack", type=Path, required=True, help="references to draw crops from")
    parser.add_argument("--body", choices=(*BODIES, UNIVERSAL), required=True)
    parser.add_argument("--minutes", type=float, default=12.0, help="of processor time")
    parser.add_argument("--kind", choices=KINDS, default="", help="crops of this kind alone")
    parser.add_argument("--sigma", type=float, nargs=2, default=(), metavar=("LOW", "HIGH"))
    parser.add_argument("--start", type=Path, help="weights of a universal network to go on from")
    parser.add_argument("--estimator", type=Path, default=SHIPPED, help="weights whose estimator is used")
    parser.add_argument("--rate", type=float, help="of Adam; by default one that suits the body")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=96, help="side of a crop, a multiple of 32 pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="RUN")
    arguments = parser.parse_args()
    if arguments.size % 32 or arguments.batch % 2 or arguments.minutes <= 0:
        parser.error("sizes are multiples of 32, batches are even, and minutes above 0")
    if arguments.sigma and not 0 < arguments.sigma[0] <= arguments.sigma[1]:
        parser.error("--sigma wants the lower end first, above 0")
    torch.set_num_threads(arguments.threads)
    body = arguments.body
    plan = Plan(
        *(body, arguments.minutes, arguments.rate or RATES[body], arguments.seed, arguments.batch),
        *(arguments.size, arguments.kind, tuple(arguments.sigma)),
    )
    training = Training(arguments.pack, arguments.out, plan, arguments.start, arguments.estimator)
    training.train()
    print(training.write())


if __name__ == "__main__":
    main()
