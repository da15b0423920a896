"""A long series is denoised a stretch at a time, and comes out as if it had been held whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from quell.evaluation.report.record import SeriesRecord, Status
from quell.formats.contracts import LongSeries, OutputKind, WriteOptions
from quell.formats.dicom.series import DicomSeries
from quell.formats.open import open_study
from quell.image import Image
from quell.inference.contracts import Runtime
from quell.jobs import long_series
from quell.jobs.denoising import Denoising, JobSettings, run_job
from quell.jobs.treated import origin
from samples import dicom
from samples.dicom_parts import series

DEPTH = 21
BLANK = 13


@pytest.fixture(autouse=True)
def exact_engine(onnx: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the networks once for all tests, and take twenty slices for many."""
    monkeypatch.setattr("quell.inference.runtimes.make_runtime", lambda *choices: onnx)
    monkeypatch.setattr(long_series, "LONG", 12)
    monkeypatch.setattr(long_series, "STRETCH", 4)


@pytest.fixture
def study(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Return a CT series whose noise grows along it and which has a blank slice."""
    growing = np.linspace(15, 30, DEPTH)[:, None, None]
    pixels = 1064 + growing * rng.standard_normal((DEPTH, 40, 64))
    pixels[:, :10] = 24
    pixels[BLANK] = 1000
    series(dicom.ct, pixels.astype(np.int16), tmp_path / "study")
    return tmp_path / "study"


def run(source: Path, out: Path, **settings: Any) -> SeriesRecord:
    (record,) = run_job(source, out, JobSettings(**settings)).series
    return record


def stored(record: SeriesRecord) -> np.ndarray:
    return np.stack([pydicom.dcmread(file).pixel_array for file in record.files]).astype(int)


def whole(monkeypatch: pytest.MonkeyPatch, source: Path, out: Path, **settings: Any) -> SeriesRecord:
    with monkeypatch.context() as patch:
        patch.setattr(long_series, "LONG", 1000)
        return run(source, out, **settings)


@pytest.mark.parametrize("settings", [{}, {"strength": 1.0}, {"sigma": 40.0}, {"strength": 0.0}])
def test_stretches_give_what_the_whole_gives(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, float]
) -> None:
    one, other = run(study, tmp_path / "a", **settings), whole(monkeypatch, study, tmp_path / "b", **settings)
    assert [file.name for file in one.files] == [file.name for file in other.files]
    assert one.files[0].parent.name == other.files[0].parent.name
    found, expected = stored(one), stored(other)
    # The level goes through one logarithm more, so that a value may round to the other side.
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01
    np.testing.assert_array_equal(found[BLANK], 1000)
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "ImageType", "DerivationDescription"):
        for a, b in zip(one.files, other.files, strict=True):
            assert pydicom.dcmread(a)[name].value == pydicom.dcmread(b)[name].value


def test_the_record_is_that_of_the_series(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = run(study, tmp_path / "a"), whole(monkeypatch, study, tmp_path / "b")
    assert one.status is Status.DONE
    assert (one.shape, one.spacing, one.units) == (other.shape, other.spacing, "HU")
    assert (one.strength, one.grain, one.clamped) == (other.strength, other.grain, other.clamped)
    assert set(one.seconds) == {"read", "estimate", "network", "write"}
    assert all(seconds >= 0 for seconds in one.seconds.values())
    assert one.noise_before is not None and other.noise_before is not None
    assert one.noise_before.level == pytest.approx(other.noise_before.level, rel=0.1)
    # Of every second slice, those nearest to the quarters.
    assert [p.caption for p in one.pictures] == ["slice 5 of 21", "slice 11 of 21", "slice 15 of 21"]
    first = pydicom.dcmread(sorted(study.iterdir())[4]).pixel_array - 1024.0
    np.testing.assert_array_equal(one.pictures[0].before, first)


def test_few_slices_are_held_at_a_time(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    read_slices = DicomSeries.read_slices

    def counted(self: DicomSeries, chosen: Sequence[int]) -> Image:
        asked.append(len(chosen))
        return read_slices(self, chosen)

    monkeypatch.setattr(DicomSeries, "read_slices", counted)
    monkeypatch.setattr(DicomSeries, "read", lambda self: pytest.fail("read as a whole"))
    run(study, tmp_path / "out")
    survey, *stretches = asked
    assert survey == 11
    assert max(stretches) == 4 + 2 * 2 and len(stretches) == 6


@pytest.mark.parametrize("place", [3, 9, DEPTH - 2])
def test_a_slice_that_goes_bad_on_the_way_leaves_nothing_behind(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    file = sorted(study.iterdir())[place]
    read_slices = DicomSeries.read_slices

    def going_bad(self: DicomSeries, chosen: Sequence[int]) -> Image:
        if place in chosen:
            # None of the slices of the survey: headers and the survey have been read by now.
            file.write_bytes(file.read_bytes()[:-100])
        return read_slices(self, chosen)

    monkeypatch.setattr(DicomSeries, "read_slices", going_bad)
    out = tmp_path / "out"
    record = run(study, out)
    assert record.status is Status.FAILED
    assert file.name in record.reason and "truncated" in record.reason
    assert list(out.iterdir()) == []


def test_what_needs_the_whole_gets_it(study: Path, tmp_path: Path) -> None:
    (one,) = open_study(study).series
    assert isinstance(one, LongSeries)

    def long(series: Any = one, **settings: Any) -> bool:
        chosen = JobSettings(**settings)
        return long_series.is_long(series, chosen, Denoising(chosen))

    assert long()
    assert not long(residual=True)
    assert not long(noise_map=True)
    sorted(study.iterdir())[8].unlink()
    (with_gap,) = open_study(study).series
    assert with_gap.gaps == (7,)  # type: ignore[attr-defined]
    assert not long(with_gap)
    for file in sorted(study.iterdir())[9:]:
        file.unlink()
    (short,) = open_study(study).series
    assert not long(short)


def test_a_writer_that_lacks_a_slice_leaves_nothing(study: Path, tmp_path: Path) -> None:
    (one,) = open_study(study).series
    assert isinstance(one, LongSeries)
    settings = JobSettings()
    image = one.read()
    out = tmp_path / "out"
    made_by = origin(Denoising(settings), image, settings)
    with (
        pytest.raises(ValueError, match="1 slices were not written, the first is 20"),
        one.writer(image, out, made_by, WriteOptions()) as writer,
    ):
        writer.put(0, image.voxels[:-1])
    assert list(out.iterdir()) == []


def test_slices_put_in_any_order_are_the_series(study: Path, tmp_path: Path) -> None:
    (one,) = open_study(study).series
    assert isinstance(one, LongSeries)
    settings = JobSettings()
    image = one.read()
    made_by = origin(Denoising(settings), image, settings)
    with one.writer(image, tmp_path / "a", made_by, WriteOptions()) as writer:
        writer.put(7, image.voxels[7:])
        writer.put(0, image.voxels[:7])
    found = writer.written()
    expected = one.write(image.voxels, tmp_path / "b", OutputKind.DENOISED, made_by, WriteOptions())
    assert found.clamped == expected.clamped
    for a, b in zip(found.files, expected.files, strict=True):
        assert a.name == b.name
        np.testing.assert_array_equal(pydicom.dcmread(a).pixel_array, pydicom.dcmread(b).pixel_array)


def test_a_disk_that_is_full_is_one_line(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, chunks: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("quell.formats.dicom.objects.write_flushed", full)
    out = tmp_path / "out"
    record = run(study, out)
    assert record.status is Status.FAILED
    assert record.reason.endswith("cannot be written: No space left on device")
    assert list(out.iterdir()) == []
