"""How numbers read in the report and on the terminal: short, with units, in digits that mean something."""

from __future__ import annotations

import math
from collections.abc import Sequence

_UNITS = {"arbitrary": "a.u."}
_FORMATS = {"DICOM": "derived DICOM"}


def number(value: float) -> str:
    """Return a number with three significant digits and no exponent in the usual range.

    Examples
    --------
    >>> number(12.345), number(1234.5), number(0.01234), number(0)
    ('12.3', '1,234', '0.0123', '0')
    """
    if not math.isfinite(value):
        return "unknown"
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    return sign + _digits(abs(value))


def _digits(size: float) -> str:
    if size == 0:
        return "0"
    if size >= 1e7 or size < 1e-4:
        return f"{size:.2e}"
    if size >= 99.95:
        return f"{size:,.0f}"
    decimals = 2 - math.floor(math.log10(size))
    # 9.996 has one digit more before the point once it is rounded.
    if round(size, decimals) >= 10 ** (3 - decimals):
        decimals -= 1
    return f"{size:.{decimals}f}"


def signed(value: float) -> str:
    """Return a number with its sign, zero without one."""
    return f"+{number(value)}" if value > 0 else number(value)


def tick(value: float, step: float) -> str:
    """Return the label of an axis at `value` where the labels are `step` apart.

    Examples
    --------
    >>> tick(0.4, 0.2), tick(40, 20)
    ('0.4', '40')
    """
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def unit(units: str) -> str:
    """Return how a unit is printed; ``"a.u."`` where the source gives none."""
    return _UNITS.get(units, units)


def quantity(value: float, units: str) -> str:
    """Return a value with its unit, e.g. ``"12.3 HU"``."""
    return f"{number(value)} {unit(units)}".strip()


def change(before: float, after: float) -> str:
    """Return a relative change with its sign, ``""`` where there is nothing to compare with.

    Examples
    --------
    >>> change(20.0, 8.0), change(10.0, 10.0), change(0.0, 1.0)
    ('\N{MINUS SIGN}60 %', '0 %', '')
    """
    if not (math.isfinite(before) and math.isfinite(after)) or before <= 0:
        return ""
    percent = round(100 * (after - before) / before)
    sign = "\N{MINUS SIGN}" if percent < 0 else "+" if percent > 0 else ""
    return f"{sign}{abs(percent)} %"


def seconds(value: float) -> str:
    """Return a duration: milliseconds below a second, minutes above 100 s.

    Examples
    --------
    >>> seconds(0.0123), seconds(3.21), seconds(150)
    ('12 ms', '3.2 s', '2 min 30 s')
    """
    if value < 0.9995:
        return f"{1000 * value:.0f} ms"
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def shape(sizes: Sequence[int]) -> str:
    """Return slices, rows and columns, e.g. ``"41 × 512 × 512"``."""
    return " × ".join(str(size) for size in sizes)


def millimetres(sizes: Sequence[float]) -> str:
    """Return lengths, e.g. ``"5 × 0.66 × 0.66 mm"``."""
    return " × ".join(f"{size:.3g}" for size in sizes) + " mm"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun, e.g. ``"1 file"``, ``"3 files"``; ``series`` does not change.

    Examples
    --------
    >>> plural(1, "slice"), plural(2, "slice"), plural(2, "series")
    ('1 slice', '2 slices', '2 series')
    """
    ending = "" if count == 1 or noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def sentence(words: str) -> str:
    """Return words that begin with a capital, the rest as it is."""
    return words[:1].upper() + words[1:]


def output_format(name: str) -> str:
    """Return what a series of this format is written as."""
    return _FORMATS.get(name, name)
