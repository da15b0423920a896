"""Functional groups of a derived enhanced object (PS3.3 C.7.6.16.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from quell.formats.dicom import codes, describe, tags
from quell.formats.dicom.derive import Derivation, image_type
from quell.formats.dicom.edit import drop, put
from quell.formats.dicom.pixelmodule import state_rescale, state_window
from quell.formats.dicom.pixelplan import PixelPlan
from quell.formats.dicom.rescale import Rescale, rescale_of
from quell.formats.dicom.sources import evidence_item

_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_DERIVATION = "DerivationImageSequence"
_TRANSFORMATION = "PixelValueTransformationSequence"
_WINDOW = "FrameVOILUTSequence"
_MAPPING = "RealWorldValueMappingSequence"

# The MR Pulse Sequence module is required of ORIGINAL and MIXED objects (PS3.3 C.8.13.4). Newer
# editions let it stay in DERIVED ones, validators of older editions call that an error; without
# it the object is valid in all of them, and the source that it refers to has it.
_PULSE_SEQUENCE = (
    "PulseSequenceName",
    "MRAcquisitionType",
    "EchoPulseSequence",
    "MultipleSpinEcho",
    "MultiPlanarExcitation",
    "PhaseContrast",
    "VelocityEncodingAcquisitionSequence",
    "TimeOfFlightContrast",
    "ArterialSpinLabelingContrast",
    "SteadyStatePulseSequence",
    "EchoPlanarPulseSequence",
    "SaturationRecovery",
    "SpectrallySelectedSuppression",
    "OversamplingPhase",
    "GeometryOfKSpaceTraversal",
    "RectilinearPhaseEncodeReordering",
    "SegmentedKSpaceTraversal",
    "CoverageOfKSpace",
    "NumberOfKSpaceTrajectories",
)


class Groups:
    """Copies of the functional groups of an object, to be edited.

    Parameters
    ----------
    header : pydicom.Dataset
        The derived header; gets its own copy of both sequences.
    """

    def __init__(self, header: Dataset) -> None:
        frames = deepcopy(list(tags.items(header, _PER_FRAME)))
        missing = (tags.integer(header, "NumberOfFrames") or 1) - len(frames)
        shared = deepcopy(list(tags.items(header, _SHARED)[:1])) or [Dataset()]
        put(header, _PER_FRAME, DicomSequence([*frames, *(Dataset() for _ in range(missing))]))
        put(header, _SHARED, DicomSequence(shared))
        self.shared: Dataset = header[_SHARED].value[0]
        self.frames: Sequence[Dataset] = header[_PER_FRAME].value

    def unshare(self, macro: str) -> None:
        """Give every frame its own copy of a macro that they share.

        A macro is either shared by all frames or present in each (C.7.6.16.1.1).
        """
        if macro not in self.shared:
            return
        for frame in self.frames:
            setattr(frame, macro, deepcopy(getattr(self.shared, macro)))
        delattr(self.shared, macro)

    def drop(self, macro: str) -> None:
        """Remove a macro from all frames."""
        for group in (self.shared, *self.frames):
            if macro in group:
                delattr(group, macro)


def derive_groups(
    header: Dataset,
    source: Dataset,
    derivation: Derivation,
    plan: PixelPlan,
    scales: Mapping[int, Rescale],
    references: Mapping[int, Sequence[Dataset]],
) -> None:
    """Edit the functional groups of a derived object.

    Parameters
    ----------
    header : pydicom.Dataset
        The derived header.
    source : pydicom.Dataset
        The source's header, which stays as it is.
    derivation : Derivation
    plan : PixelPlan
    scales : mapping of int to Rescale
        What turns stored into physical values, by treated frame (counted from 0).
    references : mapping of int to sequence of Dataset
        Items of Source Image Sequence by treated frame.
    """
    groups = Groups(header)
    partial = len(references) < len(groups.frames)
    _set_frame_types(groups, source, derivation, references.keys(), partial)
    _add_derivation(groups, derivation, references)
    _set_scale(groups, source, derivation, plan, scales)
    if tags.word(source, "ImageType") != "DERIVED":
        _follow_image_type(header, partial)
    used = [item for items in references.values() for item in items]
    before = tags.items(header, "SourceImageEvidenceSequence")
    put(header, "SourceImageEvidenceSequence", DicomSequence([*before, evidence_item(source, used)]))


def _follow_image_type(header: Dataset, partial: bool) -> None:
    """Settle what depends on whether all frames of a once original object are derived now."""
    if partial:
        # PS3.3 C.8.16.1.1: frames that differ in value 1 make the object MIXED.
        put(header, "ImageType", ["MIXED", *header.ImageType[1:]])
        return
    for keyword in _PULSE_SEQUENCE:
        drop(header, keyword)


def _set_frame_types(
    groups: Groups, source: Dataset, derivation: Derivation, treated: Collection[int], partial: bool
) -> None:
    """Set Frame Type wherever it stands: its macro has another name in each modality."""
    if partial:
        for macro in [element.keyword for element in groups.shared if _has_frame_type(element.value)]:
            groups.unshare(macro)
    chosen = [frame for i, frame in enumerate(groups.frames) if i in treated]
    for group in (groups.shared, *chosen):
        for element in group:
            if _has_frame_type(element.value):
                item = element.value[0]
                item.FrameType = image_type(tags.words(item, "FrameType"), source, derivation)


def _has_frame_type(value: object) -> bool:
    return isinstance(value, DicomSequence) and len(value) > 0 and "FrameType" in value[0]


def _add_derivation(
    groups: Groups, derivation: Derivation, references: Mapping[int, Sequence[Dataset]]
) -> None:
    groups.unshare(_DERIVATION)
    text = describe.derivation_description(derivation.provenance, derivation.kind, derivation.notes, "")
    for frame, items in references.items():
        step = Dataset()
        step.DerivationDescription = text
        step.SourceImageSequence = DicomSequence(items)
        step.DerivationCodeSequence = DicomSequence(codes.derivation_items(derivation.kind))
        before = tags.items(groups.frames[frame], _DERIVATION)
        groups.frames[frame].DerivationImageSequence = DicomSequence([*before, step])


def _set_scale(
    groups: Groups, source: Dataset, derivation: Derivation, plan: PixelPlan, scales: Mapping[int, Rescale]
) -> None:
    if not plan.stated:
        return
    _follow_scale(groups, source, plan, scales)
    if len(set(scales.values())) == 1 and _TRANSFORMATION not in groups.frames[0]:
        item = next(iter(tags.items(groups.shared, _TRANSFORMATION)), Dataset())
        state_rescale(item, next(iter(scales.values())))
        groups.shared.PixelValueTransformationSequence = DicomSequence([item])
    else:
        groups.unshare(_TRANSFORMATION)
        fallback = next(iter(scales.values()))
        for i, frame in enumerate(groups.frames):
            item = next(iter(tags.items(frame, _TRANSFORMATION)), Dataset())
            state_rescale(item, scales.get(i, fallback))
            frame.PixelValueTransformationSequence = DicomSequence([item])
    if not derivation.kind.like_source:
        groups.drop(_WINDOW)
        if plan.window is not None:
            item = Dataset()
            state_window(item, plan.window)
            groups.shared.FrameVOILUTSequence = DicomSequence([item])


def _follow_scale(groups: Groups, source: Dataset, plan: PixelPlan, scales: Mapping[int, Rescale]) -> None:
    """Let a real-world mapping that says the same as the rescale go on doing so; drop any other.

    Enhanced PET has to have one (PS3.3 A.56.4), and it tells the units.
    """
    mapping = next(iter(tags.items(groups.shared, _MAPPING) or tags.items(groups.frames[0], _MAPPING)), None)
    if mapping is None or not _says_the_same(mapping, rescale_of(source)):
        groups.drop(_MAPPING)
        return
    groups.unshare(_MAPPING)
    fallback = next(iter(scales.values()))
    for i, frame in enumerate(groups.frames):
        for item in tags.items(frame, _MAPPING)[:1]:
            scale = scales.get(i, fallback)
            vr = "SS" if plan.storage.signed else "US"
            item.add_new("RealWorldValueFirstValueMapped", vr, plan.storage.low)
            item.add_new("RealWorldValueLastValueMapped", vr, plan.storage.high)
            put(item, "RealWorldValueSlope", scale.slope)
            put(item, "RealWorldValueIntercept", scale.intercept)
            drop(item, "RealWorldValueLUTData")


def _says_the_same(mapping: Dataset, rescale: Rescale) -> bool:
    slope = tags.number(mapping, "RealWorldValueSlope")
    intercept = tags.number(mapping, "RealWorldValueIntercept")
    return slope == rescale.slope and (intercept or 0.0) == rescale.intercept
