"""The line that says on what machine a figure was measured."""

from __future__ import annotations

import os
import platform

import pytest

from quell import machine


def test_it_names_the_cores_and_the_system_on_one_line() -> None:
    told = machine.describe_machine()
    assert f"{os.cpu_count()} cores" in told
    assert told.endswith(platform.system())
    assert "\n" not in told


def test_what_cannot_be_found_out_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse, raising=False)
    assert "GiB" not in machine.describe_machine()
    assert ", ," not in machine.describe_machine()
