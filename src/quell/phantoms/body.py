"""Slices through a trunk or a limb, as CT or MR shows them."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray
from quell.phantoms.details import lesions, specks, vessels_within
from quell.phantoms.shapes import Canvas, Region, coverage, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.tubes import along, tube_coverage

Palette = dict[str, float]


def ct_palette(rng: np.random.Generator) -> Palette:
    """Draw tissue values in HU/1000, with or without contrast agent."""
    agent = rng.choice([0.0, 0.1, 0.2, 0.35]) * rng.uniform(0.6, 1.2)
    n = rng.normal
    return {
        "air": -1.0, "fat": -0.1 + n(0, 0.012), "muscle": 0.055 + n(0, 0.012), "skin": 0.04 + n(0, 0.03),
        "lung": rng.uniform(-0.92, -0.7), "blood": 0.045 + agent, "liver": 0.06 + 0.3 * agent + n(0, 0.015),
        "spleen": 0.05 + 0.35 * agent + n(0, 0.015), "kidney": 0.035 + 0.6 * agent, "pulp": 0.03 + 0.3 * agent,
        "bowel": 0.03 + n(0, 0.02), "content": rng.choice([0.02, 0.05, -0.02, 0.3]), "fluid": 0.005 + n(0, 0.01),
        "cortex": rng.uniform(0.45, 1.3), "marrow": rng.uniform(0.08, 0.3), "disc": 0.09,
        "gas": rng.uniform(-1.0, -0.85),
    }  # fmt: skip


def mr_palette(rng: np.random.Generator) -> Palette:
    """Draw tissue values of a random MR weighting, air at 0."""
    names = (
        "fat",
        "muscle",
        "skin",
        "blood",
        "liver",
        "spleen",
        "kidney",
        "pulp",
        "bowel",
        "content",
        "fluid",
    )
    values = {name: float(rng.uniform(0.12, 1.0)) for name in names}
    values["liver"] = float(np.clip(values["muscle"] + rng.normal(0, 0.15), 0.08, 1))
    values["fat"] = float(rng.choice([rng.uniform(0.6, 1.1), rng.uniform(0.05, 0.2)]))
    dark = {"air": 0.0, "gas": 0.0, "lung": rng.uniform(0, 0.08), "cortex": rng.uniform(0, 0.1)}
    return values | dark | {"marrow": values["fat"] * rng.uniform(0.5, 0.9), "disc": rng.uniform(0.1, 0.8)}


def draw_body(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw a chest, an abdomen, a pelvis or a limb; values in HU/1000 or MR signal."""
    palette = ct_palette(rng) if rng.random() < 0.65 else mr_palette(rng)
    size = min(shape[1:])
    scale = size * float(np.exp(rng.uniform(np.log(0.42), np.log(1.3))))
    loose = max(0.0, scale / size - 0.45)
    shift = (rng.uniform(-1, 1) * loose * 0.75, rng.uniform(-1, 1) * loose)
    canvas = new_canvas(
        rng, shape, scale, distance=distance, shift=(shift[0] * size / scale, shift[1] * size / scale),
        bend=rng.uniform(0.01, 0.04), background=palette["air"],
    )  # fmt: skip
    part = rng.choice(["chest", "abdomen", "pelvis", "limb"], p=[0.28, 0.4, 0.17, 0.15])
    if part == "limb":
        _limb(rng, canvas, palette)
    else:
        _trunk(rng, canvas, palette, str(part))
    return canvas


