"""Values that a header should not have, or that are lawful and seldom: what must never bring Quell down."""

from __future__ import annotations

import struct

from pydicom.datadict import dictionary_VR, tag_for_keyword


def _shorts(*values: int) -> list[bytes]:
    return [b"", *(struct.pack("<H", value & 0xFFFF) for value in values), b"\1", b"\1\0\2\0"]


def _texts(*values: str) -> list[bytes]:
    return [value.encode("utf-8", "surrogateescape") for value in values]


_SIZES = _shorts(0, 1, 2, 3, 4096, 65535)
_NUMBERS = _texts("", "0", "-0", "-1", "nan", "inf", "-inf", "1e308", "-1e308", "1e-308", "1e-45")
_NUMBERS += _texts("1e30", "abc", "1\\2", "\\", "1,5", " 1 ", "9" * 400, "1e99999", "0x10", "\0\0", "1e-6")
_WHOLE = _texts("", "0", "-1", "1", "2", "3", "1.5", "abc", "nan", "2147483647", "-2147483648")
_WHOLE += _texts("99999999999999999999", "1e3", "65536", "4294967296", "1000000", "1\\2", "\0", "+1")
_PAIRS = _texts("", "0\\0", "-1\\1", "nan\\1", "1e-300\\1e300", "1", "1\\1\\1", "a\\b", "inf\\inf", "\\")
_TRIPLES = _texts(
    "", "0\\0\\0", "a\\b\\c", "0\\0", "1e308\\1e308\\1e308", "nan\\0\\0", "inf\\0\\0", "-1e308\\0\\0"
)
_TRIPLES += _texts("0\\0\\1e-300", "0\\0\\3\\4", "10\\20\\1e17", "0.1\\0.2\\0.3", "\\\\")
_COSINES = _texts(
    "", "0\\0\\0\\0\\0\\0", "1\\0\\0\\1\\0\\0", "nan\\0\\0\\0\\1\\0", "1\\0\\0\\0\\1", "a\\b\\c\\d\\e\\f"
)
_COSINES += _texts(
    "1e308\\0\\0\\0\\1e308\\0", "0\\1\\0\\0\\0\\-1", "0.6\\0.8\\0\\-0.8\\0.6\\0", "inf\\0\\0\\0\\inf\\0"
)
_UIDS = _texts(
    "", "../../x", "1.2.3 ", "1.2..3", "a" * 70, "1." * 60 + "1", "1.2.3\\1.2.4", "é", "\0", "/etc/passwd"
)
_UIDS += _texts("1.2.826.0.1.3680043.8.498.1.1", "\n", "\x1b[2J", "1.2.3\0\0", "C:\\x", "0", "-1")
_WORDS = _texts(
    "", "../../x", "a\nb\rc", "\x1b[31mred\x1b[0m", "é" * 40, "\udcff\udcfe", "x" * 5000, "\0", "\\\\\\"
)
_WORDS += _texts(
    "{{ 7*7 }}", "<script>alert(1)</script>", "[red]x", "%s%n", "\x1b$B\x1b(B", "\u202eabc", "'\"", " "
)
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASSES = _texts(
    *(_STORAGE + tail for tail in ("1", "1.1", "2", "2.1", "3.1", "4", "4.1", "6.1", "20", "128", "130"))
)
_CLASSES += _texts(
    *(_STORAGE + tail for tail in ("1.2", "7", "7.2", "66.4", "88.11", "481.2", "2.2", "4.4", "5"))
)
_CLASSES += _texts("", "1.2.3", "1.2.840.10008.1.3.10", "../x")
_SYNTAXES = _texts(
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"),
    *(f"1.2.840.10008.1.2.4.{tail}" for tail in (50, 51, 57, 70, 80, 81, 90, 91, 92, 100, 102, 201, 203)),
    *("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1.98", "1.2.3", "", "\0", "abc"),
)
_TYPES = _texts("", "A", "\\\\\\", "DERIVED\\SECONDARY\\LOCALIZER", "ORIGINAL\\PRIMARY\\M\\" + "X" * 300)
_TYPES += _texts(
    "ORIGINAL\\PRIMARY\\RECON TOMO\\EMISSION", "ORIGINAL\\PRIMARY\\TOMO\\EMISSION", "\n\\\x1b", "original"
)
_CHARSETS = _texts(
    "ISO_IR 192", "ISO 2022 IR 87", "\\ISO 2022 IR 149", "bogus", "", "ISO_IR 13", "\x1b", "GB18030"
)
_CHARSETS += _texts("ISO_IR 6\\ISO_IR 192", "ISO_IR 100\\ISO 2022 IR 58", "utf-8", "\\\\")
_TIMES = _texts(
    "", "abc", "999999", "20209999", "101112.123456", "-1", "2020", "+9999", "-9959", "+2400", "20200101\\2"
)
_PHOTOMETRIC = _texts(
    *(
        "",
        "MONOCHROME1",
        "MONOCHROME2",
        "RGB",
        "PALETTE COLOR",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_ICT",
        "YBR_RCT",
    ),
    *("ARGB", "CMYK", "HSV", "monochrome2", "MONOCHROME2\\RGB", "abc"),
)
_LUT = [
    struct.pack("<HHH", *three)
    for three in ((0, 0, 16), (256, 0, 8), (65535, 65535, 16), (1, 0, 99), (2, 1, 16))
]
_LUT += [b"", b"\0\1"]
_LONGS = [struct.pack("<I", value) for value in (0, 1, 19, 100, 0x7FFFFFFF, 0xFFFFFFFF)] + [b"", b"\0"]
_DOUBLES = [struct.pack("<d", value) for value in (0, -1, 1e-300, 1e300, float("nan"), float("inf"))] + [b""]
_SEQUENCES = [
    b"",
    b"\xfe\xff\x00\xe0\0\0\0\0",
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\x00\xe0\xff\xff\xff\x7f",
    b"abcdefgh",
    b"\xfe\xff\x00\xe0\x08\0\0\0\x08\0\x00\x01SH\xf0\xff",
    b"\xfe\xff\x00\xe0\x0c\0\0\0\x08\0\x00\x01SH\x04\0DENO",
    b"\xfe\xff\x00\xe0\0\0\0\0" * 300,
]

