"""A run that is killed leaves nothing half-written, and the next one finishes the work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

from quell.formats.open import open_study
from samples import dicom
from samples.dicom_parts import series

SLICES = 60
# The command without its network, which has no part in this, and on a slow disk: else the writing
# is over too soon to be interrupted reliably.
COMMAND = """
import sys, time
import quell.formats.dicom.objects as objects
from fuzz.trial import replace_network
from quell.cli.main import main

write = objects.write_flushed

def slowly(path, chunks):
    time.sleep(0.02)
    write(path, chunks)

objects.write_flushed = slowly
replace_network()
sys.exit(main(["denoise", *sys.argv[1:], "--quiet"]))
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CT series of 60 slices."""
    folder = tmp_path_factory.mktemp("study") / "in"
    rng = np.random.default_rng(5)
    series(dicom.ct, (1000 + rng.normal(0, 50, (SLICES, 32, 32))).astype(np.int16), folder)
    return folder


def start(study: Path, out: Path) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(study), "-o", str(out)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(study: Path, out: Path) -> None:
    assert start(study, out).wait(timeout=120) == 0


def kill_after(files: int, process: subprocess.Popen[bytes], out: Path) -> None:
    """Kill a run as soon as it has written so many files, wherever it keeps them."""
    deadline = time.monotonic() + 120
    while len(unfinished(out)) < files:
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -9


def unfinished(out: Path) -> list[Path]:
    """Return what lies in hidden folders; they come and go while one looks."""
    found = []
    for place, _, names in os.walk(out):
        if ".part" in place:
            found += [Path(place) / name for name in names]
    return found


def final(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*.dcm") if ".part" not in str(path))


def check_complete(out: Path, study: Path) -> None:
    """Check that all slices are there, whole, and of one series."""
    files = final(out)
    assert len(files) == SLICES
    headers = [pydicom.dcmread(file) for file in files]
    assert all(len(ds.PixelData) == 2 * ds.Rows * ds.Columns for ds in headers)
    assert len({ds.SeriesInstanceUID for ds in headers}) == 1
    sources = {ds.SourceImageSequence[0].ReferencedSOPInstanceUID for ds in headers}
    (found,) = open_study(study).series
    assert len(sources) == found.shape[0] == SLICES


@pytest.mark.parametrize("files", [1, SLICES // 2, SLICES - 8])
def test_a_killed_run_leaves_nothing_final_and_the_next_one_finishes(
    files: int, study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    kill_after(files, start(study, out), out)
    assert final(out) == []
    finish(study, out)
    check_complete(out, study)
    assert unfinished(out) == [] and list(out.rglob(".*")) == []


def test_a_run_killed_at_any_moment_over_an_earlier_result_leaves_one_whole(
    study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    finish(study, out)
    before = {file: file.read_bytes() for file in final(out)}
    rng = np.random.default_rng(6)
    for files in rng.integers(1, SLICES - 8, 2):
        kill_after(int(files), start(study, out), out)
        assert {file: file.read_bytes() for file in final(out)} == before
    finish(study, out)
    check_complete(out, study)
    assert list(final(out)) == list(before)
    assert unfinished(out) == [] and list(out.rglob(".*")) == []
