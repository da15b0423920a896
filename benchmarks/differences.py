"""Is there anatomy in what was taken away? Difference images of noisy scans of patients.

``python benchmarks/differences.py --data DATA [--model NAME ...] [--pictures FOLDER] [--seen TEXT]``

For low-dose CT of PET/CT, PET and breast MRI, at the strength that users get, in the slices at a quarter,
half and three quarters:

- how much the difference is like the anatomy: correlation, over the foreground, of the difference with the
  smoothed denoised image around its local mean; noise alone gives 0;
- how much more is taken away at edges: root mean square of the difference in units of the local noise, in the
  steepest twentieth of the foreground over that in its flatter half; noise alone gives 1.

``--pictures`` writes before, after and difference of each side by side. What somebody saw in them goes into
the record with ``--seen``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from release_common import Model, open_model, save, told_command
from scipy.ndimage import gaussian_filter as gaussian

from quell.evaluation.references import load as load_reference
from quell.evaluation.report.summary import display_window
from quell.image import BoolArray, FloatArray, Image, Modality
from quell.inference.contracts import Denoised

SCANS = (
    ("low-dose CT of a PET/CT, abdomen", "CT", "ct/acrin_flt_001_abdomen_lowdose.nii.gz"),
    ("low-dose CT of a PET/CT, thigh", "CT", "ct/sts_001_thigh_lowdose.nii.gz"),
    ("low-dose CT, lung apex", "CT", "ct/lungfcp_0006_apex_b50f_lowdose.nii.gz"),
    ("PET, whole body", "PT", "pet/sts_001_fdg"),
    ("breast MRI", "MR", "mri/breast_dce_ucsf_br_06_phase1"),
)

LIKE_ANATOMY = 0.1
"""Correlation up to which a difference counts as free of anatomy: one hundredth of its variance."""

AT_EDGES = 1.3
"""Ratio up to which edges count as left alone."""

AIR = -400.0
"""HU below which there is no patient, and no lung that shows more than its noise."""

SMOOTH, WIDE = 1.5, 8.0
"""Standard deviations in pixels between which structure is looked for."""


def judged(image: Image, result: Denoised, z: int) -> dict[str, float]:
    """Return how much anatomy there is in the difference of one slice."""
    inside = _body(image, result, z)
    difference = image.voxels[z] - result.image.voxels[z]
    smooth = gaussian(result.image.voxels[z], SMOOTH)
    structure = smooth - gaussian(result.image.voxels[z], WIDE)
    steepness = np.hypot(*np.gradient(smooth))[inside]
    level = np.maximum(result.noise.pixels(z), np.float32(1e-12))
    relative = np.square(difference / level)[inside]
    steep = steepness >= np.quantile(steepness, 0.95)
    flat = steepness <= np.median(steepness)
    return {
        "slice": z + 1,
        "likeness": float(np.corrcoef(difference[inside], structure[inside])[0, 1]),
        "edges": float(np.sqrt(relative[steep].mean() / relative[flat].mean())),
        "removed": float(np.sqrt(relative.mean())),
    }


def measure(model: Model, name: str, image: Image, folder: Path | None) -> dict[str, Any]:
    """Judge a scan; write its pictures."""
    depth = image.shape[0]
    result = model.denoiser.denoise(image)
    chosen = sorted({depth // 4, depth // 2, 3 * depth // 4})
    slices = [judged(image, result, z) for z in chosen]
    likeness = max((one["likeness"] for one in slices), key=abs)
    edges = max(one["edges"] for one in slices)
    print(f"{model.name:20} {name:34} likeness {likeness:+.3f}, edges {edges:.2f}", flush=True)
    if folder is not None:
        for z in chosen:
            called = f"{model.name} {name} {z + 1}.png".replace(",", "").replace("/", "-").replace(" ", "-")
            draw(folder / called, image, result, z)
    met = abs(likeness) <= LIKE_ANATOMY and edges <= AT_EDGES
    return {
        "name": name,
        "modality": image.modality.value,
        "likeness": likeness,
        "edges": edges,
        "met": met,
        "slices": slices,
    }


def draw(file: Path, image: Image, result: Denoised, z: int) -> None:
    """Write before, after and difference side by side; the difference from -3 to 3 times the median noise."""
    from PIL import Image as Pillow

    low, high = display_window(image, z)
    limit = 3 * float(np.median(result.noise.pixels(z)[_body(image, result, z)]))
    before, after = image.voxels[z], result.image.voxels[z]
    parts = (_grey(before, low, high), _grey(after, low, high), _grey(before - after, -limit, limit))
    file.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.concatenate(parts, axis=1)).save(file)


def _body(image: Image, result: Denoised, z: int) -> BoolArray:
    """Return where a slice shows the patient and not air."""
    low = AIR if image.modality is Modality.CT else 0.05 * float(np.percentile(image.voxels, 99.5))
    body: BoolArray = gaussian(result.image.voxels[z], 2 * SMOOTH) > low
    return body


def _grey(pixels: FloatArray, low: float, high: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return (255 * np.clip((pixels - low) / (high - low), 0, 1)).astype(np.uint8)


def main() -> int:
    """Judge all scans with every model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of reference images")
    parser.add_argument("--model", action="append", help="name or folder of a network; several times")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER")
    parser.add_argument("--seen", default="", help="what was seen in the pictures")
    parser.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    models = [open_model(name) for name in arguments.model or ["universal.fast"]]
    images = [(name, load_reference(arguments.data / place, kind)) for name, kind, place in SCANS]
    results = {
        model.name: [measure(model, name, image, arguments.pictures) for name, image in images]
        for model in models
    }
    goal = {"likeness": LIKE_ANATOMY, "edges": AT_EDGES}
    command = told_command("differences.py", sys.argv[1:])
    save(
        arguments.out,
        "quell-differences",
        command,
        models,
        {"goal": goal, "seen": arguments.seen, "results": results},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
