"""``quell train release``: the networks that ship, from the references to a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from quell.cli import console
from quell.errors import QuellError

NAME = "release"

_INTERRUPTED = 130


def train_release(
    out: Path | None,
    resume: Path | None,
    data: Path | None,
    changes: dict[str, Any],
    minutes: float | None,
    accelerator: Literal["auto", "cpu", "gpu"],
    quiet: bool,
) -> int:
    """Train, or go on; print how it ended and return the exit code.

    Parameters
    ----------
    out, resume : Path or None
        Folder of a new run, or of an old one.
    data : Path or None
    changes : dict
        Fields of `quell.jobs.release.ReleaseSettings` that differ from its own; None for those that do not.
    minutes : float or None
        Length of this piece.
    accelerator : str
    quiet : bool
    """
    from quell.jobs.release import ReleaseSettings
    from quell.jobs.release import train_release as job

    def say(text: str) -> None:
        if not quiet:
            print(console.printable(text), file=sys.stderr, flush=True)

    if not quiet:
        print(console.NOTICE, file=sys.stderr)
    folder = resume if out is None else out
    assert folder is not None
    given = {name: value for name, value in changes.items() if value is not None}
    if resume is not None and given:
        raise QuellError(f"a run goes on with its own settings: leave out --{', --'.join(given)}")
    settings = None if resume is not None else ReleaseSettings(**given)
    result = job(folder, settings, data, minutes=minutes, accelerator=accelerator, say=say)
    print(f"{result.crops} of {result.of} crops in {result.minutes:.1f} min")
    if not result.done:
        print(console.printable(f"not at its end; go on with: quell train {NAME} --resume {result.folder}"))
        return _INTERRUPTED
    print(console.printable(f"model: quell denoise STUDY -o OUT --model {result.folder}"))
    return 0
