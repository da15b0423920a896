"""Float32 TIFF for what has no place in integers."""

from __future__ import annotations

from pathlib import Path

from quell.formats.atomic import atomic_file
from quell.formats.tiff_ifd import SOFTWARE, PageOut, text_tag, write_pages
from quell.image import FloatArray


def write_float_tiff(path: Path, voxels: FloatArray, note: str) -> None:
    """Write `voxels` (z, y, x) as float32 pages; `note` stands in the Software field.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    tags = {SOFTWARE: text_tag(note)}
    _, rows, columns = voxels.shape
    pages = (PageOut(frame.astype("<f4").tobytes(), columns, rows, 32, True, tags) for frame in voxels)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        write_pages(file, pages, "<", voxels.nbytes, False)
