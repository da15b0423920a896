"""A DICOMDIR: the files that it refers to (PS3.3 annex F)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from quell.errors import InputError


def referenced_files(path: Path) -> tuple[list[Path], int]:
    """Return the files of a DICOMDIR that are there, and how many are not.

    A file ID is a list of folder and file names below the DICOMDIR's own folder (PS3.10 section
    8.2); one that leads out of it counts as not there. Where a medium was copied to a file system
    that tells upper from lower case, names are found in either.

    Raises
    ------
    InputError
        If the DICOMDIR cannot be read.
    """
    root = path.parent.resolve()
    found: dict[Path, None] = {}
    missing = 0
    with warnings.catch_warnings():
        # Warnings of the DICOM library quote values, which may identify the patient.
        warnings.simplefilter("ignore")
        file_ids = list(_file_ids(path))
    for names in file_ids:
        file = _inside(root, names)
        if file is None:
            missing += 1
        else:
            found[file] = None
    return list(found), missing


def _file_ids(path: Path) -> Iterator[list[str]]:
    import pydicom

    try:
        records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
        for record in records:
            value = record.get("ReferencedFileID")
            if value:
                yield [value] if isinstance(value, str) else [str(name) for name in value]
    # pydicom parses an element when it is looked at, and a damaged one may raise anything.
    except Exception as error:
        raise InputError(path, f"a damaged DICOMDIR: {error}") from error


def _inside(root: Path, names: list[str]) -> Path | None:
    place = root
    for name in names:
        if name in ("", ".", "..") or any(c in name for c in "/\\:\0"):
            return None
        step = place / name
        place = step if step.exists() else _other_case(place, name)
    resolved = place.resolve()
    return resolved if resolved.is_file() and resolved.is_relative_to(root) else None


def _other_case(folder: Path, name: str) -> Path:
    try:
        return next((p for p in folder.iterdir() if p.name.casefold() == name.casefold()), folder / name)
    except OSError:
        return folder / name
