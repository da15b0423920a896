"""Speed and memory of denoisers, in turn, so that a drift of the machine meets all of them."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quell.errors import QuellError
from quell.evaluation.benchmark.record import SpeedRow
from quell.evaluation.denoisers import CLASSICAL, PROGRAM, Entrant
from quell.evaluation.metrics.statistics import Interval, bootstrap_mean
from quell.image import Geometry, Image, Modality

SIDE = 512
LEVEL = 10.0
_MEGA = 1e6
_MIB = 1024.0


def speed_image(modality: Modality, seed: int = 0) -> Image:
    """Return one noisy slice of 512 x 512 pixels, all of its values positive, to time denoisers on."""
    rng = np.random.default_rng([seed, 512])
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    ground = np.where(np.hypot(x / 0.8, y / 0.6) < 1, 120.0, 60.0) + 40.0 * (np.hypot(x - 0.2, y) < 0.2)
    noisy = np.maximum(ground + LEVEL * rng.standard_normal((SIDE, SIDE)), 1.0)
    geometry = Geometry((1.0, 0.7, 0.7), known=True)
    units = "counts" if modality is Modality.NM else "arbitrary"
    return Image(np.rint(noisy).astype(np.float32)[None], modality, units, geometry, name="speed")


def measure_speed(
    entrants: Sequence[tuple[Entrant, str]], image: Image, rounds: int, seed: int = 0
) -> tuple[SpeedRow, ...]:
    """Time every denoiser on one image, in turn.

    Parameters
    ----------
    entrants : sequence of (Entrant, str)
        With the settings in words. Ratios are to the first.
    image : Image
    rounds : int
        After one call of each that is not counted (a network is compiled in it).
    seed : int
        Of the intervals.
    """
    failed: dict[str, str] = {}
    peaks: dict[str, float | None] = {}
    for entrant, _ in entrants:
        try:
            peaks[entrant.name] = _peak(entrant, image)
        except Exception as error:
            # As in the tables: somebody else's denoiser must not end the run.
            prefix = "" if isinstance(error, QuellError) else f"{type(error).__name__}: "
            failed[entrant.name] = prefix + " ".join(str(error).split())
    times: dict[str, list[float]] = {e.name: [] for e, _ in entrants if e.name not in failed}
    for _ in range(rounds):
        for entrant, _ in entrants:
            if entrant.name in times:
                times[entrant.name].append(1000 * _once(entrant, image))
    first = times.get(entrants[0][0].name) if entrants else None
    return tuple(
        _row(entrant, settings, times.get(entrant.name), first, peaks, failed, seed)
        for entrant, settings in entrants
    )


def _row(
    entrant: Entrant,
    settings: str,
    spent: list[float] | None,
    first: list[float] | None,
    peaks: dict[str, float | None],
    failed: dict[str, str],
    seed: int,
) -> SpeedRow:
    if spent is None:
        return SpeedRow(entrant.name, entrant.engine, settings, failed=failed[entrant.name])
    middle = _summary(spent, seed)
    ratio = None if first is None else _summary([a / b for a, b in zip(spent, first, strict=True)], seed)
    per_megapixel = middle.value * _MEGA / SIDE**2
    return SpeedRow(entrant.name, entrant.engine, settings, middle, per_megapixel, ratio, peaks[entrant.name])


def _summary(values: list[float], seed: int) -> Interval:
    """Return the mean over the rounds; others at work on the machine only widen the interval."""
    return bootstrap_mean(values, seed=seed)


def _once(entrant: Entrant, image: Image) -> float:
    started = time.perf_counter()
    entrant.denoiser.denoise(image, sigma=LEVEL if entrant.kind == CLASSICAL else "auto")
    return time.perf_counter() - started


def _peak(entrant: Entrant, image: Image) -> float | None:
    """Run a denoiser once and return the memory that it took on top, MiB; None where nobody says."""
    if entrant.kind == PROGRAM:
        before = _of_children()
        _once(entrant, image)
        after = _of_children()
        # The system keeps the largest of all children alone.
        return after if after is not None and after != before else None
    held = _reset_peak()
    _once(entrant, image)
    top = _status("VmHWM")
    return None if held is None or top is None else max(top - held, 0.0)


def _reset_peak() -> float | None:
    """Make Linux forget the highest memory so far; return what is held now, MiB."""
    _give_back()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    return None


def _give_back() -> None:
    """Hand free memory back to the system: what an earlier denoiser left would hide what this one takes."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _status(key: str) -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{key}:"):
                return float(line.split()[1]) / _MIB
    return None


def _of_children() -> float | None:
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MIB
