"""Random anatomy in the units of each modality, with round lesions of exact size in it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from quell.image import Acquisition, BoolArray, FloatArray, Modality
from quell.phantoms.body import draw_body
from quell.phantoms.counts import draw_counts
from quell.phantoms.coverage import Array, Covered, Grid, cylinder, sphere
from quell.phantoms.drawing import Drawing, blank, finished
from quell.phantoms.objects import TestObject
from quell.phantoms.procedural import as_scanned
from quell.phantoms.radiograph import draw_radiograph
from quell.phantoms.ultrasound import draw_ultrasound

_CT_GRID = Grid((6, 384, 384), (3.0, 0.9, 0.9))
_MR_GRID = Grid((6, 256, 256), (4.0, 1.3, 1.3))
_PET_GRID = Grid((16, 128, 128), (4.0, 4.0, 4.0))
_SPECT_GRID = Grid((16, 64, 64), (6.4, 6.4, 6.4))
_NM_GRID = Grid((1, 256, 256), (1.0, 2.4, 2.4))
_US_GRID = Grid((1, 400, 400), (1.0, 0.1, 0.1))
_XR_GRID = Grid((1, 768, 768), (1.0, 0.2, 0.2))
_SITES = 200
_INSIDE = 0.9
"""Least share of a lesion that lies in the tissue it is meant for."""
_WATER = {"anatomy-pet": 0.0096, "anatomy-spect": 0.0154}
_BONE_SLOPE = {"anatomy-pet": 0.5, "anatomy-spect": 0.75}
"""Rise of attenuation with the CT number above water, over that below: bone attenuates CT's X-rays more."""


def anatomy_ct(rng: np.random.Generator, *, grid: Grid = _CT_GRID, lesions: int = 4) -> TestObject:
    """Draw a trunk or a limb in HU, with lesions of 5 to 20 mm and 10 to 60 HU, brighter or darker."""
    body = draw_body(rng, grid.shape, _distance(grid), ct=True, whole=True)
    drawing = _sheet(grid, 1000.0 * as_scanned(rng, body))
    soft = (drawing.values > -20) & (drawing.values < 150)
    _lesions(rng, drawing, soft, lesions, (5, 20), (10, 60), darker=0.5)
    return finished("anatomy-ct", Modality.CT, "HU", drawing, {})


def anatomy_mr(rng: np.random.Generator, *, grid: Grid = _MR_GRID, lesions: int = 4) -> TestObject:
    """Draw a trunk or a limb in a random weighting; lesions of 5 to 20 mm, 5 to 40 % of the full signal."""
    body = draw_body(rng, grid.shape, _distance(grid), ct=False, whole=True)
    drawing = _sheet(grid, 1000.0 * np.maximum(as_scanned(rng, body), 0))
    tissue = drawing.values > 100
    _lesions(rng, drawing, tissue, lesions, (5, 20), (50, 400), darker=0.3)
    np.maximum(drawing.values, 0, out=drawing.values)
    return finished("anatomy-mr", Modality.MR, "arbitrary", drawing, {})


def anatomy_pet(rng: np.random.Generator, *, grid: Grid = _PET_GRID, lesions: int = 4) -> TestObject:
    """Draw uptake in a trunk in Bq/ml and its attenuation at 511 keV; hot lesions of 8 to 30 mm."""
    taken = Acquisition(thickness=grid.spacing[0], corrections=("ATTN", "SCAT", "DECY"))
    return _emission(rng, "anatomy-pet", Modality.PT, "Bq/ml", grid, 4000.0, lesions, taken)


def anatomy_spect(rng: np.random.Generator, *, grid: Grid = _SPECT_GRID, lesions: int = 3) -> TestObject:
    """Draw uptake in a trunk and its attenuation at 140 keV; hot lesions of 12 to 40 mm."""
    return _emission(rng, "anatomy-spect", Modality.NM, "counts", grid, 100.0, lesions, None)


def anatomy_nm(
    rng: np.random.Generator,
    *,
    grid: Grid = _NM_GRID,
    lesions: int = 3,
    counts: float = 5e5,
) -> TestObject:
    """Draw expected counts of a planar image; hot lesions of 8 to 30 mm."""
    drawing = _sheet(grid, draw_counts(rng, grid.shape, _distance(grid)).values)
    active = drawing.values > 0.2 * drawing.values.max()
    level = float(drawing.values[active].mean())
    _lesions(rng, drawing, active, lesions, (8, 30), (0.5 * level, 4 * level), darker=0.0)
    scale = counts / float(drawing.values.sum())
    drawing.values *= scale
    for one in drawing.inserts:
        one["contrast"] *= scale
    taken = Acquisition(counts=counts)
    about = {"total_counts": counts}
    return finished("anatomy-nm", Modality.NM, "counts", drawing, about, acquisition=taken)


def anatomy_us(rng: np.random.Generator, *, grid: Grid = _US_GRID, lesions: int = 4) -> TestObject:
    """Draw echo levels in dB, from -60 to 30 around 0; lesions of 2 to 8 mm, 4 to 15 dB off."""
    tissue = draw_ultrasound(rng, grid.shape, _distance(grid), sectors=False)
    level = 60 * (as_scanned(rng, tissue) - 0.5)
    drawing = _sheet(grid, np.clip(level, -60, 30))
    _lesions(rng, drawing, drawing.values > -25, lesions, (2, 8), (4, 15), darker=0.6)
    return finished("anatomy-us", Modality.US, "dB", drawing, {})