def _trunk(rng: np.random.Generator, canvas: Canvas, palette: Palette, part: str) -> None:
    deep = rng.uniform(0.62, 0.8)
    outline = wobble(rng, 0.02)
    square = rng.uniform(0.1, 0.7)

    def shell(fraction: float, less: float) -> Region | None:
        radii = (3.0, deep * fraction - less, fraction - less)
        return ellipsoid(canvas, (0, 0, 0), radii, squareness=square, outline=outline, tilt=(0.05, 0.0))

    fat = rng.uniform(0.02, 0.16)
    paint(canvas, shell(1.0, 0.0), palette["skin"])
    paint(canvas, shell(1.0, 2.0 / 110), palette["fat"])
    paint(canvas, shell(1.0, fat), palette["muscle"], edge=rng.uniform(1, 2))
    wall = fat + rng.uniform(0.06, 0.13)
    cavity = shell(1.0, wall)
    paint(canvas, cavity, palette["fat"], edge=rng.uniform(1, 2))
    {"chest": _chest, "abdomen": _abdomen, "pelvis": _pelvis}[part](
        rng, canvas, palette, 1 - wall, deep - wall
    )
    _spine(rng, canvas, palette, deep - wall)
    if part != "pelvis":
        _ribs(rng, canvas, palette, 1 - wall, deep - wall)
    specks(rng, canvas, palette)


def _spine(rng: np.random.Generator, canvas: Canvas, palette: Palette, deep: float) -> None:
    y = deep * rng.uniform(0.62, 0.8)
    r = rng.uniform(0.12, 0.17)
    for side in (-1, 1):
        muscle = ellipsoid(
            canvas, (0, y + 0.9 * r, side * 1.5 * r), (2, 0.9 * r, 1.3 * r), outline=wobble(rng, 0.1)
        )
        paint(canvas, muscle, palette["muscle"])
        process = along(
            np.array([[0, y + 0.6 * r, side * 0.7 * r], [0.05, y + 1.1 * r, side * 1.9 * r]]), 0.2 * r
        )
        _bone_tube(canvas, palette, process)
    _bone_tube(canvas, palette, along(np.array([[0, y + 1.5 * r, 0], [0.1, y + 2.6 * r, 0.0]]), 0.2 * r))
    ring = wobble(rng, 0.06)
    body = ellipsoid(canvas, (0, y, 0), (2, 0.8 * r, r), outline=ring)
    paint(canvas, body, palette["cortex"])
    paint(canvas, body, palette["marrow"], inset=rng.uniform(0.03, 0.09) * r * canvas.scale + 1)
    canal = ellipsoid(canvas, (0, y + 1.2 * r, 0), (2, 0.55 * r, 0.62 * r))
    paint(canvas, canal, palette["cortex"])
    paint(canvas, canal, palette["fluid"], inset=0.14 * r * canvas.scale)
    paint(canvas, ellipsoid(canvas, (0, y + 1.2 * r, 0), (2, 0.2 * r, 0.25 * r)), palette["pulp"])


def _bone_tube(canvas: Canvas, palette: Palette, tubes: object) -> None:
    from quell.phantoms.tubes import Tubes

    assert isinstance(tubes, Tubes)
    cover = tube_coverage(canvas, tubes)
    canvas.values += cover * (np.float32(palette["cortex"]) - canvas.values)
    inner = tube_coverage(canvas, tubes._replace(radius=tubes.radius * np.float32(0.55)), edge=1.5)
    canvas.values += inner * (np.float32(palette["marrow"]) - canvas.values)


def _ribs(rng: np.random.Generator, canvas: Canvas, palette: Palette, wide: float, deep: float) -> None:
    thick = rng.uniform(0.022, 0.04)
    for side in (-1, 1):
        for angle in np.arange(-0.9, 1.25, rng.uniform(0.33, 0.5)) + rng.normal(0, 0.05):
            y, x = (deep + 0.02) * np.sin(angle), side * (wide + 0.02) * np.cos(angle)
            turn = np.arctan2(wide * np.sin(angle) * -side, deep * np.cos(angle)) + np.pi / 2
            length = rng.uniform(0.08, 0.2)
            tilt = rng.uniform(0.3, 1.0)
            way = (tilt * np.cos(angle), -tilt * side * np.sin(angle))
            rib = ellipsoid(canvas, (rng.normal(0, 0.05), y, x), (0.2, thick, length), angle=turn, tilt=way)
            paint(canvas, rib, palette["cortex"])
            paint(canvas, rib, palette["marrow"], inset=max(1.2, 0.3 * thick * canvas.scale))


