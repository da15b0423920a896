"""Slices through a trunk or a limb, as CT or MR shows them."""

from __future__ import annotations

import numpy as np

from quell.phantoms.details import specks, strands
from quell.phantoms.limb import limb
from quell.phantoms.organs import abdomen, chest, pelvis
from quell.phantoms.palettes import Palette, ct_palette, mr_palette
from quell.phantoms.scene import Scene
from quell.phantoms.shapes import Canvas, Region, coverage, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.skeleton import ribs, spine
from quell.phantoms.tubes import along, tube_coverage

_PARTS = {"chest": chest, "abdomen": abdomen, "pelvis": pelvis}


def draw_body(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    distance: float,
    *,
    ct: bool | None = None,
    whole: bool = False,
) -> Canvas:
    """Draw a chest, an abdomen, a pelvis or a limb; values in HU/1000 or MR signal.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (slices, rows, columns)
    distance : float
        Of neighbouring slices, pixels.
    ct : bool, optional
        Whether as CT shows it; at random by default.
    whole : bool
        Whether the body has to end within the image.
    """
    drawn = rng.random() < 0.65
    ct = drawn if ct is None else ct
    palette = ct_palette(rng) if ct else mr_palette(rng)
    share = float(np.exp(rng.uniform(np.log(0.42), np.log(1.3))))
    if whole:
        share = 0.36 + 0.05 * share
    loose = max(0.0, 1 - 0.45 / share)
    canvas = new_canvas(
        rng,
        shape,
        min(shape[1:]) * share,
        distance=distance,
        shift=(float(rng.uniform(-0.75, 0.75)) * loose, float(rng.uniform(-1, 1)) * loose),
        bend=rng.uniform(0.01, 0.04),
        background=palette["air"],
    )
    part = str(rng.choice(["chest", "abdomen", "pelvis", "limb"], p=[0.28, 0.4, 0.17, 0.15]))
    if part == "limb":
        limb(Scene(rng, canvas, palette))
    else:
        _trunk(rng, canvas, palette, part)
    if ct and rng.random() < 0.5:
        _table(rng, canvas)
    if not ct:
        canvas.values *= np.exp(np.float32(rng.uniform(0, 0.25)) * canvas.field(rng, 0.9))
    return canvas


def _trunk(rng: np.random.Generator, canvas: Canvas, palette: Palette, part: str) -> None:
    deep, fat = rng.uniform(0.62, 0.8), rng.uniform(0.02, 0.16)
    wall = fat + rng.uniform(0.06, 0.13)
    whole = ellipsoid(
        canvas,
        (0, 0, 0),
        (3, deep, 1),
        squareness=rng.uniform(0.1, 0.7),
        outline=wobble(rng, 0.02),
        tilt=(0.05, 0),
    )
    if whole is not None:
        _wall(rng, canvas, palette, whole, fat * canvas.scale, wall * canvas.scale)
    scene = Scene(rng, canvas, palette, wide=1 - wall, deep=deep - wall)
    _PARTS[part](scene)
    spine(scene)
    if part != "pelvis":
        ribs(scene)
    specks(rng, canvas, palette)


def _wall(
    rng: np.random.Generator, canvas: Canvas, palette: Palette, whole: Region, fat: float, wall: float
) -> None:
    """Paint skin, fat and layered muscle down to the fat of the cavity; insets in pixels."""
    for inset, name in ((0.0, "skin"), (rng.uniform(1.2, 3), "fat"), (fat, "muscle")):
        paint(canvas, whole, palette[name], inset=inset, edge=rng.uniform(1, 1.6))
    view = canvas.values[whole.window]
    thickness = canvas.field(rng, 0.3)[whole.window]
    for layer in rng.uniform(fat, wall, 2):
        sheet = np.clip(np.float32(1.2) * thickness + 0.2 - np.abs(whole.depth - np.float32(layer)), 0, 1)
        view += sheet * np.float32(palette["fat"] - palette["muscle"]) * np.float32(rng.uniform(0.4, 1))
    opposite = np.zeros_like(canvas.values)
    opposite[whole.window] = coverage(whole, 2.0, 4.0) * (
        np.float32(palette["fat"] + palette["muscle"]) - 2 * view
    )
    strands(rng, canvas, opposite, rng.uniform(0.05, 0.12), rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.6))
    paint(canvas, whole, palette["fat"], inset=wall, edge=rng.uniform(1, 2))


def _table(rng: np.random.Generator, canvas: Canvas) -> None:
    """Paint the thin shells of a patient table below the body."""
    t = np.linspace(-1, 1, 14)
    low, sag = rng.uniform(0.95, 1.15), rng.uniform(0.0, 0.35)
    for k in range(2):
        y = low - sag * t**2 + 0.12 * k
        sheet = tube_coverage(
            canvas, along(np.stack([0 * t, y, 1.1 * t], axis=1), rng.uniform(0.5, 1.5) / canvas.scale)
        )
        sheet *= canvas.values < -0.5
        canvas.values += sheet.max(axis=0) * np.float32(rng.uniform(0.3, 0.9))
