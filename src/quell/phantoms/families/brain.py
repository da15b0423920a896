"""A brain for MR: fractions of tissue, their PD, T1 and T2, and the signal that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from quell.image import FloatArray, Modality
from quell.phantoms.brain import cortex, ventricles, vessels
from quell.phantoms.coverage import Grid, sphere
from quell.phantoms.drawing import Drawing, blank, finished
from quell.phantoms.objects import TestObject
from quell.phantoms.scene import Scene
from quell.phantoms.shapes import ellipsoid, new_canvas, paint, wobble


class Tissue(NamedTuple):
    """Proton density, and T1 and T2 in ms, at 1.5 T."""

    pd: float
    t1_ms: float
    t2_ms: float


TISSUES: Mapping[str, Tissue] = {
    "csf": Tissue(1.0, 2569.0, 329.0),
    "grey": Tissue(0.86, 833.0, 83.0),
    "white": Tissue(0.77, 500.0, 70.0),
    "scalp": Tissue(1.0, 350.0, 70.0),
    "skull": Tissue(0.0, 1000.0, 1.0),
    "diploe": Tissue(0.6, 350.0, 60.0),
    "blood": Tissue(0.9, 1441.0, 290.0),
    "lesion": Tissue(0.9, 1200.0, 150.0),
}
"""CSF, grey and white matter, fat: the values of BrainWeb (Kwan, Evans and Pike, IEEE Trans Med Imaging 18
(1999) 1085); blood: Stanisz et al., Magn Reson Med 54 (2005) 507; the others are round figures of ours."""

_GRID = Grid((12, 256, 256), (4.0, 0.9, 0.9))
_HALF_LENGTH_MM = 92.0
_LESIONS = 200


@dataclass(frozen=True, eq=False)
class BrainTissues:
    """Which part of each voxel is which tissue.

    Attributes
    ----------
    fractions : mapping of str to ndarray of float32, shape (z, y, x)
        By the names of `TISSUES`; what they leave is air.
    drawing : Drawing
        Grid, labels and list of the lesions.
    """

    fractions: Mapping[str, FloatArray]
    drawing: Drawing

    def signal(self, tr_ms: float, te_ms: float, ti_ms: float | None = None) -> FloatArray:
        """Return the magnitude of a spin echo, 1 for proton density 1 without relaxation.

        ``PD (1 - exp(-TR / T1)) exp(-TE / T2)``; with an inversion pulse
        ``PD |1 - 2 exp(-TI / T1) + exp(-TR / T1)| exp(-TE / T2)``, the tissues of a voxel added up.
        """
        total = sum(
            np.float32(spin_echo(TISSUES[name], tr_ms, te_ms, ti_ms)) * part
            for name, part in self.fractions.items()
        )
        return np.asarray(total, np.float32)

    def maps(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return PD, T1 and T2 in ms; in mixed voxels the means weighted by PD, 0 where there is none."""
        pd = sum(np.float32(TISSUES[name].pd) * part for name, part in self.fractions.items())
        t1, t2 = (
            sum(
                np.float32(TISSUES[name].pd * getattr(TISSUES[name], which)) * part
                for name, part in self.fractions.items()
            )
            for which in ("t1_ms", "t2_ms")
        )
        whole = np.asarray(pd, np.float32)
        weight = np.where(whole > 1e-3, 1 / np.maximum(whole, 1e-3), 0)
        return whole, np.asarray(t1 * weight, np.float32), np.asarray(t2 * weight, np.float32)


def spin_echo(tissue: Tissue, tr_ms: float, te_ms: float, ti_ms: float | None = None) -> float:
    """Return the signal of one tissue; see `BrainTissues.signal`."""
    back = np.exp(-tr_ms / tissue.t1_ms)
    along = 1 - back if ti_ms is None else abs(1 - 2 * np.exp(-ti_ms / tissue.t1_ms) + back)
    return float(tissue.pd * along * np.exp(-te_ms / tissue.t2_ms))