def _chest(rng: np.random.Generator, canvas: Canvas, palette: Palette, wide: float, deep: float) -> None:
    lungs = np.zeros_like(canvas.values)
    for side in (-1, 1):
        centre = (0.0, rng.normal(0.02, 0.04), side * wide * rng.uniform(0.48, 0.54))
        radii = (rng.uniform(0.6, 2), deep * rng.uniform(0.8, 0.95), wide * rng.uniform(0.4, 0.47))
        lung = ellipsoid(canvas, centre, radii, squareness=0.4, outline=wobble(rng, 0.08))
        if lung is None:
            continue
        paint(canvas, lung, palette["lung"], edge=rng.uniform(1, 2))
        np.maximum(lungs[lung.window], coverage(lung, 2.0), out=lungs[lung.window])
        hilum = (rng.normal(0, 0.1), centre[1] + rng.normal(0, 0.05), side * wide * 0.15)
        for _ in range(rng.integers(2, 4)):
            vessels_within(rng, canvas, lungs, hilum, (0.4 * rng.normal(), rng.normal(), side * 1.2),
                           radius=rng.uniform(0.025, 0.045), contrast=palette["blood"] - palette["lung"], flatness=0.5)  # fmt: skip
    heart = ellipsoid(
        canvas,
        (0, -0.2 * deep, 0.12),
        (0.9, 0.45 * deep, 0.33),
        angle=rng.uniform(0, 1),
        outline=wobble(rng, 0.1),
    )
    paint(canvas, heart, palette["muscle"], edge=rng.uniform(1, 3))
    for _ in range(rng.integers(2, 5)):
        r = rng.uniform(0.06, 0.13)
        place = (0, rng.uniform(-0.4, 0.1) * deep, rng.uniform(-0.1, 0.3))
        paint(
            canvas,
            ellipsoid(canvas, place, (0.6, r, 1.3 * r), angle=rng.uniform(0, 3), outline=wobble(rng, 0.1)),
            palette["blood"],
            edge=2,
        )
    _great_vessels(rng, canvas, palette, deep)
    trachea = ellipsoid(canvas, (0, 0.1 * deep, 0.0), (3, 0.05, 0.055))
    if rng.random() < 0.5:
        paint(canvas, trachea, palette["gas"])
    lesions(rng, canvas, int(rng.integers(0, 8)), contrast=(0.2, 0.9), mask=lungs > 0.9)


def _great_vessels(rng: np.random.Generator, canvas: Canvas, palette: Palette, deep: float) -> None:
    for x in (rng.uniform(0.05, 0.12), -rng.uniform(0.08, 0.14)):
        r = rng.uniform(0.05, 0.085)
        region = ellipsoid(
            canvas,
            (0, deep * rng.uniform(0.3, 0.42), x),
            (4, r * rng.uniform(0.7, 1), r),
            tilt=(0, rng.normal(0, 0.2)),
        )
        paint(canvas, region, palette["blood"] * rng.uniform(0.8, 1.05))
        if rng.random() < 0.3 and region is not None:
            paint(canvas, region, palette["cortex"], opacity=0.5 * rng.random(), edge=1)
            paint(canvas, region, palette["blood"], inset=1.2)


def _organ(
    rng: np.random.Generator, canvas: Canvas, value: float, centre: tuple[float, float, float],
    radii: tuple[float, float, float], rough: float = 0.12,
) -> Region | None:  # fmt: skip
    region = ellipsoid(canvas, centre, radii, angle=rng.normal(0, 0.4), squareness=rng.uniform(0, 0.5),
                       outline=wobble(rng, rough), tilt=(rng.normal(0, 0.25), rng.normal(0, 0.25)))  # fmt: skip
    paint(canvas, region, value, edge=rng.uniform(1, 2.5))
    return region


def _full(canvas: Canvas, region: Region | None) -> FloatArray:
    mask = np.zeros_like(canvas.values)
    if region is not None:
        mask[region.window] = coverage(region, 2.0, 1.0)
    return mask


