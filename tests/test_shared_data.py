"""Real series of every modality from door to door, judged by rules of DICOM and by dicom3tools.

Three slices of a long series by default; all of them where ``QUELL_EVERY_SLICE`` is set.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from quell.errors import InputError
from quell.evaluation.report.record import SeriesRecord, Status
from quell.formats.contracts import Series
from quell.formats.open import open_study
from quell.image import FloatArray, Image
from quell.jobs.denoising import run_job
from validators import dcentvfy, needs_dciodvfy, new_dciodvfy_errors

ROOT = Path(os.environ.get("QUELL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
STUDIES = (
    "ct/crlm_ct_1004",
    "ct/pancreas_ct_0001_slice_j2k.dcm",
    "ct/cbct_4dlung_100_varian_1slice.dcm",
    "ct/phantom",
    "mri/breast_dce_ucsf_br_06_phase1",
    "mri/acr_phantom/Siemens_MagnetomSkyra_3T_T1",
    "mri/acr_phantom/PhilipsAchieva",
    "mri/pairs",
    "pet/sts_001_fdg",
    "nm/bone_wholebody_ge_millennium.dcm",
    "nm/bone_wholebody_ge_millennium_jpegll.dcm",
    "ultrasound/pydicom",
    "xray/cr_lower_leg_j2k_lossless.dcm",
)
KEPT = (
    *("SOPClassUID", "StudyInstanceUID", "FrameOfReferenceUID", "Modality", "PatientID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PixelSpacing", "ImagerPixelSpacing"),
    *("ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices"),
    *("SliceLocation", "InstanceNumber", "AcquisitionDate", "AcquisitionTime", "PixelPaddingValue"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "Units", "DecayCorrection", "FrameReferenceTime"),
    *("RadiopharmaceuticalInformationSequence", "PatientWeight", "DetectorInformationSequence"),
)
GROUPS_KEPT = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")

pytestmark = pytest.mark.skipif(
    not ROOT.is_dir(), reason="real images are not installed (set QUELL_SHARED_DATA)"
)


@dataclass(frozen=True)
class Done:
    """A study that was denoised: its copy, the output, the record of each series with its source."""

    source: Path
    out: Path
    series: tuple[tuple[Series, SeriesRecord], ...]


@pytest.fixture(scope="module", params=STUDIES)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("study")
    source, out = folder / "in", folder / "out"
    copy_some(ROOT / request.param, source)
    record = run_job(source, out)
    assert [one.reason for one in record.series if one.status is not Status.DONE] == []
    assert not any(item.error for item in record.passed_over)
    found = open_study(source).series
    assert [one.name for one in found] == [one.name for one in record.series]
    return Done(source, out, tuple(zip(found, record.series, strict=True)))


def copy_some(given: Path, to: Path) -> None:
    """Copy the DICOM files of a study, of a long series the first, the middle and the last."""
    to.mkdir()
    files = [given] if given.is_file() else sorted(given.iterdir())
    files = [file for file in files if file.suffix.lower() in (".dcm", ".ima")]
    one_series = (
        len({pydicom.dcmread(file, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID for file in files})
        == 1
    )
    if one_series and len(files) > 3 and "QUELL_EVERY_SLICE" not in os.environ:
        files = [files[0], files[len(files) // 2], files[-1]]
    for file in files:
        shutil.copy(file, to)


def pairs(done: Done) -> Iterator[tuple[Path, Path]]:
    """Yield each written file with the source that it refers to first."""
    sources = {
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path for path in done.source.iterdir()
    }
    for _, record in done.series:
        for file in record.files:
            yield sources[first_source(pydicom.dcmread(file, stop_before_pixels=True))], file


def first_source(header: Dataset) -> str:
    if "SourceImageSequence" in header:
        return header.SourceImageSequence[0].ReferencedSOPInstanceUID
    steps = header.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    return steps[-1].SourceImageSequence[0].ReferencedSOPInstanceUID


def headers(done: Done) -> Iterator[tuple[Dataset, Dataset]]:
    for source, derived in pairs(done):
        yield (
            pydicom.dcmread(source, stop_before_pixels=True),
            pydicom.dcmread(derived, stop_before_pixels=True),
        )


def written_voxels(record: SeriesRecord) -> FloatArray:
    """Return what another reader makes of the written files, in physical units."""
    return np.concatenate([physical(pydicom.dcmread(file)) for file in record.files])


def physical(ds: pydicom.FileDataset) -> FloatArray:
    pixels = ds.pixel_array
    if ds.SamplesPerPixel == 3:
        # Rec. 601 luminance, which of three equal samples is each of them.
        pixels = np.rint(pixels @ np.array([0.299, 0.587, 0.114]))
    frames = pixels.reshape(-1, ds.Rows, ds.Columns).astype(np.float64)
    for frame, values in enumerate(frames):
        group: Dataset = ds
        if "PerFrameFunctionalGroupsSequence" in ds:
            places = ds.PerFrameFunctionalGroupsSequence[frame], ds.SharedFunctionalGroupsSequence[0]
            name = "PixelValueTransformationSequence"
            group = next((place[name].value[0] for place in places if name in place), Dataset())
        values *= float(group.get("RescaleSlope", 1))
        values += float(group.get("RescaleIntercept", 0))
    return frames.astype(np.float32)


def test_every_image_is_written(done: Done) -> None:
    for series, record in done.series:
        frames = sum(
            int(pydicom.dcmread(f, stop_before_pixels=True).get("NumberOfFrames") or 1) for f in record.files
        )
        assert frames == series.shape[0]
        assert all(file.is_relative_to(done.out) for file in record.files)
    on_disk = {file for file in done.out.rglob("*") if file.is_file()}
    assert on_disk == {file for _, record in done.series for file in record.files}


@needs_dciodvfy
def test_dciodvfy_finds_no_error_that_the_source_does_not_have(done: Done) -> None:
    new = {
        f"{derived.name}: {line}"
        for source, derived in pairs(done)
        for line in new_dciodvfy_errors(source, derived)
    }
    assert new == set()


@needs_dciodvfy
def test_dcentvfy_finds_a_series_and_its_derived_one_consistent(done: Done) -> None:
    for _, record in done.series:
        sources = [source for source, derived in pairs(done) if derived in record.files]
        assert entity_errors([*sources, *record.files]) - entity_errors(sources) == set()


def entity_errors(files: list[Path]) -> set[str]:
    """Return what dcentvfy says, without the names of the files and the values that it quotes."""
    return {re.sub(r"<[^<>]*/[^<>]*>|Value.*$", "", line) for line in dcentvfy(files)}


def test_class_study_place_and_units_stay(done: Done) -> None:
    for source, derived in headers(done):
        changed = [
            name for name in KEPT if source.get(name) != derived.get(name) and not_lawful(name, source)
        ]
        assert changed == []


def not_lawful(name: str, source: Dataset) -> bool:
    """Whether a change is against the rules: a palette is resolved, a PET slope may be widened."""
    resolved = name == "SamplesPerPixel" and source.PhotometricInterpretation == "PALETTE COLOR"
    return not (resolved or (name == "RescaleSlope" and source.Modality == "PT"))


def test_frames_of_enhanced_objects_stay_where_they_are(done: Done) -> None:
    for source, derived in headers(done):
        for name in GROUPS_KEPT:
            assert groups(source, name) == groups(derived, name)


def groups(header: Dataset, name: str) -> list[object]:
    items = [
        *header.get("SharedFunctionalGroupsSequence", []),
        *header.get("PerFrameFunctionalGroupsSequence", []),
    ]
    return [item.get(name) for item in items]


def test_identifiers_are_new_and_the_image_type_says_derived(done: Done) -> None:
    old, new, series = set(), set(), set()
    for source, derived in headers(done):
        old |= {source.SOPInstanceUID, source.SeriesInstanceUID}
        new.add(derived.SOPInstanceUID)
        series.add((source.SeriesInstanceUID, derived.SeriesInstanceUID))
        assert derived.ImageType[0] == "DERIVED"
        assert derived.file_meta.MediaStorageSOPInstanceUID == derived.SOPInstanceUID
    assert len(new) == sum(len(record.files) for _, record in done.series)
    assert not old & (new | {derived for _, derived in series})
    assert len({source for source, _ in series}) == len({derived for _, derived in series}) == len(series)


def test_noise_goes_and_the_units_stay(done: Done) -> None:
    for series, record in done.series:
        image = series.read()
        before, after = image.voxels, written_voxels(record)
        measured = np.ones(image.shape, bool) if image.padding is None else ~image.padding
        span = float(np.ptp(before[measured]))
        assert (before != after)[measured].any(), "nothing was taken away"
        change = float(after[measured].mean(dtype=np.float64) - before[measured].mean(dtype=np.float64))
        assert abs(change) < 0.005 * span, f"the mean moved by {change} in a range of {span}"
        assert record.noise_before is not None
        # Noise is taken away, not structure: what changed is small beside the range of the image.
        assert float((after - before)[measured].std(dtype=np.float64)) < 0.1 * span


def test_padding_stays_bit_for_bit(done: Done) -> None:
    for series, record in done.series:
        image = series.read()
        if image.padding is None:
            continue
        expected, found = image.voxels[image.padding], written_voxels(record)[image.padding]
        np.testing.assert_array_equal(found, expected)


def test_what_is_written_is_not_denoised_again(done: Done) -> None:
    with pytest.raises(InputError, match="made by Quell already") as caught:
        open_study(done.out)
    assert "damaged" not in str(caught.value)


def test_a_repeated_run_makes_the_same_objects(done: Done) -> None:
    before = {file: identifiers(file) for _, record in done.series for file in record.files}
    again = run_job(done.source, done.out)
    after = {file: identifiers(file) for record in again.series for file in record.files}
    assert after == before
    assert {file for file in done.out.rglob("*") if file.is_file()} == set(before)


def identifiers(file: Path) -> tuple[str, str, str, bytes]:
    ds = pydicom.dcmread(file)
    return ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.PixelData


def test_images_are_read_alike_from_both_encodings_of_the_bone_scan() -> None:
    files = [ROOT / name for name in STUDIES if "bone" in name]
    images = [read(file) for file in files]
    np.testing.assert_array_equal(images[0].voxels, images[1].voxels)


def read(file: Path) -> Image:
    (series,) = open_study(file).series
    return series.read()
