"""What a run logs: a table as CSV, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from quell.errors import OutputError
from quell.training.run_folder import LOG, TENSORBOARD

STEP = "step"


class RunLog:
    """A table with a row for each report; a resumed run goes on where its checkpoint stands.

    Parameters
    ----------
    folder : Path
    after : int
        Rows of later steps than this are dropped: they are done again.
    """

    def __init__(self, folder: Path, after: int = 0) -> None:
        from tensorboardX import SummaryWriter

        self._file = folder / LOG
        self._rows = [row for row in read_log(self._file) if float(row[STEP]) <= after]
        self._names = list(dict.fromkeys(name for row in self._rows for name in row))
        self._write_all()
        self._board: Any = SummaryWriter(str(folder / TENSORBOARD), purge_step=after + 1 if after else None)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        row = {STEP: str(step), **{name: f"{value:.6g}" for name, value in values.items()}}
        self._rows.append(row)
        new = [name for name in row if name not in self._names]
        self._names += new
        if new:
            self._write_all()
        else:
            self._append(_line(self._names, row))
        for name, value in values.items():
            self._board.add_scalar(name.replace(" ", "_"), value, step)

    def close(self) -> None:
        """Flush what TensorBoard holds back."""
        # The table is complete already; a full disk has been told of before.
        with suppress(OSError):
            self._board.close()

    def _write_all(self) -> None:
        lines = [_line(self._names, dict(zip(self._names, self._names, strict=True)))] if self._names else []
        lines += [_line(self._names, row) for row in self._rows]
        self._put("w", "".join(lines))

    def _append(self, line: str) -> None:
        self._put("a", line)

    def _put(self, mode: str, text: str) -> None:
        try:
            with self._file.open(mode, encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise OutputError(self._file, f"cannot be written: {error.strerror or error}") from error


def read_log(file: Path) -> list[dict[str, str]]:
    """Return the rows of a table, without cells that are empty; none where there is no file."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(lines)]
    # A run that was killed may have left half a line.
    return [row for row in rows if row.get(STEP, "").isdigit()]


def _line(names: list[str], row: Mapping[str, str]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="\n").writerow([row.get(name, "") for name in names])
    return held.getvalue()
