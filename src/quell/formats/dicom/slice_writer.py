"""Write a derived series a few slices at a time, so that it need not be held whole."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quell.formats.atomic import atomic_folder
from quell.formats.contracts import Origin, OutputKind, WriteOptions, Written
from quell.formats.dicom.iods import Rescaling, iod_of
from quell.formats.dicom.objects import Job, WrittenObject, write_object
from quell.formats.dicom.quiet import quiet
from quell.formats.dicom.write import THREADS, prepare, summed_up
from quell.image import FloatArray

if TYPE_CHECKING:
    from quell.formats.dicom.series import DicomSeries


@contextmanager
def slice_writer(
    series: DicomSeries, sample: FloatArray, out: Path, provenance: Origin, options: WriteOptions
) -> Iterator[DicomSliceWriter]:
    """Give a writer of a denoised series of single-frame objects; the same files as `write_derived`.

    Parameters
    ----------
    series : DicomSeries
        Each slice an instance of its own; no PET, whose slices may each need another slope.
    sample : ndarray of float32, shape (n, y, x)
        Some slices, for a display window where the source has none.
    out, provenance, options
        As `write_derived`.

    Raises
    ------
    OutputError
        If the files cannot be written; nothing is left of them.
    ValueError
        If the series cannot be written so, or a slice was not put.
    """
    header = series.instances[0].header
    if not series.slice_by_slice or iod_of(header).rescaling is Rescaling.SLOPE:
        raise ValueError(f"{series.name} cannot be written slice by slice")
    with quiet():
        job, folder = prepare(series, sample, out, OutputKind.DENOISED, provenance, options)
    with atomic_folder(folder, durable=False) as temporary, ThreadPoolExecutor(THREADS) as pool:
        writer = DicomSliceWriter(job, folder, temporary, pool)
        yield writer
        writer.check_complete()


class DicomSliceWriter:
    """Writes slices into a folder that has no name yet; satisfies `quell.formats.contracts.SliceWriter`.

    Parameters
    ----------
    job : Job
    folder : Path
        Where the files will be.
    temporary : Path
        Where they are written.
    pool : ThreadPoolExecutor
    """

    def __init__(self, job: Job, folder: Path, temporary: Path, pool: ThreadPoolExecutor) -> None:
        self._job, self._folder, self._temporary, self._pool = job, folder, temporary, pool
        self._done: dict[int, WrittenObject] = {}

    def put(self, first: int, voxels: FloatArray) -> None:
        """Write slices that follow one another; see the contract."""
        job = replace(self._job, voxels=voxels, first=first)

        def one(z: int) -> WrittenObject:
            ref = job.series.frames[z]
            return write_object(job, self._temporary, z + 1, ref.instance, {ref.frame: z})

        slices = range(first, first + len(voxels))
        with quiet():
            self._done.update(zip(slices, self._pool.map(one, slices), strict=True))

    def check_complete(self) -> None:
        """Raise ValueError where a slice was not put."""
        lacking = set(range(len(self._job.series.frames))) - set(self._done)
        if lacking:
            raise ValueError(f"{len(lacking)} slices were not written, the first is {min(lacking)}")

    def written(self) -> Written:
        """Return what was written; see the contract."""
        return summed_up(self._job, self._folder, [self._done[z] for z in sorted(self._done)])
