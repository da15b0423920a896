"""The one value that flows through all of Quell: a stack of slices in physical units."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float32]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


class Modality(str, Enum):
    """How an image was acquired; the values are the DICOM defined terms, with X-ray as one."""

    CT = "CT"
    MR = "MR"
    PT = "PT"
    NM = "NM"
    US = "US"
    XR = "XR"
    """Radiography: DICOM's CR and DX."""
    UNKNOWN = "OT"


@dataclass(frozen=True)
class Geometry:
    """Where the voxels lie in the patient.

    Attributes
    ----------
    spacing : tuple of float
        Distance of voxel centres in mm, in array order (z, y, x).
    origin : tuple of float
        Position of voxel (0, 0, 0) in mm, DICOM patient coordinates (LPS: x to the left, y to the
        back, z to the head).
    direction : tuple of tuple of float
        Three unit vectors in LPS: the direction in which the z, the y and the x index grow. The
        z vector follows the slice positions, so that a tilted gantry makes it oblique to the others.
    known : bool
        False when the source does not say (a PNG); spacing is then (1, 1, 1).
    """

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    known: bool = False


@dataclass(frozen=True)
class Acquisition:
    """What the source says of how the image was acquired; None or empty where it says nothing.

    Attributes
    ----------
    exposure : float or None
        Tube current time product, mAs (CT, radiography).
    voltage : float or None
        Peak tube voltage, kV.
    kernel : str
        Reconstruction kernel or filter, in the vendor's word.
    reconstruction : str
        Method of reconstruction, in the words of the header (``"ITERATIVE"``, ``"OSEM 3D TOF"``,
        ``"DEEP LEARNING"``).
    counts : float or None
        Counts accumulated, over all frames.
    corrections : tuple of str
        What was done to the counts (``"DECY"``, ``"ATTN"``; DICOM's Corrected Image).
    presentation : bool or None
        True for values mapped for viewing, False for values linear in the exposure or its logarithm
        (DICOM's Presentation Intent Type and Pixel Intensity Relationship).
    intensity : str
        ``"LIN"``, ``"LOG"`` or ``"DISP"``: Pixel Intensity Relationship of radiographs.
    bits : int or None
        Bits stored for each pixel.
    thickness : float or None
        Slice thickness, mm.
    manufacturer, scanner : str
    """

    exposure: float | None = None
    voltage: float | None = None
    kernel: str = ""
    reconstruction: str = ""
    counts: float | None = None
    corrections: tuple[str, ...] = ()
    presentation: bool | None = None
    intensity: str = ""
    bits: int | None = None
    thickness: float | None = None
    manufacturer: str = ""
    scanner: str = ""


@dataclass(frozen=True, eq=False)
class Image:
    """A stack of slices or frames in physical units.

    Attributes
    ----------
    voxels : ndarray of float32, shape (z, y, x)
        Values in `units`. Read-only.
    modality : Modality
    units : str
        ``"HU"``, ``"Bq/ml"``, ``"counts"``, ``"g/ml"``, or ``"arbitrary"`` where the source gives none.
    geometry : Geometry
    padding : ndarray of bool, shape (z, y, x), optional
        True where the source has no measurement (outside the field of view); these voxels are
        never changed and take no part in any estimate.
    volume : bool
        True when neighbours along z are neighbouring anatomy; False for frames over time, views
        or a single slice.
    gaps : tuple of int
        Indices i such that slice i + 1 is not the spatial neighbour of slice i (a slice is missing).
    name : str
        How messages and reports call it. Never holds a patient's name.
    acquisition : Acquisition
    """

    voxels: FloatArray
    modality: Modality = Modality.UNKNOWN
    units: str = "arbitrary"
    geometry: Geometry = field(default_factory=Geometry)
    padding: BoolArray | None = None
    volume: bool = False
    gaps: tuple[int, ...] = ()
    name: str = "image"
    acquisition: Acquisition = field(default_factory=Acquisition)

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or self.voxels.dtype != np.float32:
            raise ValueError(
                f"voxels must be float32 with axes (z, y, x), got {self.voxels.dtype} {self.voxels.shape}"
            )
        if self.voxels.size == 0:
            raise ValueError("voxels must not be empty")
        if self.padding is not None and self.padding.shape != self.voxels.shape:
            raise ValueError(f"padding has shape {self.padding.shape}, voxels {self.voxels.shape}")
        self.voxels.flags.writeable = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of slices, rows and columns."""
        z, y, x = self.voxels.shape
        return z, y, x

    def with_voxels(self, voxels: FloatArray) -> Image:
        """Return the same image with other values of the same shape."""
        if voxels.shape != self.voxels.shape:
            raise ValueError(f"expected shape {self.voxels.shape}, got {voxels.shape}")
        return replace(self, voxels=voxels)
