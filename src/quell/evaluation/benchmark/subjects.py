"""Where the cases come from: a folder of real images, or objects and anatomy that are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from quell.errors import InputError, QuellError
from quell.evaluation.benchmark.cases import SIDE, Subject
from quell.evaluation.references import listed, load, read_manifest
from quell.image import Geometry, Image, Modality
from quell.noise.contracts import NoiseModel
from quell.noise.registry import noise_model
from quell.phantoms.objects import TestObject, make_object

SMALLEST = 32
"""Images with a shorter side are passed over."""

SEED = 90_000
"""Far from the seeds of training, which are small."""

_TUNING_SEED = 95_000
_NEIGHBOURS = 1
_DEEP = 9

OBJECTS: dict[Modality, tuple[str, ...]] = {
    Modality.CT: ("anatomy-ct", "ct-mita"),
    Modality.MR: ("anatomy-mr", "mr-brain"),
    Modality.PT: ("anatomy-pet", "pet-nema-iq"),
    Modality.NM: ("anatomy-nm", "bone-scan"),
    Modality.US: ("anatomy-us", "us-cysts"),
    Modality.XR: ("anatomy-xr", "xray-contrast-detail"),
}
"""For each modality anatomy drawn anew for every seed, and a test object."""


@dataclass(frozen=True, eq=False)
class Subjects:
    """What one modality is judged on.

    Attributes
    ----------
    tuning, test : tuple of Subject
        Nobody is in both.
    source : str
        Where they come from, in words.
    """

    tuning: tuple[Subject, ...]
    test: tuple[Subject, ...]
    source: str


def drawn_subjects(modality: Modality, test: int, tuning: int, seed: int = 0) -> Subjects:
    """Draw anatomy and test objects of seeds that no training used.

    Parameters
    ----------
    modality : Modality
    test, tuning : int
        How many of each; every second one that is judged on is the test object where there are several.
    seed : int

    Raises
    ------
    InputError
        If nothing is drawn for the modality.
    """
    if modality not in OBJECTS:
        raise InputError(modality.value, "nothing is drawn for this modality")
    anatomy, target = OBJECTS[modality]
    names = [target if number % 4 == 3 else anatomy for number in range(test)]
    judged = [_drawn(name, SEED + 100 * seed + number) for number, name in enumerate(names)]
    tuned = [_drawn(anatomy, _TUNING_SEED + 100 * seed + number) for number in range(tuning)]
    return Subjects(tuple(tuned), tuple(judged), "drawn anatomy and test objects")


def real_subjects(
    data: Path, modality: Modality, test: int, tuning: int, seed: int = 0, trust: bool = False
) -> Subjects:
    """Take images of a folder.

    Where the folder holds images of the training's manifest, those of its validation patients are judged on,
    and those of training patients tuned on. The bone scan, which is in neither, is judged on, and the tuning
    goes by drawn uptake. In any other folder every series counts, and every third one is tuned on.

    Parameters
    ----------
    data : Path
    modality : Modality
    test, tuning : int
        At most so many of each; they are spread over what there is.
    seed : int
        Of what is drawn.
    trust : bool
        Take images that do not say how they were acquired to be of this modality.

    Raises
    ------
    InputError
        If there is no such folder or nothing usable of the modality in it.
    """
    if not data.is_dir():
        raise InputError(data, "no such folder")
    sides = _by_manifest(data, modality, test, tuning)
    source = "validation patients of the data folder; tuned on its training patients"
    if not sides[0] and modality is Modality.NM:
        judged = _bone_scans(data)
        if judged:
            drawn = drawn_subjects(modality, 0, tuning, seed).tuning
            return Subjects(drawn, judged[:test], "bone scan of the data folder; tuned on drawn uptake")
    if not sides[0]:
        sides = _any_series(data, modality, test, tuning, trust)
        source = "series of the data folder; tuned on others of them"
    judged, tuned = sides
    if not judged:
        hint = "" if trust else "; images that do not say what they are need --modality"
        raise InputError(data, f"nothing usable for {modality.value} in it{hint}")
    if not tuned:
        tuned = drawn_subjects(modality, 0, tuning, seed).tuning
        source = "series of the data folder; tuned on drawn anatomy"
    return Subjects(tuned, judged, source)


Sides = tuple[tuple[Subject, ...], tuple[Subject, ...]]


def _by_manifest(data: Path, modality: Modality, test: int, tuning: int) -> Sides:
    entries = [entry for entry in read_manifest() if entry["modality"] == modality.value]
    files = [one for entry in entries for one in listed(entry, data)]

    def side(split: str, most: int) -> tuple[Subject, ...]:
        chosen = _spread([one for one in files if one.split == split], 2 * most)
        images = (_usable(_load(one.path, modality)) for one in chosen)
        found = [(one, image) for one, image in zip(chosen, images, strict=True) if image is not None]
        # Where there are few patients, each gives several slices.
        cuts = max(1, min(3, round(most / max(len(found), 1))))
        named = [_cut(image, one.patient, cuts) for one, image in found]
        return tuple(_spread([subject for cut in named for subject in cut], most))

    return side("validation", test), side("train", tuning)


def _load(path: Path, modality: Modality) -> Image | None:
    try:
        return load(path, modality.value)
    except (QuellError, IndexError):
        return None


def _bone_scans(data: Path) -> tuple[Subject, ...]:
    """Return parts of the planar scans of raw counts in the folder ``nm``."""
    found: dict[bytes, tuple[Subject, ...]] = {}
    for path in sorted((data / "nm").glob("*.dcm")):
        image = _usable(_load(path, Modality.NM))
        if image is not None and image.modality is Modality.NM and not image.volume:
            # The same scan may be there under two codings.
            found.setdefault(image.voxels.tobytes(), _parts(image, path.stem))
    return tuple(subject for parts in found.values() for subject in parts)


def _parts(image: Image, patient: str) -> tuple[Subject, ...]:
    """Return the squares of which a long scan consists, those with next to nothing in them left out."""
    side = min(SIDE, *image.shape[1:])
    subjects = []
    for z in range(image.shape[0]):
        for top in range(0, image.shape[1] - side + 1, side):
            voxels = np.ascontiguousarray(image.voxels[z : z + 1, top : top + side])
            if np.mean(voxels > 2) < 0.05:
                continue
            name = f"{patient}, rows {top + 1} to {top + side}"
            acquisition = replace(image.acquisition, counts=None)
            part = replace(image, voxels=voxels, padding=None, name=name, acquisition=acquisition)
            subjects.append(Subject(name, patient, part, 0))
    return tuple(subjects)


def _any_series(data: Path, modality: Modality, test: int, tuning: int, trust: bool) -> Sides:
    from quell.formats.contracts import Purpose
    from quell.formats.open import open_study

    study = open_study(data, Purpose.SIMULATE)
    found = []
    for number, series in enumerate(study.series):
        if not (series.modality is modality or (trust and series.modality is Modality.UNKNOWN)):
            continue
        try:
            image = _usable(replace(series.read(), modality=modality))
        except QuellError:
            continue
        if image is not None:
            found.append((f"series {number + 1}", image))
    few = len(found) < 3
    tuned = [] if few else found[2::3]
    judged = found if few else [one for i, one in enumerate(found) if i % 3 != 2]

    def subjects(these: list[tuple[str, Image]], most: int) -> tuple[Subject, ...]:
        cuts = max(1, min(3, round(most / max(len(these), 1))))
        return tuple(_spread([s for name, image in these for s in _cut(image, name, cuts)], most))

    return subjects(judged, test), subjects(tuned, tuning)


def _usable(image: Image | None) -> Image | None:
    if image is None or min(image.shape[1:]) < SMALLEST or not np.isfinite(image.voxels).all():
        return None
    if image.modality is Modality.NM and image.volume:
        # SPECT: its noise needs all slices.
        return None
    if image.modality is Modality.CT:
        # Values outside of what a 12-bit CT can store are marks for "no data".
        image = image.with_voxels(np.clip(image.voxels, -1024, 3071))
    return image


def _cut(image: Image, patient: str, cuts: int) -> tuple[Subject, ...]:
    """Return slices of an image, spread over its depth, each with its neighbours in a volume."""
    depth = image.shape[0]
    reach = _NEIGHBOURS if image.volume and depth > 2 * _NEIGHBOURS else 0
    if image.modality is Modality.PT and image.volume:
        # The counts and the filter along the axis are found in several slices.
        reach = min((_DEEP - 1) // 2, (depth - 1) // 2)
    places = {int(p) for p in np.linspace(0, depth - 1, cuts + 2)[1:-1].round()}
    subjects = []
    for z in sorted({min(max(place, reach), depth - 1 - reach) for place in places}):
        part = slice(z - reach, z + reach + 1)
        padding = None if image.padding is None else np.ascontiguousarray(image.padding[part])
        name = patient if depth == 1 else f"{patient}, slice {z + 1}"
        gaps = tuple(g - part.start for g in image.gaps if part.start <= g < part.stop - 1)
        taken = replace(
            image,
            voxels=np.ascontiguousarray(image.voxels[part]),
            padding=padding,
            geometry=_square(image),
            volume=image.volume and reach > 0,
            gaps=gaps,
            name=name,
        )
        subjects.append(Subject(name, patient, taken, reach))
    return tuple(subjects)


def _square(image: Image) -> Geometry:
    """Return the spacing; that of a pixel as 1 mm where none is known, for models that ask for one."""
    geometry = image.geometry
    needed = image.modality in (Modality.CT, Modality.MR, Modality.XR) and not geometry.known
    return Geometry(geometry.spacing, known=geometry.known or needed)


def _drawn(name: str, seed: int) -> Subject:
    made = make_object(name, seed)
    depth = made.truth.shape[0]
    reach = _NEIGHBOURS if made.truth.volume and depth > 2 else 0
    part = slice(depth // 2 - reach, depth // 2 + reach + 1)
    truth = replace(made.truth, voxels=np.ascontiguousarray(made.truth.voxels[part]), name=name)
    attenuation = None if made.attenuation is None else np.ascontiguousarray(made.attenuation[part])
    kept = replace(made, truth=truth, attenuation=attenuation, labels=made.labels[part])
    return Subject(f"{name} {seed}", f"{name} {seed}", truth, reach, scanner_of(kept))


def scanner_of(made: TestObject) -> NoiseModel:
    """Return the noise model of an object's modality, with its attenuation where the model takes one."""
    model: Any = noise_model(made.truth)
    if made.attenuation is not None and "attenuation" in {field.name for field in fields(model)}:
        model = replace(model, attenuation=made.attenuation)
    chosen: NoiseModel = model
    return chosen


def _spread(items: list[Any], most: int) -> list[Any]:
    """Return at most so many items, evenly spread."""
    if len(items) <= most:
        return items
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, most).round()]


def every_modality() -> Iterator[Modality]:
    """Yield the modalities that can be judged."""
    yield from OBJECTS
