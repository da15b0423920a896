"""Pictures of real images before and after, and of what was removed.

``python benchmarks/pictures.py DATA -o docs/pictures``

All are of patients that no training saw. Before and after share one window; the difference is shown
from minus to plus four times the noise level that was found.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Raster
from PIL import ImageDraw, ImageFont

from quell.evaluation.report.summary import display_window
from quell.image import FloatArray, Image
from quell.jobs.denoising import Denoising, JobSettings
from quell.training.pack import load

HEIGHT = 420
MARGIN = 6


@dataclass(frozen=True)
class Show:
    """What to show of one image.

    Attributes
    ----------
    name : str
        Of the picture.
    path, modality : str
    part : tuple of float
        Which slice, as a share of all; then top, bottom, left and right as shares of the sides.
    title : str
    """

    name: str
    path: str
    modality: str
    part: tuple[float, float, float, float, float]
    title: str


SHOWS = (
    Show("ct", "ct/crlm_ct_1004", "CT", (0.5, 0.2, 0.8, 0.12, 0.88), "CT, contrast-enhanced abdomen"),
    Show("ct_low_dose", "ct/sts_001_thigh_lowdose.nii.gz", "CT", (0.5, 0, 1, 0, 1), "low-dose CT, thigh"),
    Show("mr", "mri/breast_dce_ucsf_br_06_phase1", "MR", (0.5, 0, 1, 0, 1), "MR, breast"),
    Show(
        "mr_thigh", "mri/sts_001_thigh_t2fs.nii.gz", "MR", (0.5, 0.2, 0.8, 0.05, 0.5), "MR, thigh, T2 fat-sat"
    ),
    Show("pet", "pet/sts_001_fdg", "PT", (0.6, 0.15, 0.85, 0.1, 0.9), "PET, FDG"),
    Show("bone", "nm/bone_wholebody_ge_millennium.dcm", "NM", (0, 0.1, 0.6, 0, 1), "planar bone scan"),
    Show("us", "ultrasound/hc18/147_HC.png", "US", (0, 0, 1, 0, 1), "ultrasound, fetal head"),
    Show("xray", "xray/hannover_cxr/17ad0a56.png", "XR", (0, 0, 1, 0, 1), "radiograph, chest"),
)


def picture(image: Image, after: FloatArray, level: float, show: Show) -> Raster.Image:
    """Return before, after and difference side by side, with a line of text under each."""
    depth, rows, columns = image.shape
    z = min(int(show.part[0] * depth), depth - 1)
    top, bottom, left, right = show.part[1:]
    cut = np.s_[int(top * rows) : int(bottom * rows), int(left * columns) : int(right * columns)]
    low, high = display_window(image, z)
    before, result = image.voxels[z], after[z]
    limit = 4 * level
    texts = ("before", "after", f"difference, {-limit:.3g} to {limit:.3g} {image.units}")
    panels = [
        _panel(_grey(before[cut], low, high), texts[0], f"{show.title}"),
        _panel(_grey(result[cut], low, high), texts[1], ""),
        _panel(_grey((before - result)[cut], -limit, limit), texts[2], ""),
    ]
    width = sum(p.width for p in panels) + 2 * MARGIN
    sheet = Raster.new("L", (width, panels[0].height), 255)
    x = 0
    for panel in panels:
        sheet.paste(panel, (x, 0))
        x += panel.width + MARGIN
    return sheet


def _grey(pixels: FloatArray, low: float, high: float) -> Raster.Image:
    scaled = np.clip((pixels - low) / (high - low), 0, 1)
    raster = Raster.fromarray(np.rint(255 * scaled).astype(np.uint8))
    return raster.resize(
        (round(pixels.shape[1] * HEIGHT / pixels.shape[0]), HEIGHT), Raster.Resampling.LANCZOS
    )


def _panel(raster: Raster.Image, text: str, title: str) -> Raster.Image:
    panel = Raster.new("L", (raster.width, raster.height + 22), 255)
    panel.paste(raster, (0, 0))
    words = f"{title}: {text}" if title else text
    ImageDraw.Draw(panel).text((2, raster.height + 4), words, fill=0, font=ImageFont.load_default(size=13))
    return panel


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of images")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--only", action="append", help="names of pictures; all when not given")
    parser.add_argument("--strength", type=float, help="the usual one of each kind of image if not given")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    denoising = Denoising(JobSettings(strength=arguments.strength))
    for show in SHOWS:
        if arguments.only and show.name not in arguments.only:
            continue
        image = load(arguments.data / show.path, show.modality)
        result = denoising.denoise(image)
        z = min(int(show.part[0] * image.shape[0]), image.shape[0] - 1)
        inside = image.voxels[z] > np.percentile(image.voxels[z], 50)
        level = float(np.median(result.noise.pixels(z)[inside]))
        picture(image, result.image.voxels, level, show).save(
            arguments.out / f"{show.name}.png", optimize=True
        )
        print(f"{show.name}.png: noise {level:.3g} {image.units} where the image is bright")


if __name__ == "__main__":
    main()
