"""ZIP archives: unpacked into a folder of our own, under numbers, within bounds."""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import struct
import weakref
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from quell.errors import InputError
from quell.formats.contracts import PassedOver
from quell.formats.source import BOMB_BYTES, BOMB_RATIO, Source

MAX_MEMBERS = 200_000
MAX_BYTES = 64 * 2**30
_BLOCK = 2**20
_ENCRYPTED = 1
_LONGEST_STEM = 64
_DAMAGED = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


def unpack(archive: Path, into: Path) -> tuple[list[Source], list[PassedOver]]:
    """Unpack the members of a ZIP archive.

    A member is stored under its row in the archive's directory and the letters and digits of its
    name; the name itself is only kept in the `Source`, so that none can lead out of `into`.

    Parameters
    ----------
    archive : Path
    into : Path
        An empty folder.

    Returns
    -------
    sources : list of Source
    passed_over : list of PassedOver
        Members that are links, or damaged.

    Raises
    ------
    InputError
        If the archive is damaged, encrypted, too large, a decompression bomb, or has a member whose
        name leads out of it.
    """
    passed: list[PassedOver] = []
    folders: dict[PurePosixPath, dict[str, Path]] = {}
    sources: list[Source] = []
    try:
        with zipfile.ZipFile(archive) as file:
            members = _members(file, archive)
            _check_sizes(members, archive, into)
            for row, member, place in members:
                fault = _unpack_member(file, member, into / _numbered(row, place))
                if fault:
                    passed.append(PassedOver(place.name, fault, error=fault != _LINK))
                    continue
                siblings = folders.setdefault(place.parent, {})
                siblings[place.name] = into / _numbered(row, place)
                sources.append(Source(siblings[place.name], place.name, place.parent, siblings))
    except _DAMAGED as error:
        raise InputError(archive, f"a damaged or unsupported ZIP archive: {error}") from error
    except OSError as error:
        raise InputError(archive, f"cannot be unpacked: {error.strerror or error}") from error
    return sorted(sources, key=lambda source: (source.folder.parts, source.name)), passed


_LINK = "a link, not followed"

_Member = tuple[int, zipfile.ZipInfo, PurePosixPath]


def _members(file: zipfile.ZipFile, archive: Path) -> list[_Member]:
    """Return rows, entries and safe places of all members that are visible files."""
    entries = file.infolist()
    if len(entries) > MAX_MEMBERS:
        raise InputError(archive, f"has {len(entries)} members, more than {MAX_MEMBERS}")
    members = []
    for row, entry in enumerate(entries):
        place = _place(entry.filename)
        if place is None:
            raise InputError(archive, f"member {row} has a name that leads out of the archive")
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in place.parts)
        if not (entry.is_dir() or hidden or not place.name):
            if entry.flag_bits & _ENCRYPTED:
                raise InputError(archive, "the archive is encrypted")
            members.append((row, entry, place))
    return members


def _place(name: str) -> PurePosixPath | None:
    """Return a member's path without characters that a file system may refuse; None if it leads out."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        return None
    return PurePosixPath(*(re.sub(r'[\x00-\x1f<>:"|?*]', "_", part) for part in path.parts))


def _check_sizes(members: Sequence[_Member], archive: Path, into: Path) -> None:
    """Refuse, by the archive's own directory, what is too large or expands too much."""
    total = sum(entry.file_size for _, entry, _ in members)
    packed = sum(entry.compress_size for _, entry, _ in members)
    size = archive.stat().st_size
    if packed > size:
        raise InputError(archive, "its members overlap: taken for a decompression bomb")
    pairs = [(total, size), *((entry.file_size, entry.compress_size) for _, entry, _ in members)]
    for unpacked, stored in pairs:
        if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * stored:
            raise InputError(archive, f"{stored} bytes expand to {unpacked}: taken for a decompression bomb")
    free = shutil.disk_usage(into).free
    if total > min(MAX_BYTES, free):
        raise InputError(archive, f"expands to {total} bytes; {min(MAX_BYTES, free)} are allowed or free")


def _unpack_member(file: zipfile.ZipFile, entry: zipfile.ZipInfo, to: Path) -> str:
    """Unpack one member; return why it could not be, empty on success.

    `zipfile` never gives more bytes than the directory says, and compares the checksum.
    """
    if stat.S_ISLNK(entry.external_attr >> 16):
        return _LINK
    try:
        with file.open(entry) as packed, to.open("xb") as unpacked:
            shutil.copyfileobj(packed, unpacked, _BLOCK)
    except _DAMAGED as error:
        to.unlink(missing_ok=True)
        return f"damaged in the archive: {str(error) or type(error).__name__}"
    return ""


def _numbered(row: int, place: PurePosixPath) -> str:
    """Return the row with as much of the name as is harmless, so that messages name what the user knows."""
    suffix = place.suffix if re.fullmatch(r"[.][A-Za-z0-9]{1,8}", place.suffix) else ""
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", place.name.removesuffix(suffix))[:_LONGEST_STEM]
    return f"{row:06d}_{stem}{suffix.lower()}"


def keep_while_used(folder: TemporaryDirectory[str], users: Sequence[object]) -> None:
    """Remove a temporary folder once none of `users` is alive any more, or at the end of the program."""
    alive = {id(user) for user in users}

    def release(key: int) -> None:
        alive.discard(key)
        if not alive:
            folder.cleanup()

    for user in users:
        weakref.finalize(user, release, id(user))
