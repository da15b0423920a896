"""Goals on likeness and generality: where their figures are read, and when they are met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from release_findings import Finding, Record, Weights, interval, missing, percent, read, told_models

from quell.models.registry import WEIGHTS

TRAINED_PEERS = ("DnCNN", "RED-CNN", "U-Net-64")
ABOVE_NLM_DB, ABOVE_CLASSICAL_DB = 1.0, 0.5
PER_DOSE_DB, UNSEEN_DB = -0.2, -0.3
WEIGHTS_MB = 60.0


def ct(folder: Path) -> list[Finding]:
    """Return the lines of CT against its peers."""
    goal = "PSNR and SSIM above BM3D told the exact spectrum, at 50, 25 and 10 % dose"
    record = read(folder, "ct_peers.json")
    if record is None:
        return [missing("CT, physics noise, blind", goal, "ct_peers.json is not there")]
    names = dict.fromkeys(name for one in record["doses"].values() for name in one["differences"])
    return [line for name in names for line in _ct_model(record, name)]


def _ct_model(record: Record, name: str) -> Iterator[Finding]:
    about = (record["command"], told_models(record))
    sizes = {len(one["images"]) for one in record["doses"].values()}
    patients = {len({i["patient"] for i in one["images"]}) for one in record["doses"].values()}
    what = f"{name}, {_range(sizes)} images of {_range(patients)} patients"
    bm3d = "BM3D, exact spectrum"
    for key, unit, digits in (("psnr", " dB", 2), ("ssim", "", 4)):
        goal = f"{key.upper()} above BM3D told the exact spectrum"
        why = record["bm3d"]["why_not"]
        yield _against(record, name, bm3d, key, (what, goal, unit, digits, 0.0, why), about)
    goal = f"at least {ABOVE_NLM_DB:g} dB above non-local means with the best settings per image"
    nlm = "non-local means, best"
    yield _against(record, name, nlm, "psnr", (what, goal, " dB", 2, ABOVE_NLM_DB, ""), about)
    for peer in TRAINED_PEERS:
        goal, why = f"PSNR at least that of {peer} trained on the same samples", f"no run of {peer} was given"
        yield _against(record, name, peer, "psnr", (what, goal, " dB", 2, 0.0, why), about)


def _against(
    record: Record,
    name: str,
    peer: str,
    key: str,
    told: tuple[str, str, str, int, float, str],
    about: tuple[str, tuple[Weights, ...]],
) -> Finding:
    what, goal, unit, digits, least, why = told
    found = {
        dose: one["differences"][name][peer][key]
        for dose, one in record["doses"].items()
        if peer in one["differences"].get(name, {})
    }
    if not found:
        return missing(what, goal, why or f"{peer} is not in the record")
    text = "; ".join(f"{percent(dose)}: {interval(one, digits)}{unit}" for dose, one in found.items())
    strict = least == 0 and peer not in TRAINED_PEERS
    met = all(one["value"] > least if strict else one["value"] >= least for one in found.values())
    return Finding(what, goal, text, met, *about)


def _range(values: Iterable[int]) -> str:
    found = sorted(values)
    return f"{found[0]}" if found[0] == found[-1] else f"{found[0]} to {found[-1]}"


def others(folder: Path) -> list[Finding]:
    """Return the lines of the other modalities against the best tuned classical method."""
    goal = f"at least {ABOVE_CLASSICAL_DB:g} dB above the best classical method, tuned"
    record = read(folder / "benchmark", "benchmark.json")
    if record is None:
        return [missing("other modalities", goal, "there is no benchmark.json")]
    networks = {one["name"]: one for one in record["denoisers"] if one["kind"] == "network"}
    lines = []
    for name, card in networks.items():
        weights = (Weights(name, card["version"], card["sha256"]),)
        for modality in dict.fromkeys(t["modality"] for t in record["tables"] if t["modality"] != "CT"):
            tables = [t for t in record["tables"] if t["modality"] == modality]
            if not any(row["denoiser"] == name for table in tables for row in table["rows"]):
                # It is made for other images.
                continue
            gaps = [(t, *_gap(t, name, set(networks))) for t in tables]
            text = "; ".join(f"{_amount(t)}: {gap:+.2f} dB ({best})" for t, gap, best in gaps)
            met = all(gap >= ABOVE_CLASSICAL_DB for _, gap, _ in gaps)
            lines.append(Finding(f"{name}, {modality}", goal, text, met, record["command"], weights))
            lines.append(_task(record, name, modality, {t["dose"]: b for t, _, b in gaps}, weights))
    return lines


def _amount(table: Record) -> str:
    return f"{table['dose']:g} looks" if table["dose_means"] == "looks" else percent(table["dose"])


def _gap(table: Record, name: str, networks: set[str]) -> tuple[float, str]:
    """Return PSNR over the best classical method, and its name."""
    values = {r["denoiser"]: r["values"]["psnr"]["value"] for r in table["rows"] if not r["failed"]}
    if name not in values:
        return float("nan"), "it has no figures"
    classical = {n: v for n, v in values.items() if n not in networks and n != "noisy"}
    best = max(classical, key=lambda n: classical[n])
    return values[name] - classical[best], best


def _task(
    record: Record, name: str, modality: str, best: Mapping[float, str], weights: tuple[Weights, ...]
) -> Finding:
    """Return whether an observer sees at least as much as with that classical method, and without any."""
    goal = "not worse than it in a task metric (d′)"
    parts, gaps = [], []
    for one in (d for d in record["detections"] if d["modality"] == modality):
        d_prime = {r["denoiser"]: r["d_prime"]["value"] for r in one["rows"] if r["d_prime"]}
        other = best.get(one["dose"], "")
        if name in d_prime and other in d_prime:
            gaps.append(d_prime[name] - d_prime[other])
            parts.append(
                f"{one['task']}, {one['signal']}: {gaps[-1]:+.2f} to {other}, "
                f"{d_prime[name] - d_prime['noisy']:+.2f} to undenoised"
            )
    if not gaps:
        return missing(f"{name}, {modality}", goal, "the benchmark ran no task of it")
    told = (f"{name}, {modality}", goal, "; ".join(parts), min(gaps) >= 0)
    return Finding(*told, record["command"], weights)


def repeats(folder: Path) -> list[Finding]:
    """Return the lines of real data."""
    goal = "error against the other repeat falls as theory allows (to 0.71 where all noise is gone)"
    looked = _differences(folder)
    record = read(folder, "repeats.json")
    if record is None:
        return [missing("real repeats", goal, "repeats.json is not there"), *looked]
    lines = []
    for name, rows in record["results"].items():
        for kind in dict.fromkeys(row["kind"] for row in rows):
            mine = [row for row in rows if row["kind"] == kind]
            good = sum(row["met"] for row in mine)
            text = f"{good} of {len(mine)} pairs within {record['tolerance']:.0%} of it; "
            text += "; ".join(map(_repeat, mine))
            met = all(row["met"] for row in mine)
            lines.append(Finding(f"{name}, {kind}", goal, text, met, record["command"], told_models(record)))
    return [*lines, *looked]


def _differences(folder: Path) -> list[Finding]:
    """Return the lines of what was taken away from scans of patients."""
    what, goal = "low-dose PET/CT and breast MRI", "difference images free of anatomy on inspection"
    record = read(folder, "differences.json")
    if record is None:
        return [missing(what, goal, "differences.json is not there")]
    limits = record["goal"]
    goal += f" (likeness to the anatomy up to {limits['likeness']:g}, edges up to {limits['edges']:g})"
    lines = []
    for name, rows in record["results"].items():
        told = "; ".join(f"{r['name']} {r['likeness']:+.3f}, {r['edges']:.2f}" for r in rows)
        met = all(row["met"] for row in rows) and bool(record["seen"])
        text = f"{told}. Seen: {record['seen'] or 'nobody looked'}"
        lines.append(Finding(f"{name}, {what}", goal, text, met, record["command"], told_models(record)))
    return lines


def _repeat(row: Record) -> str:
    told = "; ".join([f"allowed {row['allowed']:.3f}", *row["remarks"]])
    return f"{row['name']} {row['error_over_noisy']:.3f} ({told})"


def generality(folder: Path) -> list[Finding]:
    """Return the lines of doses, scanners and kernels."""
    record = read(folder, "generality.json")
    per_dose = f"within {-PER_DOSE_DB:g} dB of networks trained for each dose"
    unseen = f"unseen within {-UNSEEN_DB:g} dB of seen"
    if record is None:
        why = "generality.json is not there"
        return [missing("doses", per_dose, why), missing("scanners and kernels", unseen, why)]
    about = (record["command"], told_models(record))
    lines = []
    for name in record["scans"]["models"]:
        found = {d: v["minus_special"][name] for d, v in record["doses"].items() if "minus_special" in v}
        gains = "; ".join(f"{percent(d)}: {interval(v['gain'][name])}" for d, v in record["doses"].items())
        lines.append(_doses(f"{name}, doses", per_dose, found, gains, record, about))
        for key in ("scanner", "kernel"):
            value = record["scans"]["models"][name][f"unseen_minus_seen_{key}"]["over_best_nlm"]
            what, goal = f"{name}, {key}s of patients", f"{unseen}, over the best non-local means"
            if value is None:
                lines.append(missing(what, goal, f"the patients have no seen, or no unseen, {key}"))
                continue
            told = f"{value['value']:+.2f} dB ({value['unseen']} images unseen, {value['seen']} seen)"
            lines.append(Finding(what, goal, told, value["value"] >= UNSEEN_DB, *about))
        lines.append(_kernels(name, unseen, record["noise_kernels"], about))
    return lines


def _doses(
    what: str, goal: str, found: Record, gains: str, record: Record, about: tuple[str, tuple[Weights, ...]]
) -> Finding:
    tail = f"gain over noisy {gains} dB"
    lacking = [dose for dose in record["doses"] if dose not in found]
    if not found:
        return missing(what, goal, f"{'; '.join(record['left_out'])}. {tail}")
    text = "; ".join(f"{percent(dose)}: {interval(one)} dB" for dose, one in found.items())
    if lacking:
        text += f"; not measured at {', '.join(map(percent, lacking))}"
    met = all(one["value"] >= PER_DOSE_DB for one in found.values())
    # Doses that were not measured may still fall short.
    return Finding(what, goal, f"{text}; {tail}", None if met and lacking else met, *about)


def _kernels(name: str, unseen: str, told: Record, about: tuple[str, tuple[Weights, ...]]) -> Finding:
    margins = {key: one[name]["over_best_nlm"]["value"] for key, one in told["kernels"].items()}
    seen = [value for key, value in margins.items() if told["kernels"][key]["seen"]]
    others_ = [value for key, value in margins.items() if not told["kernels"][key]["seen"]]
    gap = min(others_) - sum(seen) / len(seen)
    text = f"{gap:+.2f} dB at the worst (over the best non-local means: "
    text += ", ".join(f"{key} {value:+.2f}" for key, value in margins.items()) + ")"
    goal = f"{unseen}, noise of kernels beyond those of the noise model, same patients"
    return Finding(f"{name}, kernels of the noise", goal, text, gap >= UNSEEN_DB, *about)


def outside(folder: Path) -> list[Finding]:
    """Return the lines of bad input."""
    record = read(folder, "outside.json")
    goal = "never worse by more than 0.1 dB"
    if record is None:
        return [missing("images outside of the training", goal, "outside.json is not there")]
    lines = []
    for name, rows in record["results"].items():
        for group in dict.fromkeys(row["group"] for row in rows):
            mine = [row for row in rows if row["group"] == group]
            worst = min(mine, key=lambda row: row["change"])
            bad = sum(not row["met"] for row in mine)
            text = f"{bad} of {len(mine)} worse; least change {worst['change']:+.2f} dB ({worst['name']})"
            lines.append(
                Finding(f"{name}, {group}", goal, text, bad == 0, record["command"], told_models(record))
            )
    return lines


def size(folder: Path) -> list[Finding]:
    """Return the line of the size of all weights."""
    total = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) / 1e6
    goal = f"all weights together at most {WEIGHTS_MB:g} MB"
    return [Finding("weights", goal, f"{total:.1f} MB", total <= WEIGHTS_MB), int8(folder)]


def int8(folder: Path) -> Finding:
    """Return the line of the fast network in whole numbers of eight bits."""
    what, goal = "int8 of the fast tier", "within 0.05 dB of bf16, else left"
    record = read(folder, "int8.json")
    if record is None:
        return missing(what, goal, "no record of it")
    told = "; ".join(
        f"{name}: up to {one['worst_lost_db']:.2f} dB lost, {one['times_as_fast']:.2f} times as fast"
        for name, one in record["verdicts"].items()
    )
    met = any(one["near"] for one in record["verdicts"].values())
    return Finding(what, goal, told if met else f"{told}: left", met, record["command"], told_models(record))
