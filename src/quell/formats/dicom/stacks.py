"""Separate frames that share a place: echoes, time points, b-values, repeats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.functional import is_enhanced, macro
from quell.formats.dicom.geometry import SAME_PLACE_MM, depths
from quell.formats.dicom.instance import FrameRef, Instance
from quell.formats.dicom.planes import Plane

# What may tell two frames at one place apart, the commonest first: the label for the stack's name,
# the keyword in classic objects, and the macro and keyword in enhanced ones.
_CONTRASTS: tuple[tuple[str, str, str, str], ...] = (
    ("stack", "StackID", "FrameContentSequence", "StackID"),
    ("type", "ImageType", "MRImageFrameTypeSequence", "FrameType"),
    ("type", "ImageType", "CTImageFrameTypeSequence", "FrameType"),
    ("echo", "EchoNumbers", "MREchoSequence", "EffectiveEchoTime"),
    ("echo time", "EchoTime", "MREchoSequence", "EffectiveEchoTime"),
    ("b-value", "DiffusionBValue", "MRDiffusionSequence", "DiffusionBValue"),
    ("gradient", "DiffusionGradientOrientation", "MRDiffusionSequence", "DiffusionGradientDirectionSequence"),
    ("time", "TemporalPositionIdentifier", "FrameContentSequence", "TemporalPositionIndex"),
    ("time", "FrameReferenceTime", "FrameContentSequence", "FrameReferenceDateTime"),
    ("phase", "TriggerTime", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("inversion", "InversionTime", "MRModifierSequence", "InversionTimes"),
    ("flip angle", "FlipAngle", "MRTimingAndRelatedParametersSequence", "FlipAngle"),
    ("kernel", "ConvolutionKernel", "CTReconstructionSequence", "ConvolutionKernel"),
    ("thickness", "SliceThickness", "PixelMeasuresSequence", "SliceThickness"),
    ("voltage", "KVP", "CTXRayDetailsSequence", "KVP"),
    ("acquisition", "AcquisitionNumber", "FrameContentSequence", "FrameAcquisitionNumber"),
    ("acquisition", "AcquisitionTime", "FrameContentSequence", "FrameAcquisitionDateTime"),
    ("content", "ContentTime", "FrameContentSequence", "FrameLabel"),
)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame on its way into a stack.

    Attributes
    ----------
    ref : FrameRef
    source : Instance
    plane : Plane
    """

    ref: FrameRef
    source: Instance
    plane: Plane

    @property
    def number(self) -> tuple[int, int]:
        """The order in which the scanner numbered the frames."""
        return tags.integer(self.source.header, "InstanceNumber") or 0, self.ref.frame


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames of which no two share a place, in the order of their places.

    Attributes
    ----------
    frames : tuple of Frame
    label : str
        What sets the stack apart from the others of its series; ``""`` for the only one.
    """

    frames: tuple[Frame, ...]
    label: str = ""


def split_repeats(frames: Sequence[Frame]) -> list[Stack]:
    """Split parallel frames into stacks in which every place occurs once.

    Frames of unknown position stay together, in the order of their numbers.

    Notes
    -----
    A header value separates the frames only if that makes fewer of them share a place and makes no
    more parts than frames share the fullest place: a value that differs from slice to slice (a
    slice's own acquisition time) separates nothing. Where no value does it, the first frame at each
    place goes to the first stack, the second to the second, in the order of their numbers.
    """
    places = _places([frame.plane for frame in frames])
    if places is None:
        return [Stack(tuple(sorted(frames, key=lambda frame: frame.number)))]
    return [Stack(_ordered(part), label) for label, part in _split(list(frames), "", 0)]


def _split(frames: list[Frame], label: str, start: int) -> list[tuple[str, list[Frame]]]:
    if _excess(frames) == 0:
        return [(label, frames)]
    for i in range(start, len(_CONTRASTS)):
        parts = _partition(frames, i)
        if not _separates(frames, parts):
            continue
        done = []
        for n, (key, part) in enumerate(parts.items()):
            name = f"{_CONTRASTS[i][0]} {_text(key, n)}"
            done += _split(part, f"{label} {name}".strip(), i + 1)
        return done
    return _by_occurrence(frames, label)


def _separates(frames: list[Frame], parts: dict[Hashable, list[Frame]]) -> bool:
    if not 1 < len(parts) <= _fullest(frames):
        return False
    return sum(_excess(part) for part in parts.values()) < _excess(frames)


def _partition(frames: list[Frame], contrast: int) -> dict[Hashable, list[Frame]]:
    parts: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: frame.number):
        parts[_contrast(frame, contrast)].append(frame)
    return parts


def _contrast(frame: Frame, index: int) -> Hashable:
    _, keyword, sequence, attribute = _CONTRASTS[index]
    header: Dataset | None = frame.source.header
    if is_enhanced(frame.source.header):
        header, keyword = macro(frame.source.header, frame.ref.frame, sequence), attribute
    if header is None:
        return ()
    if keyword == "DiffusionGradientDirectionSequence":
        header = next(iter(tags.items(header, keyword)), Dataset())
        keyword = "DiffusionGradientOrientation"
    return tags.words(header, keyword)


def _text(key: Hashable, position: int) -> str:
    """Return a short value for a stack's name: a plain number, else its rank among the parts."""
    if isinstance(key, tuple) and len(key) == 1:
        try:
            return f"{float(key[0]):g}"
        except ValueError:
            pass
    return str(position + 1)


def _by_occurrence(frames: list[Frame], label: str) -> list[tuple[str, list[Frame]]]:
    places = _places([frame.plane for frame in frames])
    seen: dict[int, int] = defaultdict(int)
    parts: dict[int, list[Frame]] = defaultdict(list)
    if places is None:
        return [(label, frames)]
    for i in sorted(range(len(frames)), key=lambda i: frames[i].number):
        parts[seen[places[i]]].append(frames[i])
        seen[places[i]] += 1
    return [(f"{label} repeat {n + 1}".strip(), part) for n, part in parts.items()]


def _places(planes: Sequence[Plane]) -> list[int] | None:
    """Number the different places along the normal; None where positions are unknown."""
    along = depths(planes)
    if along is None:
        return None
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order]) > SAME_PLACE_MM
    numbered = np.empty(len(along), int)
    numbered[order] = np.concatenate([[0], np.cumsum(steps)])
    return [int(n) for n in numbered]


def _excess(frames: list[Frame]) -> int:
    """Count the frames too many for each place to occur once."""
    places = _places([frame.plane for frame in frames]) or []
    return len(places) - len(set(places))


def _fullest(frames: list[Frame]) -> int:
    places = _places([frame.plane for frame in frames]) or [0]
    return int(np.bincount(places).max())


def _ordered(frames: list[Frame]) -> tuple[Frame, ...]:
    along = depths([frame.plane for frame in frames])
    if along is None:
        return tuple(frames)
    return tuple(frames[i] for i in np.argsort(along, kind="stable"))
