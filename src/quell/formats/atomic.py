"""Files and folders that appear under their final name complete, or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from quell.errors import OutputError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_SUFFIX = ".part"
_STALE_WITHOUT_LOCKS = 24 * 3600.0
_SYNC_THREADS = 8


@contextmanager
def atomic_file(final: Path | str, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes `final` when the block ends without an error.

    The temporary path has the file name of `final`, so that writers which choose the format by
    the suffix work. An existing `final` is replaced in one step of the file system.

    Parameters
    ----------
    final : Path
        The file to be; its folder is made if absent.
    durable : bool
        Flush to the disk before the rename, so that a power cut leaves no empty file.

    Raises
    ------
    OutputError
        Naming `final`, where the disk is full or read-only, or permission is lacking.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_file(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("complete")
    ...     (Path(folder) / "a.txt").read_text()
    'complete'
    """
    final = Path(final)
    with _staging(final) as staging:
        temporary = staging / final.name
        yield temporary
        if final.is_dir():
            raise IsADirectoryError(None, "a folder of this name is in the way", str(temporary))
        if durable:
            _flush(temporary)
        temporary.replace(final)
        _flush_folder(final.parent)


@contextmanager
def atomic_folder(final: Path | str, durable: bool = True) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `final` when the block ends without an error.

    An existing folder `final` is replaced as a whole: moved aside, and deleted after the new one
    has its name. A run killed between the two renames leaves neither half-written.

    Parameters
    ----------
    final : Path
        The folder to be; its parent is made if absent.
    durable : bool
        Flush every file to the disk before the rename; not needed for files that
        `write_flushed` wrote.

    Raises
    ------
    OutputError
        Naming `final`, where the disk is full or read-only, or permission is lacking.
    """
    final = Path(final)
    with _staging(final) as staging:
        new = staging / "new"
        new.mkdir()
        yield new
        if final.exists() and not final.is_dir():
            raise FileExistsError(None, "a file of this name is in the way", str(new))
        if durable:
            _flush_tree(new)
        _flush_folder(new)
        _exchange(new, final, staging / "old")
        _flush_folder(final.parent)


def write_flushed(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a new file and flush it to the disk.

    To be called in threads for many files: flushing them as they come costs less than flushing
    them all at the end.
    """
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _exchange(new: Path, final: Path, aside: Path) -> None:
    """Give `new` the name `final`; what stood there goes to `aside`, or back if that fails."""
    had_old = final.exists()
    if had_old:
        final.rename(aside)
    try:
        new.rename(final)
    except OSError:
        if had_old:
            aside.rename(final)
        raise


@contextmanager
def _staging(final: Path) -> Iterator[Path]:
    """Make a hidden locked sibling folder of `final`; remove it at the end, whatever happens."""
    parent = final.parent
    with _as_output_error(final, None):
        parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(parent)
        staging, lock = _make_locked(parent)
    try:
        with _as_output_error(final, staging):
            yield staging
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _as_output_error(final: Path, staging: Path | None) -> Iterator[None]:
    """Turn a failure of the file system into one line that names `final`.

    An error that names a file outside the staging folder (a source that cannot be read) is not
    about the output and passes through.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if staging is not None and isinstance(named, str | os.PathLike):
            inside = Path(named).is_relative_to(staging) or Path(named) == final
            if not inside:
                raise
        raise OutputError(final, f"cannot be written: {error.strerror or error}") from error


def _make_locked(parent: Path) -> tuple[Path, int | None]:
    """Make a staging folder under a lock that the system drops when this process ends."""
    while True:
        staging = parent / f"{_prefix()}{secrets.token_hex(6)}{_SUFFIX}"
        staging.mkdir(mode=0o700)
        if fcntl is None:
            return staging, None
        with suppress(FileNotFoundError):
            descriptor = os.open(staging, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Another process may have taken it for a leftover before it was locked.
            if staging.exists():
                return staging, descriptor
            os.close(descriptor)


def _prefix() -> str:
    """Return the start of this machine's staging names.

    On a shared disk only the machine itself can tell whether a process of its own still lives.
    """
    host = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
    return f".quell-{host}-"


def _remove_stale(parent: Path) -> None:
    """Delete what processes that were killed left in `parent`."""
    for path in parent.glob(f"{_prefix()}*{_SUFFIX}"):
        if _is_stale(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_stale(path: Path) -> bool:
    try:
        if fcntl is None:
            return time.time() - path.stat().st_mtime > _STALE_WITHOUT_LOCKS
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _flush_tree(folder: Path) -> None:
    """Flush all files below `folder`; in threads, because the disk merges concurrent flushes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(_flush, files))


def _flush(path: Path) -> None:
    _on_descriptor(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY, os.fsync)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    # Some network file systems refuse to flush a folder; the files themselves are safe by then.
    with suppress(OSError):
        _on_descriptor(folder, os.O_RDONLY, os.fsync)


def _on_descriptor(path: Path, flags: int, act: Callable[[int], None]) -> None:
    descriptor = os.open(path, flags)
    try:
        act(descriptor)
    finally:
        os.close(descriptor)
