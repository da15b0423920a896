"""Images of one or many series to consistent stacks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quell.formats.dicom import tags
from quell.formats.dicom.classify import frame_reason, is_reconstruction, modality_of, notes_on
from quell.formats.dicom.colour import written_in_rgb
from quell.formats.dicom.functional import is_enhanced
from quell.formats.dicom.geometry import StackGeometry, parallel, stack_geometry
from quell.formats.dicom.instance import FrameRef, Instance
from quell.formats.dicom.planes import plane_of
from quell.formats.dicom.series import DicomSeries
from quell.formats.dicom.stacks import Frame, Stack, split_repeats
from quell.image import Modality

# Vectors of a nuclear-medicine object in which a change of value starts another volume.
_NM_VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "TimeSliceVector",
    "PhaseVector",
)


@dataclass(frozen=True, eq=False)
class _Draft:
    """A stack with its geometry, before it has a name."""

    stack: Stack
    geometry: StackGeometry
    notes: tuple[str, ...] = ()


def assemble(images: Sequence[Instance]) -> list[DicomSeries]:
    """Group images into stacks, each of one series, size, orientation, spacing and contrast.

    Single-frame objects of a series are pooled and split where two of them share a place. A
    multi-frame object stays one stack, so that one object comes out for one that went in; where
    its frames share places (time points, echoes, b-values), it is a row of volumes with a gap
    after each. Only frames of other orientations, or such as are not denoised, leave it.
    """
    series = []
    for group in _grouped(images).values():
        frames = [frame for i, image in enumerate(group) for frame in _frames(image, i)]
        for draft in _drafts(frames, len(group)):
            series.append(_finish(draft, group))
    return _with_distinct_names(sorted(series, key=_position))


def _grouped(images: Sequence[Instance]) -> dict[Hashable, list[Instance]]:
    groups: dict[Hashable, list[Instance]] = defaultdict(list)
    for image in images:
        groups[_key(image)].append(image)
    return groups


def _key(image: Instance) -> Hashable:
    """Return what images must share to be pooled."""
    header = image.header
    alone = modality_of(header) in (Modality.NM, Modality.XR) or (
        (tags.integer(header, "NumberOfFrames") or 1) > 1
    )
    return (
        tags.uid(header, "StudyInstanceUID"),
        tags.uid(header, "SeriesInstanceUID"),
        tags.uid(header, "SOPClassUID"),
        tags.uid(header, "FrameOfReferenceUID"),
        *(tags.word(header, keyword) for keyword in ("Units", "RescaleType", "PhotometricInterpretation")),
        *(tags.integer(header, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel")),
        written_in_rgb(header),
        tags.uid(header, "SOPInstanceUID") if alone else "",
    )


def _frames(image: Instance, index: int) -> list[Frame]:
    """Return the frames of an image that are denoised."""
    count = tags.integer(image.header, "NumberOfFrames") or 1
    return [
        Frame(FrameRef(index, i), image, plane_of(image.header, i))
        for i in range(count)
        if frame_reason(image.header, i) is None
    ]


def _drafts(frames: list[Frame], files: int) -> list[_Draft]:
    header = frames[0].source.header
    modality = modality_of(header)
    if modality is Modality.NM:
        return [_nuclear(frames)]
    if modality in (Modality.US, Modality.XR) or (len(frames) > files and not is_enhanced(header)):
        return [_loose(frames)]
    drafts = []
    for bundle in _parallel_bundles(frames):
        stacks = split_repeats(bundle)
        multi_frame = len(bundle) > 1 and files == 1
        drafts += [_row(stacks)] if multi_frame else [_draft(stack) for stack in stacks]
    return drafts


def _parallel_bundles(frames: list[Frame]) -> list[list[Frame]]:
    """Separate orientations and spacings, and frames of unknown place from the others."""
    bundles: list[list[Frame]] = []
    for frame in frames:
        for bundle in bundles:
            plane = bundle[0].plane
            if plane.placed == frame.plane.placed and parallel(plane, frame.plane):
                bundle.append(frame)
                break
        else:
            bundles.append([frame])
    return bundles


def _draft(stack: Stack) -> _Draft:
    planes = [frame.plane for frame in stack.frames]
    notes: tuple[str, ...] = ()
    if not planes[0].placed:
        notes = ("position in the patient is not given: each slice is treated alone",)
    return _Draft(stack, stack_geometry(planes), notes)


def _row(stacks: list[Stack]) -> _Draft:
    """Line up the volumes of one multi-frame object, in the order of their first frames."""
    ordered = sorted(stacks, key=lambda stack: min(frame.ref.frame for frame in stack.frames))
    drafts = [_draft(stack) for stack in ordered]
    gaps: list[int] = []
    start = 0
    for draft in drafts:
        gaps += [start + gap for gap in draft.geometry.gaps]
        start += len(draft.stack.frames)
        gaps.append(start - 1)
    frames = tuple(frame for draft in drafts for frame in draft.stack.frames)
    notes = dict.fromkeys(note for draft in drafts for note in (*draft.notes, *draft.geometry.notes))
    volume = any(draft.geometry.volume for draft in drafts)
    geometry = replace(drafts[0].geometry, volume=volume, gaps=tuple(gaps[:-1]), notes=())
    if len(drafts) > 1:
        notes[f"{len(drafts)} stacks at the same place in one object"] = None
    return _Draft(Stack(frames), geometry, tuple(notes))


def _loose(frames: list[Frame]) -> _Draft:
    """Keep views and frames over time in the order of their numbers; they are no volume."""
    ordered = tuple(sorted(frames, key=lambda frame: frame.number))
    unplaced = [replace(ordered[0].plane, position=None)]
    return _Draft(Stack(ordered), stack_geometry(unplaced))


def _nuclear(frames: list[Frame]) -> _Draft:
    """Keep the frames of a nuclear-medicine object as stored: its vectors refer to their order."""
    header = frames[0].source.header
    if not is_reconstruction(header) or len(frames) == 1:
        return _loose(frames)
    ends = _ends_of_volumes(frames)
    first = [frame.plane for frame in frames[: (ends[0] + 1 if ends else len(frames))]]
    measured = stack_geometry(first)
    geometry = replace(measured, volume=len(first) > 1, gaps=tuple(ends))
    return _Draft(Stack(tuple(frames)), geometry)


def _ends_of_volumes(frames: list[Frame]) -> list[int]:
    """Return the frames after which another volume of a reconstruction begins."""
    header = frames[0].source.header
    rows = [tags.numbers(header, keyword, len(frames)) for keyword in _NM_VECTORS]
    changes = np.zeros(len(frames) - 1, bool)
    for row in rows:
        if row is not None:
            changes |= np.diff(row) != 0
    slices = tags.numbers(header, "SliceVector", len(frames))
    if slices is not None:
        changes |= np.abs(np.diff(slices)) != 1
    return [int(i) for i in np.flatnonzero(changes)]


def _finish(draft: _Draft, group: Sequence[Instance]) -> DicomSeries:
    """Make the series, with its own list of instances in the order of z."""
    used = list(dict.fromkeys(frame.ref.instance for frame in draft.stack.frames))
    renumbered = {old: new for new, old in enumerate(used)}
    header = group[used[0]].header
    coloured = sum(group[index].coloured for index in used) / len(used)
    notes = dict.fromkeys(note for index in used for note in notes_on(group[index].header, coloured))
    return DicomSeries(
        instances=tuple(group[i] for i in used),
        frames=tuple(FrameRef(renumbered[f.ref.instance], f.ref.frame) for f in draft.stack.frames),
        modality=modality_of(header),
        name=_name(draft, group[used[0]]),
        geometry=draft.geometry.geometry,
        notes=(*draft.notes, *draft.geometry.notes, *_left_out(draft, group, used), *notes),
        volume=draft.geometry.volume,
        gaps=draft.geometry.gaps if draft.geometry.volume else (),
    )


def _left_out(draft: _Draft, group: Sequence[Instance], used: list[int]) -> tuple[str, ...]:
    """Say which frames of the objects are passed over, and why."""
    counted: Counter[str] = Counter()
    for index in used:
        header = group[index].header
        for frame in range(tags.integer(header, "NumberOfFrames") or 1):
            counted[frame_reason(header, frame) or ""] += 1
    del counted[""]
    return tuple(f"{count} frames passed over: {reason}" for reason, count in counted.items())


def _name(draft: _Draft, first: Instance) -> str:
    header = first.header
    rows, columns = tags.integer(header, "Rows"), tags.integer(header, "Columns")
    name = f"{modality_of(header).value} {rows}x{columns}x{len(draft.stack.frames)}"
    number = tags.integer(header, "SeriesNumber")
    if number is not None:
        name += f" series {number}"
    return f"{name} {draft.stack.label}".strip()


def _position(series: DicomSeries) -> tuple[str, int, str]:
    header = series.instances[0].header
    number = tags.integer(header, "SeriesNumber")
    first = min(str(instance.path) for instance in series.instances)
    return tags.uid(header, "StudyInstanceUID"), -1 if number is None else number, first


def _with_distinct_names(series: list[DicomSeries]) -> list[DicomSeries]:
    total = Counter(one.name for one in series)
    seen: Counter[str] = Counter()
    named = []
    for one in series:
        seen[one.name] += 1
        repeated = total[one.name] > 1
        named.append(replace(one, name=f"{one.name} ({seen[one.name]})") if repeated else one)
    return named
