"""A short run of the fuzz over damaged DICOM studies; the long one is ``benchmarks/fuzz_dicom.py``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from fuzz.mutations import elements, mutate, names
from fuzz.seeds import groups
from fuzz.trial import SCRATCH, Case, make_case, try_case, warm_up

SEED = 20
CASES = 150
BATCHES = 10

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be forked")


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    warm_up()


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", sorted(groups()[0]))
def test_the_intact_studies_are_denoised(name: str, scratch: Path) -> None:
    """Else the fuzz would damage what is refused anyway."""
    verdict = try_case(Case(name, groups()[0][name], ()), scratch / "case", Random(1))
    assert (verdict.outcome, verdict.detail) == ("written", "")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_damage_gets_through(batch: int, scratch: Path) -> None:
    outcomes: Counter[str] = Counter()
    for number in range(batch, CASES, BATCHES):
        case = make_case(SEED, number)
        verdict = try_case(case, scratch / str(number), Random(number))
        assert verdict.good, f"--seed {SEED} --case {number}: {case.name}: {case.damage}: {verdict}"
        outcomes[verdict.outcome] += 1
    assert len(outcomes) > 1, "damage that is always refused, or never, tests little"


def test_a_crash_is_seen(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: a process that dies is no good outcome, whatever was written before."""
    monkeypatch.setattr("fuzz.trial.judge", lambda *_: os.abort())
    verdict = try_case(Case("ct", groups()[0]["ct"], ()), scratch / "case", Random(1))
    assert not verdict.good
    assert "SIGABRT" in verdict.detail


def test_an_escaped_error_is_seen(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("quell.formats.dicom.decode.read_stack", broken)
    verdict = try_case(Case("ct", groups()[0]["ct"], ()), scratch / "case", Random(1))
    assert verdict.outcome == "unexpected error"
    assert "KeyError" in verdict.detail


def test_a_case_can_be_made_again() -> None:
    for number in range(40):
        assert make_case(3, number) == make_case(3, number)
    assert make_case(3, 0) != make_case(4, 0)


def test_every_kind_of_damage_changes_the_file() -> None:
    data = groups()[0]["ct"]["0000.dcm"]
    seen: Counter[str] = Counter()
    random = Random(4)
    for _ in range(600):
        damaged, done = mutate(data, random)
        if damaged != data:
            seen.update(done)
    assert set(seen) == set(names())


def test_elements_are_found_as_the_file_has_them() -> None:
    found = elements(groups()[0]["ct"]["0000.dcm"])
    assert [one.tag for one in found] == sorted(one.tag for one in found)
    assert found[-1].tag == 0x7FE00010
    assert {0x00280010, 0x00280011, 0x00080018} <= {one.tag for one in found}


def test_the_command_reproduces_a_case() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "fuzz_dicom.py"
    done = subprocess.run(
        [sys.executable, str(script), "--seed", str(SEED), "--case", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(make_case(SEED, 1).name)
