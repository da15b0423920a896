"""Independent judges of what is written: dicom3tools' validators, compared before and after."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed"
)


def new_dciodvfy_errors(source: Path, derived: Path) -> list[str]:
    """Return the errors that dciodvfy finds in `derived` and not in `source`.

    The values quoted in the messages and the numbers of items are left out of the comparison:
    a file with the same fault in another value is no worse.
    """
    before, after = dciodvfy(source), dciodvfy(derived)
    return sorted(set(after) - set(before))


def new_dciodvfy_warnings(source: Path, derived: Path) -> list[str]:
    """Return the warnings that dciodvfy gives for `derived` and not for `source`."""
    return sorted(set(dciodvfy(derived, "Warning")) - set(dciodvfy(source, "Warning")))


def dciodvfy(path: Path, level: str = "Error") -> list[str]:
    """Return the messages of one level about a file, without quoted values and item numbers."""
    return [
        _normalised(line) for line in _lines("dciodvfy", "-new", path) if line.startswith((level, "Abort"))
    ]


def dcentvfy(paths: Sequence[Path]) -> list[str]:
    """Return what is inconsistent among objects: patient, study, series, frame of reference."""
    return [line for line in _lines("dcentvfy", *paths) if line.startswith(("Error", "Abort"))]


def _lines(*command: str | Path) -> list[str]:
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=120, check=False)
    return (done.stdout + done.stderr).decode("latin-1").splitlines()


def _normalised(message: str) -> str:
    without_items = re.sub(r"\[\d+\]", "[]", message)
    return re.sub(r"= <.*>$", "= <>", without_items)
