"""One DICOM file of a series, and one frame of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import FileDataset


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data lie in a file.

    Attributes
    ----------
    offset : int
        Byte offset of the value, behind tag, VR and length.
    length : int or None
        Length of the value in bytes; None when it is encapsulated (undefined length).
    """

    offset: int
    length: int | None


@dataclass(frozen=True, eq=False)
class Instance:
    """One DICOM file without its pixels.

    Attributes
    ----------
    path : Path
    header : pydicom.dataset.FileDataset
        Every element before the pixel data, with ``file_meta``. Shared by all who hold the
        instance: copy it before changing it.
    pixels : PixelElement or None
        Where the pixel data lie; None when that was not looked up.
    coloured : float
        Share of the pixels that are in colour and stay as they are, 0 to 1.
    """

    path: Path
    header: FileDataset
    pixels: PixelElement | None = None
    coloured: float = 0.0


@dataclass(frozen=True)
class FrameRef:
    """The stored frame behind one z index of an image.

    Attributes
    ----------
    instance : int
        Index into the instances of the series.
    frame : int
        Frame within that instance, counted from 0.
    """

    instance: int
    frame: int = 0
