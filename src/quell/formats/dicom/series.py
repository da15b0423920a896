"""One stack of DICOM frames: read as an image, written back as a derived series."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from quell.formats.contracts import Origin, OutputKind, SliceWriter, WriteOptions, Written
from quell.formats.dicom import tags
from quell.formats.dicom.instance import FrameRef, Instance, PixelElement
from quell.formats.dicom.quiet import quiet
from quell.image import FloatArray, Geometry, Image, Modality

__all__ = ["DicomSeries", "FrameRef", "Instance", "PixelElement"]


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """A consistent stack of frames of one DICOM series; satisfies `quell.formats.contracts.Series`.

    Attributes
    ----------
    instances : tuple of Instance
        The files that hold at least one frame of the stack.
    frames : tuple of FrameRef
        One for each z index of the image, in its order. Ordered by position, so neither by
        instance nor by frame number. Usually every frame of every instance occurs once; the
        frames of a multi-frame object that do not belong to the stack (another orientation, a
        phase image) are left out.
    modality : Modality
    name : str
        For messages and reports, such as ``"CT 512x512x41 series 3"``.
    geometry : Geometry
    notes : tuple of str
    volume : bool
        True when neighbours along z are neighbouring anatomy.
    gaps : tuple of int
        Indices i such that frame i + 1 is not the spatial neighbour of frame i.
    """

    instances: tuple[Instance, ...]
    frames: tuple[FrameRef, ...]
    modality: Modality
    name: str
    geometry: Geometry = field(default_factory=Geometry)
    notes: tuple[str, ...] = ()
    volume: bool = False
    gaps: tuple[int, ...] = ()

    @property
    def format(self) -> str:
        """The format's name in messages."""
        return "DICOM"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of frames, rows and columns, from the headers."""
        header = self.instances[0].header
        rows, columns = tags.integer(header, "Rows"), tags.integer(header, "Columns")
        return len(self.frames), rows or 0, columns or 0

    def stored_frames(self, instance: int) -> tuple[int, ...]:
        """Return the frame numbers of one instance that the stack holds, ascending, from 0."""
        return tuple(sorted(ref.frame for ref in self.frames if ref.instance == instance))

    def is_whole(self, instance: int) -> bool:
        """Whether the stack holds every frame of an instance.

        Where it does not, a derived object of the instance has fewer frames than its source, and
        another stack of the same instance makes another object: their UIDs must differ.
        """
        declared = tags.integer(self.instances[instance].header, "NumberOfFrames") or 1
        return len(self.stored_frames(instance)) == declared

    @property
    def slice_by_slice(self) -> bool:
        """Whether each slice is a file of its own, which can be read and written without the others."""
        headers = (instance.header for instance in self.instances)
        single = all((tags.integer(header, "NumberOfFrames") or 1) == 1 for header in headers)
        return single and len(self.instances) == len(self.frames)

    def read(self) -> Image:
        """Decode the pixels into an image in physical units.

        Raises
        ------
        InputError
            If a file is damaged or truncated, or its decoder is not installed.
        """
        return self._decoded(self.frames)

    def read_slices(self, chosen: Sequence[int]) -> Image:
        """Decode some slices; the geometry is that of the whole stack, and gaps are not told.

        Parameters
        ----------
        chosen : sequence of int
            Their z indices, ascending.

        Raises
        ------
        InputError
            As `read`.
        """
        return replace(self._decoded(tuple(self.frames[z] for z in chosen)), gaps=())

    def _decoded(self, frames: tuple[FrameRef, ...]) -> Image:
        from quell.formats.dicom.acquisition import acquisition_of
        from quell.formats.dicom.decode import read_stack

        with quiet():
            stack = read_stack(self.instances, frames, self.modality)
            acquisition = acquisition_of(self.instances, frames)
        return Image(
            voxels=stack.voxels,
            modality=self.modality,
            units=stack.units,
            geometry=self.geometry,
            padding=stack.padding,
            volume=self.volume,
            gaps=self.gaps,
            name=self.name,
            acquisition=acquisition,
        )

    def write(
        self,
        voxels: FloatArray,
        out: Path,
        kind: OutputKind,
        provenance: Origin,
        options: WriteOptions,
    ) -> Written:
        """Write `voxels` (z, y, x), in physical units, as a derived series; see the contract.

        Raises
        ------
        OutputError
            If the files cannot be written.
        """
        from quell.formats.dicom.write import write_derived

        return write_derived(self, voxels, out, kind, provenance, options)

    def writer(
        self, sample: Image, out: Path, provenance: Origin, options: WriteOptions
    ) -> AbstractContextManager[SliceWriter]:
        """Write a denoised series a few slices at a time; see the contract."""
        from quell.formats.dicom.slice_writer import slice_writer

        return slice_writer(self, sample.voxels, out, provenance, options)
