"""A sheet on which test objects are drawn: values, labels, and the list of what was put in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import Acquisition, FloatArray, Image, Modality
from quell.phantoms.coverage import Array, Covered, Grid
from quell.phantoms.objects import LabelArray, TestObject


@dataclass
class Drawing:
    """Values being drawn, and the inserts among them.

    Attributes
    ----------
    grid : Grid
    values : ndarray of float64, shape (z, y, x)
    labels : ndarray of uint16, shape (z, y, x)
    inserts : list
        What is known of each insert; its label is its place in the list, from 1.
    """

    grid: Grid
    values: Array
    labels: LabelArray
    inserts: list[dict[str, Any]] = field(default_factory=list)

    def put(self, covered: Covered, value: float) -> None:
        """Replace what lies under a shape, mixed in proportion where it fills a voxel in part."""
        view = self.values[covered.window]
        view += covered.part * (value - view)

    def add(self, covered: Covered, contrast: float | npt.NDArray[np.float64]) -> None:
        """Add to what lies under a shape, in proportion."""
        self.values[covered.window] += covered.part * contrast

    def note(self, covered: Covered, kind: str, **known: Any) -> None:
        """List an insert and mark its voxels."""
        label = len(self.inserts) + 1
        mark(self.labels, covered, label)
        self.inserts.append({"label": label, "kind": kind, **plain(known)})


def blank(grid: Grid, value: float = 0.0) -> Drawing:
    """Return an empty sheet."""
    return Drawing(grid, np.full(grid.shape, value, np.float64), np.zeros(grid.shape, np.uint16))


def mark(labels: LabelArray, covered: Covered, label: int) -> None:
    """Give the voxels that a shape fills to at least a half a label; at least the one it fills most."""
    if covered.part.size and covered.part.max() > 0:
        labels[covered.window][covered.part >= min(0.5, float(covered.part.max()))] = label


def finished(
    name: str,
    modality: Modality,
    units: str,
    drawing: Drawing,
    parameters: Mapping[str, Any],
    *,
    attenuation: Array | None = None,
    acquisition: Acquisition | None = None,
) -> TestObject:
    """Turn a sheet into a test object.

    Parameters
    ----------
    name : str
    modality : Modality
    units : str
    drawing : Drawing
    parameters : mapping
        What is known besides the grid and the inserts.
    attenuation : ndarray, shape (z, y, x), optional
    acquisition : Acquisition, optional
    """
    grid = drawing.grid
    # What was added and taken off again leaves the rounding of 64-bit floats, not always above 0.
    rest = np.abs(drawing.values) < 1e-9 * np.abs(drawing.values).max()
    truth = Image(
        np.where(rest, 0, drawing.values).astype(np.float32),
        modality,
        units,
        grid.geometry,
        volume=grid.shape[0] > 1,
        name=name,
        acquisition=acquisition or Acquisition(thickness=grid.spacing[0] if grid.shape[0] > 1 else None),
    )
    known = {
        "name": name,
        "modality": modality.value,
        "units": units,
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing),
        **plain(parameters),
        "inserts": drawing.inserts,
    }
    mu: FloatArray | None = None if attenuation is None else attenuation.astype(np.float32)
    return TestObject(name, modality, truth, mu, drawing.labels, known)


def plain(value: Any) -> Any:
    """Turn numbers of NumPy, tuples and mappings into what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value
