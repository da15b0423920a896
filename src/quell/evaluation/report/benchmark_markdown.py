"""A benchmark as Markdown, and as lines for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from quell.evaluation.benchmark.record import Benchmark, Detection, Row, Table
from quell.evaluation.benchmark.scoring import COLUMNS, unit_of
from quell.evaluation.metrics.statistics import Interval
from quell.evaluation.report.wording import number

NAMES = {
    "CT": "Computed tomography",
    "MR": "Magnetic resonance",
    "PT": "Positron emission tomography",
    "NM": "Planar scintigraphy",
    "US": "Ultrasound",
    "XR": "Radiography",
}
_MINUS = "\N{MINUS SIGN}"
_NOTHING = "–"


def to_markdown(found: Benchmark) -> str:
    """Return the tables, each with what it rests on."""
    lines = [
        "# Denoisers side by side",
        "",
        f"Printed by `{found.command}` (Quell {found.version}, seed {found.seed}, {found.machine}; "
        f"{found.seconds / 60:.0f} minutes). Research use only. Not for diagnosis.",
        "",
        "Values are means over images with 95 % bootstrap intervals. Every number is explained in the "
        "documentation of the benchmark.",
        "",
    ]
    for table in found.tables:
        lines += [*_table(table), ""]
    for one in found.detections:
        lines += [*_detection(one), ""]
    if found.speed:
        lines += [*_speed(found), ""]
    lines += [*_tuning(found), ""]
    if found.left_out:
        lines += ["## Left out", "", *(f"- {text}" for text in found.left_out), ""]
    return "\n".join(lines).rstrip() + "\n"


def terminal_lines(found: Benchmark) -> Iterator[tuple[str, str]]:
    """Yield what is printed when a benchmark ends: a name, padded to the width of its column, and words."""
    for table in found.tables:
        yield "", f"{NAMES[table.modality.value]}, {table.title} ({len(table.images)} images)"
        width = max(len(row.denoiser) for row in table.rows)
        for row in table.rows:
            yield f"  {row.denoiser:<{width}}  ", _short(row)
        yield "", ""
    for text in found.left_out:
        yield "note: ", text


def _short(row: Row) -> str:
    if row.failed:
        return f"failed: {row.failed}"
    psnr, ssim = row.values["psnr"], row.values["ssim"]
    told = f"PSNR {psnr.value:.2f} dB, SSIM {ssim.value:.3f}"
    if row.difference is not None:
        told += f", {row.difference.mean.value:+.2f} dB ({p_words(row.difference.p_holm)})"
    return told


def signed_cell(found: Interval | None, digits: int) -> str:
    """Return a number with its sign and its interval."""
    return _NOTHING if found is None else cell(found, digits, plus=True)


def cell(found: Interval, digits: int, *, plus: bool = False) -> str:
    """Return a number with its interval, such as ``"33.10 [31.20, 34.90]"``.

    Examples
    --------
    >>> cell(Interval(33.1, 31.2, 34.9, 0.95, 4), 1)
    '33.1 [31.2, 34.9]'
    """
    value = _fixed(found.value, digits, plus)
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return value
    return f"{value} [{_fixed(found.low, digits, plus)}, {_fixed(found.high, digits, plus)}]"


def p_words(p: float) -> str:
    """Return a p value in words.

    Examples
    --------
    >>> p_words(0.03), p_words(0.00001), p_words(float("nan"))
    ('p 0.03', 'p < 0.001', 'no test')
    """
    if not math.isfinite(p):
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p {p:.2g}" if p < 0.095 else f"p {p:.1f}"


def about(table: Table) -> list[str]:
    """Return what a table rests on, a sentence each."""
    over = f"{table.patients} patients or objects" if table.grouped else "the images of one patient"
    told = [
        f"{len(table.images)} images; intervals are drawn over {over}.",
        f"Source: {table.source}.",
        f"Classical methods: {table.budget} settings each, tuned by PSNR on "
        f"{len(table.tuning_images)} other images, and told the noise level.",
    ]
    if math.isfinite(table.ceiling):
        told.append(
            f"The references have noise of their own, {table.own_noise:.2f} times what was added: a result "
            f"without any error would score about {table.ceiling:.1f} dB."
        )
    return told


def _fixed(value: float, digits: int, plus: bool) -> str:
    if not math.isfinite(value):
        return _NOTHING
    told = f"{value:+.{digits}f}" if plus else f"{value:.{digits}f}"
    if not told.strip("+-0."):
        told = told.lstrip("+-")
    return told.replace("-", _MINUS)


def _table(table: Table) -> list[str]:
    heads = [
        f"{c.name}" + (f", {unit_of(c, table.modality)}" if unit_of(c, table.modality) else "")
        for c in COLUMNS
    ]
    first = table.rows[1].denoiser if len(table.rows) > 1 else "the first"
    heads = ["Denoiser", *heads, f"PSNR minus {first}, dB", "p (Holm)"]
    rows = [_cells(row) for row in table.rows]
    title = f"## {NAMES[table.modality.value]}, {table.title}"
    return [title, "", " ".join(about(table)), "", *grid(heads, rows)]


def _cells(row: Row) -> list[str]:
    if row.failed:
        return [row.denoiser, f"failed: {row.failed}", *[""] * (len(COLUMNS) + 1)]
    values = [cell(row.values[c.key], c.digits, plus=c.key in ("bias", "shift")) for c in COLUMNS]
    told = row.difference
    last = [_NOTHING, ""] if told is None else [signed_cell(told.mean, 2), p_words(told.p_holm)]
    return [row.denoiser, *values, *last]


def _detection(found: Detection) -> list[str]:
    rows = [
        [row.denoiser, f"failed: {row.failed}", "", "", ""]
        if row.d_prime is None or row.auc is None
        else [
            row.denoiser,
            cell(row.d_prime, 2),
            cell(row.auc, 3),
            signed_cell(row.difference, 2),
            "" if row.difference is None else p_words(row.p_holm),
        ]
        for row in found.rows
    ]
    title = f"## Detection: {found.task}, {found.signal}, dose {found.dose:g}"
    told = (
        f"{found.observer}; {found.pairs} pairs, the same for all. The contrast is set for a d′ of about 1.5."
    )
    return [title, "", told, "", *grid(["Denoiser", "d′", "AUC", "d′ minus noisy", "p (Holm)"], rows)]


def _speed(found: Benchmark) -> list[str]:
    rows = []
    for row in found.speed:
        if row.milliseconds is None:
            rows.append([row.denoiser, row.engine, f"failed: {row.failed}", "", "", ""])
            continue
        digits = 1 if row.milliseconds.value < 1000 else 0
        ratio = "" if row.ratio is None else cell(row.ratio, 2)
        peak = _NOTHING if row.peak_mib is None else f"{row.peak_mib:.0f}"
        rows.append(
            [
                row.denoiser,
                row.engine,
                cell(row.milliseconds, digits),
                number(row.per_megapixel),
                ratio,
                peak,
            ]
        )
    heads = ["Denoiser", "Engine", "512 × 512, ms", "ms a megapixel", "Over the first", "Peak memory, MiB"]
    told = (
        "One slice in memory, the estimate of the noise included, all in turn in one process; reading and "
        "writing are not in it (except for commands, whose files are). Classical methods with the settings "
        "of the first table that they are in."
    )
    return ["## Speed", "", told, "", *grid(heads, rows)]


def _tuning(found: Benchmark) -> list[str]:
    rows = [
        [row.denoiser, table.modality.value, f"{table.dose:g}", row.settings]
        for table in found.tables
        for row in table.rows
        if row.settings
    ]
    return ["## Settings that tuning chose", "", *grid(["Method", "Modality", "Dose", "Settings"], rows)]


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table of Markdown; bars within cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(str(c).replace("|", "\\|") for c in line) + " |" for line in lines]