_BY_KEYWORD: dict[str, list[bytes]] = {
    **dict.fromkeys(("Rows", "Columns"), _SIZES),
    "BitsAllocated": _shorts(0, 1, 4, 7, 8, 12, 16, 24, 32, 64, 65535),
    "BitsStored": _shorts(0, 1, 7, 8, 10, 12, 16, 17, 32, 65535),
    "HighBit": _shorts(0, 7, 11, 15, 16, 31, 65535),
    "PixelRepresentation": _shorts(0, 1, 2, 65535),
    "SamplesPerPixel": _shorts(0, 1, 2, 3, 4, 65535),
    "PlanarConfiguration": _shorts(0, 1, 2),
    "PhotometricInterpretation": _PHOTOMETRIC,
    "NumberOfFrames": _WHOLE,
    **dict.fromkeys(("RescaleSlope", "RescaleIntercept", "SliceThickness", "SpacingBetweenSlices"), _NUMBERS),
    **dict.fromkeys(("WindowCenter", "WindowWidth", "EchoTime", "LossyImageCompressionRatio"), _NUMBERS),
    **dict.fromkeys(("PixelSpacing", "ImagerPixelSpacing"), _PAIRS),
    "ImagePositionPatient": _TRIPLES,
    "ImageOrientationPatient": _COSINES,
    **dict.fromkeys(("PixelPaddingValue", "PixelPaddingRangeLimit"), _shorts(0, 1, -1, -2000, 32767, 65535)),
    **dict.fromkeys(
        ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"), _UIDS
    ),
    **dict.fromkeys(("ConcatenationUID", "IrradiationEventUID"), _UIDS),
    **dict.fromkeys(("SOPClassUID", "MediaStorageSOPClassUID"), _CLASSES),
    "TransferSyntaxUID": _SYNTAXES,
    **dict.fromkeys(("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "NumberOfSlices"), _WHOLE),
    **dict.fromkeys(("ImageType",), _TYPES),
    **dict.fromkeys(
        ("SeriesDescription", "PatientName", "PatientID", "StudyDescription", "Manufacturer"), _WORDS
    ),
    **dict.fromkeys(("ImageComments", "DerivationDescription", "Modality", "Units", "RescaleType"), _WORDS),
    **dict.fromkeys(("LossyImageCompression", "PresentationIntentType", "BurnedInAnnotation"), _WORDS),
    "SpecificCharacterSet": _CHARSETS,
    **dict.fromkeys(
        ("TimezoneOffsetFromUTC", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime"), _TIMES
    ),
    **dict.fromkeys(
        ("AcquisitionTime", "FrameReferenceTime", "TriggerTime", "TemporalPositionIdentifier"), _TIMES
    ),
    **dict.fromkeys(
        ("EnergyWindowVector", "DetectorVector", "SliceVector", "TimeSlotVector"), _shorts(0, 65535)
    ),
    **dict.fromkeys(("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"), _LUT),
    "RedPaletteColorLookupTableData": [b"", b"\0", b"\xff" * 512, b"\0" * 100],
    **dict.fromkeys(("RegionLocationMinX0", "RegionLocationMaxX1", "RegionLocationMaxY1"), _LONGS),
    **dict.fromkeys(("PhysicalDeltaX", "PhysicalDeltaY"), _DOUBLES),
    **dict.fromkeys(
        ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SourceImageSequence"),
        _SEQUENCES,
    ),
    **dict.fromkeys(
        ("DerivationCodeSequence", "ContributingEquipmentSequence", "ModalityLUTSequence"), _SEQUENCES
    ),
    **dict.fromkeys(
        ("DetectorInformationSequence", "SequenceOfUltrasoundRegions", "IconImageSequence"), _SEQUENCES
    ),
    **dict.fromkeys(
        ("ReferencedImageSequence", "RealWorldValueMappingSequence", "VOILUTSequence"), _SEQUENCES
    ),
    **dict.fromkeys(("CodingSchemeIdentificationSequence", "PatientOrientationCodeSequence"), _SEQUENCES),
    **dict.fromkeys(
        ("PlanePositionSequence", "PixelMeasuresSequence", "PlaneOrientationSequence"), _SEQUENCES
    ),
    **dict.fromkeys(("PixelValueTransformationSequence", "MRImageFrameTypeSequence"), _SEQUENCES),
    "ExtendedOffsetTable": [b"", b"\0" * 8, b"\xff" * 16, struct.pack("<Q", 1 << 40)],
    "ExtendedOffsetTableLengths": [b"", b"\0" * 8, b"\xff" * 16, struct.pack("<Q", 1 << 40)],
    "PixelData": [b"", b"\0", b"\0" * 7],
}


def _vr(keyword: str) -> bytes:
    return dictionary_VR(keyword)[:2].encode()


VALUES: list[tuple[int, bytes, list[bytes]]] = [
    (tag_for_keyword(keyword) or 0, _vr(keyword), values) for keyword, values in _BY_KEYWORD.items()
]
"""Tag, VR and hostile values."""

VALUES += [
    (0x00431029 + 0x06, b"SS", _shorts(0, 1, 3, -1)),
    (0x60000010, b"US", _shorts(0, 512)),
    (0x60000100, b"US", _shorts(1, 16)),
    (0x7FE00008, b"OF", [b"", b"\0\0\x80\x7f" * 4]),
    (0x00080000, b"UL", _LONGS),
    (0xFFFCFFFC, b"OB", [b"\0" * 10]),
]
