"""The four files of a benchmark: page, numbers, rows, Markdown."""

from __future__ import annotations

from pathlib import Path

from quell.errors import OutputError
from quell.evaluation.benchmark.record import Benchmark
from quell.evaluation.report.benchmark_html import render_benchmark
from quell.evaluation.report.benchmark_markdown import terminal_lines, to_markdown
from quell.evaluation.report.benchmark_values import benchmark_values, to_csv
from quell.evaluation.report.json_report import to_json

__all__ = ["terminal_lines", "write_benchmark"]


def write_benchmark(found: Benchmark, folder: Path) -> tuple[Path, ...]:
    """Write ``benchmark.html``, ``.json``, ``.csv`` and ``.md``.

    Each is complete or absent, and replaces the one of an earlier run.

    Parameters
    ----------
    found : Benchmark
    folder : Path
        Made if absent.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    from quell.formats.atomic import atomic_file

    texts = {
        "benchmark.html": render_benchmark(found),
        "benchmark.json": to_json(benchmark_values(found)),
        "benchmark.csv": to_csv(found),
        "benchmark.md": to_markdown(found),
    }
    for name, text in texts.items():
        try:
            with atomic_file(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OutputError(folder / name, error.strerror or str(error)) from error
    return tuple(folder / name for name in texts)