def brain(
    rng: np.random.Generator,
    *,
    grid: Grid = _GRID,
    tr_ms: float = 4000.0,
    te_ms: float = 90.0,
    ti_ms: float | None = None,
    scale: float = 1000.0,
    lesions: int | None = None,
) -> TestObject:
    """Build axial slices of a head and their signal in a spin echo (T2-weighted by default).

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws folds, ventricles, lesions.
    grid : Grid
    tr_ms, te_ms : float
        Repetition and echo time.
    ti_ms : float, optional
        Inversion time: 2200 with TR 9000 gives FLAIR.
    scale : float
        Signal of proton density 1 without relaxation.
    lesions : int, optional
        Number of lesions in the white matter; 1 to 10 at random.
    """
    tissues = brain_tissues(rng, grid, lesions)
    drawing = tissues.drawing
    drawing.values = tissues.signal(tr_ms, te_ms, ti_ms).astype(np.float64) * scale
    signals = {name: scale * spin_echo(one, tr_ms, te_ms, ti_ms) for name, one in TISSUES.items()}
    for one in drawing.inserts:
        one["value"] = signals["lesion"]
        one["contrast_to_white"] = signals["lesion"] - signals["white"]
    about = {
        "tr_ms": tr_ms,
        "te_ms": te_ms,
        "ti_ms": ti_ms,
        "scale": scale,
        "tissues": {name: one._asdict() | {"value": signals[name]} for name, one in TISSUES.items()},
    }
    return finished("mr-brain", Modality.MR, "arbitrary", drawing, about)


def brain_tissues(rng: np.random.Generator, grid: Grid = _GRID, lesions: int | None = None) -> BrainTissues:
    """Draw a head and return the fractions of its tissues.

    Parameters
    ----------
    rng : numpy.random.Generator
    grid : Grid
    lesions : int, optional
        As for `brain`.
    """
    seed, wanted = int(rng.integers(2**32)), int(rng.integers(1, 11))
    names = [name for name in TISSUES if name != "lesion"]
    # Painting mixes values linearly, so that one head drawn with a single tissue at 1 is its fraction.
    fractions = {name: _head(np.random.default_rng(seed), grid, name) for name in names}
    drawing = blank(grid)
    fractions["lesion"] = np.zeros(grid.shape, np.float32)
    _lesions(rng, drawing, fractions, wanted if lesions is None else lesions)
    return BrainTissues(fractions, drawing)


def _head(rng: np.random.Generator, grid: Grid, tissue: str) -> FloatArray:
    palette = dict.fromkeys(["air", *TISSUES], 0.0) | {tissue: 1.0}
    scale = _HALF_LENGTH_MM / grid.spacing[1]
    canvas = new_canvas(rng, grid.shape, scale, distance=grid.spacing[0] / grid.spacing[1], bend=0.015)
    scene = Scene(rng, canvas, palette)
    scalp, skull = rng.uniform(0.04, 0.07), rng.uniform(0.06, 0.09)
    radii = (1.3, 1.0, float(rng.uniform(0.78, 0.86)))
    head = ellipsoid(canvas, (-0.2, 0, 0), radii, outline=wobble(rng, 0.015), squareness=0.2)
    insets = (0.0, scalp, scalp + 0.3 * skull, scalp + 0.7 * skull, scalp + skull)
    for inset, name in zip(insets, ("scalp", "skull", "diploe", "skull", "csf"), strict=True):
        paint(canvas, head, palette[name], inset=inset * scale)
    if head is not None:
        shallow = np.float32((scalp + skull + rng.uniform(0.01, 0.03)) * scale)
        cortex(scene, head._replace(depth=head.depth - shallow))
    ventricles(scene)
    vessels(scene, scene.cover(head, inset=(scalp + skull) * scale))
    return canvas.values


def _lesions(
    rng: np.random.Generator, drawing: Drawing, fractions: dict[str, FloatArray], count: int
) -> None:
    """Put balls of 3 to 14 mm into white matter, none over another."""
    grid, white = drawing.grid, fractions["white"]
    inner = white[1:-1] if white.shape[0] > 2 else white
    sites = np.argwhere(inner > 0.95) + np.array([white.shape[0] > 2, 0, 0])
    for site in sites[rng.integers(len(sites), size=_LESIONS)] if len(sites) else ():
        if len(drawing.inserts) == count:
            return
        place = tuple(float(grid.centres(axis)[k]) for axis, k in enumerate(site))
        diameter = float(np.exp(rng.uniform(np.log(3), np.log(14))))
        ball = sphere(grid, (place[0], place[1], place[2]), diameter)
        share = float((white[ball.window] * ball.part).sum() / ball.part.sum())
        taken = drawing.labels[ball.window][ball.part > 0].any()
        if share < 0.8 or taken:
            continue
        for part in fractions.values():
            part[ball.window] *= (1 - ball.part).astype(np.float32)
        fractions["lesion"][ball.window] += ball.part.astype(np.float32)
        drawing.note(ball, "lesion", centre_mm=place, diameter_mm=diameter)
