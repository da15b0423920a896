"""New NIfTI files, for images that have no source."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from quell.errors import OutputError
from quell.formats.atomic import atomic_file
from quell.formats.contracts import Written
from quell.image import Geometry, Image

_GZIP_LEVEL = 3
_LABELS = 1002
_SCANNER = 1
# Its methods carry no annotations.
_Volume: Any = nib.Nifti1Image
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_FLOAT32_BELOW = 3.0e38


def write_new_nifti(image: Image, path: Path, description: str = "") -> Written:
    """Write an image as a new compressed NIfTI-1 file of 32-bit floats.

    Parameters
    ----------
    image : Image
    path : Path
        Ends in ``.nii.gz``; its folder is made if absent.
    description : str
        For the header; cut after 79 letters.

    Raises
    ------
    OutputError
        If values are not finite, or the file cannot be written.
    """
    if not float(np.abs(image.voxels).max()) < _FLOAT32_BELOW:
        raise OutputError(path, "holds values that are not finite")
    return _write(image.voxels, image.geometry, path, description, {})


def write_labels(labels: npt.NDArray[np.uint16], geometry: Geometry, path: Path, name: str) -> Written:
    """Write a map of labels as a new compressed NIfTI-1 file; its intent code says what it is.

    Parameters
    ----------
    labels : ndarray of uint16, shape (z, y, x)
    geometry : Geometry
    path : Path
        Ends in ``.nii.gz``.
    name : str
        For the header.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    return _write(labels, geometry, path, name, {"intent_code": _LABELS})


def _write(
    voxels: npt.NDArray[Any], geometry: Geometry, path: Path, description: str, fields: Mapping[str, int]
) -> Written:
    volume = _Volume(voxels.T, affine_of(geometry))
    volume.header["descrip"] = description.encode("ascii", "replace")[:79]
    volume.header.set_xyzt_units("mm")
    for field, value in fields.items():
        volume.header[field] = value
    code = _SCANNER if geometry.known else 0
    volume.set_sform(volume.affine, code)
    volume.set_qform(volume.affine, code)
    # Without name and time stamp equal images are equal files.
    packed = gzip.compress(volume.to_bytes(), _GZIP_LEVEL, mtime=0)
    with atomic_file(path) as temporary:
        temporary.write_bytes(packed)
    return Written((path,))


def affine_of(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Return the matrix from (x, y, z) indices to RAS coordinates in mm, as NIfTI counts them."""
    affine = np.eye(4)
    columns = [np.array(way) * step for way, step in zip(geometry.direction, geometry.spacing, strict=True)]
    affine[:3, :3] = _LPS_TO_RAS @ np.stack(columns[::-1], axis=1)
    affine[:3, 3] = _LPS_TO_RAS @ np.array(geometry.origin)
    return affine
