"""A random trunk as CT shows it, for tasks that need to know which tissue is where."""

from __future__ import annotations

from typing import Literal

import numpy as np

from quell.image import FloatArray


def trunk(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    part: Literal["chest", "abdomen"],
    distance: float,
) -> tuple[FloatArray, dict[str, float]]:
    """Draw slices through a chest or an abdomen.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (slices, rows, columns)
        The body is about 0.9 of the columns wide.
    part : str
    distance : float
        Of slices, in pixels.

    Returns
    -------
    voxels : ndarray of float32
        HU.
    palette : dict
        Values of the tissues in HU / 1000, by name.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    """
    from quell.phantoms.organs import abdomen, chest
    from quell.phantoms.palettes import ct_palette
    from quell.phantoms.scene import Scene
    from quell.phantoms.shapes import ellipsoid, new_canvas, paint, wobble
    from quell.phantoms.skeleton import ribs, spine

    palette = ct_palette(rng)
    scale = 0.45 * shape[2]
    canvas = new_canvas(rng, shape, scale, distance=distance, bend=0.02, background=palette["air"])
    deep, fat = rng.uniform(0.66, 0.78), rng.uniform(0.03, 0.12)
    wall = fat + rng.uniform(0.06, 0.1)
    whole = ellipsoid(canvas, (0, 0, 0), (3, deep, 1), squareness=0.4, outline=wobble(rng, 0.02))
    for inset, tissue in ((0.0, "fat"), (fat, "muscle"), (wall, "fat")):
        paint(canvas, whole, palette[tissue], inset=inset * scale)
    scene = Scene(rng, canvas, palette, wide=1 - wall, deep=deep - wall)
    (chest if part == "chest" else abdomen)(scene)
    spine(scene)
    ribs(scene)
    return np.float32(1000) * canvas.values, dict(palette)
