"""The grain of a card is the least that keeps the texture of the noise."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def least(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    pytest.importorskip("scipy", reason="scipy is not installed")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    monkeypatch.delitem(sys.modules, "strength", raising=False)
    import strength

    return strength.least


def rows(**shifts: tuple[float, float]) -> list[dict[str, float]]:
    """Return a table of two doses; the grain is the name in hundredths."""
    return [
        {"dose": dose, "grain": int(name[1:]) / 100, "shift": shift}
        for name, both in shifts.items()
        for dose, shift in zip((0.1, 1.0), both, strict=True)
    ]


def test_the_least_grain_within_the_limit_at_every_dose(least) -> None:  # type: ignore[no-untyped-def]
    assert least(rows(g0=(-30, -40), g20=(-7, -9), g30=(-3, -7), g40=(2, -1))) == 0.3


def test_where_none_is_within_the_one_that_moves_it_least(least) -> None:  # type: ignore[no-untyped-def]
    assert least(rows(g0=(-30, -40), g50=(-12, -20), g60=(9, -8), g95=(34, 14))) == 0.6
