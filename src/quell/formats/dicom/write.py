"""Write a denoised stack as a derived DICOM series that stands beside its source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from quell.errors import InputError, OutputError
from quell.formats.atomic import atomic_folder, write_flushed
from quell.formats.contracts import OutputKind, Provenance, WriteOptions, Written
from quell.formats.dicom import tags
from quell.formats.dicom.decode import stored_frames
from quell.formats.dicom.derive import Derivation, derive_header
from quell.formats.dicom.describe import series_number
from quell.formats.dicom.encode import (
    encode_item,
    encode_meta,
    encode_sequence,
    pixel_bytes,
    pixel_data_head,
)
from quell.formats.dicom.functional import is_enhanced
from quell.formats.dicom.groups import derive_groups
from quell.formats.dicom.instance import FrameRef, Instance
from quell.formats.dicom.padding import padding_rule
from quell.formats.dicom.pixelmodule import (
    describe_scale,
    describe_storage,
    remember_lossy,
    remove_embedded_overlays,
)
from quell.formats.dicom.pixelplan import PixelPlan, plan_pixels
from quell.formats.dicom.quantise import Padding, StoredArray, quantise
from quell.formats.dicom.rescale import Rescale, rescale_of
from quell.formats.dicom.sources import frames_used, source_items
from quell.image import FloatArray

if TYPE_CHECKING:
    from quell.formats.dicom.series import DicomSeries

_SOURCE_IMAGES = 0x00082112
_LARGEST_VALUE = 2**32 - 2
_THREADS = 4


def write_derived(
    series: DicomSeries,
    voxels: FloatArray,
    out: Path,
    kind: OutputKind,
    provenance: Provenance,
    options: WriteOptions,
    now: datetime | None = None,
) -> Written:
    """Write `voxels` as a derived series: one object for each object of the source, of the same kind.

    Parameters
    ----------
    series : DicomSeries
        The source.
    voxels : ndarray of float32, shape (z, y, x)
        In the order and the units that ``series.read()`` gives.
    out : Path
        The files go to ``out/<modality>_<series number>_<kind>_<8 digits>/IM00001.dcm`` and so
        on, in the order of z. The digits tell the sources apart; nothing that a header's text
        could steer enters a name.
    kind : OutputKind
    provenance : Provenance
    options : WriteOptions
    now : datetime, optional
        When it was made; the only thing in which a repeat differs.

    Returns
    -------
    Written

    Raises
    ------
    OutputError
        If the files cannot be written; nothing is left of them.
    InputError
        If frames that have to be copied cannot be read from the source.

    Notes
    -----
    A multi-frame source gives a multi-frame object with the same number and order of frames.
    Where the stack holds only some of them (two orientations, or magnitude beside phase, in one
    enhanced object), the others are copied with their stored values, in a residual or noise map
    they are zero, and a warning says so. Two stacks of one enhanced object so become two objects,
    each complete and each in a series of its own, for their UIDs depend on the frames treated.
    Two stacks of one series of single-frame objects (two echoes) go to one derived series, as
    they were in one source series, but to two folders.
    """
    expected = series.shape
    if voxels.shape != expected:
        raise ValueError(f"expected voxels of shape {expected}, got {voxels.shape}")
    job = _prepare(series, voxels, kind, provenance, options, now)
    folder = Path(out) / _folder_name(job)
    tasks = list(enumerate(_objects(series).items(), start=1))
    with atomic_folder(folder, durable=False) as temporary, ThreadPoolExecutor(_THREADS) as pool:
        results = list(pool.map(lambda task: _write_object(job, temporary, task[0], *task[1]), tasks))
    clamped = sum(result.clamped for result in results)
    warnings = dict.fromkeys(warning for result in results for warning in result.warnings)
    return Written(
        files=tuple(folder / result.name for result in results),
        clamped=clamped,
        warnings=(*job.plan.notes, *warnings),
    )


@dataclass(frozen=True)
class _Job:
    series: DicomSeries
    voxels: FloatArray
    sources: tuple[Rescale, ...]
    plan: PixelPlan
    derivation: Derivation
    items: dict[int, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> OutputKind:
        return self.derivation.kind


@dataclass(frozen=True)
class _Result:
    name: str
    clamped: int
    warnings: tuple[str, ...]


def _prepare(
    series: DicomSeries,
    voxels: FloatArray,
    kind: OutputKind,
    provenance: Provenance,
    options: WriteOptions,
    now: datetime | None,
) -> _Job:
    header = series.instances[series.frames[0].instance].header
    for instance in series.instances:
        if not tags.uid(instance.header, "SOPInstanceUID"):
            raise InputError(instance.path, "has no SOP Instance UID to refer to")
    sources = tuple(_source_rescale(series.instances[ref.instance], ref.frame) for ref in series.frames)
    plan = plan_pixels(header, series.modality, kind, voxels, sources)
    derivation = Derivation(
        kind=kind,
        provenance=provenance,
        options=options,
        modality=series.modality,
        now=now or datetime.now().astimezone(),
        series_start=now
        or _series_start(f"{tags.uid(header, 'SeriesInstanceUID')} {kind.value}", provenance),
        notes=plan.notes,
    )
    return _Job(series, voxels, sources, plan, derivation)


def _source_rescale(instance: Instance, frame: int) -> Rescale:
    try:
        return rescale_of(instance.header, frame)
    except ValueError as error:
        raise InputError(instance.path, str(error)) from error


@lru_cache(maxsize=4096)
def _series_start(series: str, provenance: Provenance) -> datetime:
    """Return when the first stack of a derived series was written.

    Stacks of one source series share a derived series, and all its objects have to agree on when
    it began (PS3.3 A.1.2).
    """
    return datetime.now().astimezone()


def _objects(series: DicomSeries) -> dict[int, dict[int, int]]:
    """Return, for each source instance in the order of z, the z index of each of its frames."""
    objects: dict[int, dict[int, int]] = {}
    for z, ref in enumerate(series.frames):
        objects.setdefault(ref.instance, {})[ref.frame] = z
    return objects


def _folder_name(job: _Job) -> str:
    series = job.series
    header = series.instances[series.frames[0].instance].header
    modality = re.sub("[^A-Z0-9]", "", tags.word(header, "Modality"))[:16] or series.modality.value
    number = series_number(
        tags.integer(header, "SeriesNumber"), job.derivation.options.series_offset, job.kind
    )
    uids = job.derivation.uids
    digest = hashlib.sha256(uids.derive(tags.uid(header, "SeriesInstanceUID")).encode())
    for ref in series.frames:
        digest.update(
            f"{tags.uid(series.instances[ref.instance].header, 'SOPInstanceUID')} {ref.frame}".encode()
        )
    return f"{modality}_{number}_{job.kind.value.replace(' ', '_')}_{digest.hexdigest()[:8]}"


def _write_object(job: _Job, folder: Path, number: int, index: int, frames: Mapping[int, int]) -> _Result:
    """Write one object: that of source instance `index`, whose frame numbers map to z indices."""
    instance = job.series.instances[index]
    count = tags.integer(instance.header, "NumberOfFrames") or 1
    partial = tuple(sorted(frames)) if len(frames) < count else None
    header = derive_header(instance.header, job.derivation, partial)
    warnings = _describe_pixels(job, header, instance, frames)
    ready = _refer(job, header, instance, frames)
    pixels, clamped = _pixels(job, instance, count, frames)
    size = sum(chunk.nbytes for chunk in pixels)
    if size > _LARGEST_VALUE:
        raise OutputError(folder, "an uncompressed object of more than 4 GiB is not possible in DICOM")
    name = f"IM{number:05d}.dcm"
    meta = encode_meta(tags.uid(header, "SOPClassUID"), tags.uid(header, "SOPInstanceUID"))
    body = job.derivation.encoder.encode(header, ready)
    head = pixel_data_head(size, job.plan.storage.bits_allocated)
    write_flushed(folder / name, [meta + body + head, *pixels])
    if partial is not None:
        what = "copied unchanged" if job.kind is OutputKind.DENOISED else "zero"
        warnings = (*warnings, f"{count - len(partial)} of {count} frames are not part of the stack: {what}")
    return _Result(name, clamped, warnings)


def _describe_pixels(
    job: _Job, header: Dataset, instance: Instance, frames: Mapping[int, int]
) -> tuple[str, ...]:
    describe_storage(header, job.plan)
    remember_lossy(header, instance)
    if not is_enhanced(header):
        scale = job.plan.scales[next(iter(frames.values()))]
        describe_scale(header, job.plan, scale, job.kind, job.series.modality)
    if remove_embedded_overlays(header):
        return ("an overlay kept in the bits of the source's pixels is left out",)
    return ()


def _refer(job: _Job, header: Dataset, instance: Instance, frames: Mapping[int, int]) -> dict[int, bytes]:
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


def _used(job: _Job, z: int) -> list[FrameRef]:
    series = job.series
    slices = job.derivation.provenance.slices_used
    return [series.frames[i] for i in frames_used(z, len(series.frames), slices, series.gaps, series.volume)]


def _item(job: _Job, index: int) -> bytes:
    """Return the encoded reference to one source instance; its neighbours refer to it, too."""
    if index not in job.items:
        count = tags.integer(job.series.instances[index].header, "NumberOfFrames") or 1
        every = [FrameRef(index, frame) for frame in range(count)]
        job.items[index] = encode_item(source_items(job.series.instances, every)[0])
    return job.items[index]


def _pixels(
    job: _Job, instance: Instance, count: int, frames: Mapping[int, int]
) -> tuple[list[memoryview], int]:
    """Return the pixel data of one object and how many voxels were clamped."""
    stored: list[StoredArray] = []
    clamped = 0
    others = [frame for frame in range(count) if frame not in frames]
    copied = dict(zip(others, _other_frames(job, instance, others, frames), strict=True))
    rgb = tags.integer(instance.header, "SamplesPerPixel") == 3
    for frame in range(count):
        if frame in frames:
            quantised = _quantise(job, instance, frames[frame])
            clamped += quantised[1]
            stored.append(quantised[0])
        else:
            stored.append(copied[frame])
    if rgb:
        stored = [np.repeat(values[..., None], 3, axis=-1) for values in stored]
    return pixel_bytes(stored), clamped


def _quantise(job: _Job, instance: Instance, z: int) -> tuple[StoredArray, int]:
    plan, source = job.plan, job.sources[z]
    padding = None
    if job.kind is OutputKind.DENOISED:
        rule = padding_rule(instance.header, job.series.modality, source)
        if rule.low is not None and rule.high is not None:
            padding = Padding(rule.low, rule.high)
    done = quantise(
        job.voxels[z],
        source,
        plan.storage,
        target=plan.scales[z],
        padding=padding,
        low=plan.low,
        keep_sum=plan.keep_sum,
    )
    return done.stored, done.clamped


def _other_frames(
    job: _Job, instance: Instance, others: list[int], frames: Mapping[int, int]
) -> list[StoredArray]:
    """Return the stored values of frames that the stack does not hold."""
    if not others:
        return []
    dtype = job.plan.storage.dtype
    if job.kind is OutputKind.DENOISED:
        return [values.astype(dtype) for values in stored_frames(instance, others)]
    scale = job.plan.scales[next(iter(frames.values()))]
    nothing = np.zeros(job.voxels.shape[1:], np.float32)
    return [quantise(nothing, scale, job.plan.storage).stored for _ in others]