def _abdomen(rng: np.random.Generator, canvas: Canvas, palette: Palette, wide: float, deep: float) -> None:
    _bowel(rng, canvas, palette, wide, deep)
    flip = rng.choice([-1, 1])
    liver = _organ(
        rng, canvas, palette["liver"], (0, -0.1 * deep, -flip * 0.45 * wide), (0.9, 0.72 * deep, 0.5 * wide)
    )
    inside = _full(canvas, liver)
    lesions(rng, canvas, int(rng.integers(0, 10)), contrast=(0.005, 0.1), mask=inside > 0.9)
    agent = palette["blood"] - palette["liver"]
    strength = np.sign(agent or 1) * max(abs(agent), 0.015)
    for _ in range(rng.integers(1, 4)):
        start = (rng.normal(0, 0.15), rng.normal(0, 0.15) * deep, -flip * 0.15 * wide)
        vessels_within(rng, canvas, inside, start, (rng.normal(), rng.normal(), -flip * 1.5), radius=rng.uniform(0.02, 0.045),
                       contrast=float(strength) * rng.uniform(0.3, 1), flatness=0.6)  # fmt: skip
    spleen = _organ(
        rng, canvas, palette["spleen"], (0, 0.15 * deep, flip * 0.75 * wide), (0.5, 0.42 * deep, 0.2 * wide)
    )
    lesions(rng, canvas, int(rng.integers(0, 3)), contrast=(0.005, 0.1), mask=_full(canvas, spleen) > 0.9)
    for side in (-1, 1):
        if rng.random() < 0.85:
            _kidney(
                rng, canvas, palette, side * wide * rng.uniform(0.4, 0.5), deep * rng.uniform(0.35, 0.5), side
            )
    _great_vessels(rng, canvas, palette, deep)
    _organ(rng, canvas, palette["pulp"] + 0.02, (0, 0.05 * deep, 0.1 * flip), (0.3, 0.08, 0.3), 0.25)


def _kidney(
    rng: np.random.Generator, canvas: Canvas, palette: Palette, x: float, y: float, side: int
) -> None:
    r = rng.uniform(0.11, 0.17)
    centre = (rng.normal(0, 0.15), y, x)
    turn = side * rng.uniform(0.2, 0.9)
    shape = wobble(rng, 0.08)
    outer = ellipsoid(canvas, centre, (2.2 * r, 1.3 * r, r), angle=turn, outline=shape)
    paint(canvas, outer, palette["kidney"])
    for angle in np.arange(0, 2 * np.pi, 0.7) + rng.uniform(0, 1):
        place = (centre[0], y + 0.75 * r * np.sin(angle), x + 0.6 * r * np.cos(angle))
        paint(canvas, ellipsoid(canvas, place, (0.5 * r, 0.22 * r, 0.2 * r)), palette["pulp"], edge=2)
    sinus = ellipsoid(
        canvas,
        (centre[0], y, x - side * 0.3 * r),
        (1.2 * r, 0.6 * r, 0.55 * r),
        angle=turn,
        outline=wobble(rng, 0.25),
    )
    paint(canvas, sinus, palette["fat"], edge=1.5)
    paint(
        canvas,
        ellipsoid(canvas, (centre[0], y, x - side * 0.2 * r), (0.8 * r, 0.3 * r, 0.2 * r)),
        palette["fluid"],
    )


def _bowel(rng: np.random.Generator, canvas: Canvas, palette: Palette, wide: float, deep: float) -> None:
    for _ in range(rng.integers(8, 26)):
        r = rng.uniform(0.05, 0.13)
        angle, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 0.65))
        centre = (rng.normal(0, 0.1), deep * far * np.sin(angle) - 0.15, wide * far * np.cos(angle))
        loop = ellipsoid(canvas, centre, (rng.uniform(1, 3) * r, r, r * rng.uniform(1, 1.9)), angle=rng.uniform(0, 3),
                         outline=wobble(rng, 0.2), tilt=(rng.normal(0, 0.5), rng.normal(0, 0.5)))  # fmt: skip
        paint(canvas, loop, palette["bowel"])
        kind = rng.random()
        if kind < 0.6:
            inner = palette["gas"] if kind < 0.2 else palette["content"]
            paint(canvas, loop, inner + rng.normal(0, 0.02), inset=rng.uniform(0.15, 0.4) * r * canvas.scale)


