"""One file as a door sees it: where its bytes lie, how the user calls it, which files stand beside it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from quell.errors import InputError

DEFLATE_LIMIT = 1032
"""Deflate cannot expand a byte to more than this (zlib technical notes, "Maximum Compression Factor")."""
BOMB_RATIO = 200
BOMB_BYTES = 256 * 2**20
"""Images with real noise compress by 2 to 10; more than `BOMB_RATIO` over so many bytes is a bomb."""

_DOUBLE_SUFFIXES = (".nii.gz", ".igs.mha", ".igs.mhd")


class UnsuitableError(Exception):
    """An intact file that is rightly left alone (colour, a label map); the message is the reason."""


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes
    ----------
    path : Path
        Where its bytes lie; inside an opened archive its name begins with a number.
    name : str
        Base name as the user knows it.
    folder : PurePosixPath
        Its folder below the opened path; derived files are written to the same folder below the output.
    members : mapping of str to Path, optional
        The files of the same folder by name, for a member of an archive; None on disk.
    stem : str
        Start of the names of derived files; empty for the name without its suffix.
    """

    path: Path
    name: str
    folder: PurePosixPath = field(default_factory=PurePosixPath)
    members: Mapping[str, Path] | None = None
    stem: str = ""

    @classmethod
    def of(cls, path: Path) -> Source:
        """Return the source for one file on disk."""
        return cls(path, path.name)

    @property
    def suffix(self) -> str:
        """Suffix as the name has it, double suffixes such as ``.nii.gz`` in one."""
        lower = self.name.lower()
        double = next((s for s in _DOUBLE_SUFFIXES if lower.endswith(s)), "")
        return self.name[-len(double) :] if double else Path(self.name).suffix

    @property
    def output_stem(self) -> str:
        """Start of the names of derived files."""
        return self.stem or self.name.removesuffix(self.suffix)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}") from error

    def sibling(self, name: str) -> Path | None:
        """Return the regular file `name` of the same folder, or None.

        A name that leads out of the folder, by itself or by a symbolic link, gives None.
        """
        if name in ("", ".", "..") or any(c in name for c in "/\\:\0"):
            return None
        if self.members is not None:
            return self.members.get(name)
        path = self.path.parent / name
        inside = path.resolve().parent == self.path.parent.resolve()
        return path if inside and path.is_file() else None

    def error(self, reason: str) -> InputError:
        """Return the error that names this file as the user knows it."""
        return InputError(self.path if self.path.name == self.name else Path(self.name), reason)


def check_claim(
    source: Source, claimed: int, available: int, compressed: bool, limit: int = DEFLATE_LIMIT
) -> None:
    """Compare what a header claims with what the file can hold, before anything is allocated.

    Parameters
    ----------
    source : Source
    claimed : int
        Bytes of voxels after decompression, by the header.
    available : int
        Bytes that the file has for them.
    compressed : bool
    limit : int
        The largest expansion that the compression can reach.

    Raises
    ------
    InputError
        If the file cannot hold them, or would be a decompression bomb.
    """
    if not compressed and claimed > available:
        raise source.error(f"truncated: the header promises {claimed} bytes of voxels, {available} are there")
    if compressed and claimed > limit * max(available, 1):
        raise source.error(
            f"the header promises {claimed} bytes of voxels, more than {available} compressed bytes can hold"
        )
    if compressed and claimed > BOMB_BYTES and claimed > BOMB_RATIO * available:
        raise source.error(
            f"{available} compressed bytes expand to {claimed}: taken for a decompression bomb"
        )


READ_ERRORS = (OSError, EOFError, zlib.error)
"""What reading a damaged or compressed file may raise."""
