"""Real images at a quarter of their dose, and the spectrum of their noise.

``python benchmarks/noise_pictures.py DATA -o docs/pictures [NAME ...]``

There is no real SPECT among the images: a test object that was imaged at full dose stands for it.

Each picture shows an image, what a quarter of the dose would have given (one look of ultrasound), the
difference, and the noise power spectra of both as `quell noise` finds them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image as Raster
from PIL import ImageDraw

from quell.evaluation.report import wording
from quell.evaluation.report.noise_sheet import Curve, plot_spectra, say
from quell.evaluation.report.pictures import to_grey
from quell.evaluation.report.summary import display_window
from quell.formats.contracts import Purpose
from quell.formats.open import open_study
from quell.image import FloatArray, Image, Modality
from quell.jobs.phantom import default_model
from quell.jobs.simulation import SimulationSettings, simulate_image
from quell.noise.estimation import estimate_noise, patient_level
from quell.noise.measures import first_moment, radial
from quell.phantoms.objects import OBJECTS, make_object

HEIGHT, MARGIN, HEAD, FOOT, PLOT = 320, 12, 26, 28, 330
BEFORE, AFTER = (33, 110, 140), (190, 80, 30)


@dataclass(frozen=True)
class Show:
    """What to show.

    Attributes
    ----------
    name, path, title : str
    part : tuple of float
        Which slice, as a share of all; then top, bottom, left and right as shares of the sides.
    slices : int
        How many neighbouring slices are simulated.
    dose : float
        A fraction of the dose; of ultrasound a number of looks.
    modality : Modality or None
        Where the file does not say.
    """

    name: str
    path: str
    title: str
    part: tuple[float, float, float, float, float] = (0.5, 0.0, 1.0, 0.0, 1.0)
    slices: int = 3
    dose: float = 0.25
    modality: Modality | None = None


SHOWS = (
    Show("ct", "ct/crlm_ct_1004", "CT, contrast-enhanced abdomen", (0.5, 0.2, 0.8, 0.12, 0.88)),
    Show("mri", "mri/breast_dce_ucsf_br_06_phase1", "MR, breast"),
    Show("pet", "pet/sts_001_fdg", "PET, FDG", (0.6, 0.15, 0.85, 0.1, 0.9), 24),
    Show("spect", "spect-cardiac", "SPECT of a test object", (0.5, 0.1, 0.9, 0.1, 0.9), 64),
    Show("scintigraphy", "nm/bone_wholebody_ge_millennium.dcm", "bone scan", (0, 0.03, 0.5, 0, 1), 1),
    Show(
        "ultrasound",
        "ultrasound/hc18/012_HC.png",
        "ultrasound, fetal head",
        slices=1,
        dose=1,
        modality=Modality.US,
    ),
    Show(
        "radiography",
        "xray/cr_lower_leg_j2k_lossless.dcm",
        "radiograph, lower leg",
        (0, 0.3, 0.55, 0.3, 0.7),
        slices=1,
    ),
)


def read(path: Path) -> Image:
    """Return the first series that is found at a path."""
    image: Image = open_study(path, Purpose.SIMULATE).series[0].read()
    return image


def acquired(name: str) -> Image:
    """Return a test object as imaged at full dose."""
    made = make_object(name)
    return default_model(made).acquire(made.truth, 1.0, np.random.default_rng(0)).image


def load(show: Show, data: Path) -> Image:
    """Return the slices of a series that are simulated, the shown one in the middle."""
    image = acquired(show.path) if show.path in OBJECTS else read(data / show.path)
    if show.modality is not None:
        image = replace(image, modality=show.modality)
    depth = image.shape[0]
    middle = min(int(show.part[0] * depth), depth - 1)
    start = max(0, min(middle - show.slices // 2, depth - show.slices))
    stop = min(depth, start + show.slices)
    padding = None if image.padding is None else image.padding[start:stop].copy()
    voxels = image.voxels[start:stop].copy()
    return replace(image, voxels=voxels, padding=padding, gaps=(), volume=image.volume and stop - start > 1)


def picture(show: Show, data: Path) -> Raster.Image:
    """Draw one sheet."""
    image = load(show, data)
    amount = {"looks": int(show.dose)} if image.modality is Modality.US else {"dose": show.dose}
    simulated, _ = simulate_image(image, SimulationSettings(seed=1, **amount))
    z = image.shape[0] // 2
    cut = _cut(image, show)
    window = display_window(image, z)
    before, after = image.voxels[z][cut], simulated.image.voxels[z][cut]
    raw = image.modality is Modality.NM and not image.volume
    if raw:
        after = after / np.float32(show.dose)
    limit = float(np.percentile(np.abs(after - before), 98)) or 1.0
    told = "one look" if image.modality is Modality.US else f"{100 * show.dose:.0f} % dose"
    scaled = ", scaled" if raw else ""
    panels = [
        _panel(before, window, image, show.title),
        _panel(after, window, image, f"{told}, simulated{scaled}"),
        _panel(after - before, (-limit, limit), image, f"difference, -/+ {wording.number(limit)}"),
    ]
    width = sum(panel.width + MARGIN for panel in panels) + PLOT + 90
    sheet = Raster.new("RGB", (width, HEAD + HEIGHT + FOOT), "white")
    x = 0
    for panel in panels:
        sheet.paste(panel, (x, 0))
        x += panel.width + MARGIN
    _spectra(sheet, x + 70, image, simulated.image, told)
    return sheet


def _cut(image: Image, show: Show) -> tuple[slice, slice]:
    _, rows, columns = image.shape
    top, bottom, left, right = show.part[1:]
    return (
        slice(int(top * rows), int(bottom * rows)),
        slice(int(left * columns), int(right * columns)),
    )


def _panel(pixels: FloatArray, window: tuple[float, float], image: Image, words: str) -> Raster.Image:
    grey = Raster.fromarray(to_grey(pixels, *window))
    _, dy, dx = image.geometry.spacing
    width = round(HEIGHT * pixels.shape[1] * dx / (pixels.shape[0] * dy))
    panel = Raster.new("RGB", (max(width, 150), HEAD + HEIGHT + FOOT), "white")
    panel.paste(grey.resize((width, HEIGHT), Raster.Resampling.LANCZOS), (0, HEAD))
    say(ImageDraw.Draw(panel), (2, 6), words, 13)
    return panel


def _spectra(sheet: Raster.Image, left: int, image: Image, after: Image, told: str) -> None:
    curves = []
    for one, colour, words in ((image, BEFORE, "as acquired"), (after, AFTER, told)):
        found = estimate_noise(one)
        if found.spectrum is None:
            continue
        curve = radial(found.spectrum)
        level = wording.quantity(patient_level(one, found.level), image.units)
        powers = tuple(float(p) for p in curve.power)
        frequencies = tuple(float(f) for f in curve.frequency)
        mark = first_moment(found.spectrum)
        curves.append(Curve(frequencies, powers, colour, mark, f"{words}: {level}"))
    draw = ImageDraw.Draw(sheet)
    length = "mm" if image.geometry.known else "pixel"
    say(draw, (left, 6), f"noise power, ({wording.unit(image.units)})² {length}²", 13)
    if curves:
        plot_spectra(draw, (left, HEAD + 8, PLOT - 20, HEIGHT - 20), tuple(curves), length)


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of images")
    parser.add_argument("names", nargs="*", help="names of pictures; all when not given")
    parser.add_argument("-o", "--out", type=Path, required=True)
    arguments = parser.parse_intermixed_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for show in SHOWS:
        if arguments.names and show.name not in arguments.names:
            continue
        path = arguments.out / f"noise-{show.name}.png"
        # A palette of 160 colours keeps the noise and a third of the bytes.
        picture(show, arguments.data).quantize(160).save(path, optimize=True)
        print(path)


if __name__ == "__main__":
    main()
