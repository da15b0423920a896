"""How fast batches are made, beside how long a method takes to learn from them.

``python benchmarks/training_data.py --method redcnn``
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.flop_counter import FlopCounterMode

from quell.image import Modality
from quell.methods.contracts import Batch, Stage
from quell.methods.registry import find_method
from quell.training.data.contracts import Stack, Variant
from quell.training.data.measure import measure_data
from quell.training.data.pool import Pool


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", help="whose step the batch is compared with")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=12, help="of 40 slices of 256 x 256 pixels")
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    stacks = volumes(arguments.images)
    print(f"{arguments.device}, {arguments.threads} threads, torch {torch.__version__}")
    print(f"{'crops':<18}{'roles':<26}{'ms':>8}{'samples/s':>12}")
    for patch, dimensions in (((3, 96, 96), 2), ((1, 64, 64), 2), ((16, 48, 48), 3)):
        for roles in (("noisy",), ("noisy", "clean"), ("noisy", "clean", "second")):
            pool = Pool([limited(stack, roles) for stack in stacks], dimensions).to(arguments.device)
            stage = Stage("train", 16, patch)
            took = timed(lambda k, p=pool, s=stage: p.draw(s, (0, k)), arguments)
            size = " x ".join(str(n) for n in (16, *patch))
            print(f"{size:<18}{', '.join(roles):<26}{1e3 * took:>8.2f}{16 / took:>12.0f}")
    if arguments.method:
        beside_step(arguments, stacks)


def volumes(count: int) -> list[Stack]:
    """Return stacks of noise, each a clean image and two noisy ones."""
    rng = np.random.default_rng(0)
    variants = (Variant(1, 0, 2, 0.25, 0.0, 1000.0), Variant(2, 0, 1, 0.25, 0.0, 1000.0))
    shape = (3, 40, 256, 256)
    return [
        Stack(f"{k}", f"{k}", rng.standard_normal(shape, np.float32), variants, Modality.CT, volume=True)
        for k in range(count)
    ]


def limited(stack: Stack, roles: tuple[str, ...]) -> Stack:
    """Return a stack that has only some roles."""
    left = {role: -1 for role in ("clean", "second") if role not in roles}
    return replace(stack, variants=tuple(replace(v, **left) for v in stack.variants))


def timed(work: Callable[[int], object], arguments: argparse.Namespace) -> float:
    """Return the seconds of one call, the median over the repeats; of the processor where one thread runs."""
    alone = arguments.device == "cpu" and arguments.threads == 1
    clock = time.process_time if alone else time.perf_counter
    times = []
    for k in range(arguments.repeats + 3):
        start = clock()
        work(k)
        if arguments.device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return float(np.median(times[3:]))


def beside_step(arguments: argparse.Namespace, stacks: list[Stack]) -> None:
    """Print what share of a step of a method the making of its batch is."""
    kind = find_method(arguments.method)
    fabric = Fabric(accelerator="cpu" if arguments.device == "cpu" else "gpu", devices=1)
    facts = measure_data(stacks, Modality.CT, kind.scaling(Modality.CT))
    method = kind(kind.Config(), facts)
    method.setup(fabric)
    stage = method.stage(0.0)
    pool = Pool(stacks, kind.facts.dimensions).to(fabric.device)
    batch: Batch = pool.draw(stage, (0, 0))
    draw = timed(lambda k: pool.draw(stage, (0, k)), arguments)
    arguments.repeats = min(arguments.repeats, 8)
    step = timed(lambda k: method.step(batch, 0.0, fabric), arguments)
    with FlopCounterMode(display=False) as counter:
        method.step(batch, 0.0, fabric)
    done, best = counter.get_total_flops() / step, peak(arguments)
    print(
        f"{arguments.method}: {stage.batch} x {stage.patch}, batch {1e3 * draw:.2f} ms, "
        f"step {1e3 * step:.1f} ms, share {draw / step:.1%}, {stage.batch / step:.0f} samples/s, "
        f"{done / 1e9:.0f} of {best / 1e9:.0f} GFLOP/s ({done / best:.0%} of the peak)"
    )


def peak(arguments: argparse.Namespace) -> float:
    """Return operations a second of a product of large matrices in 32 bits."""
    a, b = (torch.randn(2048, 2048, device=arguments.device) for _ in range(2))
    return 2 * 2048**3 / timed(lambda k: a @ b, arguments)


if __name__ == "__main__":
    main()
