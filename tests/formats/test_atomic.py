"""What stands under a final name is complete, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quell.errors import OutputError
from quell.formats.atomic import atomic_file, atomic_folder


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    final = tmp_path / "new" / "image.nii.gz"
    with atomic_file(final) as temporary:
        temporary.write_bytes(b"1")
        assert temporary.name == final.name
        assert not final.exists()
    assert final.read_bytes() == b"1"
    assert [p.name for p in final.parent.iterdir()] == [final.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), atomic_folder(tmp_path / "series") as folder:
        (folder / "IM1").write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_old_content_survives_an_error(tmp_path: Path) -> None:
    final = tmp_path / "series"
    final.mkdir()
    (final / "old").write_text("kept")
    with pytest.raises(ValueError), atomic_folder(final) as folder:
        (folder / "new").write_text("half")
        raise ValueError
    assert [p.name for p in final.iterdir()] == ["old"]


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    final = tmp_path / "series"
    for name in ("a", "b"):
        with atomic_folder(final) as folder:
            (folder / name).write_text(name)
    assert [p.name for p in final.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["series"]


def test_full_disk_is_one_line_that_names_the_output(tmp_path: Path) -> None:
    final = tmp_path / "series"
    with pytest.raises(OutputError, match="No space left") as caught, atomic_folder(final):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.path == final
    assert list(tmp_path.iterdir()) == []


def test_unreadable_source_is_not_called_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "out"):
        (tmp_path / "source.dcm").read_bytes()


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="in the way"), atomic_folder(tmp_path / "out"):
        pass
    with pytest.raises(OutputError), atomic_file(tmp_path / "out" / "below.nii"):
        pass
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="ermission"), atomic_file(tmp_path / "a") as temporary:
            temporary.write_text("x")
    finally:
        tmp_path.chmod(0o700)


_HANG = """
import sys, time
from quell.formats.atomic import atomic_folder
with atomic_folder(sys.argv[1]) as folder:
    (folder / "half").write_text("x")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="leftovers are told by locks, which Windows lacks here")
def test_killed_run_leaves_nothing_final_and_is_cleaned_by_the_next(tmp_path: Path) -> None:
    final = tmp_path / "series"
    process = subprocess.Popen([sys.executable, "-c", _HANG, str(final)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    with atomic_file(tmp_path / "other") as temporary:
        temporary.write_text("x")
    living = list(tmp_path.glob(".quell-*.part"))
    assert len(living) == 1, "a running process must keep its work"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not final.exists()
    with atomic_folder(final) as folder:
        (folder / "whole").write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "series"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_follow_the_umask_of_the_user(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_folder(tmp_path / "series") as folder:
            (folder / "IM1").write_text("x")
    finally:
        os.umask(old)
    assert (tmp_path / "series").stat().st_mode & 0o777 == 0o750
