"""One damaged study through the whole job, in a process of its own, and the verdict on what came out.

The network is replaced by a plain smoothing, so that thousands of studies pass in minutes. All the
rest is the job as a user runs it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.mutations import mutate
from fuzz.seeds import Files, groups

MEMORY = 4 << 30
CPU_SECONDS = 20
PATIENCE = 600.0
"""Seconds until a process that does not even compute is given up; long, for a machine may be busy."""
LARGEST_GROWTH = 1 << 30
"""Memory in bytes that a study of some kilobytes may cost at most."""
GROUP_WEIGHTS = (6, 3, 1)

SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""In memory: thousands of flushed files would wear a disk and cost most of the time."""

GOOD = ("written", "written in part", "refused")
_NEEDED = (
    *("gdcm", "openjpeg", "pydicom.pixels.decoders", "PIL.JpegImagePlugin"),
    *("quell.formats.open", "quell.formats.dicom.discover", "quell.formats.dicom.decode"),
    *("quell.formats.dicom.write", "quell.evaluation.report.html", "quell.evaluation.report.summary"),
)
_ONE_LINE = re.compile(r"[^\x00-\x1f\x7f]{1,3000}")


@dataclass(frozen=True)
class Case:
    """One damaged study.

    Attributes
    ----------
    name : str
        The intact study that it was made from.
    files : dict of str to bytes
    damage : tuple of str
        What was done to which file.
    """

    name: str
    files: Files
    damage: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes
    ----------
    outcome : str
        One of `GOOD`, or the kind of failure.
    detail : str
        The message, or the traceback.
    seconds : float
    memory : int
        Bytes that the case cost on top of what the process had before.
    """

    outcome: str
    detail: str = ""
    seconds: float = 0.0
    memory: int = 0

    @property
    def good(self) -> bool:
        """Whether the program did what it should."""
        return self.outcome in GOOD


class Failure(Exception):
    """Something that must not happen; the first argument is its kind."""


def make_case(seed: int, number: int) -> Case:
    """Return a case, always the same for the same seed and number."""
    random = Random(f"{seed} {number}")
    group = random.choices(groups(), GROUP_WEIGHTS)[0]
    name = random.choice(sorted(group))
    files = dict(group[name])
    chosen = list(files) if random.random() < 0.2 else [random.choice(list(files))]
    damage = []
    for file in chosen:
        # All files of a study are damaged alike, so that they may still belong together.
        alike = Random(f"{seed} {number} damage")
        files[file], done = mutate(files[file], alike if len(chosen) > 1 else random)
        damage += [f"{file}: {one}" for one in done]
    return Case(name, files, tuple(damage))


def warm_up() -> None:
    """Load what every case needs once, before processes are forked."""
    for module in _NEEDED:
        import_module(module)
    from quell.image import Modality
    from quell.models.registry import default_card

    default_card(Modality.CT)
    groups()


def try_case(case: Case, folder: Path, random: Random) -> Verdict:
    """Run the job on a case in a forked process and judge it.

    Parameters
    ----------
    case : Case
    folder : Path
        Does not exist yet; is removed again.
    random : Random
        Chooses the settings of the run.
    """
    source, out = folder / "in", folder / "out"
    source.mkdir(parents=True)
    for name, data in case.files.items():
        (source / name).write_bytes(data)
    try:
        return _in_process(source, out, folder / "said", _settings(random))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(random: Random) -> dict[str, Any]:
    return {
        "noise_map": random.random() < 0.3,
        "residual": random.random() < 0.3,
        "report": random.random() < 0.05,
    }


def _in_process(source: Path, out: Path, said: Path, settings: dict[str, Any]) -> Verdict:
    reading, writing = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(source, out, said, settings, writing)
    os.close(writing)
    answer = _answer(reading, child)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    if answer is None:
        return Verdict("timeout", f"no answer after {PATIENCE:g} s", seconds)
    if os.WIFSIGNALED(status) or not answer:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        name = signal.Signals(number).name if number else f"exit status {status}"
        return Verdict("crash", f"{name}\n{_text(said)}", seconds, used.ru_maxrss << 10)
    verdict = Verdict(**{**json.loads(answer), "seconds": seconds})
    if verdict.good and verdict.memory > LARGEST_GROWTH:
        return Verdict("memory", f"{verdict.memory >> 20} MiB: {verdict.detail}", seconds, verdict.memory)
    return verdict


def _answer(reading: int, child: int) -> bytes | None:
    """Return what the child wrote, or None (and end it) when its time is over."""
    answer, deadline = b"", time.monotonic() + PATIENCE
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                os.kill(child, signal.SIGKILL)
                return None
            piece = pipe.read(1 << 16)
            if not piece:
                return answer
            answer += piece


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _child(source: Path, out: Path, said: Path, settings: dict[str, Any], writing: int) -> None:
    """Run the job, write the verdict to the pipe and leave without ever returning."""
    try:
        # Else a crash would also be told to the terminal of whoever runs this.
        faulthandler.disable()
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        # As the command does.
        warnings.simplefilter("ignore")
        verdict = judge(source, out, settings)
        sys.stdout.flush()
        heard = _text(said)
        if verdict.good and heard:
            verdict = Verdict("noise on the terminal", f"{heard[:500]}\n{verdict.detail}")
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        os.write(writing, json.dumps({**asdict(verdict), "memory": grown}).encode())
    except BaseException:
        os.write(writing, json.dumps(asdict(Verdict("harness", traceback.format_exc()))).encode())
    finally:
        os._exit(0)


def judge(source: Path, out: Path, settings: dict[str, Any]) -> Verdict:
    """Run the job in this process and say what became of it."""
    from quell.errors import QuellError
    from quell.jobs.denoising import JobSettings, run_job

    replace_network()
    caught = _catch_unexpected()
    before = _listing(source)
    try:
        record = run_job(source, out, JobSettings(**settings))
        reasons = _reasons(record)
        if caught:
            raise Failure("unexpected error", caught[0])
        outcome = _check_record(record, out, settings)
    except QuellError as error:
        reasons, outcome = [str(error)], "refused"
        if out.exists():
            return Verdict("partial output", str(sorted(out.rglob("*"))))
    except Failure as failure:
        return Verdict(str(failure.args[0]), str(failure.args[1]))
    except BaseException:
        return Verdict("exception", traceback.format_exc())
    for reason in reasons:
        if "unexpected error" in reason:
            return Verdict("unexpected error", reason)
        if not _ONE_LINE.fullmatch(reason):
            return Verdict("message", repr(reason)[:3000])
    if _listing(source) != before or _strangers(source, out):
        return Verdict("wrote elsewhere", f"{_strangers(source, out)}")
    return Verdict(outcome, "; ".join(reasons))


def replace_network() -> None:
    """Put a plain smoothing in the place of the network."""
    import quell.jobs.denoising

    quell.jobs.denoising.Denoising.denoiser = lambda self, modality, volume: Smoothing()  # type: ignore[method-assign]


def _catch_unexpected() -> list[str]:
    """Collect the tracebacks of errors that the job survives but should not have met."""
    import logging

    caught: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                caught.append("".join(traceback.format_exception(*record.exc_info)))

    logger = logging.getLogger("quell.jobs.common")
    logger.handlers, logger.propagate = [Keep(logging.DEBUG)], False
    logger.setLevel(logging.DEBUG)
    return caught


class Smoothing:
    """A stand-in for a network: the mean of three by three pixels, within the range of the image."""

    engine = "none"

    @property
    def card(self) -> Any:
        """The card of the model that ships."""
        from quell.image import Modality
        from quell.models.registry import default_card

        return default_card(Modality.CT)

    def denoise(self, image: Any, strength: float, sigma: Any, step: Any) -> Any:
        """Smooth every slice; the padding stays."""
        from quell.inference.contracts import Denoised, NoiseMap
        from quell.noise.spectrum import DESCRIPTOR_SIZE

        smooth = _mean_of_nine(image.voxels.astype(np.float64))
        smooth = np.clip(smooth, image.voxels.min(), image.voxels.max()).astype(np.float32)
        if image.padding is not None:
            smooth = np.where(image.padding, image.voxels, smooth)
        depth, rows, columns = image.shape
        spread = float(image.voxels.std(dtype=np.float64)) / 10
        level = np.full((depth, -(-rows // 8), -(-columns // 8)), spread, np.float32)
        noise = NoiseMap(level, 8, image.shape, np.zeros(DESCRIPTOR_SIZE, np.float32))
        return Denoised(image.with_voxels(smooth), noise, {"estimate": 0.0, "network": 0.0})


def _mean_of_nine(voxels: np.ndarray) -> np.ndarray:
    padded = np.pad(voxels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows, columns = voxels.shape[1:]
    shifted = [padded[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return np.mean(shifted, axis=0)


def _reasons(record: Any) -> list[str]:
    from quell.evaluation.report.record import Status

    failed = [series.reason for series in record.series if series.status is Status.FAILED]
    return [*failed, *(f"{item.what}: {item.reason}" for item in record.passed_over)]


def _check_record(record: Any, out: Path, settings: dict[str, Any]) -> str:
    from quell.evaluation.report.record import Status

    done = [series for series in record.series if series.status is Status.DONE]
    for series in record.series:
        if series.status is Status.FAILED and "not enough memory" in series.reason:
            raise Failure("memory", series.reason)
        for line in (series.name, *series.notes, *series.warnings):
            if not _ONE_LINE.fullmatch(line):
                raise Failure("message", repr(line)[:3000])
    files = [file for series in done for file in series.files]
    _check_tree(out, files, settings)
    for file in files:
        _check_file(file)
    if files:
        _check_read_again(out)
    if not done:
        return "refused"
    return "written in part" if record.exit_code else "written"


def _check_tree(out: Path, files: list[Path], settings: dict[str, Any]) -> None:
    report = {out / "report.html", out / "report.json"} if settings["report"] else set()
    found = {path for path in out.rglob("*") if not path.is_dir()} - report
    if found != set(files):
        raise Failure("output", f"on disk {sorted(found)}, in the record {sorted(files)}")
    empty = [path for path in out.rglob("*") if path.is_dir() and not any(path.iterdir())]
    if empty:
        raise Failure("output", f"empty folders: {empty}")


def _check_file(path: Path) -> None:
    """Check that another reader opens the file and finds the pixels that the header promises."""
    import pydicom

    if path.suffix != ".dcm":
        return
    try:
        ds = pydicom.dcmread(path)
        shape = ds.pixel_array.shape
    except Exception as error:
        raise Failure("invalid output", f"{path.name}: {traceback.format_exc()}") from error
    frames = int(ds.get("NumberOfFrames") or 1)
    expected = ((frames,) if frames > 1 else ()) + (ds.Rows, ds.Columns)
    expected += (3,) if ds.SamplesPerPixel == 3 else ()
    uids = (ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.file_meta.MediaStorageSOPInstanceUID)
    faults = {
        f"shape {shape}, expected {expected}": shape != expected,
        f"invalid identifiers {uids}": not all(re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid) for uid in uids),
        f"image type {ds.ImageType}": ds.ImageType[0] not in ("DERIVED", "MIXED"),
        "another class in the file's meta group": ds.SOPClassUID != ds.file_meta.MediaStorageSOPClassUID,
    }
    for fault, present in faults.items():
        if present:
            raise Failure("invalid output", fault)


def _check_read_again(out: Path) -> None:
    """Check that Quell itself recognises what it wrote, and leaves it alone."""
    from quell.errors import InputError
    from quell.formats.open import open_study

    try:
        study = open_study(out)
    except InputError as error:
        if "made by Quell already" not in error.reason or "damaged" in error.reason:
            raise Failure("invalid output", f"read again: {error.reason}") from error
        return
    raise Failure("invalid output", f"read again as a source: {[series.name for series in study.series]}")


def _listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob("*")}


def _strangers(source: Path, out: Path) -> list[Path]:
    """Return what lies beside the input and the output, or is left of an unfinished output."""
    beside = [path for path in source.parent.iterdir() if path.name not in ("in", "out", "said")]
    return beside + list(source.parent.rglob("*.part"))
