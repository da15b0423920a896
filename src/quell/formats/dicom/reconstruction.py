"""How an image was reconstructed, from the words of its header: what makers say, each in their way.

Noise of filtered back-projection has a spectrum that follows from the kernel; that of iterative and
learned reconstructions does not. Their names stand in kernels, in private elements and in
descriptions. Only the names that are known here are taken from a free text, never the text itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.functional import macro

PROJECTIONS = "PROJECTIONS"
"""The word for what is not reconstructed yet: raw projections of SPECT."""

_ITERATIVE, _LEARNED = "ITERATIVE", "DEEP LEARNING"
_KNOWN = (
    # GE
    (r"ASIR[- ]?V?", _ITERATIVE),
    (r"VEO|MBIR", _ITERATIVE),
    (r"TRUE ?FIDELITY|DLIR(-[LMH])?|AIR RECON DL|SONIC DL|PRECISION DL", _LEARNED),
    # Siemens
    (r"SAFIRE|ADMIRE|QIR", _ITERATIVE),
    (r"DEEP RESOLVE", _LEARNED),
    # Philips
    (r"I-?DOSE ?4?|IMR ?[123]?", _ITERATIVE),
    (r"PRECISE IMAGE|SMARTSPEED AI|ADAPTIVE CS-?NET", _LEARNED),
    # Canon, formerly Toshiba
    (r"AIDR( ?3D)?", _ITERATIVE),
    (r"AICE|PIQE", _LEARNED),
    # Neusoft, United Imaging, Fujifilm (Hitachi)
    (r"CLEARVIEW|INTELLI ?IPV", _ITERATIVE),
    (r"CLEARINFINITY|HYPER (DLR|AIR)|DEEPRECON", _LEARNED),
)
_NAMES = tuple((re.compile(rf"(?<![A-Z0-9])({names})(?![A-Z])"), kind) for names, kind in _KNOWN)
# Words of the language as well: only where a header speaks of nothing but the reconstruction.
_AMBIGUOUS = tuple(
    (re.compile(rf"(?<![A-Z0-9])({names})(?![A-Z0-9])"), kind)
    for names, kind in ((r"FIRST|IRIS|KARL|SS\d{1,3}|AR\d{1,3}", _ITERATIVE), (r"PI|TF[- ]?[LMH]", _LEARNED))
)
_GE_GROUP, _GE_CREATOR, _GE_ELEMENTS = 0x0053, "GEHC_CT_ADVAPP_001", (0x40, 0x41, 0x42, 0x43)
"""Annotation, mode, configuration and level of the iterative reconstruction."""
_SIEMENS_KERNEL = re.compile(r"[IJQ][A-Z]?\d{2}")


def reconstruction_of(header: Dataset, frame: int = 0) -> str:
    """Return how a frame was reconstructed, in capitals; empty where the header does not say.

    ``ITERATIVE`` and ``DEEP LEARNING`` come first where a name, a kernel or an attribute reveals them;
    then the header's own words.
    """
    kinds = tags.words(header, "ImageType")
    if len(kinds) > 2 and kinds[2] in ("TOMO", "GATED TOMO"):
        return PROJECTIONS
    stated = list(_stated(header, frame))
    found = list(_revealed(header, frame, stated))
    return " ".join(dict.fromkeys([*found, *stated]))[:64]


def kernel_of(header: Dataset, frame: int = 0) -> str:
    """Return the kernel or filter in the maker's own writing; several values are joined by blanks."""
    group = macro(header, frame, "CTReconstructionSequence") or header
    found = tags.value(group, "ConvolutionKernel")
    values = [found] if isinstance(found, str) else list(found or ())
    text = " ".join(str(value).strip(" \0") for value in values)
    return "".join(ch for ch in text if ch.isprintable())[:64].strip()


def _stated(header: Dataset, frame: int) -> Iterator[str]:
    """Yield what the attributes made for it say."""
    groups = [
        macro(header, frame, name) for name in ("CTReconstructionSequence", "PETReconstructionSequence")
    ]
    for group in (header, *(group for group in groups if group is not None)):
        if tags.word(group, "IterativeReconstructionMethod") == "YES":
            yield _ITERATIVE
        for keyword in ("ReconstructionAlgorithm", "ReconstructionMethod", "ReconstructionType"):
            word = tags.word(group, keyword)
            if word:
                yield " ".join(word.split())


def _revealed(header: Dataset, frame: int, stated: list[str]) -> Iterator[str]:
    """Yield the kind and the name of reconstructions that stand anywhere in the header."""
    kernel = kernel_of(header, frame).upper()
    technical = " ; ".join((kernel, *stated, *_private(header)))
    free = " ; ".join(tags.word(header, key) for key in ("SeriesDescription", "ProtocolName", "FilterType"))
    for patterns, text in ((_NAMES, f"{technical} ; {free}"), (_AMBIGUOUS, technical)):
        for pattern, kind in patterns:
            match = pattern.search(text)
            if match:
                yield kind
                yield match[0]
    if "SIEMENS" in tags.word(header, "Manufacturer") and _is_iterative_siemens(kernel):
        yield _ITERATIVE


def _is_iterative_siemens(kernel: str) -> bool:
    """Whether a kernel is one of iterative reconstruction: ``I31f 3``, ``J40f``, ``Qr40``, ``Br40f 3``.

    The second value is the strength of SAFIRE, ADMIRE or QIR; 0 is none.
    """
    first, *rest = kernel.split() or [""]
    strength = rest[0] if rest else "0"
    return bool(_SIEMENS_KERNEL.match(first)) or strength in ("1", "2", "3", "4", "5")


def _private(header: Dataset) -> Iterator[str]:
    try:
        block = header.private_block(_GE_GROUP, _GE_CREATOR)
    except KeyError:
        return
    for number in _GE_ELEMENTS:
        try:
            value = block[number].value
        except Exception:
            # A private element may be absent or hold anything.
            continue
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        yield text.strip(" \0").upper()
