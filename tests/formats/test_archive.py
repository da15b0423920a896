from __future__ import annotations

import gc
import io
import stat
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image as Pillow

from quell.errors import InputError
from quell.formats.archive import unpack
from quell.formats.open import open_study


def png(value=5, shape=(4, 5)):
    buffer = io.BytesIO()
    Pillow.fromarray(np.full(shape, value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def archive(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def test_members_are_read_and_called_by_their_names(tmp_path):
    path = archive(
        tmp_path / "a.zip",
        [("b/two_T1w.png", png(2)), ("a/one.png", png(1)), ("README.txt", "hello"), (".hidden.png", png())],
    )
    study = open_study(path)
    assert [s.name for s in study.series] == ["one.png", "two_T1w.png"]
    assert [s.read().voxels.max() for s in study.series] == [1, 2]
    assert [(p.count, p.error) for p in study.passed_over] == [(1, False)]
    assert study.series[1].modality.value == "MR"


def test_derived_files_go_to_the_members_folder(tmp_path, provenance):
    from quell.formats.contracts import OutputKind, WriteOptions

    series = open_study(archive(tmp_path / "a.zip", [("sub/one.png", png())])).series[0]
    result = series.write(
        series.read().voxels, tmp_path / "out", OutputKind.DENOISED, provenance, WriteOptions()
    )
    assert result.files == (tmp_path / "out" / "sub" / "one_denoised.png",)


def test_header_and_voxels_in_two_members_find_each_other(tmp_path):
    header = (
        "ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = v.raw\n"
    )
    path = archive(
        tmp_path / "a.zip", [("x/a_us.mhd", header), ("x/v.raw", bytes([1, 2, 3, 4])), ("v.raw", b"?")]
    )
    study = open_study(path)
    assert study.series[0].read().voxels.ravel().tolist() == [1, 2, 3, 4]


def test_the_folder_lives_as_long_as_study_or_series(tmp_path):
    study = open_study(archive(tmp_path / "a.zip", [("one.png", png())]))
    series = study.series[0]
    folder = series.source.path.parent
    del study
    gc.collect()
    assert series.read().voxels.max() == 5
    del series
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png", "C:evil.png"]
)
def test_names_that_lead_out_are_refused(name, tmp_path):
    path = archive(tmp_path / "a.zip", [("fine.png", png()), (name, png())])
    with pytest.raises(InputError, match="leads out"):
        open_study(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_links_are_not_followed(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(link, "/etc/hostname")
        file.writestr("fine.png", png())
    study = open_study(tmp_path / "a.zip")
    assert [p.what for p in study.passed_over] == ["link.png"]
    assert [s.name for s in study.series] == ["fine.png"]


def test_bombs_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("quell.formats.archive.BOMB_BYTES", 2**20)
    path = tmp_path / "a.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file,
        file.open("zeros.png", "w", force_zip64=True) as member,
    ):
        for _ in range(8):
            member.write(bytes(2**20))
    with pytest.raises(InputError, match="bomb") as caught:
        open_study(path)
    assert "\n" not in str(caught.value)


def test_overlapping_members_are_refused(tmp_path):
    path = archive(tmp_path / "a.zip", [(f"{i}.png", png()) for i in range(2)])
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    first = content[start : content.index(b"PK\x01\x02", start + 4)]
    directory = first * 99
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 99, 99, len(directory), start, 0)
    path.write_bytes(content[:start] + directory + tail)
    assert end > start
    with pytest.raises(InputError):
        open_study(path)


def test_encrypted_and_damaged_archives(tmp_path):
    path = archive(tmp_path / "a.zip", [("one.png", png()), ("two.png", png())])
    content = bytearray(path.read_bytes())
    locked = bytearray(content)
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(locked)
    with pytest.raises(InputError, match="encrypted"):
        open_study(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        open_study(path)
    content[60] ^= 0xFF
    path.write_bytes(content)
    study = open_study(path)
    assert [s.name for s in study.series] == ["two.png"]
    assert [(p.what, p.error) for p in study.passed_over] == [("one.png", True)]


def test_an_empty_archive(tmp_path):
    with pytest.raises(InputError):
        open_study(archive(tmp_path / "a.zip", []))


def test_members_are_stored_under_numbers_and_harmless_letters(tmp_path):
    path = archive(tmp_path / "a.zip", [("a/x?.PNG", png()), ("b/long.name with spaces", b"x")])
    into = tmp_path / "into"
    into.mkdir()
    sources, _ = unpack(path, into)
    assert sorted(p.name for p in into.iterdir()) == ["000000_x_.png", "000001_long_name_with_spaces"]
    assert [s.name for s in sources] == ["x_.PNG", "long.name with spaces"]
