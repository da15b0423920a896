"""Independent validators find no fault in what is written that the source did not have."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from dicom_files import files_in, shared_data
from pydicom.data import get_testdata_file
from writing import SAMPLES, found, of_kind, write

from quell.formats.contracts import OutputKind
from quell.formats.dicom.discover import find_series
from quell.formats.dicom.series import DicomSeries
from validators import dcentvfy, dciodvfy, needs_dciodvfy, new_dciodvfy_errors, new_dciodvfy_warnings

pytestmark = needs_dciodvfy

# Any private coding scheme is unknown to the validator, and so is what came after its edition of
# the standard (Device UID of contributing equipment).
EXPECTED_WARNINGS = ("CodingSchemeDesignator", "ContributingEquipmentSequence(0018,a001)[]/DeviceUID")

BUNDLED = ["CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"]
BUNDLED += ["JPGExtended.dcm", "examples_overlay.dcm", "J2K_pixelrep_mismatch.dcm", "693_J2KI.dcm"]
REAL = [
    ("ct", "crlm_ct_1004"),
    ("ct", "pancreas_ct_0001_slice_j2k.dcm"),
    ("ct", "cbct_4dlung_100_varian_1slice.dcm"),
    ("mri", "breast_dce_ucsf_br_06_phase1"),
    ("mri", "acr_phantom", "PhilipsAchieva"),
    ("mri", "acr_phantom", "Siemens_MagnetomSkyra_3T_T1"),
    ("mri", "pairs", "sola_body_ax_acq1.dcm"),
    ("mri", "pairs", "sola_knee_acq1.dcm"),
    ("mri", "pairs", "ge_explorer_sag_acq1.dcm"),
    ("pet", "sts_001_fdg"),
    ("nm", "bone_wholebody_ge_millennium.dcm"),
    ("nm", "bone_wholebody_ge_millennium_jpegll.dcm"),
    ("ultrasound", "pydicom", "echo_philips_epiq7_jpegll.dcm"),
    ("xray", "cr_lower_leg_j2k_lossless.dcm"),
]


def check(source: DicomSeries, out: Path, kinds: tuple[OutputKind, ...] = tuple(OutputKind)) -> None:
    """Write a series in each kind and compare one file of each with its source."""
    voxels = source.read().voxels
    for kind in kinds:
        written = write(source, of_kind(voxels, kind), out, kind)
        original = source.instances[source.frames[0].instance].path
        assert new_dciodvfy_errors(original, written.files[0]) == [], kind


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_valid_and_stay_so_without_a_warning(name: str, tmp_path: Path) -> None:
    paths = SAMPLES[name](tmp_path / "source")
    assert dciodvfy(paths[0]) == []
    source = found(paths)
    check(source, tmp_path / "out")
    for folder in (tmp_path / "out").iterdir():
        warnings = new_dciodvfy_warnings(paths[0], folder / "IM00001.dcm")
        assert [w for w in warnings if not any(word in w for word in EXPECTED_WARNINGS)] == []


@pytest.mark.parametrize("name", BUNDLED)
def test_images_bundled_with_pydicom(name: str, tmp_path: Path) -> None:
    path = Path(get_testdata_file(name))
    check(found([path]), tmp_path)


@pytest.mark.parametrize("parts", REAL, ids=lambda parts: parts[-1])
def test_real_images(parts: tuple[str, ...], tmp_path: Path) -> None:
    path = shared_data(*parts)
    files = files_in(path)[:5] if path.is_dir() else [path]
    for source in find_series(files, path.parent).series:
        check(source, tmp_path)


@pytest.mark.parametrize("name", SAMPLES)
def test_source_and_derived_series_make_one_consistent_study(name: str, tmp_path: Path) -> None:
    paths = SAMPLES[name](tmp_path / "source")
    source = found(paths)
    voxels = source.read().voxels
    files = [
        f for kind in OutputKind for f in write(source, of_kind(voxels, kind), tmp_path / "out", kind).files
    ]
    assert set(dcentvfy([*paths, *files])) <= set(dcentvfy(paths))


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    """A validator that finds nothing in anything would prove nothing."""
    source = SAMPLES["CT"](tmp_path / "source")[0]
    broken = pydicom.dcmread(source)
    broken.ImageType, broken.PatientSex = ["WRONG", "PRIMARY", "AXIAL"], "X"
    broken.save_as(tmp_path / "broken.dcm")
    assert len(new_dciodvfy_errors(source, tmp_path / "broken.dcm")) == 2
    other = pydicom.dcmread(source)
    other.PatientName, other.SOPInstanceUID = "Other", "1.2.3"
    other.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    other.save_as(tmp_path / "other.dcm")
    assert dcentvfy([source, tmp_path / "other.dcm"]) != []
