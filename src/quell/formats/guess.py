"""The modality of an image whose format does not state it: sidecar, name, then values."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from quell.formats.source import Source, UnsuitableError
from quell.image import BoolArray, FloatArray, Modality

CT_PADDING = -2000.0
"""CT values at or below lie outside the field of view: no material is below -1024 HU, and
scanners and converters fill with -2000, -2048 or -3024."""

_TOKENS = {
    Modality.CT: "ct cta ctpa cbct ldct ndct ctac",
    Modality.PT: "pet petsuv suv fdg",
    Modality.MR: (
        "mr mri flair bold epi fmri dwi dmri sbref asl pdw swi mprage mp2rage inplanet1 inplanet2 mese megre "
        "haste stir"
    ),
    Modality.NM: "spect",
    Modality.US: "us",
    Modality.XR: "xr cr dx cxr",
}
_MODALITY_OF = {token: modality for modality, tokens in _TOKENS.items() for token in tokens.split()}
_STATED = {
    "CT": Modality.CT,
    "MR": Modality.MR,
    "PT": Modality.PT,
    "PET": Modality.PT,
    "NM": Modality.NM,
    "US": Modality.US,
    "CR": Modality.XR,
    "DX": Modality.XR,
    "XR": Modality.XR,
}
_NO_INTENSITIES = {
    **dict.fromkeys(("mask", "dseg", "probseg", "seg", "segmentation", "label", "labels"), "a label map"),
    **dict.fromkeys(("phasediff", "fieldmap"), "a phase or field map"),
}
_SIDECAR_LIMIT = 2**20


@dataclass(frozen=True)
class Stated:
    """What is known of an image beside its voxels.

    Attributes
    ----------
    modality : Modality
    units : str
        Empty when not stated.
    how : str
        Where the modality was found, for the notes; empty when nowhere.
    """

    modality: Modality = Modality.UNKNOWN
    units: str = ""
    how: str = ""


def stated(source: Source) -> Stated:
    """Return what the JSON sidecar or, failing that, the name says.

    Both follow BIDS (Brain Imaging Data Structure 1.9): the sidecar is the file of the same name
    ending in ``.json`` with ``Modality`` and, for PET, ``Units``; the name is made of words joined
    by underscores of which the last that is a modality or a contrast counts (``sub-01_T1w``).

    Raises
    ------
    UnsuitableError
        If they say that it is a label map or a phase map.
    """
    sidecar = _sidecar(source)
    words = re.split(r"[^a-z0-9]+", source.name.removesuffix(source.suffix).lower())
    _refuse_maps(words, sidecar)
    suv = "suv" in words or "petsuv" in words
    units = str(sidecar.get("Units", "")) or ("g/ml" if suv else "")
    found = _STATED.get(str(sidecar.get("Modality", "")).upper())
    if found is not None:
        return Stated(found, units, "the JSON file beside it")
    # A bare t1 or t2 may also count visits, so another word goes before it.
    named = [_named_by(w) for w in words if w in ("t1", "t2")]
    named += [_named_by(w) for w in words if w not in ("t1", "t2")]
    found = next((modality for modality in reversed(named) if modality is not None), None)
    if found is not None:
        return Stated(found, units, "its name")
    return Stated(units=units)


def _named_by(word: str) -> Modality | None:
    weighted = re.fullmatch(r"t[12][a-z]{0,8}", word)
    return Modality.MR if weighted else _MODALITY_OF.get(word)


def _refuse_maps(words: list[str], sidecar: dict[str, Any]) -> None:
    kind = _NO_INTENSITIES.get(words[-1])
    image_type = sidecar.get("ImageType")
    phase = isinstance(image_type, list) and bool({"P", "PHASE"} & {str(t).upper() for t in image_type})
    if phase or "-".join(words[-3:-1]) == "part-phase" or words[-2:] == ["part", "phase"]:
        kind = "a phase or field map"
    if kind:
        raise UnsuitableError(f"{kind}, by its name or the JSON file beside it")


def _sidecar(source: Source) -> dict[str, Any]:
    """Return the JSON sidecar; empty when there is none that can be read."""
    path = source.sibling(source.name.removesuffix(source.suffix) + ".json")
    try:
        if path is None or path.stat().st_size > _SIDECAR_LIMIT:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def looks_like_hounsfield(sample: FloatArray) -> bool:
    """Whether values can only be Hounsfield units.

    The rule: whole numbers; at least 2 % of them between -1100 and -900 (air); at most 1 % below
    -1100 once the lowest value, which may fill the outside, is left out; none above 32767. An MR
    phase map (about -4096 to 4095, evenly spread) has a third of its values below -1100.
    """
    if sample.size == 0 or not np.isfinite(sample).all() or (sample != np.rint(sample)).any():
        return False
    inside = sample[sample > sample.min()] if sample.min() <= CT_PADDING else sample
    if inside.size == 0 or inside.max() > 32767:
        return False
    air = np.mean((inside >= -1100) & (inside <= -900))
    return bool(air >= 0.02 and np.mean(inside < -1100) <= 0.01)


def units_for(modality: Modality, units: str) -> str:
    """Return the units of an image: as stated, else those that its modality always has."""
    if modality is Modality.CT:
        return "HU"
    known = {"bq/ml": "Bq/ml", "g/ml": "g/ml", "counts": "counts", "cnts": "counts"}
    return known.get(units.lower(), "arbitrary")


def padding_of(voxels: FloatArray, modality: Modality) -> BoolArray | None:
    """Return where a CT has no measurement (see `CT_PADDING`); None where it has everywhere."""
    if modality is not Modality.CT:
        return None
    padding = voxels <= CT_PADDING
    return padding if padding.any() and not padding.all() else None


def modality_note(modality: Modality, how: str) -> str:
    """Return what the user is told about the modality."""
    if modality is Modality.UNKNOWN:
        return "modality not stated by the file, its name or a JSON file beside it"
    return f"modality {modality.value} taken from {how}"
