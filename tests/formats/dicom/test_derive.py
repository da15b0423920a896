"""The header of a derived object: what PS3.3 asks for, and what a source may not lose."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless
from writing import NOW, PROVENANCE, SAMPLES, found, of_kind, pixels, write

from quell.formats.contracts import OutputKind, WriteOptions
from quell.formats.dicom.derive import Derivation, derive_header
from quell.formats.dicom.describe import RESEARCH_USE_ONLY, series_description, series_number
from quell.formats.dicom.instance import Instance
from quell.formats.dicom.pixelmodule import remember_lossy, remove_embedded_overlays
from quell.formats.dicom.uids import IMPLEMENTATION_CLASS_UID
from quell.image import Modality
from samples import dicom, dicom_enhanced
from samples.dicom_parts import save

KEPT = (
    *(
        "StudyInstanceUID",
        "FrameOfReferenceUID",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
    ),
    *(
        "AccessionNumber",
        "StudyID",
        "StudyDate",
        "StudyTime",
        "SpecificCharacterSet",
        "SOPClassUID",
        "Modality",
    ),
    *("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "StationName", "InstanceNumber"),
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "AcquisitionNumber", "NumberOfFrames"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "Units", "DecayCorrection", "CorrectedImage"),
    *("RadiopharmaceuticalInformationSequence", "FrameReferenceTime", "PatientWeight", "PatientSize"),
    *("CountsAccumulated", "FrameIncrementPointer", "EnergyWindowVector", "DetectorVector", "SliceVector"),
    *("DetectorInformationSequence", "FrameTime", "CineRate", "KVP", "ConvolutionKernel", "EchoTime"),
    *("PresentationIntentType", "PixelIntensityRelationship", "PresentationLUTShape", "BurnedInAnnotation"),
    *("DimensionOrganizationSequence", "DimensionIndexSequence", "LossyImageCompression"),
)


@pytest.fixture(params=SAMPLES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileDataset, FileDataset]:
    """A source of each kind and the object derived from it."""
    paths = SAMPLES[request.param](tmp_path / "source")
    series = found(paths)
    voxels = of_kind(series.read().voxels, OutputKind.DENOISED)
    written = write(series, voxels, tmp_path / "out")
    source = series.instances[series.frames[0].instance].path
    return pydicom.dcmread(source), pydicom.dcmread(written.files[0])


def derivation(
    kind: OutputKind = OutputKind.DENOISED, modality: Modality = Modality.CT, **options: Any
) -> Derivation:
    return Derivation(kind, PROVENANCE, WriteOptions(**options), modality, now=NOW, series_start=NOW)


def ct_header(**more: Any) -> FileDataset:
    header = dicom.ct(pixels(4, 4), **more)
    header.set_original_encoding(False, True, "latin_1")
    return header


def test_identity(pair: tuple[FileDataset, FileDataset]) -> None:
    source, derived = pair
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert derived[keyword].value != source[keyword].value
        assert UID(derived[keyword].value).is_valid
    meta = derived.file_meta
    assert meta.MediaStorageSOPInstanceUID == derived.SOPInstanceUID
    assert meta.MediaStorageSOPClassUID == derived.SOPClassUID
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert derived.SeriesNumber == source.SeriesNumber + 1000


def test_what_describes_patient_and_acquisition_stays(pair: tuple[FileDataset, FileDataset]) -> None:
    source, derived = pair
    for keyword in KEPT:
        assert (keyword in derived) == (keyword in source), keyword
        if keyword in source:
            assert derived[keyword] == source[keyword], keyword


def test_image_type(pair: tuple[FileDataset, FileDataset]) -> None:
    source, derived = pair
    before, after = list(source.ImageType), list(derived.ImageType)
    assert after[0] == "DERIVED"
    assert after[2:] == before[2:]
    # PS3.3 C.8.4.9.1.1 (NM), C.8.9.4 (PET), C.8.11.3.1.1 (DX), C.8.16.1.2 (enhanced).
    fixed = derived.Modality in ("PT", "NM", "DX") or "SharedFunctionalGroupsSequence" in derived
    assert after[1] == ("PRIMARY" if fixed else "SECONDARY")
    if derived.Modality == "DX":
        assert len(after) == 3 and after[2] == ""


def test_series_description(pair: tuple[FileDataset, FileDataset]) -> None:
    assert pair[1].SeriesDescription == "Source series [Quell denoised]"


def test_derivation_is_said_in_words_and_codes(pair: tuple[FileDataset, FileDataset]) -> None:
    _, derived = pair
    step = derived
    if "PerFrameFunctionalGroupsSequence" in derived:
        step = derived.PerFrameFunctionalGroupsSequence[-1].DerivationImageSequence[0]
        assert "DerivationCodeSequence" not in derived
    codes = [(c.CodeValue, c.CodingSchemeDesignator) for c in step.DerivationCodeSequence]
    assert codes == [("113087", "DCM"), ("DENOISE", "99QUELL")]
    text = step.DerivationDescription
    for word in (RESEARCH_USE_ONLY, PROVENANCE.model, PROVENANCE.model_version, "0123456789ab", "0.75"):
        assert word in text
    assert len(text) <= 1024
    schemes = [item.CodingSchemeDesignator for item in derived.CodingSchemeIdentificationSequence]
    assert schemes == ["99QUELL"]
    assert derived.ImageComments.startswith(RESEARCH_USE_ONLY)


def test_equipment_is_contributed_not_replaced(pair: tuple[FileDataset, FileDataset]) -> None:
    source, derived = pair
    (item,) = derived.ContributingEquipmentSequence
    purpose = item.PurposeOfReferenceCodeSequence[0]
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109102", "DCM")
    assert PROVENANCE.model in item.ManufacturerModelName
    assert item.DeviceSerialNumber == PROVENANCE.model_sha256
    assert PROVENANCE.model_version in item.SoftwareVersions
    assert UID(item.DeviceUID).is_valid
    assert derived.Manufacturer == source.Manufacturer


def test_source_is_referred_to(pair: tuple[FileDataset, FileDataset]) -> None:
    source, derived = pair
    holder = derived
    if "PerFrameFunctionalGroupsSequence" in derived:
        holder = derived.PerFrameFunctionalGroupsSequence[1].DerivationImageSequence[0]
        evidence = derived.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0]
        assert evidence.SeriesInstanceUID == source.SeriesInstanceUID
        assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert holder.SourceImageSequence[0].ReferencedFrameNumber == 2
    (item,) = holder.SourceImageSequence
    assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert item.ReferencedSOPClassUID == source.SOPClassUID
    assert item.SpatialLocationsPreserved == "YES"
    assert item.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_dates(pair: tuple[FileDataset, FileDataset]) -> None:
    source, derived = pair
    assert derived.InstanceCreationDate == derived.ContentDate == f"{NOW.astimezone():%Y%m%d}"
    if derived.Modality == "PT":
        # Standardised uptake values are computed from them.
        assert (derived.SeriesDate, derived.SeriesTime) == (source.SeriesDate, source.SeriesTime)
    else:
        assert (derived.SeriesDate, derived.SeriesTime) != (source.SeriesDate, source.SeriesTime)


@pytest.mark.parametrize(("offset", "time"), [("+0100", "160607"), ("-0530", "093607"), ("+0000", "150607")])
def test_now_is_told_in_the_time_zone_of_the_study(offset: str, time: str) -> None:
    header = derive_header(ct_header(TimezoneOffsetFromUTC=offset), derivation())
    assert header.ContentTime == header.InstanceCreationTime == header.SeriesTime == time
    assert header.TimezoneOffsetFromUTC == offset


def test_frames_of_enhanced_objects_are_derived_too(tmp_path: Path) -> None:
    for name, macro in (
        ("Enhanced CT", "CTImageFrameTypeSequence"),
        ("Enhanced MR", "MRImageFrameTypeSequence"),
    ):
        series = found(SAMPLES[name](tmp_path / name))
        for kind, contrast in ((OutputKind.DENOISED, "NONE"), (OutputKind.RESIDUAL, "SUBTRACTION")):
            voxels = of_kind(series.read().voxels, kind)
            derived = pydicom.dcmread(write(series, voxels, tmp_path / "out", kind).files[0])
            expected = ["DERIVED", "PRIMARY", "VOLUME", contrast]
            assert list(derived.ImageType) == expected
            frame_type = derived.SharedFunctionalGroupsSequence[0][macro].value[0]
            assert list(frame_type.FrameType) == expected
            assert derived.ContentQualification == "RESEARCH"


def test_a_real_world_mapping_follows_the_rescale_or_goes(tmp_path: Path) -> None:
    for intercept, stays in ((-1024.0, True), (0.0, False)):
        ds = dicom_enhanced.enhanced_ct(pixels(2, 6, 6))
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 1.0, intercept
        ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = Sequence([mapping])
        series = found([save(ds, tmp_path / "a.dcm")])
        noise = of_kind(series.read().voxels, OutputKind.NOISE_MAP)
        derived = pydicom.dcmread(write(series, noise, tmp_path / "out", OutputKind.NOISE_MAP).files[0])
        shared, frame = derived.SharedFunctionalGroupsSequence[0], derived.PerFrameFunctionalGroupsSequence[1]
        assert "RealWorldValueMappingSequence" not in shared
        assert ("RealWorldValueMappingSequence" in frame) == stays
        if stays:
            scale = shared.PixelValueTransformationSequence[0]
            assert frame.RealWorldValueMappingSequence[0].RealWorldValueSlope == scale.RescaleSlope
            assert frame.RealWorldValueMappingSequence[0].RealWorldValueIntercept == 0


def test_codes_of_a_residual_name_the_subtraction() -> None:
    header = derive_header(ct_header(), derivation(OutputKind.RESIDUAL))
    assert header.DerivationCodeSequence[-1].CodeValue == "113062"
    assert header.SeriesDescription.endswith("[Quell residual]")
    assert "WindowCenter" not in header


def test_what_seals_or_summarises_the_source_goes() -> None:
    source = ct_header()
    source.SmallestImagePixelValue, source.LargestImagePixelValue = 1, 2
    source.LargestPixelValueInSeries = 9
    for keyword in ("IconImageSequence", "MACParametersSequence", "DigitalSignaturesSequence"):
        setattr(source, keyword, Sequence([Dataset()]))
    source.EncryptedAttributesSequence = Sequence([Dataset()])
    source.ReferencedPerformedProcedureStepSequence = Sequence([Dataset()])
    source.add_new(0x00280000, "UL", 100)
    source.add_new(0x00091001, "LO", "private")
    source.OriginalAttributesSequence = Sequence([Dataset()])
    source.ReferencedImageSequence = Sequence([Dataset()])
    header = derive_header(source, derivation())
    gone = {int(element.tag) for element in source} - {int(element.tag) for element in header}
    assert gone == {
        *(0x00280106, 0x00280107, 0x00280109, 0x00880200, 0x4FFE0001, 0xFFFAFFFA, 0x04000500, 0x00081111),
        *(0x00280000, 0x00091001, 0x7FE00010),
    }


def test_history_of_the_source_is_kept_before_ours() -> None:
    source = ct_header(DerivationDescription="Lossy compression", ImageComments="Breath hold failed")
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113040", "DCM", "Lossy Compression"
    source.DerivationCodeSequence = Sequence([code])
    source.ContributingEquipmentSequence = Sequence([Dataset()])
    header = derive_header(source, derivation())
    assert [c.CodeValue for c in header.DerivationCodeSequence] == ["113040", "113087", "DENOISE"]
    assert len(header.ContributingEquipmentSequence) == 2
    assert "Lossy compression" in header.DerivationDescription
    assert "Breath hold failed" in header.ImageComments


@pytest.mark.parametrize("name", SAMPLES)
def test_the_header_of_the_source_is_not_touched(name: str, tmp_path: Path) -> None:
    series = found(SAMPLES[name](tmp_path))
    before = [deepcopy(instance.header) for instance in series.instances]
    voxels = series.read().voxels
    for kind in OutputKind:
        write(series, of_kind(voxels, kind), tmp_path / "out", kind)
    for instance, header in zip(series.instances, before, strict=True):
        assert instance.header == header


def test_primary_where_the_user_asks_for_it() -> None:
    assert list(derive_header(ct_header(), derivation(primary=True)).ImageType)[:2] == ["DERIVED", "PRIMARY"]


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("ISO_IR 192", "腹部CT造影検査" * 12),
        ("ISO_IR 192", "é" * 80),
        (["", "ISO 2022 IR 87"], "腹部造影検査" * 12),
        ("ISO_IR 144", "Брюшная полость " * 8),
        ("ISO_IR 100", "Abdomen übersicht " * 6),
    ],
)
def test_a_long_foreign_description_keeps_our_suffix(
    charset: str | list[str], text: str, tmp_path: Path
) -> None:
    source = dicom.ct(pixels(4, 4), SpecificCharacterSet=charset, PatientName="Test")
    # The reader may hold longer text than a valid file: the element is built unchecked.
    source.SeriesDescription = text[:64]
    series = found([save(source, tmp_path / "a.dcm")])
    derived = pydicom.dcmread(write(series, series.read().voxels, tmp_path / "out").files[0])
    assert derived.SpecificCharacterSet == charset
    assert derived.SeriesDescription.endswith(" [Quell denoised]")
    assert len(derived.SeriesDescription) <= 64
    assert derived.SeriesDescription.startswith(text[:40].rstrip())


@given(st.text(max_size=100), st.sampled_from(OutputKind))
def test_any_description_becomes_a_valid_long_string(text: str, kind: OutputKind) -> None:
    description = series_description(text, kind)
    assert len(description) <= 64 and "\\" not in description
    assert description.endswith(f"[Quell {kind.value}]")
    assert all(ord(character) >= 32 for character in description)


@given(st.none() | st.integers(-(2**31), 2**31 - 1), st.integers(1, 10**6), st.sampled_from(OutputKind))
def test_series_numbers_fit_their_field(source: int | None, offset: int, kind: OutputKind) -> None:
    number = series_number(source, offset, kind)
    assert -(2**31) <= number < 2**31 and len(str(number)) <= 12


def test_kinds_have_series_numbers_of_their_own() -> None:
    assert len({series_number(3, 1000, kind) for kind in OutputKind}) == len(OutputKind)


def test_loss_is_remembered_where_only_the_transfer_syntax_told_of_it(tmp_path: Path) -> None:
    path = Path(pydicom.data.get_testdata_file("JPGExtended.dcm"))
    header = pydicom.dcmread(path, stop_before_pixels=True)
    derived = derive_header(header, derivation(modality=Modality.NM))
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in derived:
            del derived[keyword]
    remember_lossy(derived, Instance(path, header))
    assert derived.LossyImageCompression == "01"
    assert derived.LossyImageCompressionMethod == "ISO_10918_1"
    assert derived.LossyImageCompressionRatio > 1


def test_a_lossless_transfer_syntax_is_no_loss() -> None:
    header = ct_header()
    header.file_meta.TransferSyntaxUID = JPEG2000Lossless
    derived = derive_header(header, derivation())
    remember_lossy(derived, Instance(Path("x"), header))
    assert "LossyImageCompression" not in derived


def test_an_overlay_in_the_pixels_goes_and_one_beside_them_stays() -> None:
    header = Dataset()
    for group in (0x6000, 0x6002):
        header.add_new((group, 0x0010), "US", 4)
        header.add_new((group, 0x0102), "US", 15)
    header.add_new((0x6002, 0x3000), "OW", b"\0\0")
    assert remove_embedded_overlays(header)
    assert {element.tag.group for element in header} == {0x6002}
    assert not remove_embedded_overlays(header)
