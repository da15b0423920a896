"""Sort files: images to denoise, what is passed over and why, and what is no DICOM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom.dataset import Dataset

from quell.errors import InputError
from quell.formats.contracts import PassedOver
from quell.formats.dicom import tags
from quell.formats.dicom.classify import class_name, class_reason, frame_reason, header_reason, modality_of
from quell.formats.dicom.colour import coloured_share
from quell.formats.dicom.headers import peek, read_instance
from quell.formats.dicom.instance import Instance
from quell.formats.dicom.layout import PixelLayout, pixel_layout
from quell.formats.dicom.padding import outside_regions
from quell.formats.dicom.rescale import rescale_of

_LONGEST_UID = 128
"""PS3.5 section 9.1 allows 64 characters; those who invent identifiers do not all count."""
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass
class Collection:
    """Files sorted by what becomes of them.

    Attributes
    ----------
    root : Path
        Damaged files are named relative to it.
    images : list of Instance
    others : list of Path
        No DICOM.
    passed : Counter
        Number of files for each (what, reason, error).
    damaged : Counter
        Number of damaged files for each Series Instance UID.
    projections : bool
        Whether raw projections of SPECT are taken.
    denoised : bool
        Whether what Quell denoised is taken.
    """

    root: Path
    projections: bool = False
    denoised: bool = False
    images: list[Instance] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    passed: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)

    def add_damaged(self, path: Path, reason: str) -> None:
        """Note a file that looks like an image and cannot be used."""
        self.passed[_relative(path, self.root), reason, True] += 1

    def passed_over(self) -> tuple[PassedOver, ...]:
        """Return the files passed over, those of one kind and reason together."""
        return tuple(
            PassedOver(what, reason, count, error) for (what, reason, error), count in self.passed.items()
        )


def collect(
    files: Iterable[Path], root: Path, projections: bool = False, denoised: bool = False
) -> Collection:
    """Read the headers of files and sort them; in the order of their paths."""
    collection = Collection(root, projections, denoised)
    for path in sorted(files):
        try:
            _collect_file(path, collection)
        except InputError as error:
            collection.add_damaged(path, error.reason)
        except Exception as error:
            # One file must not take the others with it, whatever went wrong inside.
            collection.add_damaged(path, f"unexpected error: {type(error).__name__}")
    return collection


def series_label(instance: Instance) -> str:
    """Return what messages call the series of an image, such as ``"MR series 4"``."""
    modality = modality_of(instance.header).value
    number = tags.integer(instance.header, "SeriesNumber")
    kind = class_name(tags.uid(instance.header, "SOPClassUID")) if modality == "OT" else modality
    return kind if number is None else f"{kind} series {number}"


def _collect_file(path: Path, collection: Collection) -> None:
    start = peek(path)
    if start is None:
        if path.suffix.lower() in _DICOM_SUFFIXES:
            raise InputError(path, "named like a DICOM file, but is none")
        collection.others.append(path)
        return
    reason = class_reason(start.sop_class)
    if reason is not None:
        collection.passed[class_name(start.sop_class), reason, False] += 1
        return
    instance = read_instance(path, start)
    reason = _reason(instance, collection)
    if reason is not None:
        collection.passed[series_label(instance), reason, False] += 1
        return
    _collect_image(instance, collection)


def _reason(instance: Instance, collection: Collection) -> str | None:
    """Return why an object is rightly left alone, or None."""
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        uid = tags.uid(instance.header, keyword)
        if not uid:
            raise InputError(instance.path, f"{keyword} is missing")
        if not uid.isascii() or len(uid) > _LONGEST_UID:
            raise InputError(instance.path, f"{keyword} is no identifier")
    return header_reason(instance.header, collection.projections, collection.denoised)


def _frames_reason(header: Dataset, frames: int) -> str | None:
    """Return why every frame of an object is passed over, or None if one is not."""
    reasons = {frame_reason(header, frame) for frame in range(frames)}
    return None if None in reasons else "; ".join(sorted(str(one) for one in reasons))


def _collect_image(instance: Instance, collection: Collection) -> None:
    try:
        layout = pixel_layout(instance)
        _check_rescale(instance)
        reason = _frames_reason(instance.header, layout.frames)
        coloured = _coloured(instance, layout) if reason is None else None
    except InputError:
        collection.damaged[tags.uid(instance.header, "SeriesInstanceUID")] += 1
        raise
    if coloured is None:
        reason = reason or "colour images are not denoised"
        collection.passed[series_label(instance), reason, False] += 1
    else:
        collection.images.append(replace(instance, coloured=coloured))


def _check_rescale(instance: Instance) -> None:
    try:
        rescale_of(instance.header)
    except ValueError as error:
        raise InputError(instance.path, str(error)) from error


def _coloured(instance: Instance, layout: PixelLayout) -> float | None:
    """Return the share of coloured pixels that are kept as they are, or None if the image is in colour.

    Judged by the first, the middle and the last frame. Also checks that a compressed image has its decoder.
    """
    plain = layout.samples == 1 and layout.photometric != "PALETTE COLOR"
    if plain and not layout.encapsulated:
        return 0.0
    # Brings in the decoders' libraries, which plain images do not need.
    from quell.formats.dicom.decode import ColourImage, stored_pixels
    from quell.formats.dicom.decoders import decoding_plugin

    if layout.encapsulated:
        decoding_plugin(layout.transfer_syntax, instance.path)
    if plain:
        return 0.0
    outside = outside_regions(instance.header, layout.rows, layout.columns)
    frames = stored_pixels(instance, sorted({0, layout.frames // 2, layout.frames - 1}))
    try:
        return coloured_share(frames, outside)
    except ColourImage:
        return None


def _relative(path: Path, root: Path) -> str:
    try:
        return str(path.relative_to(root))
    except ValueError:
        return path.name
