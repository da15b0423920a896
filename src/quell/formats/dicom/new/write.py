"""Write a computed image as new DICOM objects: test objects, for which there is no source."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from quell.errors import InputError, OutputError
from quell.formats.atomic import atomic_folder, write_flushed
from quell.formats.contracts import Written
from quell.formats.dicom.encode import encode_dataset, encode_meta, pixel_bytes, pixel_data_head
from quell.formats.dicom.new.phantom import Phantom
from quell.formats.dicom.new.pixels import NewPixels, new_pixels
from quell.formats.dicom.quantise import StoredArray
from quell.image import Image, Modality

_LARGEST_VALUE = 2**32 - 2
_NO_SPACING = "the image has no known spacing: pixels and slices of 1 mm were written"


def write_new(
    image: Image,
    out: Path,
    *,
    name: str,
    description: str = "",
    seed: int = 0,
    now: datetime | None = None,
) -> Written:
    """Write a computed image as new DICOM objects of its modality, of a patient called QUELL^PHANTOM.

    CT, MR and PET: an object a slice. Nuclear medicine: one object of all frames, reconstructed if the
    image is a volume, ``TOMO`` if its acquisition says projections, else planar. Ultrasound: an image, or
    a clip of several frames. Radiographs: "for processing", an object a frame.

    Parameters
    ----------
    image : Image
    out : Path
        The files go to ``out/<modality>_phantom_<name>_<8 digits>/IM00001.dcm`` and so on.
    name : str
        Of the test object; all its images of one seed belong to one study.
    description : str
        What distinguishes this image, such as the dose.
    seed : int
        Of the generator of random numbers.
    now : datetime, optional
        When it was made; the only thing in which a repeat differs.

    Returns
    -------
    Written

    Raises
    ------
    InputError
        If there is no kind of object for the modality.
    OutputError
        If the values have no place in such an object, or the files cannot be written.

    Notes
    -----
    Read back, the image has the same geometry and units, and the same voxels within half a step of what
    is stored: integers exactly, other values in steps of about 1/30000 of the greatest.
    """
    if image.modality is Modality.UNKNOWN:
        raise InputError(image.name, "its modality is unknown, and with it the kind of DICOM object")
    pixels = new_pixels(image)
    phantom = Phantom(image, name, description, seed, _digest(image, pixels), now or datetime.now())
    folder = Path(out) / _folder_name(phantom)
    objects = _objects(phantom, pixels)
    size = max(sum(frame.nbytes for frame in frames) for _, frames in objects)
    if size > _LARGEST_VALUE:
        raise OutputError(folder, "an uncompressed object of more than 4 GiB is not possible in DICOM")
    with warnings.catch_warnings(), atomic_folder(folder, durable=False) as temporary:
        warnings.simplefilter("ignore")
        for number, (header, frames) in enumerate(objects, start=1):
            _write_object(temporary / _file_name(number), header, frames)
    files = tuple(folder / _file_name(number) for number in range(1, len(objects) + 1))
    unknown = () if image.geometry.known else (_NO_SPACING,)
    return Written(files, pixels.clamped, (*pixels.warnings, *unknown))


def _file_name(number: int) -> str:
    return f"IM{number:05d}.dcm"


def _objects(phantom: Phantom, pixels: NewPixels) -> list[tuple[Dataset, Sequence[StoredArray]]]:
    """Return the header of each object with its frames."""
    from quell.formats.dicom.new import counts, projections, slices

    image = phantom.image
    whole = {Modality.NM: counts.nm, Modality.US: projections.us}
    if image.modality in whole:
        return [(whole[image.modality](phantom, pixels), pixels.frames)]
    single = {
        Modality.CT: slices.ct,
        Modality.MR: slices.mr,
        Modality.PT: slices.pt,
        Modality.XR: projections.dx,
    }[image.modality]
    return [(single(phantom, pixels, z), pixels.frames[z : z + 1]) for z in range(image.shape[0])]


def _write_object(path: Path, header: Dataset, frames: Sequence[StoredArray]) -> None:
    data = pixel_bytes(frames)
    head = pixel_data_head(sum(chunk.nbytes for chunk in data), header.BitsAllocated)
    meta = encode_meta(str(header.SOPClassUID), str(header.SOPInstanceUID))
    write_flushed(path, [meta + encode_dataset(header) + head, *data])


def _digest(image: Image, pixels: NewPixels) -> str:
    """Return a hash over what is stored and where it lies."""
    digest = hashlib.sha256(repr((image.geometry, image.volume, image.units, pixels.scales)).encode())
    for frame in pixels.frames:
        digest.update(frame.tobytes())
    return digest.hexdigest()[:16]


def _folder_name(phantom: Phantom) -> str:
    name = re.sub("[^a-z0-9]+", "_", phantom.name.lower()).strip("_")[:40] or "image"
    modality = "DX" if phantom.image.modality is Modality.XR else phantom.image.modality.value
    digest = hashlib.sha256(phantom.series_uid.encode()).hexdigest()[:8]
    return f"{modality}_phantom_{name}_{digest}"
