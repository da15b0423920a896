"""The page of all learning methods, made from what ``benchmarks/methods.py`` and its sisters measured.

``python benchmarks/methods_page.py docs/results/methods -o docs/results/methods.md``
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quell.evaluation.metrics.statistics import Interval, bootstrap_mean
from quell.methods.contracts import Need
from quell.methods.registry import find_methods

HEAD = """# Every learning method, side by side

Made by `python benchmarks/methods_page.py docs/results/methods -o docs/results/methods.md` from the figures
of `python benchmarks/methods.py --data DIR --minutes {minutes:g}` (seed {seed}, {machine}) and of the
scripts that are named below. Research use only. Not for diagnosis.

**Read this first.** Every method was trained for {minutes:g} minutes of processor time (one core, bfloat16;
boosting by its own rules), on the same images with the same noise, with a network of a width that can be
trained in that time; the papers train for hours to days on graphics processors with networks of ten times the
width. The tables compare *how methods learn* under one small budget. They do not say what a method can
reach, and the network that ships, which was trained for hours, is there as a mark. neighbor2neighbor,
noise2void, gr2r and unsure measure the local noise of each image with the estimator of the network that
ships, which was trained on drawn noise with clean references.

The settings of each run are in [methods.json](methods/methods.json);
test patients and objects were seen by nobody. Intervals are 95 % bootstrap intervals over patients. Every
number is explained in [benchmark.md](../evaluation/benchmark.md).
"""

CLAIMS = """Differences on the same images, with 95 % bootstrap intervals over patients where there are
several; "yes" and "no" only where the interval lies on one side (DEMIST: where p is below 0.05). For the
conditional deep image prior, with four lesions, the sign decides; the spread is in the table below."""

REMARKS = "remarks.md"
"""What was found of the reasons, written by hand; every figure in it is in a table or a decision record."""

_SURE = 0.05

SISTERS = (
    ("demist", "Perfusion SPECT: detection, not likeness"),
    ("scintigraphy", "Bone scans by level of counts"),
    ("cui_cdip", "PET from one study and its CT or MR"),
    ("ultrasound", "Ultrasound in detail"),
    ("transfer_curve", "Transfer: quality by the number of studies"),
)
"""Scripts of their own; ``NAME.md`` holds their command in its first line, and then what they printed."""


def page(folder: Path) -> str:
    """Return the page as Markdown."""
    told = json.loads((folder / "methods.json").read_text("utf-8"))
    parts = [HEAD.format(**{key: told[key] for key in ("minutes", "seed", "machine")})]
    parts += [family(name, values) for name, values in told["families"].items()]
    parts.append(claims(told["families"], folder))
    remarks = folder / REMARKS
    # The page lies one folder above the file.
    parts += [remarks.read_text("utf-8").replace("](../../", "](../")] if remarks.exists() else []
    parts += [sister(folder, name, title) for name, title in SISTERS if (folder / f"{name}.md").exists()]
    return "\n".join(parts)


def family(name: str, values: Mapping[str, Any]) -> str:
    """Return the section of a family: a table for each dose, and what went wrong."""
    trained = {f"{name}/{one['row']}": one for one in values["trained"]}
    where = "real images of validation patients" if values["real"] else "drawn anatomy and test objects"
    lines = [
        f"## {values['title']}",
        "",
        f"Judged on {where}; [all numbers](methods/{name}/benchmark.md).",
        "",
    ]
    for table in values["tables"]:
        found = _detection(values, table["dose"])
        lines += _table(table, trained, found, values["speed"])
    failed = [one for one in values["trained"] if one["failed"]]
    lines += [f"- {one['row']} has no figures: {one['failed']}" for one in failed]
    lines += [f"- Left out: {text}" for text in values["left_out"]]
    return "\n".join([*lines, ""])


def _detection(values: Mapping[str, Any], dose: float) -> Mapping[str, Any] | None:
    return next((one for one in values["detections"] if one["dose"] == dose), None)


def _table(
    table: Mapping[str, Any],
    trained: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Any] | None,
    speed: Mapping[str, float | None],
) -> list[str]:
    task = f", AUC: {found['task']} {found['signal']}" if found else ""
    head = ["Denoiser", "Learns from", "PSNR, dB", "SSIM", "Mean-frequency shift, %", "AUC"]
    head += ["ms for 512 × 512", "Parameters, thousand"]
    lines = [
        f"### {table['title']}",
        "",
        f"{len(table['images'])} images of {table['patients']} patients{task}.",
    ]
    lines += ["", _row(head), _row(["---"] * len(head))]
    aucs = {row["denoiser"]: row["auc"] for row in found["rows"]} if found else {}
    for row in sorted(table["rows"], key=_psnr, reverse=True):
        lines.append(_row(_cells(row, trained.get(row["denoiser"]), aucs, speed)))
    return [*lines, ""]


def _psnr(row: Mapping[str, Any]) -> float:
    return float(row["values"]["psnr"]["value"]) if not row["failed"] else float("-inf")


def _cells(
    row: Mapping[str, Any],
    one: Mapping[str, Any] | None,
    aucs: Mapping[str, Any],
    speed: Mapping[str, float | None],
) -> list[str]:
    name = row["denoiser"]
    shown = one["row"] if one else name
    need = _learns_from(one["method"]) if one else ""
    if row["failed"]:
        return [shown, need, f"failed: {row['failed']}", *[""] * 5]
    values = row["values"]
    milliseconds = speed.get(name)
    size = f"{one['card']['parameters'] / 1000:.0f}" if one and one["card"] else ""
    return [
        f"**{shown}**" if one else shown,
        need,
        _interval(values["psnr"], 2),
        _interval(values["ssim"], 3),
        _interval(values["shift"], 0),
        _interval(aucs.get(name), 3),
        f"{milliseconds:.0f}" if milliseconds else "",
        size,
    ]


def _learns_from(method: str) -> str:
    # Transfer takes what there is, and the material of all families has clean images.
    need = Need.PAIRED if method == "transfer" else find_methods()[method].facts.need
    return need.name.lower().replace("_", " ")


def _interval(found: Mapping[str, float] | None, digits: int) -> str:
    if not found:
        return ""
    return f"{found['value']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def claims(families: Mapping[str, Any], folder: Path) -> str:
    """Return what the papers claim, as directions, beside what came out."""
    lines = ["## What the papers claim, as directions", "", CLAIMS, ""]
    lines += [_row(["Claim", "Found", "Comes out"]), _row(["---"] * 3)]
    for name in ("ct", "mr"):
        lines += _without_clean(name, families)
    for name, method, other in (
        ("ct", "unad", "redcnn"),
        ("bone", "scintigraphy-unet", "gaussian"),
        ("bone", "scintigraphy-unet-independent", "gaussian"),
        ("bone", "noise2noise", "gaussian"),
        ("pet", "pet-unet", "gaussian"),
        ("pet", "pet-ddpm", "gaussian"),
        ("us", "ultrasound-cnn", "total variation"),
        ("us", "ultrasound-cnn-gbm", "ultrasound-cnn"),
    ):
        lines += _above(name, method, other, families)
    return "\n".join([*lines, *_demist(folder / "demist.json"), *_cui(folder / "cui_cdip.json"), ""])


def _cui(file: Path) -> list[str]:
    """Return what became of the claim of the conditional deep image prior, for lesions seen in the prior."""
    if not file.exists():
        return []
    told = json.loads(file.read_text("utf-8"))["trunks"]
    gains = {row["method"]: row["cnr_gain_percent"] for row in told if row["lesions"] == "shown"}
    lines = []
    for other in (name for name in gains if not name.startswith("cui-cdip")):
        gain = gains["cui-cdip"] - gains[other]
        what = f"PET with the patient's CT: conditional deep image prior above {other} in CNR gain"
        lines.append(_row([what, f"{gain:+.1f} percentage points", "yes" if gain > 0 else "no"]))
    return lines


def _demist(file: Path) -> list[str]:
    """Return what became of the claim of DEMIST: seen better than without its term, and than undenoised."""
    if not file.exists():
        return []
    rows = [row for row in json.loads(file.read_text("utf-8"))["rows"] if row["by"] == "all"]
    lines = []
    for row in (row for row in rows if row["way"] == "demist"):
        for other, words in (("low dose", "the low dose"), ("agnostic", "the same network without its term")):
            gain, p = row[f"over {other}"], row[f"p over {other}"]
            what = f"Perfusion SPECT, {row['dose']:.2%} of the dose: DEMIST above {words} in AUC"
            leaning = "more yes than no" if gain > 0 else "more no than yes"
            sure = "yes" if gain > 0 else "no"
            verdict = sure if p < _SURE else f"open, {leaning}"
            lines.append(_row([what, f"{gain:+.3f} (p {p:.2f})", verdict]))
    return lines


def _without_clean(name: str, families: Mapping[str, Any]) -> list[str]:
    """Return how far below the supervised network each that has seen no clean image is; 1 dB is allowed."""
    if name not in families:
        return []
    lines = []
    for table in families[name]["tables"]:
        for method in ("noise2noise", "neighbor2neighbor", "noise2void", "gr2r", "unsure"):
            gain = _difference(table, f"{name}/{method}", f"{name}/unet")
            if gain is not None:
                what = f"{method} within 1 dB of supervised (unet)"
                lines.append(_verdict(families[name], table, what, gain, -1.0))
    return lines


def _above(name: str, method: str, other: str, families: Mapping[str, Any]) -> list[str]:
    if name not in families:
        return []
    lines = []
    for table in families[name]["tables"]:
        names = {row["denoiser"] for row in table["rows"]}
        second = f"{name}/{other}" if f"{name}/{other}" in names else other
        gain = _difference(table, f"{name}/{method}", second)
        if gain is not None:
            lines.append(_verdict(families[name], table, f"{method} above {other}", gain, 0.0))
    return lines


def _difference(table: Mapping[str, Any], first: str, second: str) -> Interval | None:
    """Return by how many dB one is above another on the same images; None where one has no figures."""
    rows = {row["denoiser"]: row["per_image"] for row in table["rows"] if not row["failed"]}
    if first not in rows or second not in rows:
        return None
    images = [image for image in rows[first] if image in rows[second]]
    gains = [rows[first][image]["psnr"] - rows[second][image]["psnr"] for image in images]
    return bootstrap_mean(gains, [image.rpartition(", slice")[0] or image for image in images])


def _verdict(
    family: Mapping[str, Any], table: Mapping[str, Any], what: str, gain: Interval, limit: float
) -> str:
    """Return a row; the verdict is open where the interval holds the limit."""
    found = f"{gain.value:+.2f} dB [{gain.low:+.2f}, {gain.high:+.2f}]"
    return _row([f"{family['title']}, {table['title']}: {what}", found, _comes_out(gain, limit)])


def _comes_out(gain: Interval, limit: float) -> str:
    if gain.low >= limit:
        return "yes"
    if gain.high < limit:
        return "no"
    return "open, more yes than no" if gain.value >= limit else "open, more no than yes"


def sister(folder: Path, name: str, title: str) -> str:
    """Return what a script of its own printed, one heading deeper."""
    command, _, text = (folder / f"{name}.md").read_text("utf-8").strip().partition("\n")
    lines = [f"#{line}" if line.startswith("#") else line for line in text.strip().splitlines()]
    # A table begins after an empty line only.
    body = re.sub(r"(?m)^([^|\n].*)\n(?=\|)", r"\1\n\n", "\n".join(lines))
    return f"## {title}\n\nPrinted by `{command}`.\n\n{body}\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/methods.md"))
    arguments = parser.parse_args()
    arguments.out.write_text(page(arguments.folder), "utf-8")


if __name__ == "__main__":
    main()