def _pelvis(rng: np.random.Generator, canvas: Canvas, palette: Palette, wide: float, deep: float) -> None:
    _bowel(rng, canvas, palette, 0.6 * wide, deep)
    for side in (-1, 1):
        for _ in range(3):
            place = (0, rng.uniform(-0.3, 0.7) * deep, side * wide * rng.uniform(0.5, 0.9))
            _organ(
                rng, canvas, palette["muscle"], place, (2, rng.uniform(0.12, 0.25), rng.uniform(0.12, 0.25))
            )
        t = np.linspace(0, 1, 7)
        bend = rng.uniform(0.1, 0.2)
        path = np.stack(
            [0 * t, deep * (-0.35 + 1.0 * t), side * (wide * (0.8 - 0.45 * t) + bend * np.sin(np.pi * t))], 1
        )
        _bone_tube(canvas, palette, along(path, rng.uniform(0.025, 0.06)))
        head = ellipsoid(
            canvas,
            (rng.normal(0, 0.1), rng.normal(0, 0.1), side * 0.68 * wide),
            (0.15, 0.13, 0.13),
            outline=wobble(rng, 0.05),
        )
        if rng.random() < 0.5:
            paint(canvas, head, palette["cortex"])
            paint(canvas, head, palette["marrow"] + 0.1, inset=0.02 * canvas.scale + 1)
    bladder = _organ(
        rng, canvas, palette["muscle"], (0, -0.3 * deep, rng.normal(0, 0.05)), (0.3, 0.25 * deep, 0.28 * wide)
    )
    paint(canvas, bladder, palette["fluid"] + (0.2 if rng.random() < 0.2 else 0), inset=0.02 * canvas.scale)


def _limb(rng: np.random.Generator, canvas: Canvas, palette: Palette) -> None:
    outline = wobble(rng, 0.05)
    fat = rng.uniform(0.05, 0.25)
    deep = rng.uniform(0.8, 1)
    for less, name in ((0.0, "skin"), (0.02, "fat"), (fat, "muscle")):
        paint(
            canvas, ellipsoid(canvas, (0, 0, 0), (5, deep - less, 1 - less), outline=outline), palette[name]
        )
    inside = _full(canvas, ellipsoid(canvas, (0, 0, 0), (5, deep - fat, 1 - fat), outline=outline))
    septa = np.abs(canvas.field(rng, 0.22)) * (0.22 * canvas.scale) - rng.uniform(0.5, 1.5)
    canvas.values += inside * np.clip(0.5 - septa, 0, 1) * np.float32(palette["fat"] - palette["muscle"])
    canvas.values += inside * canvas.field(rng, 0.3) * np.float32(0.012)
    for _ in range(rng.integers(1, 3)):
        place = (0, rng.uniform(-0.3, 0.3), rng.uniform(-0.35, 0.35))
        r = rng.uniform(0.12, 0.22)
        bone = ellipsoid(
            canvas, place, (4, r, r * rng.uniform(0.8, 1.2)), outline=wobble(rng, 0.06), tilt=(0, 0.1)
        )
        paint(canvas, bone, palette["cortex"])
        paint(canvas, bone, palette["marrow"], inset=rng.uniform(0.1, 0.45) * r * canvas.scale)
    for _ in range(rng.integers(2, 9)):
        angle, far, r = rng.uniform(0, 6.3), rng.uniform(0.3, 0.95), rng.uniform(0.012, 0.05)
        place = (0, deep * far * np.sin(angle), far * np.cos(angle))
        paint(canvas, ellipsoid(canvas, place, (3, r, r), tilt=(0.3, 0.3)), palette["blood"])
    lesions(rng, canvas, int(rng.integers(0, 8)), contrast=(0.005, 0.1), mask=inside > 0.9)
    specks(rng, canvas, palette)
