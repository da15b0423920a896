"""A test object from its name to files: truth, images at the doses asked for, labels, parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from quell import __version__
from quell.errors import InputError, QuellError
from quell.formats.atomic import atomic_file
from quell.formats.contracts import Written
from quell.image import Image, Modality
from quell.noise.contracts import NoiseModel, Simulated
from quell.phantoms.objects import TestObject, make_object

FORMATS = ("nifti", "dicom")

_DECIBEL = "dB"
_NO_DECIBEL = "the truth in dB has no place in DICOM ultrasound; it was written as NIfTI"

ModelFor = Callable[[TestObject], NoiseModel]


@dataclass(frozen=True)
class PhantomSettings:
    """Choices of the user about one test object.

    Attributes
    ----------
    dose : float or None
        A dose besides the full one, as the noise model of the modality counts it: a fraction of the
        exposure, counts or time; looks for ultrasound. None for the full dose alone.
    seed : int
        Not negative; the same seed gives the same files.
    format : str
        ``"nifti"`` or ``"dicom"``. Labels and attenuation are NIfTI in either case.
    """

    dose: float | None = None
    seed: int = 0
    format: str = "nifti"

    def check(self) -> None:
        """Raise QuellError for values that make no sense, before any work is done."""
        # Written so that NaN fails too.
        if self.dose is not None and not 0 < self.dose < np.inf:
            raise QuellError(f"a dose is a positive number, got {self.dose:g}")
        if self.seed < 0:
            raise QuellError(f"seed must not be negative, got {self.seed}")
        if self.format not in FORMATS:
            raise QuellError(f"the format is one of {', '.join(FORMATS)}, got {self.format}")


@dataclass(frozen=True)
class PhantomRecord:
    """What a run wrote.

    Attributes
    ----------
    name : str
    files : tuple of Path
        Parameters last.
    warnings : tuple of str
    """

    name: str
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Part:
    """An image of the object: what it is called, what it holds, what is said beside it."""

    word: str
    image: Image
    about: dict[str, Any]


def run_phantom(
    name: str, out: Path, settings: PhantomSettings, *, model_for: ModelFor | None = None
) -> PhantomRecord:
    """Make a test object, image it, and write everything that is known of it.

    Parameters
    ----------
    name : str
        One of `quell.phantoms.objects.OBJECTS`.
    out : Path
        Folder; made if absent.
    settings : PhantomSettings
    model_for : callable, optional
        Chooses the noise model; by default `default_model`.

    Raises
    ------
    InputError
        If the name is unknown.
    OutputError
        If the files cannot be written.
    QuellError
        If the settings make no sense, or the modality knows no such dose.
    """
    settings.check()
    made = make_object(name, settings.seed)
    model = (model_for or default_model)(made)
    doses = [1.0] if settings.dose in (None, 1.0) else [1.0, float(settings.dose or 1.0)]
    images = [_acquired(made, model, dose, settings.seed) for dose in doses]
    parts = [_Part("truth", made.truth, {"description": "truth, free of noise and blur"}), *images]
    warnings = tuple(dict.fromkeys(text for part in images for text in part.about["warnings"]))
    stem = f"{name}_seed-{settings.seed}"
    write = _write_dicom if settings.format == "dicom" else _write_nifti
    written = [write(part, out, name, stem, settings.seed) for part in parts]
    told = [
        {**part.about, "files": [file.relative_to(out).as_posix() for file in one.files]}
        for part, one in zip(parts, written, strict=True)
    ]
    written += _write_maps(made, out, stem)
    said = tuple(dict.fromkeys((*warnings, *(text for one in written for text in one.warnings))))
    files = tuple(file for one in written for file in one.files)
    parameters = out / f"{stem}_parameters.json"
    _write_json(_parameters(made, told, settings), parameters)
    return PhantomRecord(name, (*files, parameters), said)


def default_model(made: TestObject) -> NoiseModel:
    """Return the noise model of an object's modality, with its attenuation where the model takes one."""
    from quell.noise.registry import noise_model

    model: Any = noise_model(made.truth)
    if made.attenuation is not None and "attenuation" in {field.name for field in fields(model)}:
        model = replace(model, attenuation=made.attenuation)
    chosen: NoiseModel = model
    return chosen


def _acquired(made: TestObject, model: NoiseModel, dose: float, seed: int) -> _Part:
    """Image the object; every dose has its own stream of chance, whatever others are asked for."""
    stream = np.random.default_rng([seed, 1, int(np.float64(dose).view(np.uint64))])
    try:
        found: Simulated = model.acquire(made.truth, dose, stream)
    except ValueError as error:
        raise QuellError(f"{made.name}: {error} (a dose is: {model.dose_means})") from error
    if not np.isfinite(found.image.voxels).all():
        raise InputError(made.name, "the simulation gave values that are not finite")
    about = {
        "description": f"dose {dose:g}",
        "dose": dose,
        "dose_means": model.dose_means,
        "model": f"{type(model).__module__}.{type(model).__qualname__}",
        "noise": dict(found.parameters),
        "warnings": list(found.warnings),
    }
    return _Part(f"dose-{dose:g}", replace(found.image, name=made.name), about)


def _write_nifti(part: _Part, out: Path, name: str, stem: str, seed: int) -> Written:
    """Write an image and beside it, after BIDS, what a NIfTI header has no place for."""
    from quell.formats.nifti_new import write_new_nifti

    path = out / f"{stem}_{part.word}.nii.gz"
    written = write_new_nifti(part.image, path, f"{name} seed {seed} {part.word}")
    sidecar = out / f"{stem}_{part.word}.json"
    modality = part.image.modality
    told = {"Modality": "DX" if modality is Modality.XR else modality.value, "Units": part.image.units}
    _write_json({**told, "TestObject": name, "Seed": seed, **part.about}, sidecar)
    return Written((*written.files, sidecar), written.clamped, written.warnings)


def _write_dicom(part: _Part, out: Path, name: str, stem: str, seed: int) -> Written:
    if part.image.units == _DECIBEL:
        written = _write_nifti(part, out, name, stem, seed)
        return replace(written, warnings=(*written.warnings, _NO_DECIBEL))
    from quell.formats.dicom.create import write_new

    description = str(part.about["description"])
    new: Written = write_new(part.image, out, name=name, description=description, seed=seed)
    return new


def _write_maps(made: TestObject, out: Path, stem: str) -> list[Written]:
    from quell.formats.nifti_new import write_labels, write_new_nifti

    geometry = made.truth.geometry
    written = [write_labels(made.labels, geometry, out / f"{stem}_labels.nii.gz", f"{made.name} labels")]
    if made.attenuation is not None:
        mu = Image(made.attenuation, Modality.UNKNOWN, "arbitrary", geometry, volume=True, name=made.name)
        path = out / f"{stem}_attenuation.nii.gz"
        written.append(write_new_nifti(mu, path, f"{made.name} attenuation, 1/mm"))
    return written


def _parameters(made: TestObject, images: list[dict[str, Any]], settings: PhantomSettings) -> dict[str, Any]:
    return {
        "notice": "A computed test object, not a patient. Research use only. Not for diagnosis.",
        "quell_version": __version__,
        "seed": settings.seed,
        "object": dict(made.parameters),
        "images": images,
    }


def _write_json(values: dict[str, Any], path: Path) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
