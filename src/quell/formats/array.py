"""The door for arrays: what the Python API is given without a file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import Geometry, Image, Modality


def from_array(
    array: npt.ArrayLike,
    *,
    modality: Modality | str = Modality.UNKNOWN,
    spacing: tuple[float, ...] | None = None,
    volume: bool | None = None,
    name: str = "array",
) -> Image:
    """Make an image from a slice or a stack of slices.

    Parameters
    ----------
    array : array_like, shape (y, x) or (z, y, x)
        Of any real type. It is copied.
    modality : Modality or str
        A DICOM code such as ``"CT"``; the units are HU for CT and arbitrary for the others.
    spacing : tuple of float, optional
        Distance of voxel centres in mm in the order of the axes: two values for (y, x), three for
        (z, y, x).
    volume : bool, optional
        Whether neighbours along z are neighbouring anatomy; by default so for more than one slice.
    name : str
        For messages.

    Returns
    -------
    Image

    Raises
    ------
    ValueError
        If the modality is unknown, the spacing is not positive, or `volume` is asked of one slice.
    InputError
        If the array is empty, complex or no numbers, has other than two or three axes, or holds
        values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from_array(np.zeros((4, 5)), modality="CT").shape
    (1, 4, 5)
    """
    voxels = _float32(np.asarray(array), name)
    several = voxels.shape[0] > 1
    if volume and not several:
        raise ValueError("a single slice is no volume")
    kind = Modality(modality)
    return Image(
        voxels=voxels,
        modality=kind,
        units="HU" if kind is Modality.CT else "arbitrary",
        geometry=_geometry(spacing),
        volume=several if volume is None else volume,
        name=name,
    )


def _float32(values: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.float32]:
    if values.dtype.kind not in "biuf":
        raise InputError(name, f"holds {values.dtype}, not real numbers")
    if values.ndim not in (2, 3):
        raise InputError(name, f"has {values.ndim} axes; expected (y, x) or (z, y, x)")
    if values.size == 0:
        raise InputError(name, f"is empty: shape {values.shape}")
    with np.errstate(over="ignore"):
        voxels = np.array(values, np.float32, order="C")
    if not np.isfinite(voxels).all():
        raise InputError(name, "holds values that are not finite (NaN, infinity or beyond float32)")
    return voxels[np.newaxis] if voxels.ndim == 2 else voxels


def _geometry(spacing: tuple[float, ...] | None) -> Geometry:
    if spacing is None:
        return Geometry()
    values = tuple(float(s) for s in spacing)
    if len(values) not in (2, 3) or not all(0 < s < np.inf for s in values):
        raise ValueError(f"spacing must be two or three positive numbers in mm, got {spacing}")
    z, y, x = values if len(values) == 3 else (1.0, *values)
    return Geometry(spacing=(z, y, x), known=True)
