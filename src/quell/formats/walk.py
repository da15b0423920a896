"""The files below a folder, in an order that does not depend on the machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from quell.formats.contracts import PassedOver
from quell.formats.source import Source


def files_below(root: Path) -> tuple[list[Source], list[PassedOver]]:
    """Return all regular files below a folder, and what could not be entered.

    Names that start with a dot are left out: they hide, and so do the unfinished files of Quell
    itself. Links to files are followed, links to folders are not (they can form loops).
    """
    found: list[Source] = []
    passed: list[PassedOver] = []

    def refused(error: OSError) -> None:
        name = Path(str(error.filename)).name
        passed.append(PassedOver(name, f"the folder cannot be read: {error.strerror}", error=True))

    for place, folders, names in os.walk(root, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folder = PurePosixPath(Path(place).relative_to(root).as_posix())
        for name in folders:
            if (Path(place) / name).is_symlink():
                passed.append(PassedOver(name, "a link to a folder, not followed"))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(place) / name
            fault = _fault(path)
            if fault is None:
                found.append(Source(path, name, folder))
            else:
                passed.append(fault)
    return sorted(found, key=lambda source: (source.folder.parts, source.name)), passed


def _fault(path: Path) -> PassedOver | None:
    """Return why a path is no file that can be opened; opening a pipe would wait for ever."""
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        reason = "a link that leads nowhere" if path.is_symlink() else f"cannot be read: {error.strerror}"
        return PassedOver(path.name, reason, error=True)
    return None if regular else PassedOver(path.name, "a pipe, a socket or a device, no file")
