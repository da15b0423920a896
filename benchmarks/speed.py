"""Speed and memory of the main job and of the networks, beside their peers in the same run.

``python benchmarks/speed.py [--model NAME ...] [--slices 300] [--rounds 5] [--json FILE]``

A synthetic chest-like CT series (512 x 512, 16 bit, uncompressed), and the first half of it, are denoised
from DICOM to DICOM by the command itself, in a process of its own whose wall time and peak memory are read
from the operating system. In the same rounds, slices go through the networks and their peers, in turn, so
that a drift of the machine meets all of them; those that are quick go again before each slow one.

Networks of ours, and DnCNN-17 (Zhang et al. 2017) and RED-CNN (Chen et al. 2017) with random weights, which
cost the same time, run through the same engine in the same way: a batch of slices side by side, one stream a
core as in the product, divided by their number. A time is thus that of a slice in a series. It holds the
network alone; what is done to a slice before and behind it counts in the job. All other peers get one slice
at a time and as many cores as they can use: DnCNN-17 in PyTorch as it comes (32-bit floats, eager), BM3D
(package ``bm3d``, non-commercial, told the noise; left out with the reason where it is not installed), and
non-local means of scikit-image, which uses one. Times are medians over the rounds.

The peak of the machine is measured in the same rounds, see ``speed_peak.py``: the best rate of the engine, in
multiply-accumulates per second, over chains of wide convolutions and over all networks, for each precision.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from release_common import Model, open_model, save, told_command
from speed_job import SIDE, STEPS, Job, time_command, write_parts
from speed_networks import Streamed, chains, peers, universal
from speed_peak import peaks, shares
from speed_peers import bm3d, eager, nonlocal_means
from speed_rounds import Contest

from quell.errors import QuellError
from quell.machine import describe_machine
from quell.models.registry import list_cards

STARTS = 3
"""Starts of ``quell --help`` in each round."""


class Slices:
    """The measurement of single slices.

    Parameters
    ----------
    names : mapping of str to str
        Networks of ours: name or folder by what the record calls it.
    folder : Path
        For files of the peers.
    side : int
        Of a slice, in pixels.
    """

    def __init__(self, names: Mapping[str, str], folder: Path, side: int = SIDE) -> None:
        self._pixels = side**2
        self._chains = chains(folder, side)
        self._networks: list[Streamed] = [*universal(names, side), *peers(folder, side)]
        found, self._left_out = bm3d(side)
        others = [eager(side), *found, nonlocal_means(side)]
        self._contest = Contest([*self._networks, *self._chains, *others])

    def run(self) -> None:
        """Run one round."""
        self._contest.run()

    def result(self) -> dict[str, Any]:
        """Return what the record says: milliseconds for a slice, shares of the peak, who is left out."""
        times, ranges = self._contest.medians(), self._contest.ranges()
        counted = [*self._networks, *self._chains]
        of_chains = {one.name for one in self._chains}
        share = shares(counted, times)
        return {
            "slice_ms": {name: value for name, value in times.items() if name not in of_chains},
            "slice_ms_range": {name: value for name, value in ranges.items() if name not in of_chains},
            "kmac_per_pixel": {one.name: one.macs / self._pixels / 1000 for one in self._networks},
            "peak": {engine: peak._asdict() for engine, peak in peaks(counted, times).items()},
            "share_of_peak": {name: value for name, value in share.items() if name not in of_chains},
            "left_out": self._left_out,
        }


def usual_names() -> list[str]:
    """Return the universal networks that are installed."""
    return [card.identifier for card in list_cards() if card.name == "universal"]


def by_tier(models: Sequence[Model]) -> dict[str, Model]:
    """Return the models by their tags.

    Raises
    ------
    QuellError
        If two have the same.
    """
    tiers = {model.denoiser.card.tag: model for model in models}
    if len(tiers) < len(models):
        raise QuellError("two of the models have the same tag")
    return tiers


def measure(names: Sequence[str], models: Sequence[Model], slices: int, rounds: int) -> dict[str, Any]:
    """Return what was measured, as the record has it.

    Parameters
    ----------
    names : sequence of str
        Names or folders of the models, as ``quell denoise --model`` takes them.
    models : sequence of Model
        The same, opened.
    slices, rounds : int
    """
    places = {model.name: name for model, name in zip(models, names, strict=True)}
    with TemporaryDirectory(dir=_ram_disk()) as series, TemporaryDirectory() as files:
        parts = write_parts(Path(series), (slices // 2, slices))
        jobs = {
            tier: Job(places[model.name], parts, Path(series) / "out")
            for tier, model in by_tier(models).items()
        }
        single = Slices(places, Path(files))
        starts = []
        for number in range(rounds):
            starts += [time_command(["--help"])[0] for _ in range(STARTS)]
            for job in jobs.values():
                job.run()
            single.run()
            print(f"round {number + 1} of {rounds} done", flush=True)
        return {
            "rounds": rounds,
            "help_s": float(np.median(starts)),
            "jobs": {tier: job.result() for tier, job in jobs.items()},
            **single.result(),
        }


def tell(found: Mapping[str, Any]) -> None:
    """Print what was measured."""
    print(f"quell --help: {found['help_s']:.2f} s")
    tell_jobs(found["jobs"])
    tell_slices(found)


def tell_jobs(jobs: Mapping[str, Any]) -> None:
    """Print time and memory of the job by tier."""
    for tier, job in jobs.items():
        print(f"{tier}: {job['slices']} slices of {SIDE} x {SIDE}, DICOM to DICOM:")
        print(f"  {job['wall']:.2f} s at best, median {job['wall_median']:.2f} s")
        print("  steps of one more run: " + ", ".join(f"{name} {job[name]:.2f} s" for name in STEPS))
        memory = (f"{peak:.0f} MiB at {number}" for number, peak in job["peak_mib_by_slices"].items())
        print("  peak memory by slices: " + ", ".join(memory))


def tell_slices(found: Mapping[str, Any]) -> None:
    """Print the times for a slice, as multiples of the first, and what part of the peak that is."""
    for engine, peak in found["peak"].items():
        print(f"peak in {engine}: {peak['gmac_per_s']:.0f} GMAC/s ({peak['of']})")
    reference = next(iter(found["slice_ms"].values()))
    for name, value in found["slice_ms"].items():
        share = found["share_of_peak"].get(name)
        told = "" if share is None else f"  {100 * share:3.0f} % of the peak"
        print(f"  {name:52s} {value:9.1f} ms  {value / reference:7.2f} x{told}")
    for name, why in found["left_out"].items():
        print(f"  without {name}: {why}")


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="name or folder of a network; several times")
    parser.add_argument("--slices", type=int, default=300, help="of the job; also done with half as many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.slices < 2 or arguments.rounds < 1:
        parser.error("at least 2 slices and 1 round")
    print(describe_machine(), flush=True)
    names = arguments.model or usual_names()
    models = [open_model(name) for name in names]
    found = measure(names, models, arguments.slices, arguments.rounds)
    tell(found)
    save(arguments.json, "quell-speed", told_command("speed.py", sys.argv[1:]), models, found)


def _ram_disk() -> str | None:
    """Return a folder in memory where there is one, so that no disk is timed."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main()
