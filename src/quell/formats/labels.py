"""The door for maps of regions: NIfTI with whole numbers, laid on the grid of an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.formats.nifti import NiftiSeries, data_of, open_stream
from quell.formats.nifti_header import geometry_of, parse_header
from quell.formats.sniff import Kind, kind_of, start_of
from quell.formats.source import Source, UnsuitableError
from quell.image import FloatArray, Geometry

Labels = npt.NDArray[np.int32]

_ALONG = 0.999
_APART = 0.05
_SAME = 1e-3
_LARGEST = 2**24
"""Beyond it a float32 no longer holds every whole number."""


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A map of regions.

    Attributes
    ----------
    labels : ndarray of int32, shape (z, y, x)
        0 belongs to no region.
    geometry : Geometry
    name : str
    """

    labels: Labels
    geometry: Geometry
    name: str


def read_labels(path: Path) -> LabelMap:
    """Read a map of regions.

    Parameters
    ----------
    path : Path
        NIfTI with whole numbers, or any single image that Quell reads with such values.

    Raises
    ------
    InputError
        If it cannot be read, or holds other numbers.
    """
    if not path.is_file():
        raise InputError(path, "is no file; regions are one file of whole numbers, such as labels.nii.gz")
    source = Source.of(path)
    if kind_of(start_of(source)) is Kind.NIFTI:
        voxels, geometry = _of_nifti(source)
    else:
        from quell.formats.contracts import Purpose
        from quell.formats.open import open_study

        image = open_study(path, Purpose.EVALUATE).series[0].read()
        voxels, geometry = image.voxels, image.geometry
    if not (np.equal(voxels, np.rint(voxels)).all() and np.abs(voxels).max() < _LARGEST):
        raise InputError(path, "holds values that are not whole: regions are labels, 0 for none")
    return LabelMap(voxels.astype(np.int32), geometry, path.name)


def laid_on(found: LabelMap, shape: tuple[int, int, int], geometry: Geometry) -> Labels:
    """Return labels in the order of axes of an image; nothing is resampled.

    Programs store the same grid with its axes in another order or turned round. Where both know their
    geometry the labels are turned to fit; where one does not, they are taken as they are.

    Parameters
    ----------
    found : LabelMap
    shape : tuple of int
        Of the image.
    geometry : Geometry
        Of the image.

    Raises
    ------
    InputError
        If the grid is another one.
    """
    labels = found.labels
    if geometry.known and found.geometry.known:
        labels, own = _turned(found, geometry)
        apart = np.abs(np.subtract(own.origin, geometry.origin)).max()
        same = np.allclose(own.spacing, geometry.spacing, rtol=_SAME)
        if labels.shape == shape and not (same and apart <= _APART * min(geometry.spacing)):
            raise InputError(
                found.name, "the regions lie on another grid than the image: resample them first"
            )
    if labels.shape != shape:
        raise InputError(found.name, f"the regions have shape {labels.shape}, the image {shape}")
    return labels


def _turned(found: LabelMap, geometry: Geometry) -> tuple[Labels, Geometry]:
    """Return labels and geometry with the axes in the order and the sense of another geometry."""
    own = np.array(found.geometry.direction)
    along = np.array(geometry.direction) @ own.T
    order = np.abs(along).argmax(axis=1)
    if len(set(order.tolist())) < 3 or (np.abs(along).max(axis=1) < _ALONG).any():
        raise InputError(found.name, "the regions lie oblique to the image: resample them first")
    labels = found.labels.transpose(order)
    spacing, direction = np.array(found.geometry.spacing)[order], own[order]
    origin = np.array(found.geometry.origin)
    for axis in range(3):
        if along[axis, order[axis]] < 0:
            labels = np.flip(labels, axis)
            origin = origin + direction[axis] * spacing[axis] * (labels.shape[axis] - 1)
            direction[axis] = -direction[axis]
    z, y, x = (tuple(float(v) for v in row) for row in direction)
    turned = Geometry(
        spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=((z[0], z[1], z[2]), (y[0], y[1], y[2]), (x[0], x[1], x[2])),
        known=True,
    )
    return np.ascontiguousarray(labels), turned


def _of_nifti(source: Source) -> tuple[FloatArray, Geometry]:
    """Read a NIfTI file without minding whether its name or its header call it a label map."""
    try:
        with open_stream(source) as stream:
            header = parse_header(stream.read(540), source, labels=True)
    except UnsuitableError as error:
        raise InputError(source.path, str(error)) from error
    data = source if header.single else data_of(source)
    return NiftiSeries(source, data, header).read().voxels, geometry_of(header)
