"""What the measurement of speed counts, in which order it times, and that its record is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quell.inference.streams import cores

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("skimage", reason="scikit-image is not installed")

Script = Callable[[str], ModuleType]
ROWS, COLUMNS = 48, 64


@dataclass
class Counted:
    """A network that needs no time: its name, its precision and its work."""

    name: str
    engine: str
    macs: int
    often: bool = True


def counted(script: Script, network: Any, folder: Path) -> int:
    networks = script("speed_networks")
    file = networks.written(network.eval(), folder / "x.onnx")
    found: int = script("speed_peak").count_macs(file, {"noisy": (1, 1, ROWS, COLUMNS)})
    return found


def test_multiplications_of_convolutions_are_counted(script: Script, tmp_path: Path) -> None:
    dncnn = script("speed_networks").dncnn(width=8, depth=5)
    # The first, three in between, the last; each with nine weights for two channels.
    assert counted(script, dncnn, tmp_path) == ROWS * COLUMNS * 9 * (8 + 3 * 8 * 8 + 8)


def test_transposed_convolutions_count_the_places_of_their_input(script: Script, tmp_path: Path) -> None:
    from quell.networks.redcnn import REDCNN

    # Every convolution takes four rows and columns off, every transposed one gives them back.
    places = [(ROWS - 4 * n) * (COLUMNS - 4 * n) for n in range(1, 6)]
    channels = [6, 36, 36, 36, 36]
    once = 25 * sum(place * pairs for place, pairs in zip(places, channels, strict=True))
    assert counted(script, REDCNN(1, 6), tmp_path) == 2 * once


def test_what_is_counted_agrees_with_the_card(script: Script) -> None:
    from quell.models.registry import find_card, model_files

    card = find_card("universal.fast")
    condition = ("condition", 9 + len(card.kinds)) if card.kinds else ("spectrum", 9)
    shapes = {"normalised": (1, card.slices, 512, 512), condition[0]: (1, condition[1])}
    found = script("speed_peak").count_macs(model_files(card)["denoiser"], shapes)
    assert found / 512**2 / 1000 == pytest.approx(card.kmac_per_pixel, rel=0.01)


def test_nothing_lies_above_the_peak_of_its_precision(script: Script) -> None:
    peak = script("speed_peak")
    networks = [Counted("a", "bf16", 10**9), Counted("b", "bf16", 10**9), Counted("c", "f32", 10**9)]
    times = {"a": 10.0, "b": 5.0, "c": 40.0}
    assert peak.peaks(networks, times) == {"bf16": (200.0, "b"), "f32": (25.0, "c")}
    assert peak.shares(networks, times) == pytest.approx({"a": 0.5, "b": 1.0, "c": 1.0})


def test_quick_ones_are_timed_before_each_slow_one(script: Script) -> None:
    turns = script("speed_rounds").turns
    quick, slow = (
        [SimpleNamespace(name=name, often=often) for name in names]
        for names, often in (("ab", True), ("XY", False))
    )
    assert "".join(one.name for one in turns([*quick, *slow])) == "abXabY"
    assert "".join(one.name for one in turns(quick)) == "ab"
    assert "".join(one.name for one in turns(slow)) == "XY"


def test_a_batch_is_divided_by_its_slices(script: Script, tmp_path: Path) -> None:
    networks = script("speed_networks")
    file = networks.written(networks.dncnn(4, 3), tmp_path / "x.onnx")
    calls: list[int] = []

    def load(*arguments: Any) -> Callable[..., None]:
        return lambda *inputs: calls.append(len(inputs))

    runtime = SimpleNamespace(description="OpenVINO CPU bf16", load=load)
    one = networks.Streamed("x", file, {"noisy": (1, 1, 8, 8)}, runtime, False, True)
    one.warm_up()
    before = len(calls)
    assert one.name == "x, OpenVINO bf16"
    # Nothing takes no time, so that a batch is as large as it may be.
    assert one.seconds() < 1e-2
    assert len(calls) - before == networks.MOST_SLICES // cores() * cores()


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not tell the memory of a process")
def test_memory_of_the_starter_does_not_count(script: Script) -> None:
    held = np.ones(40 * 2**20)  # 320 MiB.
    timed = str(script("speed_job").TIMED)

    def peak(code: str) -> float:
        command = [sys.executable, timed, sys.executable, "-c", code]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1])

    assert peak("pass") < 100 < held.nbytes / 2**20
    assert 200 < peak("x = b'1' * 200 * 2**20") < 320
    failing = [sys.executable, timed, sys.executable, "-c", "raise SystemExit(3)"]
    assert subprocess.run(failing, capture_output=True).returncode == 3


def test_parts_of_a_series_are_its_first_slices(script: Script, tmp_path: Path) -> None:
    parts = script("speed_job").write_parts(tmp_path, (2, 3))
    few, many = ({file.name: file.read_bytes() for file in parts[n].iterdir()} for n in (2, 3))
    assert sorted(many) == ["0000.dcm", "0001.dcm", "0002.dcm"]
    assert few == {name: many[name] for name in sorted(many)[:2]}


def test_two_models_of_one_tier_are_refused(script: Script) -> None:
    from quell.errors import QuellError

    speed = script("speed")
    fast, same, standard = (
        SimpleNamespace(denoiser=SimpleNamespace(card=SimpleNamespace(tag=tag)))
        for tag in ("fast", "fast", "standard")
    )
    assert speed.by_tier([fast, standard]) == {"fast": fast, "standard": standard}
    with pytest.raises(QuellError, match="same tag"):
        speed.by_tier([fast, same])


def test_every_line_of_the_bar_finds_what_was_measured(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(script("speed_networks"), "BATCH_SECONDS", 1e-3)
    names = {"universal.fast": "universal.fast", "universal.standard": "universal.fast"}
    single = script("speed").Slices(names, tmp_path, side=64)
    single.run()
    found = single.result()
    short = next(iter(found["slice_ms"])).split()[-1]
    if short == "f32":
        pytest.skip("this processor has no shorter precision, which the bar is about")
    assert set(found["share_of_peak"]) == set(found["kmac_per_pixel"]) <= set(found["slice_ms"])
    assert all(0 < share <= 1 for share in found["share_of_peak"].values())
    job = {"wall": 1.0, "wall_median": 1.0, "peak_mib": 9.0, "peak_mib_by_slices": {"1": 9.0, "2": 9.0}}
    record = {"machine": "m", "jobs": {"fast": job, "standard": job}, **found}
    (tmp_path / "speed.json").write_text(json.dumps(record), encoding="utf-8")
    bar = script("release_bar_speed")
    lines = [*bar.speed(tmp_path), *bar.end_to_end(tmp_path)]
    opened = [one.goal for one in lines if one.met is None]
    assert opened == (["at least 500 times as fast as BM3D"] if found["left_out"] else [])
