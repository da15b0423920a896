"""Goals on tasks and fidelity, read from the reports of ``quell evidence``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from release_findings import Finding, Record, Weights, missing, read

CONTRAST_HU, MTF_PERCENT, KEPT, TEXTURE_PERCENT = 40.0, 2.0, 0.9, 10.0

BIASES = (
    ("HU bias in uniform regions", r"Bias, ", "HU", 1.0),
    ("SUVmean", r"Bias of SUVmean|SUVmean", "%", 2.0),
    ("SUVpeak", r"SUVpeak", "%", 5.0),
    ("counts", r"Counts kept", "%", 0.5),
)
"""What, how the checks of it begin, their unit, and the largest value."""

NOTHING = "there is no evidence.json of it"


def reports(folder: Path) -> list[tuple[str, Record]]:
    """Return the reports of a folder of results, and what each is of."""
    found = []
    for file in sorted((folder / "evidence").glob("*/evidence.json")):
        record = read(file.parent, file.name)
        if record is not None:
            quick = ", quick" if record["provenance"].get("quick") else ""
            found.append((f"{record['model']}, {record['modality']}{quick}", record))
    return found


def about(record: Record) -> tuple[str, tuple[Weights, ...]]:
    """Return command and weights of a report."""
    quick = " --quick" if record["provenance"].get("quick") else ""
    command = f"quell evidence {record['model']} --modality {record['modality']}{quick}"
    return command, (Weights(record["model"], record["model_version"], record["weights_sha256"]),)


def checks(record: Record, section: str, begins: str = "") -> Iterator[Record]:
    """Yield the checks of a section that have a value and whose names begin so."""
    for one in record["sections"].get(section, {}).get("checks", ()):
        if one["found"] and one["found"]["value"] is not None and re.match(begins, one["name"]):
            yield one


def task(folder: Path) -> list[Finding]:
    """Return the lines of the observers."""
    goal = "AUC never below that of the undenoised images, above it in the mean"
    lines = []
    for what, record in reports(folder):
        for begins in ("Observer: change of AUC, ", "Observer with reader noise: change of AUC, "):
            found = list(checks(record, "task", re.escape(begins)))
            named = f"{what}, {begins.partition(':')[0].lower()}"
            if not found:
                lines.append(missing(named, goal, "the report has no such check"))
                continue
            values = [one["found"]["value"] for one in found]
            worst = min(found, key=lambda one: one["found"]["value"])
            below = sum(value < 0 for value in values)
            mean = sum(values) / len(values)
            text = f"{below} of {len(values)} below; mean {mean:+.4f}; least {min(values):+.4f} "
            text += f"({worst['name'].removeprefix(begins)})"
            lines.append(Finding(named, goal, text, below == 0 and mean > 0, *about(record)))
    return lines or [missing("observers", goal, NOTHING)]


def fidelity(folder: Path) -> list[Finding]:
    """Return the lines of bias, resolution, contrast and texture."""
    lines = [line for what, record in reports(folder) for line in _one(what, record)]
    for what, _, unit, most in BIASES:
        if not any(what in line.what for line in lines):
            lines.append(missing(what, f"at most {most:g} {unit}", NOTHING))
    return lines


def _one(what: str, record: Record) -> Iterator[Finding]:
    for name, begins, unit, most in BIASES:
        found = [one for one in checks(record, "bias", begins) if one["unit"] == unit]
        if found:
            yield _largest(f"{what}, {name}", f"at most {most:g} {unit}", found, most, record)
    if record["modality"] == "CT":
        yield _resolution(what, record)
    kept = _kept(what, record)
    if kept is not None:
        yield kept
    shifts = list(checks(record, "noise", "Shift of the mean frequency"))
    if shifts:
        goal = f"mean frequency of the noise shifts by at most {TEXTURE_PERCENT:g} %"
        yield _largest(f"{what}, texture", goal, shifts, TEXTURE_PERCENT, record)


def _largest(what: str, goal: str, found: list[Record], most: float, record: Record) -> Finding:
    worst = max(found, key=lambda one: abs(one["found"]["value"]))
    value, unit = worst["found"]["value"], worst["unit"]
    bad = sum(abs(one["found"]["value"]) > most for one in found)
    text = f"largest {value:+.2f} {unit} ({worst['name']}); {bad} of {len(found)} beyond"
    return Finding(what, goal, text, bad == 0, *about(record))


def _resolution(what: str, record: Record) -> Finding:
    """Return the line of the edges; those whose verdict the report refuses as too uncertain do not count."""
    goal = f"MTF50 of inserts of {CONTRAST_HU:g} HU and more changes by at most {MTF_PERCENT:g} %"
    found = []
    unsure = 0
    for one in checks(record, "resolution", "Change of MTF50"):
        contrast = re.search(r"contrast (-?[\d.]+)", one["name"])
        if contrast is None or abs(float(contrast[1])) < CONTRAST_HU:
            continue
        if one["verdict"] == "no bar":
            unsure += 1
        else:
            found.append(one)
    if not found:
        return missing(f"{what}, MTF50", goal, f"{unsure} edges, all too uncertain for a verdict")
    line = _largest(f"{what}, MTF50", goal, found, MTF_PERCENT, record)
    if not unsure:
        return line
    return Finding(line.what, goal, f"{line.measured}; {unsure} more too uncertain", line.met, *about(record))


def _kept(what: str, record: Record) -> Finding | None:
    table = record["sections"].get("resolution", {}).get("tables", {}).get("contrast_kept")
    rows = [row for row in table["rows"] if row["kept"]["value"] is not None] if table else []
    if not rows:
        return None
    goal = f"faint small signals keep at least {100 * KEPT:g} % of their contrast"
    worst = min(rows, key=lambda row: row["kept"]["value"])
    bad = sum(row["kept"]["value"] < KEPT for row in rows)
    text = f"least {100 * worst['kept']['value']:.0f} % "
    text += f"({worst['task']} {worst['signal']}, dose {worst['dose']:g}); {bad} of {len(rows)} below"
    return Finding(f"{what}, contrast kept", goal, text, bad == 0, *about(record))
