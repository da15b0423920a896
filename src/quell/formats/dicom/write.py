"""Write a denoised stack as a derived DICOM series that stands beside its source."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from quell.errors import InputError, OutputError
from quell.formats.atomic import atomic_folder
from quell.formats.contracts import Origin, OutputKind, WriteOptions, Written
from quell.formats.dicom import tags
from quell.formats.dicom.colour import written_in_rgb
from quell.formats.dicom.derive import Derivation
from quell.formats.dicom.describe import series_number
from quell.formats.dicom.instance import Instance
from quell.formats.dicom.objects import Job, WrittenObject, write_object
from quell.formats.dicom.pixelplan import plan_pixels
from quell.formats.dicom.rescale import Rescale, rescale_of
from quell.image import FloatArray

if TYPE_CHECKING:
    from quell.formats.dicom.series import DicomSeries

THREADS = 4
"""Files that are written side by side."""

_LARGEST_VALUE = 2**32 - 2


def write_derived(
    series: DicomSeries,
    voxels: FloatArray,
    out: Path,
    kind: OutputKind,
    provenance: Origin,
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
    provenance : Origin
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
    with warnings.catch_warnings():
        # Warnings of the DICOM library quote values, which may identify the patient.
        warnings.simplefilter("ignore")
        job, folder = prepare(series, voxels, out, kind, provenance, options, now)
        tasks = list(enumerate(_objects(job.series).items(), start=1))
        with atomic_folder(folder, durable=False) as temporary, ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(lambda task: write_object(job, temporary, task[0], *task[1]), tasks))
    return summed_up(job, folder, results)


def summed_up(job: Job, folder: Path, results: Sequence[WrittenObject]) -> Written:
    """Return what is to be told of the objects that were written to a folder."""
    said = dict.fromkeys(warning for result in results for warning in result.warnings)
    return Written(
        files=tuple(folder / result.name for result in results),
        clamped=sum(result.clamped for result in results),
        warnings=(*job.plan.notes, *said),
    )


def prepare(
    series: DicomSeries,
    voxels: FloatArray,
    out: Path,
    kind: OutputKind,
    provenance: Origin,
    options: WriteOptions,
    now: datetime | None = None,
) -> tuple[Job, Path]:
    """Return what the objects are made from, and the folder that they belong in; see `write_derived`."""
    job = _job(series, voxels, kind, provenance, options, now)
    folder = Path(out) / _folder_name(job)
    _check_size(job, folder)
    return job, folder


def _job(
    series: DicomSeries,
    voxels: FloatArray,
    kind: OutputKind,
    provenance: Origin,
    options: WriteOptions,
    now: datetime | None,
) -> Job:
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
    return Job(series, voxels, sources, plan, derivation)


def _source_rescale(instance: Instance, frame: int) -> Rescale:
    try:
        return rescale_of(instance.header, frame)
    except ValueError as error:
        raise InputError(instance.path, str(error)) from error


@lru_cache(maxsize=4096)
def _series_start(series: str, provenance: Origin) -> datetime:
    """Return when the first stack of a derived series was written.

    Stacks of one source series share a derived series, and all its objects have to agree on when
    it began (PS3.3 A.1.2).
    """
    return datetime.now().astimezone()


def _check_size(job: Job, folder: Path) -> None:
    _, rows, columns = job.voxels.shape
    for index in _objects(job.series):
        header = job.series.instances[index].header
        values = (tags.integer(header, "NumberOfFrames") or 1) * (3 if written_in_rgb(header) else 1)
        if rows * columns * values * job.plan.storage.bits_allocated // 8 > _LARGEST_VALUE:
            raise OutputError(folder, "an uncompressed object of more than 4 GiB is not possible in DICOM")


def _objects(series: DicomSeries) -> dict[int, dict[int, int]]:
    """Return, for each source instance in the order of z, the z index of each of its frames."""
    objects: dict[int, dict[int, int]] = {}
    for z, ref in enumerate(series.frames):
        objects.setdefault(ref.instance, {})[ref.frame] = z
    return objects


def _folder_name(job: Job) -> str:
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
