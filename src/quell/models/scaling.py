"""Between the units of an image and the numbers that a trained network wants."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from quell.image import Image, Modality


class ScalingKind(str, Enum):
    """Where offset and scale come from."""

    FIXED = "fixed"
    """The same for every image: CT, whose values are absolute."""
    MEAN = "mean"
    """No offset; the scale is the mean of the voxels above a tenth of the 99.5 % quantile: counts, uptake."""
    RANGE = "range"
    """The offset is the 0.5 % quantile, the scale the distance to the 99.5 % quantile: MR, radiographs."""


class Scaling(BaseModel):
    """Network number = (value - offset) / scale.

    Attributes
    ----------
    kind
        See `ScalingKind`.
    offset, scale
        In the units of the image; used where the kind is fixed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScalingKind = ScalingKind.FIXED
    offset: float = 0.0
    scale: float = Field(default=1.0, gt=0)

    def of(self, image: Image) -> tuple[float, float]:
        """Return offset and scale for an image; (0, 1) for one that is constant or empty."""
        if self.kind is ScalingKind.FIXED:
            return self.offset, self.scale
        # `quell models` reads cards and must not wait for NumPy.
        import numpy as np

        voxels = image.voxels if image.padding is None else image.voxels[~image.padding]
        if voxels.size == 0:
            return 0.0, 1.0
        low, high = (float(q) for q in np.quantile(voxels, (0.005, 0.995)))
        if self.kind is ScalingKind.RANGE:
            return (low, high - low) if high > low else (0.0, 1.0)
        above = voxels[voxels > 0.1 * high]
        mean = float(above.mean(dtype=np.float64)) if above.size else 0.0
        return (0.0, mean) if mean > 0 else (0.0, 1.0)


_USUAL = {
    "CT": Scaling(kind=ScalingKind.FIXED, offset=0.0, scale=1000.0),
    "PT": Scaling(kind=ScalingKind.MEAN),
    "NM": Scaling(kind=ScalingKind.MEAN),
    "US": Scaling(kind=ScalingKind.FIXED, offset=0.0, scale=255.0),
}


def usual_scaling(modality: Modality) -> Scaling:
    """Return the scaling that suits a modality."""
    return _USUAL.get(modality.value, Scaling(kind=ScalingKind.RANGE))
