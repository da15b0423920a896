"""Write one object of a derived series: header, references and pixels into one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from quell.errors import InputError
from quell.formats.atomic import write_flushed
from quell.formats.contracts import OutputKind, Simulation
from quell.formats.dicom import tags
from quell.formats.dicom.classify import is_reconstruction
from quell.formats.dicom.colour import keeps_colours, written_in_rgb
from quell.formats.dicom.decode import stored_frames, stored_pixels
from quell.formats.dicom.derive import Derivation, derive_header
from quell.formats.dicom.edit import put
from quell.formats.dicom.encode import (
    UnencodableError,
    encode_meta,
    encode_sequence,
    pixel_bytes,
    pixel_data_head,
)
from quell.formats.dicom.functional import is_enhanced
from quell.formats.dicom.groups import derive_groups
from quell.formats.dicom.instance import FrameRef, Instance
from quell.formats.dicom.padding import outside_regions, padding_rule
from quell.formats.dicom.pixelmodule import (
    describe_scale,
    describe_storage,
    remember_lossy,
    remove_embedded_overlays,
)
from quell.formats.dicom.pixelplan import PixelPlan
from quell.formats.dicom.quantise import Padding, Quantised, StoredArray, quantise
from quell.formats.dicom.rescale import Rescale
from quell.formats.dicom.sources import encoded_source_item, frames_used, source_items
from quell.image import FloatArray

if TYPE_CHECKING:
    from quell.formats.dicom.series import DicomSeries

_SOURCE_IMAGES = 0x00082112


@dataclass(frozen=True)
class Job:
    """What the objects of one derived series are made from.

    Attributes
    ----------
    series : DicomSeries
    voxels : ndarray of float32, shape (z, y, x)
        Of all slices, or of those from `first` on.
    sources : tuple of Rescale
        For each z index, what turned the source's stored into physical values.
    plan : PixelPlan
    derivation : Derivation
    first : int
        The z index of the first of the voxels.
    """

    series: DicomSeries
    voxels: FloatArray
    sources: tuple[Rescale, ...]
    plan: PixelPlan
    derivation: Derivation
    first: int = 0
    _items: dict[int, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> OutputKind:
        """What the series shows."""
        return self.derivation.kind

    def pixels(self, z: int) -> FloatArray:
        """Return the values of a slice, shape (y, x)."""
        pixels: FloatArray = self.voxels[z - self.first]
        return pixels


@dataclass(frozen=True)
class WrittenObject:
    """One written file: its name, the voxels that were clamped, what the user should know."""

    name: str
    clamped: int
    warnings: tuple[str, ...]


def write_object(job: Job, folder: Path, number: int, index: int, frames: Mapping[int, int]) -> WrittenObject:
    """Write one object into `folder`.

    Parameters
    ----------
    job : Job
    folder : Path
    number : int
        Of the file, from 1.
    index : int
        Of the source instance.
    frames : mapping of int to int
        From the frames of the instance that the stack holds to their z indices.

    Raises
    ------
    InputError
        If the header of the source cannot be taken over.
    """
    instance = job.series.instances[index]
    count = tags.integer(instance.header, "NumberOfFrames") or 1
    partial = tuple(sorted(frames)) if len(frames) < count else None
    try:
        header, warnings = _header(job, instance, frames, partial)
    except RecursionError as error:
        raise InputError(instance.path, "sequences are nested too deeply in its header") from error
    except UnencodableError as error:
        raise InputError(instance.path, f"damaged DICOM header: {error}") from error
    pixels, clamped = _pixels(job, instance, count, frames)
    size = sum(chunk.nbytes for chunk in pixels)
    name = f"IM{number:05d}.dcm"
    head = pixel_data_head(size, job.plan.storage.bits_allocated)
    write_flushed(folder / name, [header + head, *pixels])
    if partial is not None:
        what = "copied unchanged" if job.kind.like_source else "zero"
        warnings = (*warnings, f"{count - len(partial)} of {count} frames are not part of the stack: {what}")
    return WrittenObject(name, clamped, warnings)


def _header(
    job: Job, instance: Instance, frames: Mapping[int, int], partial: tuple[int, ...] | None
) -> tuple[bytes, tuple[str, ...]]:
    """Return all that stands before the pixel data, encoded, and what the user should know."""
    header = derive_header(instance.header, job.derivation, partial)
    warnings = _describe_pixels(job, header, instance, frames)
    ready = _refer(job, header, instance, frames)
    meta = encode_meta(tags.uid(header, "SOPClassUID"), tags.uid(header, "SOPInstanceUID"))
    return meta + job.derivation.encoder.encode(header, ready), warnings


def _describe_pixels(
    job: Job, header: Dataset, instance: Instance, frames: Mapping[int, int]
) -> tuple[str, ...]:
    describe_storage(header, job.plan)
    remember_lossy(header, instance)
    if job.kind is OutputKind.SIMULATED and tags.given(header, "CountsAccumulated"):
        put(header, "CountsAccumulated", _counts_left(job, header, frames))
    if not is_enhanced(header):
        scale = job.plan.scales[next(iter(frames.values()))]
        describe_scale(header, job.plan, scale, job.kind, job.series.modality)
    if remove_embedded_overlays(header):
        return ("an overlay kept in the bits of the source's pixels is left out",)
    return ()


def _counts_left(job: Job, header: Dataset, frames: Mapping[int, int]) -> int:
    """Return the counts of a simulated scintigram: those of its pixels, or that share of the source's.

    The pixels of a reconstruction are no counts that could be added up (PS3.3 C.8.4.8).
    """
    origin = job.derivation.provenance
    if is_reconstruction(header) and isinstance(origin, Simulation):
        share = origin.amount if origin.measure == "dose" else 1.0
        return round((tags.number(header, "CountsAccumulated") or 0.0) * share)
    return round(sum(float(job.pixels(z).sum(dtype=np.float64)) for z in frames.values()))


def _refer(job: Job, header: Dataset, instance: Instance, frames: Mapping[int, int]) -> dict[int, bytes]:
    """Enter the references to the source; return the elements that are encoded already."""
    if not is_enhanced(header):
        used = [ref for z in frames.values() for ref in _used(job, z)]
        instances = dict.fromkeys(ref.instance for ref in used)
        return {_SOURCE_IMAGES: encode_sequence(_SOURCE_IMAGES, (_item(job, i) for i in instances))}
    references = {
        frame: source_items(job.series.instances, _used(job, z)) for frame, z in sorted(frames.items())
    }
    scales = {frame: job.plan.scales[z] for frame, z in frames.items()}
    derive_groups(header, instance.header, job.derivation, job.plan, scales, references)
    return {}


def _used(job: Job, z: int) -> list[FrameRef]:
    series = job.series
    slices = job.derivation.provenance.slices_used
    return [series.frames[i] for i in frames_used(z, len(series.frames), slices, series.gaps, series.volume)]


def _item(job: Job, index: int) -> bytes:
    """Return the encoded reference to one source instance; its neighbours refer to it, too."""
    if index not in job._items:
        job._items[index] = encoded_source_item(job.series.instances[index].header)
    return job._items[index]


def _pixels(
    job: Job, instance: Instance, count: int, frames: Mapping[int, int]
) -> tuple[list[memoryview], int]:
    """Return the pixel data of one object and how many voxels were clamped."""
    done = {frame: _quantise(job, instance, z) for frame, z in frames.items()}
    stored = {frame: quantised.stored for frame, quantised in done.items()}
    others = [frame for frame in range(count) if frame not in frames]
    stored.update(zip(others, _other_frames(job, instance, others, frames), strict=True))
    ordered = [stored[frame] for frame in range(count)]
    if written_in_rgb(instance.header):
        ordered = _in_rgb(job, instance, ordered)
    return pixel_bytes(ordered), sum(quantised.clamped for quantised in done.values())


def _in_rgb(job: Job, instance: Instance, grey: list[StoredArray]) -> list[StoredArray]:
    """Return frames with three equal samples; where ultrasound is not denoised, with the source's own."""
    frames = [np.repeat(values[..., None], 3, axis=-1) for values in grey]
    if job.kind.like_source and keeps_colours(instance.header):
        outside = outside_regions(instance.header, *job.voxels.shape[1:])
        for frame, source in zip(frames, stored_pixels(instance), strict=True):
            for kept in (outside, source.coloured):
                if source.rgb is not None and kept is not None:
                    frame[kept] = source.rgb[kept]
    return frames


def _quantise(job: Job, instance: Instance, z: int) -> Quantised:
    plan, source = job.plan, job.sources[z]
    padding = None
    if job.kind.like_source:
        rule = padding_rule(instance.header, job.series.modality, source)
        if rule.low is not None and rule.high is not None:
            padding = Padding(rule.low, rule.high)
    return quantise(
        job.pixels(z),
        source,
        plan.storage,
        target=plan.scales[z],
        padding=padding,
        low=plan.low,
        keep_sum=plan.keep_sum,
    )


def _other_frames(
    job: Job, instance: Instance, others: list[int], frames: Mapping[int, int]
) -> list[StoredArray]:
    """Return the stored values of frames that the stack does not hold."""
    if not others:
        return []
    dtype = job.plan.storage.dtype
    if job.kind.like_source:
        try:
            return [values.astype(dtype) for values in stored_frames(instance, others)]
        except OSError as error:
            raise InputError(instance.path, error.strerror or "cannot be read") from error
    scale = job.plan.scales[next(iter(frames.values()))]
    nothing = np.zeros(job.voxels.shape[1:], np.float32)
    return [quantise(nothing, scale, job.plan.storage).stored for _ in others]
