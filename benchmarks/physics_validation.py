"""What a model does with noise as it really arises, on patients and objects that no training saw.

``python benchmarks/physics_validation.py DATA [WEIGHTS ...] [--modality CT] [--json FILE]``

CT: the validation patients of the manifest at a part of their dose (thinned difference, flux and kernel
calibrated to each). MR: the validation patients as the object of a scanner of several coils. X-ray:
validation radiographs as the object of a detector. PET, SPECT, planar scintigraphy and ultrasound: test
objects and drawn anatomy of seeds beyond those of the training, imaged by the noise model of their
modality; the truth is the same object imaged without noise. A patient counts only where its own noise is at
most 0.4 of what was added. WEIGHTS are folders with a card; by default the model that ships. PSNR in dB
over the values between the 0.5th and the 99.5th percentile of the truth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quell.image import FloatArray, Geometry, Image, Modality
from quell.inference.network_denoiser import NetworkDenoiser
from quell.inference.runtimes import make_runtime
from quell.jobs.phantom import default_model
from quell.models.registry import CARD, WEIGHTS, read_card
from quell.noise.ct import CTNoise
from quell.noise.mri import MRINoise
from quell.noise.radiography import RadiographyNoise
from quell.phantoms.objects import make_object
from quell.training.pack import Found, describe, read_manifest, references

QUIET = 0.4
"""A patient counts only where its own noise is at most this share of the added one."""

SEED = 90_000
"""Far from the seeds of training, which are small."""


@dataclass(frozen=True, eq=False)
class Case:
    """One image with noise, and the same without.

    Attributes
    ----------
    name : str
    truth, noisy : Image
    own : float
        Standard deviation of the noise that the truth has itself.
    """

    name: str
    truth: Image
    noisy: Image
    own: float = 0.0

    @property
    def quiet(self) -> bool:
        """Whether the truth is clean enough to stand for it."""
        truth = self.truth.voxels
        # Air says little: it may be clamped, or its noise be that of a magnitude without signal.
        added = (self.noisy.voxels - truth)[truth > np.median(truth)]
        return self.own <= QUIET * float(np.std(added))


def patients(data: Path, modality: str, most: int) -> list[Found]:
    """Return the validation references of a modality, at most so many, each of another entry first."""
    entries = [e for e in read_manifest() if e["modality"] == modality]
    found = [f for e in entries for f in references(e, data, "validation")]
    return [f for f in found if min(f.voxels.shape[1:]) >= 96][:most]


def stretches(found: Found, pixel: float, modality: Modality) -> Image:
    """Return nine slices of a reference: three stretches of neighbours, or what there is."""
    depth = len(found.voxels)
    centres = [depth // 4, depth // 2, 3 * depth // 4]
    geometry = Geometry((pixel, pixel, pixel), known=True)
    if not found.volume or depth < 12:
        middle = found.voxels[depth // 2][None].copy()
        return Image(middle, modality, geometry=geometry, name=found.name)
    index = [z + k for z in centres for k in (-1, 0, 1)]
    voxels = np.ascontiguousarray(found.voxels[index])
    units = "HU" if modality is Modality.CT else "arbitrary"
    return Image(voxels, modality, units, geometry, volume=True, gaps=(2, 5), name=found.name)


def ct_cases(data: Path, dose: float) -> Iterator[Case]:
    """Lower the dose of patients."""
    for number, found in enumerate(patients(data, "CT", 6)):
        image = stretches(found, found.pixel_mm or 0.8, Modality.CT)
        model = CTNoise().calibrate(image)
        if not model.calibrated:
            continue
        low = model.simulate(image, dose, np.random.default_rng([SEED, number]))
        yield Case(found.name, image, low.image, describe(found)["noise"])


def mr_cases(data: Path, snr: float) -> Iterator[Case]:
    """Image patients with a scanner of eight coils whose matrix is smaller than the image."""
    for number, found in enumerate(patients(data, "MR", 6)):
        image = stretches(found, 1.0, Modality.MR)
        image = image.with_voxels(np.maximum(image.voxels, 0))
        model = MRINoise(snr=snr, zero_filling=1.3)
        truth = model.acquire(image, 1e8, np.random.default_rng(0)).image
        noisy = model.acquire(image, 1.0, np.random.default_rng([SEED, number])).image
        yield Case(found.name, truth, noisy, describe(found)["noise"])


def xray_cases(data: Path, quanta: float) -> Iterator[Case]:
    """Image radiographs again, with so many quanta in the brightest pixel."""
    for number, found in enumerate(patients(data, "XR", 6)):
        image = stretches(found, 0.5, Modality.XR)
        image = image.with_voxels(np.maximum(image.voxels, 0))
        model = RadiographyNoise(quanta_per_value=quanta / float(image.voxels.max()), structure=0.0)
        truth = model.acquire(image, 1e8, np.random.default_rng(0)).image
        noisy = model.acquire(image, 1.0, np.random.default_rng([SEED, number])).image
        yield Case(found.name, truth, noisy, describe(found)["noise"])


def object_cases(names: tuple[str, ...], full: float, data: Path, dose: float) -> Iterator[Case]:
    """Image test objects at a dose; `full` is the dose that stands for no noise."""
    for number, name in enumerate(names):
        made = make_object(name, SEED + number)
        middle = _middle(made.truth)
        attenuation = None if made.attenuation is None else made.attenuation[middle]
        made = replace(
            made,
            truth=replace(made.truth, voxels=np.ascontiguousarray(made.truth.voxels[middle])),
            attenuation=attenuation,
            labels=made.labels[middle],
        )
        model = default_model(made)
        truth = model.acquire(made.truth, full, np.random.default_rng(0)).image
        noisy = model.acquire(made.truth, dose, np.random.default_rng([SEED, number])).image
        scale = dose / full if noisy.units == "counts" and not noisy.volume else 1.0
        yield Case(name, truth.with_voxels(truth.voxels * np.float32(scale)), noisy)


def _middle(image: Image, most: int = 16) -> slice:
    """Return the slices around the middle, so that large volumes do not take hours."""
    if image.modality is Modality.NM and image.volume:
        return slice(None)
    start = max(0, (image.shape[0] - most) // 2)
    return slice(start, start + most)


Cases = Callable[[Path, float], Iterator[Case]]

_PET = ("pet-nema-iq", "anatomy-pet")
_PLANAR = ("bone-scan", "anatomy-nm")
_ECHO = ("us-cysts", "anatomy-us")
_COUNTS = "fraction of the counts"

SETS: dict[str, tuple[Cases, tuple[float, ...], str]] = {
    "CT": (ct_cases, (0.25, 0.1, 0.04), "fraction of the mAs"),
    "MR": (mr_cases, (10.0, 6.0, 4.0), "signal-to-noise ratio"),
    "XR": (xray_cases, (1000.0, 250.0, 60.0), "quanta in the brightest pixel"),
    "PT": (partial(object_cases, _PET, 1e3), (1.0, 0.25, 0.1), _COUNTS),
    "SPECT": (partial(object_cases, ("spect-cardiac",), 1e3), (1.0, 0.25), _COUNTS),
    "NM": (partial(object_cases, _PLANAR, 1e3), (1.0, 0.25, 0.1), _COUNTS),
    "US": (partial(object_cases, _ECHO, 64), (1.0, 4.0), "looks"),
}


def psnr(case: Case, voxels: FloatArray) -> float:
    """Peak signal-to-noise ratio of the middles of the stretches, within the window of the truth."""
    truth = case.truth.voxels
    low, high = (float(v) for v in np.percentile(truth, (0.5, 99.5)))
    index = [1, 4, 7] if case.truth.gaps == (2, 5) else list(range(len(truth)))
    error = np.clip(voxels[index], low, high) - np.clip(truth[index], low, high)
    return float(10 * np.log10((high - low) ** 2 / np.mean(error.astype(np.float64) ** 2)))


def load(folder: Path, runtime: Any) -> NetworkDenoiser:
    """Return the denoiser whose card lies in a folder."""
    card = read_card(folder / CARD)
    return NetworkDenoiser(card, {role: folder / name for role, name in card.files.items()}, runtime)


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of reference images")
    parser.add_argument("weights", type=Path, nargs="*", help="folders of models")
    parser.add_argument("--modality", action="append", choices=SETS, help="several times for several")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    runtime = make_runtime()
    models = [load(f, runtime) for f in arguments.weights or [WEIGHTS / "universal.fast"]]
    names = [f"{m.card.identifier} {m.card.version}" for m in models]
    print(f"{models[0].engine}; PSNR in dB")
    results: dict[str, Any] = {}
    for kind in arguments.modality or SETS:
        cases, amounts, meaning = SETS[kind]
        for amount in amounts:
            rows: dict[str, list[float]] = {name: [] for name in ("noisy", *names)}
            seen = []
            for case in (one for one in cases(arguments.data, amount) if one.quiet):
                seen.append(case.name)
                rows["noisy"].append(psnr(case, case.noisy.voxels))
                for name, model in zip(names, models, strict=True):
                    rows[name].append(psnr(case, model.denoise(case.noisy, 1.0).image.voxels))
            if not seen:
                print(f"{kind}, {meaning} {amount:g}: no image is clean enough", flush=True)
                continue
            means = {name: round(float(np.mean(values)), 3) for name, values in rows.items()}
            told = ", ".join(f"{name} {value:.2f}" for name, value in means.items())
            print(f"{kind}, {meaning} {amount:g} ({len(seen)} images): {told}", flush=True)
            results.setdefault(kind, {})[f"{amount:g}"] = {
                "amount_means": meaning,
                "images": seen,
                "mean_psnr_db": means,
                "psnr_db": {name: [round(v, 3) for v in values] for name, values in rows.items()},
            }
    if arguments.json:
        command = "python benchmarks/physics_validation.py DATA WEIGHTS ..."
        told_models = [{"model": n, "sha256": m.card.sha256} for n, m in zip(names, models, strict=True)]
        record = {"command": command, "models": told_models, "seed": SEED, "results": results}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
