"""A survey of noise in words, for the terminal: a name and what is to be said, line by line."""

from __future__ import annotations

from quell.evaluation.report import wording
from quell.evaluation.report.noise_record import (
    Equivalent,
    Expected,
    LawNumbers,
    Level,
    NoiseRecord,
    RepeatNumbers,
    SpectrumNumbers,
)

Line = tuple[str, str]

_NAMES = {
    "snr": "signal to noise",
    "relative_noise": "noise over signal",
    "quanta_per_pixel": "quanta a pixel",
    "equivalent_looks": "equivalent looks",
    "exposure": "10 HU at",
    "air_level": "by the air",
    "coils": "coils by the air",
}


def lines(record: NoiseRecord) -> list[Line]:
    """Return what is told of one series; the first line is its headline."""
    size = " x ".join(str(length) for length in record.shape)
    said = [("", f"{record.name}: {record.modality}, {size}")]
    if record.reason:
        said.append(("failed", record.reason.removeprefix(f"{record.name}: ")))
    if record.level is not None:
        said += _level(record.level, record.units)
    if record.spectrum is not None:
        said += _spectrum(record.spectrum)
        if record.modality == "CT":
            said.append(("shape", _shape(record.spectrum)))
    if record.law is not None:
        said.append(("law", _law(record.law)))
    said += [_equivalent(one) for one in record.equivalents]
    said += [_expected(one, record.units) for one in record.expected]
    if record.frames is not None:
        said.append(("between frames", _repeat(record.frames, record.units)))
    if record.repeat is not None:
        said.append(("by the repeat", _repeat(record.repeat, record.units)))
    said += [("note", words) for words in (*record.notes, *record.warnings)]
    if record.picture is not None:
        said.append(("picture", str(record.picture)))
    return said


def _level(level: Level, units: str) -> list[Line]:
    spread = f"{wording.number(level.p5)} to {wording.number(level.p95)}"
    said = [
        (
            "level",
            f"{wording.quantity(level.median, units)} (median of the local SD; 90 % lie within {spread})",
        )
    ]
    if level.network is not None and level.classical is not None:
        parts = f"classical {wording.number(level.classical)}, network {wording.number(level.network)}"
        said.append(("measured by", f"{level.source} ({parts})"))
    else:
        said.append(("measured by", level.source))
    return said


def _spectrum(spectrum: SpectrumNumbers) -> list[Line]:
    per = f"/{spectrum.length}"
    words = (
        f"mean frequency {wording.number(spectrum.first_moment)} {per}, "
        f"peak {wording.number(spectrum.peak)} {per}, "
        f"correlation length {wording.number(spectrum.correlation_length)} {spectrum.length}, "
        f"anisotropy {wording.number(spectrum.anisotropy)}"
    )
    return [("spectrum", f"{words}; {wording.plural(spectrum.regions, 'plain region')}")]


def _shape(spectrum: SpectrumNumbers) -> str:
    ratio = f"low over upper middle frequencies {wording.number(spectrum.ramp_ratio)}"
    if spectrum.ramp_like:
        return f"ramp-like, as of filtered back-projection ({ratio})"
    return f"not ramp-like: another reconstruction, a smooth kernel, or anatomy in the way ({ratio})"


def _law(law: LawNumbers) -> str:
    if law.kind == "unknown":
        return "unknown: too few plain blocks, or no two different signals"
    terms = (law.constant, law.linear, law.quadratic)
    parts = [
        f"{wording.number(value)}{times}"
        for value, times in zip(terms, ("", " m", " m²"), strict=True)
        if value > 0
    ]
    share = f"{100 * law.explained:.0f} % of how the level varies with the signal"
    if law.kind == "constant" and law.linear == law.quadratic == 0:
        share = "does not go with the signal"
    return f"{law.kind}: variance = {' + '.join(parts) or '0'} at a signal m; {share}"


def _equivalent(one: Equivalent) -> Line:
    return _NAMES.get(one.name, one.name), f"{wording.quantity(one.value, one.unit)} ({one.meaning})"


def _expected(one: Expected, units: str) -> Line:
    words = wording.quantity(one.level, units)
    if one.relative is not None:
        words += f", {100 * one.relative:.3g} % of the signal"
    if one.exposure is not None:
        words += f", {wording.number(one.exposure)} mAs"
    return f"at {100 * one.dose:.0f} % dose", f"{words} expected"


def _repeat(found: RepeatNumbers, units: str) -> str:
    still = "held still" if found.still else "did not hold still"
    return (
        f"{wording.quantity(found.level, units)} ({still}; {100 * max(found.shared, 0):.0f} % of the "
        f"variance of plain parts in common)"
    )