def anatomy_xr(
    rng: np.random.Generator,
    *,
    grid: Grid = _XR_GRID,
    lesions: int = 4,
    signal: float = 1000.0,
) -> TestObject:
    """Draw the detector signal behind a chest or bones; lesions of 3 to 20 mm, 2 to 15 % of the signal."""
    depth = as_scanned(rng, draw_radiograph(rng, grid.shape, _distance(grid)))
    drawing = _sheet(grid, signal * np.exp(np.clip(-1.5 * (depth - np.median(depth)), -3.5, 2)))
    everywhere = np.ones(grid.shape, np.bool_)
    _lesions(rng, drawing, everywhere, lesions, (3, 20), (0.02, 0.15), darker=0.7, relative=True)
    taken = Acquisition(presentation=False, intensity="LIN")
    return finished("anatomy-xr", Modality.XR, "arbitrary", drawing, {}, acquisition=taken)


def _sheet(grid: Grid, values: Array | FloatArray) -> Drawing:
    drawing = blank(grid)
    drawing.values += values
    return drawing


def _distance(grid: Grid) -> float:
    """Return the distance of neighbouring slices in pixels."""
    return grid.spacing[0] / grid.spacing[1]


def _emission(
    rng: np.random.Generator,
    name: str,
    modality: Modality,
    units: str,
    grid: Grid,
    level: float,
    lesions: int,
    taken: Acquisition | None,
) -> TestObject:
    """Turn the CT numbers of a body into uptake, by a random law, and into attenuation."""
    drawn = draw_body(rng, grid.shape, _distance(grid), ct=True, whole=True)
    hounsfield = as_scanned(rng, drawn).astype(np.float64)
    body = _body(hounsfield)
    knots = np.array([-1.0, -0.8, -0.5, -0.15, -0.05, 0.02, 0.06, 0.12, 0.3, 1.3])
    usual = np.array([0.0, 0.4, 0.4, 0.3, 0.5, 0.8, 1.0, 1.5, 1.2, 0.8])
    uptake = usual * np.exp(rng.normal(0, 0.35, len(knots)))
    drawing = blank(grid)
    drawing.values += level * np.interp(hounsfield, knots, uptake) * body
    reach = (8, 30) if modality is Modality.PT else (12, 40)
    _lesions(rng, drawing, body > 0, lesions, reach, (2 * level, 8 * level), darker=0.0)
    bone = np.where(hounsfield > 0, _BONE_SLOPE[name] * hounsfield, hounsfield)
    mu = _WATER[name] * np.maximum(1 + bone, 0) * body
    about = {"level": level, "attenuation_of_water_per_mm": _WATER[name]}
    return finished(name, modality, units, drawing, about, attenuation=mu, acquisition=taken)


def _body(hounsfield: Array) -> BoolArray:
    """Return the body with all that is in it, without the table under it."""
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in hounsfield > -0.95])
    # Shells of a table are thin; a body is not, once its lungs are filled.
    thick = ndimage.binary_opening(filled, np.ones((1, 3, 3)), iterations=2)
    found, count = ndimage.label(thick)
    if not count:
        return np.asarray(filled, np.bool_)
    largest = found == 1 + int(np.argmax(np.bincount(found.ravel())[1:]))
    return np.asarray(ndimage.binary_dilation(largest, np.ones((1, 3, 3))) & filled, np.bool_)


def _lesions(
    rng: np.random.Generator,
    drawing: Drawing,
    where: BoolArray,
    count: int,
    diameters: tuple[float, float],
    contrasts: tuple[float, float],
    *,
    darker: float,
    relative: bool = False,
) -> None:
    """Add balls (discs in a single slice) that lie in `where`, none over another.

    `diameters` in mm and `contrasts` span log-uniform draws; `relative` contrasts multiply what is there.
    """
    grid = drawing.grid
    sites = np.argwhere(where)
    for site in sites[rng.integers(len(sites), size=_SITES)] if len(sites) else ():
        if len(drawing.inserts) == count:
            return
        place = tuple(float(grid.centres(axis)[k]) for axis, k in enumerate(site))
        diameter, size = (float(np.exp(rng.uniform(*np.log(span)))) for span in (diameters, contrasts))
        contrast = -size if rng.random() < darker else size
        covered = _round(grid, (place[0], place[1], place[2]), diameter)
        inside = (where[covered.window] * covered.part).sum() > _INSIDE * covered.part.sum()
        taken = drawing.labels[covered.window][covered.part > 0].any()
        if taken or not (inside and _whole(grid, place, diameter)):
            continue
        under = drawing.values[covered.window] * contrast if relative else contrast
        drawing.add(covered, under)
        kind = {"relative_contrast": contrast} if relative else {"contrast": contrast}
        drawing.note(covered, "lesion", centre_mm=place, diameter_mm=diameter, **kind)


def _round(grid: Grid, place: tuple[float, float, float], diameter: float) -> Covered:
    if grid.shape[0] == 1:
        return cylinder(grid, (place[1], place[2]), (diameter / 2, diameter / 2))
    return sphere(grid, place, diameter)


def _whole(grid: Grid, place: tuple[float, ...], diameter: float) -> bool:
    """Whether a ball lies within the grid (along the plane alone where there is one slice)."""
    first = 1 if grid.shape[0] == 1 else 0
    half = [grid.edges(axis)[-1] for axis in range(3)]
    return all(abs(place[axis]) + diameter / 2 <= half[axis] for axis in range(first, 3))
