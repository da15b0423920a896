"""The front door: from a path to the series that can be denoised, and the reasons for the rest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from quell.errors import InputError
from quell.formats.archive import keep_while_used, unpack
from quell.formats.contracts import PassedOver, Purpose, Series, Study
from quell.formats.sniff import Kind, kind_by_name, kind_of, start_of, unread_format
from quell.formats.source import Source, UnsuitableError
from quell.formats.walk import files_below

_SHOWN = 3


def open_study(path: Path | str, purpose: Purpose = Purpose.DENOISE) -> Study:
    """Find everything at a path that can be denoised, or used for another purpose.

    Parameters
    ----------
    path : Path
        A folder (with all below it), a file of any kind that Quell reads, a DICOMDIR, or a ZIP
        archive. What a file is, its content says.
    purpose : Purpose

    Returns
    -------
    Study
        Headers are read, pixels are not. The members of an archive stay unpacked as long as the
        study or one of its series is in use.

    Raises
    ------
    InputError
        If nothing is there, or nothing that can be used.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _of_folder(path, purpose)
        if path.is_file():
            return _of_file(path, purpose)
        reason = "neither a file nor a folder" if path.exists() else "no such file or folder"
    except PermissionError as error:
        raise InputError(path, f"cannot be read: {error.strerror}") from error
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be looked up: {error}") from error
    raise InputError(path, reason)


def _of_folder(path: Path, purpose: Purpose) -> Study:
    sources, passed = files_below(path)
    if not sources and not passed:
        raise InputError(path, "the folder is empty")
    return _study(path, sources, passed, path, purpose)


def _of_file(path: Path, purpose: Purpose) -> Study:
    source = Source.of(path)
    kind = kind_of(start_of(source))
    if kind is Kind.DICOMDIR:
        return _of_dicomdir(path, purpose)
    if kind is Kind.ZIP:
        return _of_archive(path, purpose)
    return _study(path, [source], [], path.parent, purpose)


def _of_dicomdir(path: Path, purpose: Purpose) -> Study:
    from quell.formats.dicomdir import referenced_files

    files, missing = referenced_files(path)
    passed = _missing(path.name, missing)
    if not files:
        raise InputError(path, "none of the files that it refers to is there")
    return _study(path, [Source.of(file) for file in files], passed, path.parent.resolve(), purpose)


def _of_archive(path: Path, purpose: Purpose) -> Study:
    folder = TemporaryDirectory(prefix="quell-")
    try:
        sources, passed = unpack(path, Path(folder.name))
        study = _study(path, sources, passed, Path(folder.name), purpose)
    except BaseException:
        folder.cleanup()
        raise
    keep_while_used(folder, (study, *study.series))
    return study


def _missing(name: str, count: int) -> list[PassedOver]:
    if not count:
        return []
    return [PassedOver(f"{count} files", f"listed in {name} but not there", count, error=True)]


@dataclass
class _Sorted:
    """The files of a study by kind."""

    of_door: list[tuple[Source, Kind]] = field(default_factory=list)
    dicom: list[Source] = field(default_factory=list)
    directories: list[Source] = field(default_factory=list)
    unknown: list[Source] = field(default_factory=list)
    passed: list[PassedOver] = field(default_factory=list)


def _study(
    path: Path, sources: Sequence[Source], passed: list[PassedOver], root: Path, purpose: Purpose
) -> Study:
    """Give every file to its door.

    Raises
    ------
    InputError
        If no door finds anything to use.
    """
    files = _sort(sources)
    series: list[Series] = []
    passed = [*passed, *files.passed]
    used: set[Path] = set()
    if files.dicom:
        series += _dicom(files, root, passed, purpose)
    for source, kind in _distinct(files.of_door):
        opened = _opened(source, kind, passed, purpose)
        if opened is not None:
            series.append(opened)
            used.update(opened.files)
    passed += _missing_references(files.directories)
    passed += _strangers(source for source in files.unknown if source.path not in used)
    if not series:
        alone = [source.path for source in sources] == [path]
        raise InputError(path, _nothing(passed, alone, purpose))
    return Study(path, tuple(series), tuple(_gathered(passed)))


def _sort(sources: Iterable[Source]) -> _Sorted:
    files = _Sorted()
    for source in sources:
        try:
            start = start_of(source)
        except InputError as error:
            files.passed.append(PassedOver(source.name, error.reason, error=True))
            continue
        kind = kind_of(start)
        if kind is Kind.DICOM or (kind is Kind.UNKNOWN and start and kind_by_name(source) is Kind.DICOM):
            files.dicom.append(source)
        elif kind is Kind.DICOMDIR:
            files.directories.append(source)
        elif kind is Kind.ZIP:
            files.passed.append(_inner_archive(source))
        elif kind is Kind.UNREAD:
            reason = f"{unread_format(start)} is not read"
            files.passed.append(PassedOver(source.name, reason))
        elif kind is Kind.UNKNOWN:
            files.unknown.append(source)
        else:
            files.of_door.append((source, kind))
    return files


