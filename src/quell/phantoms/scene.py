"""What the drawing of a body hands from part to part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quell.image import FloatArray
from quell.phantoms.palettes import Palette
from quell.phantoms.shapes import Canvas, Region, coverage, ellipsoid, paint, wobble


@dataclass(frozen=True)
class Scene:
    """A body being drawn.

    Attributes
    ----------
    rng : numpy.random.Generator
    canvas : Canvas
    palette : dict of str to float
        Values by tissue.
    wide, deep : float
        Half axes of the body cavity along x and y, in body units.
    """

    rng: np.random.Generator
    canvas: Canvas
    palette: Palette
    wide: float = 1.0
    deep: float = 1.0

    def organ(
        self,
        value: float,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        *,
        rough: float = 0.12,
    ) -> Region | None:
        """Paint an organ of random outline and tilt, and return it."""
        rng = self.rng
        region = ellipsoid(
            self.canvas,
            centre,
            radii,
            angle=rng.normal(0, 0.4),
            squareness=rng.uniform(0, 0.5),
            outline=wobble(rng, rough),
            tilt=(rng.normal(0, 0.25), rng.normal(0, 0.25)),
        )
        paint(self.canvas, region, value, edge=rng.uniform(1, 2.5))
        return region

    def blob(
        self,
        value: float,
        place: tuple[float, float, float],
        r: float,
        *,
        rough: float = 0.1,
        edge: float = 1.5,
    ) -> Region | None:
        """Paint a roundish thing of radius `r`, and return it."""
        rng = self.rng
        radii = (r * rng.uniform(1, 3), r, r * rng.uniform(0.8, 1.4))
        outline = wobble(rng, rough) if rough else None
        region = ellipsoid(self.canvas, place, radii, angle=rng.uniform(0, np.pi), outline=outline)
        paint(self.canvas, region, value, edge=edge)
        return region

    def cover(self, region: Region | None, *, inset: float = 1.0) -> FloatArray:
        """Return a map of the whole canvas that is 1 inside a shape."""
        mask = np.zeros_like(self.canvas.values)
        if region is not None:
            mask[region.window] = coverage(region, 2.0, inset)
        return mask
