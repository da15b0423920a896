"""Goals on speed, read from ``speed.json`` and ``gpu.json``."""

from __future__ import annotations

from pathlib import Path

from release_findings import Finding, Record, missing, read, told_models

COMMAND = "python benchmarks/speed.py --json docs/results/speed.json"
RATES = {"fast": 60.0, "standard": 30.0}
SECONDS = {"fast": 6.0, "standard": 12.0}
PEAK = 0.75
GPU_SHARE = 0.5

RATIOS = (
    ("DnCNN-17 in the same engine and precision", ("DnCNN", "OpenVINO {short}"), 40.0),
    ("RED-CNN in the same engine and precision", ("RED-CNN", "OpenVINO {short}"), 100.0),
    ("DnCNN in eager PyTorch", ("DnCNN", "eager"), 250.0),
    ("BM3D", ("BM3D",), 500.0),
)
"""Peer, words that its line has, and how many times faster the fast network has to be."""


def network_line(slices: Record, tier: str) -> str | None:
    """Return the name of the line of a network in its shortest precision; None where it was not timed.

    ``NAME.TIER, OpenVINO bf16``; in records of one network alone, which was the fast one, it starts with
    ``network``.
    """
    for name in slices:
        own = name.split(",")[0]
        if (own.endswith(f".{tier}") or (own == "network" and tier == "fast")) and "f32" not in name:
            return name
    return None


def speed(folder: Path) -> list[Finding]:
    """Return the lines of single slices."""
    record = read(folder, "speed.json")
    if record is None:
        return [missing("speed", "60 and 30 slices a second", "speed.json is not there")]
    slices = record["slice_ms"]
    command, weights = record.get("command", COMMAND), told_models(record)
    lines = []
    for tier, least in RATES.items():
        goal = f"at least {least:g} slices of 512 × 512 a second, 2 cores, bf16"
        name = network_line(slices, tier)
        if name is None:
            lines.append(missing(f"{tier} network", goal, "the record has no such network"))
            continue
        rate = 1000 / slices[name]
        told = f"{rate:.0f} a second ({name}, {record['machine']})"
        lines.append(Finding(f"{tier} network", goal, told, rate >= least, command, weights))
        share = record.get("share_of_peak", {}).get(name)
        goal = f"at least {100 * PEAK:g} % of the measured peak"
        if share is None:
            lines.append(missing(f"{tier} network", goal, "the record has no peak of the machine"))
        else:
            lines.append(
                Finding(f"{tier} network", goal, f"{100 * share:.0f} %", share >= PEAK, command, weights)
            )
    return [*lines, *_ratios(slices, record.get("left_out", {}), command, weights)]


def _ratios(slices: Record, left_out: Record, command: str, weights: tuple) -> list[Finding]:  # type: ignore[type-arg]
    ours = network_line(slices, "fast")
    lines = []
    for peer, words, least in RATIOS:
        goal = f"at least {least:g} times as fast as {peer}"
        if ours is None:
            lines.append(missing("fast network", goal, "it was not timed"))
            continue
        short = ours.rsplit(" ", 1)[-1]
        wanted = [word.format(short=short) for word in words]
        theirs = next((name for name in slices if all(word in name for word in wanted)), None)
        if theirs is None:
            why = next((why for name, why in left_out.items() if words[0] in name), "")
            lines.append(missing("fast network", goal, why or "the record has no such peer"))
            continue
        ratio = slices[theirs] / slices[ours]
        told = f"{ratio:.0f} times, in one run"
        lines.append(Finding("fast network", goal, told, ratio >= least, command, weights))
    return lines


def end_to_end(folder: Path) -> list[Finding]:
    """Return the lines of whole series; ``jobs`` has several by tier, ``job`` is that of the fast network."""
    record = read(folder, "speed.json")
    jobs = {} if record is None else record.get("jobs") or {"fast": record["job"]}
    lines = []
    for tier, most in SECONDS.items():
        goal = f"300-slice CT, DICOM to DICOM, at most {most:g} s"
        if record is None or tier not in jobs:
            lines.append(missing(f"{tier} network", goal, "the record has no such job"))
            continue
        job = jobs[tier]
        told = f"{job['wall']:.1f} s at best, median {job['wall_median']:.1f} s ({record['machine']})"
        about = (record.get("command", COMMAND), told_models(record))
        lines.append(Finding(f"{tier} network", goal, told, job["wall"] <= most, *about))
        lines.append(_memory(tier, job, about))
    return lines


def _memory(tier: str, job: Record, about: tuple) -> Finding:  # type: ignore[type-arg]
    """Return the line of the memory; ``peak_mib_by_slices`` has it for several numbers of slices."""
    goal = "memory flat in the slices (at most 10 % more for twice as many)"
    peaks = {int(number): value for number, value in job.get("peak_mib_by_slices", {}).items()}
    if len(peaks) < 2:
        return missing(f"{tier} network", goal, f"{job['peak_mib']:.0f} MiB, at one number of slices only")
    few, many = min(peaks), max(peaks)
    # Growth is told per doubling, so that the numbers of slices may be any.
    grown = (peaks[many] / peaks[few] - 1) * few / (many - few)
    told = f"{peaks[few]:.0f} MiB at {few} slices, {peaks[many]:.0f} MiB at {many}"
    return Finding(f"{tier} network", goal, told, grown <= 0.1, *about)


def gpu(folder: Path) -> list[Finding]:
    """Return the lines of a graphics processor."""
    goal = f"slices a second at 512 × 512, at least {100 * GPU_SHARE:g} % of the ceiling"
    record = read(folder, "gpu.json")
    if record is None:
        return [missing("GPU", goal, "no record of one is there")]
    lines = []
    for name, one in record["results"].items():
        share = one["share_of_ceiling"]
        told = f"{one['slices_per_second']:.0f} a second, {100 * share:.0f} % of the ceiling"
        what, about = f"{name}, {record['gpu']}", (record["command"], told_models(record))
        lines.append(Finding(what, goal, told, share >= GPU_SHARE, *about))
    return lines
