"""``quell demo``: real images that pydicom brings along, denoised, with a report."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from quell.cli import console
from quell.cli.denoise import Debug, Quiet, run_quietly

IMAGES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "examples_overlay.dcm",
    "JPGExtended.dcm",
    "examples_jpeg2k.dcm",
)
"""Files in pydicom's wheel (MIT licence), with no identities.

A CT, two MR, a bone scan, and an ultrasound image that a few coloured marks make one in colour.
"""

Folder = Annotated[Path, typer.Option("-o", "--out", help="Folder for the demonstration.")]


def demo(out: Folder = Path("demo"), quiet: Quiet = False, debug: Debug = False) -> int:
    """Denoise the real images that pydicom bundles and write a report. Needs no network."""
    from quell.evaluation.report.html import write_report
    from quell.jobs.denoising import JobSettings

    print(console.NOTICE, file=sys.stderr)
    source = copy_images(out / "source")
    _remove_previous(out)
    denoised = out / "denoised"
    record = run_quietly(source, denoised, JobSettings(report=True), quiet=quiet, debug=debug)
    for name in ("report.html", "report.json"):
        (denoised / name).unlink(missing_ok=True)
    page, numbers = write_report(record, out)
    console.print_summary(record)
    print(
        f"source images: {source}\ndenoised:      {denoised}\nreport:        {page}\nnumbers:       {numbers}"
    )
    return record.exit_code


def copy_images(folder: Path) -> Path:
    """Copy the demonstration's images into `folder`.

    Raises
    ------
    InputError
        If this pydicom brings none of them.
    OutputError
        If the folder holds other files, which would be denoised along with them.
    """
    from pydicom.data import get_testdata_file

    from quell.errors import InputError, OutputError
    from quell.formats.atomic import atomic_file

    foreign = [path.name for path in _files_in(folder) if path.name not in IMAGES]
    if foreign:
        raise OutputError(folder, f"holds files that are not of the demonstration ({foreign[0]})")
    # download=False: a file that is not in the wheel is left out, never fetched.
    found = {name: get_testdata_file(name, download=False) for name in IMAGES}
    bundled = {name: Path(str(path)) for name, path in found.items() if path}
    if not bundled:
        raise InputError("pydicom", "this installation brings no example images")
    for name, path in bundled.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_bytes(path.read_bytes())
    return folder


def _files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _remove_previous(folder: Path) -> None:
    """Remove the images that an earlier demonstration wrote, and nothing that is not in its list."""
    try:
        listed = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        files = [str(name) for series in listed["series"] for name in series["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    inside = (folder / "denoised").resolve()
    for name in files:
        path = (folder / name).resolve()
        if path.is_relative_to(inside) and path.is_file():
            with suppress(OSError):
                path.unlink()
