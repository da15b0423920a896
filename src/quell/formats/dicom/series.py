"""One stack of DICOM frames: read as an image, written back as a derived series."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from quell.formats.contracts import Origin, OutputKind, WriteOptions, Written
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

    def read(self) -> Image:
        """Decode the pixels into an image in physical units.

        Raises
        ------
        InputError
            If a file is damaged or truncated, or its decoder is not installed.
        """
        from quell.formats.dicom.acquisition import acquisition_of
        from quell.formats.dicom.decode import read_stack

        with quiet():
            stack = read_stack(self.instances, self.frames, self.modality)
            acquisition = acquisition_of(self.instances, self.frames)
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
