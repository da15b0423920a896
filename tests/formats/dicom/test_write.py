"""Derived series on disk: the right values, the right files, or nothing."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from writing import NOW, PROVENANCE, SAMPLES, found, of_kind, pixels, stored, write

from quell.errors import OutputError
from quell.formats.contracts import OutputKind, WriteOptions
from quell.formats.dicom import objects
from quell.formats.dicom.decode import read_stack
from quell.formats.dicom.discover import find_series
from quell.formats.dicom.headers import read_instance
from quell.formats.dicom.instance import FrameRef
from quell.formats.dicom.series import DicomSeries
from quell.formats.dicom.write import write_derived
from quell.image import FloatArray
from samples import dicom, dicom_enhanced
from samples.dicom_parts import Place, save, series

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]


def read_back(files: tuple[Path, ...], source: DicomSeries) -> FloatArray:
    """Read what was written as the reader reads the source; it passes over our own output."""
    instances = [read_instance(path) for path in files]
    if len(files) == len(source.frames):
        frames = [FrameRef(i) for i in range(len(files))]
    else:
        frames = [FrameRef(0, ref.frame) for ref in source.frames]
    return read_stack(instances, frames, source.modality).voxels


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("name", SAMPLES)
def test_unchanged_voxels_give_identical_stored_values(name: str, syntax: str, tmp_path: Path) -> None:
    paths = SAMPLES[name](tmp_path / "source", syntax)
    source = found(paths)
    written = write(source, source.read().voxels, tmp_path / "out")
    assert written.clamped == 0
    assert len(written.files) == len(paths)
    by_number = {pydicom.dcmread(path).InstanceNumber: path for path in paths}
    for file in written.files:
        derived = pydicom.dcmread(file)
        assert np.array_equal(derived.pixel_array, stored(by_number[derived.InstanceNumber]))
        assert derived.PhotometricInterpretation == pydicom.dcmread(paths[0]).PhotometricInterpretation


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    slope=st.floats(1e-3, 1e3),
    offset=st.integers(-2000, 2000),
    bits=st.integers(9, 16),
    signed=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_unchanged_voxels_of_any_scale(
    slope: float, offset: int, bits: int, signed: bool, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("scale")
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
    values = (
        np.random.default_rng(seed).integers(low, high, (2, 5, 7)).astype(np.int16 if signed else np.uint16)
    )
    slope = float(f"{slope:.6g}")
    source = found(
        series(dicom.ct, values, folder, slope=slope, intercept=offset, bits=bits, RescaleType="US")
    )
    written = write(source, source.read().voxels, folder / "out")
    assert [stored(file).tolist() for file in written.files] == values.tolist()


@pytest.mark.parametrize("kind", OutputKind)
@pytest.mark.parametrize("name", SAMPLES)
def test_values_survive_within_half_a_step(name: str, kind: OutputKind, tmp_path: Path) -> None:
    source = found(SAMPLES[name](tmp_path / "source"))
    voxels = of_kind(source.read().voxels, kind)
    written = write(source, voxels, tmp_path / "out", kind)
    header = pydicom.dcmread(written.files[0])
    back = read_back(written.files, source)
    mapping = header.get("RealWorldValueMappingSequence")
    step = np.array([s.slope for s in _scales(written.files, source)])[:, None, None]
    if mapping:
        back = back * mapping[0].RealWorldValueSlope + mapping[0].RealWorldValueIntercept
        step = np.array(mapping[0].RealWorldValueSlope)
    # Counts are rounded by their running sums, so by up to one.
    tolerance = 1.0 if header.Modality == "NM" and kind.like_source else 0.5
    inside = np.abs(back - voxels) <= tolerance * step * 1.001 + 1e-4
    assert np.count_nonzero(~inside) <= written.clamped


def _scales(files: tuple[Path, ...], source: DicomSeries) -> list[object]:
    from quell.formats.dicom.rescale import rescale_of

    if len(files) == len(source.frames):
        return [rescale_of(pydicom.dcmread(file)) for file in files]
    return [rescale_of(pydicom.dcmread(files[0]), ref.frame) for ref in source.frames]


@pytest.mark.parametrize("name", ["CT", "CT unsigned 12 bit", "MR", "PT", "NM static", "Enhanced MR"])
def test_denoised_and_residual_add_up_to_the_source(name: str, tmp_path: Path) -> None:
    source = found(SAMPLES[name](tmp_path / "source"))
    voxels = source.read().voxels
    # Small enough for the denoised values to stay within the range of the source.
    noise = np.clip(of_kind(voxels, OutputKind.RESIDUAL), -0.05 * voxels, 0.05 * voxels)
    noise[voxels > 0.9 * voxels.max(axis=(1, 2), keepdims=True)] = 0
    parts = []
    for kind, values in ((OutputKind.DENOISED, voxels - noise), (OutputKind.RESIDUAL, noise)):
        written = write(source, values, tmp_path / "out", kind)
        parts.append(read_back(written.files, source))
    step = max(scale.slope for scale in _scales(written.files, source))  # type: ignore[attr-defined]
    assert np.abs(parts[0] + parts[1] - voxels).max() <= 2 * step


def test_counts_stay_counts_and_keep_their_sum(tmp_path: Path) -> None:
    source = found(SAMPLES["NM whole body"](tmp_path / "source"))
    expected = np.full(source.shape, 0.3, np.float32)
    expected[:, :3] = -0.2
    written = write(source, expected, tmp_path / "out")
    values = stored(written.files[0])
    assert values.min() >= 0
    assert values.sum() == pytest.approx(np.maximum(expected, 0).sum(), abs=source.shape[0] * source.shape[1])
    assert values[:, 3:].mean() == pytest.approx(0.3, rel=0.1)


def test_a_pet_slice_that_would_not_fit_gets_a_wider_slope(tmp_path: Path) -> None:
    source = found(SAMPLES["PT"](tmp_path / "source"))
    voxels = source.read().voxels.copy()
    top = 32767 * 0.31
    voxels[1, 0, 0] = 2 * top
    written = write(source, voxels, tmp_path / "out")
    slopes = [float(pydicom.dcmread(file).RescaleSlope) for file in written.files]
    assert written.clamped == 0
    assert slopes[0] == 1.7141 and slopes[2] == 2.5
    assert slopes[1] == pytest.approx(0.62, rel=1e-3)
    assert np.abs(read_back(written.files, source) - voxels)[1].max() <= 0.62 / 2 + 1e-3


def test_values_out_of_range_never_wrap(tmp_path: Path) -> None:
    source = found(SAMPLES["MR"](tmp_path / "source"))
    voxels = source.read().voxels.copy()
    voxels[0, 0, :3] = -5, 5000, 70000
    written = write(source, voxels, tmp_path / "out")
    assert written.clamped == 3
    assert stored(written.files[0])[0, :3].tolist() == [0, 4095, 4095]


def test_padding_is_kept_and_no_real_pixel_becomes_padding(tmp_path: Path) -> None:
    values = pixels(2, 8, 8)
    values[:, :2] = -2000
    paths = series(dicom.ct, values, tmp_path / "source")
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.add_new("PixelPaddingValue", "SS", -2000)
        ds.save_as(path)
    source = found(paths)
    voxels = source.read().voxels.copy()
    voxels[:, 5:] = -3024.3
    written = write(source, voxels, tmp_path / "out")
    for file in written.files:
        derived = stored(file)
        assert (derived[:2] == -2000).all()
        assert (derived[5:] == -2001).all()
        assert pydicom.dcmread(file).PixelPaddingValue == -2000


def test_a_repeat_replaces_the_files_with_equal_ones(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "source"))
    voxels = of_kind(source.read().voxels, OutputKind.DENOISED)
    first = write(source, voxels, tmp_path / "out")
    before = [file.read_bytes() for file in first.files]
    again = write(found(sorted((tmp_path / "source").iterdir())), voxels, tmp_path / "out")
    assert again.files == first.files
    assert [file.read_bytes() for file in again.files] == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == [first.files[0].parent.name]


def test_time_is_all_that_a_later_repeat_differs_in(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "source"))
    voxels = source.read().voxels
    later = NOW + timedelta(days=1, hours=1)
    datasets = []
    for now in (NOW, later):
        written = write_derived(
            source, voxels, tmp_path / "out", OutputKind.DENOISED, PROVENANCE, WriteOptions(), now
        )
        datasets.append(pydicom.dcmread(written.files[0]))
    differing = {e.keyword for e in datasets[0] if datasets[1][e.tag] != e}
    times = {
        f"{name}{what}" for name in ("InstanceCreation", "Content", "Series") for what in ("Date", "Time")
    }
    assert differing == times | {"ContributingEquipmentSequence"}


def test_other_settings_stand_beside_each_other(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "source"))
    voxels = source.read().voxels
    folders, uids = set(), set()
    for kind in OutputKind:
        for strength in (0.5, 1.0):
            written = write(source, voxels, tmp_path / "out", kind, replace(PROVENANCE, strength=strength))
            folders.add(written.files[0].parent)
            header = pydicom.dcmread(written.files[0])
            uids |= {header.SeriesInstanceUID, header.SOPInstanceUID}
    assert len(folders) == 2 * len(OutputKind) and len(uids) == 4 * len(OutputKind)


def test_files_are_named_by_modality_number_kind_and_nothing_a_header_can_steer(tmp_path: Path) -> None:
    hostile = {"PatientID": "../../x", "SeriesDescription": "../../../etc/passwd", "Modality": "../CT"}
    source = found(series(dicom.ct, pixels(2, 4, 4), tmp_path / "source", **hostile))
    written = write(source, source.read().voxels, tmp_path / "out", OutputKind.NOISE_MAP)
    parent, name = written.files[0].parent, written.files[0].name
    assert name == "IM00001.dcm" and parent.parent == tmp_path / "out"
    modality, number, *kind, digits = parent.name.split("_")
    assert (modality, number, kind) == ("CT", "3003", ["noise", "map"])
    assert len(digits) == 8 and int(digits, 16) >= 0


def test_neighbours_are_named_as_sources_but_not_across_a_gap(tmp_path: Path) -> None:
    paths = series(dicom.ct, pixels(8, 4, 4), tmp_path / "source")
    paths.pop(4).unlink()
    source = found(paths)
    assert source.gaps == (3,)
    written = write(
        source, source.read().voxels, tmp_path / "out", provenance=replace(PROVENANCE, slices_used=5)
    )
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
    used = []
    for file in written.files:
        items = pydicom.dcmread(file).SourceImageSequence
        used.append([uids.index(item.ReferencedSOPInstanceUID) for item in items])
    assert used == [[0, 1, 2], [1, 0, 2, 3], [2, 1, 3, 0], [3, 2, 1], [4, 5, 6], [5, 4, 6], [6, 5, 4]]


def test_two_stacks_of_one_object_become_two_whole_objects(tmp_path: Path) -> None:
    values = pixels(6, 12, 10)
    ds = dicom_enhanced.enhanced_ct(values)
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    del ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    coronal = Dataset()
    coronal.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    for i, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.PlaneOrientationSequence = orientation if i < 3 else [coronal]
        if i >= 3:
            frame.PlanePositionSequence[0].ImagePositionPatient = [0, 3.0 * i, 0]
    path = save(ds, tmp_path / "two.dcm")
    stacks = find_series([path], tmp_path).series
    assert len(stacks) == 2
    headers = []
    for stack in stacks:
        treated = [ref.frame for ref in stack.frames]
        written = write(stack, stack.read().voxels + 10, tmp_path / "out")
        assert "3 of 6 frames are not part of the stack: copied unchanged" in written.warnings
        derived = pydicom.dcmread(written.files[0])
        headers.append(derived)
        expected = values.copy()
        expected[treated] += 10
        assert np.array_equal(derived.pixel_array, expected)
        assert derived.ImageType[0] == "MIXED"
        kinds = [f.CTImageFrameTypeSequence[0].FrameType[0] for f in derived.PerFrameFunctionalGroupsSequence]
        assert [i for i, kind in enumerate(kinds) if kind == "DERIVED"] == sorted(treated)
        empty = write(stack, np.ones(stack.shape, np.float32), tmp_path / "out", OutputKind.RESIDUAL)
        others = [frame for frame in range(6) if frame not in treated]
        residual = pydicom.dcmread(empty.files[0])
        scale = residual.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
        assert (residual.pixel_array[others] * scale.RescaleSlope + scale.RescaleIntercept == 0).all()
    assert headers[0].SOPInstanceUID != headers[1].SOPInstanceUID
    assert headers[0].SeriesInstanceUID != headers[1].SeriesInstanceUID


def test_each_of_two_enhanced_objects_refers_to_what_it_came_from(tmp_path: Path) -> None:
    paths = []
    for i in range(2):
        ds = dicom_enhanced.enhanced_ct(pixels(3, 6, 6, seed=i), place=Place().moved(3 * i))
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{i + 1}"
        paths.append(save(ds, tmp_path / f"{i}.dcm"))
    one, two = (found([path]) for path in paths)
    frames = tuple(FrameRef(instance, frame) for instance in range(2) for frame in range(3))
    source = replace(one, instances=(*one.instances, *two.instances), frames=frames)
    provenance = replace(PROVENANCE, slices_used=3)
    written = write(source, source.read().voxels, tmp_path / "out", provenance=provenance)
    for own, file in zip(("1.2.3.1", "1.2.3.2"), written.files, strict=True):
        derived = pydicom.dcmread(file)
        frames = derived.PerFrameFunctionalGroupsSequence
        first = [f.DerivationImageSequence[0].SourceImageSequence[0] for f in frames]
        assert {item.ReferencedSOPInstanceUID for item in first} == {own}
        assert [_first(item.ReferencedFrameNumber) for item in first] == [1, 2, 3]
        evidence = derived.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
        assert {item.ReferencedSOPInstanceUID for item in evidence} == {"1.2.3.1", "1.2.3.2"}


def _first(value: object) -> int:
    return int(value[0]) if isinstance(value, pydicom.multival.MultiValue) else int(value)  # type: ignore[call-overload]


def test_two_echoes_of_one_series_share_a_derived_series_but_no_folder(tmp_path: Path) -> None:
    paths = []
    for echo in (1, 2):
        place = Place(number=1 + 10 * echo)
        paths += series(
            dicom.mr, pixels(3, 6, 6, dtype=np.uint16), tmp_path / str(echo), place=place, EchoTime=10 * echo
        )
    stacks = find_series(paths, tmp_path).series
    assert len(stacks) == 2
    headers = []
    for stack in stacks:
        options = (OutputKind.DENOISED, PROVENANCE, WriteOptions())
        written = write_derived(stack, stack.read().voxels, tmp_path / "out", *options)
        headers.append(pydicom.dcmread(written.files[0]))
    for keyword in ("SeriesInstanceUID", "SeriesTime", "SeriesNumber", "SeriesDescription"):
        assert headers[0][keyword] == headers[1][keyword]
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_grey_in_colour_stays_grey_in_colour(tmp_path: Path) -> None:
    source = found(SAMPLES["US grey in RGB"](tmp_path / "source"))
    written = write(source, of_kind(source.read().voxels, OutputKind.DENOISED), tmp_path / "out")
    derived = pydicom.dcmread(written.files[0])
    values = derived.pixel_array
    assert (derived.SamplesPerPixel, derived.PhotometricInterpretation) == (3, "RGB")
    assert (values[..., 0] == values[..., 1]).all() and (values[..., 0] == values[..., 2]).all()


@pytest.mark.parametrize("kind", OutputKind)
@pytest.mark.parametrize("name", SAMPLES)
def test_strict_pydicom_takes_every_element(
    name: str, kind: OutputKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = found(SAMPLES[name](tmp_path / "source"))
    written = write(source, of_kind(source.read().voxels, kind), tmp_path / "out", kind)
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.RAISE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.RAISE)
    for file in written.files:
        derived = pydicom.dcmread(file)
        copy = Dataset()
        copy.file_meta = derived.file_meta
        for element in derived.iterall():
            assert element.VR != "UN"
        for element in derived:
            copy.add_new(element.tag, element.VR, element.value)
        copy.save_as(tmp_path / "strict.dcm", enforce_file_format=True)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failing_disk_leaves_nothing(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = found(SAMPLES["CT"](tmp_path / "source"))
    original, calls = objects.write_flushed, []

    def failing(path: Path, chunks: list[bytes]) -> None:
        calls.append(path)
        if len(calls) > 1:
            raise OSError(code, os.strerror(code))
        original(path, chunks)

    monkeypatch.setattr(objects, "write_flushed", failing)
    with pytest.raises(OutputError, match=os.strerror(code)) as caught:
        write(source, source.read().voxels, tmp_path / "out")
    assert caught.value.path.parent == tmp_path / "out"
    assert list((tmp_path / "out").iterdir()) == []


def test_voxels_of_another_shape_are_refused(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "source"))
    with pytest.raises(ValueError, match="shape"):
        write(source, np.zeros((1, 2, 3), np.float32), tmp_path / "out")
