"""What the commands say on the terminal: the closing table, and errors of one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quell.evaluation.report import wording

if TYPE_CHECKING:
    from rich.table import Table

    from quell.evaluation.report.record import SeriesRecord, StudyRecord
    from quell.formats.contracts import PassedOver

NOTICE = "Research use only. Not for diagnosis."


def printable(text: object) -> str:
    """Return `text` on one line, without the control characters that a hostile header may carry.

    An escape sequence in a series description could otherwise repaint the user's terminal.
    """
    kept = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(kept.split())


def complain(message: object) -> None:
    """Print an error as one line on stderr."""
    print(f"quell: error: {printable(message)}", file=sys.stderr)


def version() -> str:
    """Return the version of Quell."""
    import quell

    return str(getattr(quell, "__version__", "unknown"))


def print_summary(record: StudyRecord) -> None:
    """Print what a run did: a row a series, then what failed or was passed over, and why."""
    if record.series:
        _print_table(_done_table(record))
    _print_remarks(record)


def print_plan(record: StudyRecord, outputs: Sequence[str]) -> None:
    """Print what a run would do.

    Parameters
    ----------
    record : StudyRecord
        Of a dry run.
    outputs : sequence of str
        The kinds of images that would be written of each series.
    """
    if record.series:
        table = _table("Series", "Modality", "Slices x rows x columns", "Model", "Would write")
        for series in record.series:
            kinds = f"{', '.join(outputs)} ({wording.output_format(series.format)})"
            sizes = " x ".join(str(size) for size in series.shape)
            _add(table, series.name, series.modality, sizes, series.model, kinds)
        _print_table(table)
    _print_remarks(record)
    print("Dry run: nothing was written.")


def print_simulation(record: StudyRecord) -> None:
    """Print what a simulation did: a row a series, then what failed, was passed over, is approximate."""
    if record.series:
        table = _table("Series", "Simulated", "Model", "Time", "Written to")
        for series in record.series:
            done = series.amount if series.status.value == "done" else series.status.value
            spent = wording.seconds(sum(series.seconds.values())) if series.seconds else ""
            model = series.model.rpartition(".")[2]
            _add(table, series.name, done, model, spent, _written(series))
        _print_table(table)
    _print_remarks(record)


def print_simulation_plan(record: StudyRecord) -> None:
    """Print what a simulation would do."""
    if record.series:
        table = _table("Series", "Modality", "Slices x rows x columns", "Would write")
        for series in record.series:
            sizes = " x ".join(str(size) for size in series.shape)
            kind = f"{series.amount} ({wording.output_format(series.format)})" if series.amount else ""
            _add(table, series.name, series.modality, sizes, kind)
        _print_table(table)
    _print_remarks(record)
    print("Dry run: nothing was written.")


def print_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    table = _table(*headings)
    for row in rows:
        _add(table, *row)
    _print_table(table)


def common_folder(files: Iterable[Path]) -> Path | None:
    """Return the folder that holds all `files`, or None where there is none."""
    folders = [str(file.parent) for file in files]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:
        return None


def _done_table(record: StudyRecord) -> Table:
    table = _table("Series", "Denoised", "Noise", "Time", "Written to")
    for series in record.series:
        spent = wording.seconds(sum(series.seconds.values())) if series.seconds else ""
        _add(table, series.name, _done(series), _noise(series), spent, _written(series))
    return table


def _done(series: SeriesRecord) -> str:
    if series.status.value != "done":
        return series.status.value
    return wording.plural(series.shape[0], "slice")


def _noise(series: SeriesRecord) -> str:
    before, after = series.noise_before, series.noise_after
    if before is None:
        return ""
    if after is None:
        return wording.quantity(before.level, series.units)
    change = wording.change(before.level, after.level).replace("\N{MINUS SIGN}", "-").replace(" ", "")
    levels = f"{wording.number(before.level)} -> {wording.quantity(after.level, series.units)}"
    return f"{levels} ({change})" if change else levels


def _written(series: SeriesRecord) -> str:
    if not series.files:
        return ""
    if len(series.files) == 1:
        return str(series.files[0])
    count = wording.plural(len(series.files), "file")
    folder = common_folder(series.files)
    return count if folder is None else f"{folder} ({count})"


def _print_remarks(record: StudyRecord) -> None:
    for series in record.series:
        if series.reason:
            # An error names what it is about, which is mostly the series.
            reason = series.reason.removeprefix(f"{series.name}: ")
            print(f"failed: {printable(series.name)}: {printable(reason)}")
        for remark in (*series.notes, *series.warnings):
            print(f"note: {printable(series.name)}: {printable(remark)}")
        if series.clamped:
            voxels = wording.plural(series.clamped, "voxel")
            print(f"note: {printable(series.name)}: {voxels} clamped to the range of the stored type")
    for item in record.passed_over:
        print(passed_over(item))


def passed_over(item: PassedOver) -> str:
    """Return what was not taken of an input, and why, as one line."""
    lead = "failed" if item.error else "passed over"
    count = f" ({wording.plural(item.count, 'file')})" if item.count > 1 else ""
    return f"{lead}: {printable(item.what)}{count}: {printable(item.reason)}"


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for heading in headings:
        long = heading in ("Series", "Written to", "Would write")
        table.add_column(heading, overflow="fold", no_wrap=not long)
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.text import Text

    # Text, not str: square brackets in a name are no markup.
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _print_table(table: Table) -> None:
    from rich.console import Console

    # A pipe has no width; folding its lines would only hinder what reads them.
    console = Console(width=None if sys.stdout.isatty() else 1000, highlight=False)
    console.print(table)
    print()