def _inner_archive(source: Source) -> PassedOver:
    if kind_by_name(source) is Kind.ZIP:
        return PassedOver(source.name, "an archive inside; open it by itself")
    return PassedOver(source.name, "no image that Quell reads")


def _dicom(files: _Sorted, root: Path, passed: list[PassedOver], purpose: Purpose) -> Sequence[Series]:
    from quell.formats.dicom.discover import find_series

    paths = [source.path for source in files.dicom]
    found = find_series(paths, root, projections=purpose.takes_projections, denoised=purpose.takes_denoised)
    # Members of an archive lie under other names than their own.
    names = {source.path.name: source.name for source in files.dicom if source.members is not None}
    passed += [replace(item, what=names.get(item.what, item.what)) for item in found.passed_over]
    others = set(found.others)
    files.unknown += [source for source in files.dicom if source.path in others]
    return tuple(found.series)


class _FileSeries(Series, Protocol):
    """A series of one of the doors of this folder."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""


def _through_door(source: Source, kind: Kind, denoised: bool) -> _FileSeries:
    """Open a file of a kind; the libraries of the other kinds are not loaded."""
    if kind is Kind.NIFTI:
        from quell.formats.nifti import open_nifti

        return open_nifti(source, denoised)
    if kind is Kind.METAIMAGE:
        from quell.formats.metaimage import open_metaimage

        return open_metaimage(source, denoised)
    if kind is Kind.TIFF:
        from quell.formats.tiff import open_tiff

        return open_tiff(source, denoised)
    from quell.formats.raster import open_jpeg, open_png

    return open_png(source, denoised) if kind is Kind.PNG else open_jpeg(source)


def _opened(source: Source, kind: Kind, passed: list[PassedOver], purpose: Purpose) -> _FileSeries | None:
    try:
        return _through_door(source, kind, purpose.takes_denoised)
    except UnsuitableError as error:
        passed.append(PassedOver(source.name, str(error)))
    except InputError as error:
        passed.append(PassedOver(source.name, error.reason, error=True))
    return None


def _distinct(files: Sequence[tuple[Source, Kind]]) -> list[tuple[Source, Kind]]:
    """Tell apart the derived files of sources that differ only in their suffix (a.png and a.tif)."""

    def key(source: Source) -> tuple[str, str]:
        return source.folder.as_posix().casefold(), source.output_stem.casefold()

    counts = Counter(key(source) for source, _ in files)
    return [
        (replace(source, stem=source.name.replace(".", "_")) if counts[key(source)] > 1 else source, kind)
        for source, kind in files
    ]


def _missing_references(directories: Sequence[Source]) -> list[PassedOver]:
    """Report the files that a DICOMDIR in the folder lists and that are not there."""
    passed: list[PassedOver] = []
    for source in directories:
        if source.members is not None:
            continue
        from quell.formats.dicomdir import referenced_files

        try:
            passed += _missing(source.name, referenced_files(source.path)[1])
        except InputError as error:
            passed.append(PassedOver(source.name, error.reason, error=True))
    return passed


def _strangers(sources: Iterable[Source]) -> list[PassedOver]:
    """Report files that are no image: each that should be one by its name, the others as a number."""
    passed = []
    others = 0
    for source in sources:
        promised = kind_by_name(source)
        if promised is Kind.UNKNOWN:
            others += 1
            continue
        reason = (
            "empty" if source.size == 0 else f"not what its name says: no {promised.value} file, or damaged"
        )
        passed.append(PassedOver(source.name, reason, error=True))
    if others:
        what = "1 file" if others == 1 else f"{others} files"
        passed.append(PassedOver(what, "no image that Quell reads", others))
    return passed


def _gathered(passed: Iterable[PassedOver]) -> list[PassedOver]:
    """Join entries of the same reason into one where they are many."""
    groups: dict[tuple[str, bool], list[PassedOver]] = defaultdict(list)
    for item in passed:
        groups[item.reason, item.error].append(item)
    joined = []
    for items in groups.values():
        if len(items) <= _SHOWN:
            joined += items
            continue
        count = sum(item.count for item in items)
        what = f"{items[0].what} and {count - items[0].count} more"
        joined.append(replace(items[0], what=what, count=count))
    return joined


def _nothing(passed: Sequence[PassedOver], alone: bool, purpose: Purpose) -> str:
    """Return the one line that says why nothing can be used; `alone`: of a file that was named itself."""
    joined = _gathered(passed)
    if alone and len(joined) == 1 and joined[0].count == 1:
        return f"cannot be {purpose.value}: {joined[0].reason}"
    shown = "; ".join(f"{item.what}: {item.reason}" for item in joined[:_SHOWN])
    rest = f"; and {len(joined) - _SHOWN} more reasons" if len(joined) > _SHOWN else ""
    return f"nothing in it can be {purpose.value} ({shown}{rest})"
