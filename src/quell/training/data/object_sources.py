"""The objects that are drawn where no folder is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from quell.errors import InputError, QuellError
from quell.image import FloatArray, Image, Modality
from quell.methods.contracts import MethodFacts
from quell.phantoms.objects import OBJECTS, make_object
from quell.training.data.images import TRAIN, VALIDATION
from quell.training.data.noise import check_doses, fewer, scan_object
from quell.training.data.objects import Points, check_objects, draw_object, object_seed
from quell.training.data.settings import DataSettings
from quell.training.data.slices import Integers, kept_slices, taken
from quell.training.data.sources import Made, Source, realisations_of

WATER_PER_MM = {Modality.PT: 0.0096, Modality.NM: 0.0154}
"""Attenuation of water at 511 and 140 keV."""


def _usual(modality: Modality | None) -> tuple[str, ...]:
    """Return the anatomy that is drawn for a modality."""
    name = f"anatomy-{modality.value.lower()}".replace("-pt", "-pet") if modality else ""
    return (name,) if name in OBJECTS else ()


def object_sources(settings: DataSettings, facts: MethodFacts) -> tuple[list[Source], list[str]]:
    """Return the objects that are drawn.

    Raises
    ------
    InputError
        If the method names none and the settings do not, or an object is unknown or of another modality.
    """
    names = settings.objects or facts.objects or _usual(settings.modality)
    if not names:
        raise QuellError(
            f"{facts.name} draws no objects by itself: give a folder of images, objects, or a modality whose "
            "anatomy is to be drawn"
        )
    check_objects(names)
    doses = settings.doses or facts.doses
    random = tuple(name for name in names if OBJECTS[name].random)
    kept = max(1, round(settings.validation * settings.object_count)) if settings.validation else 0
    if kept and not random:
        raise QuellError(
            f"{', '.join(names)} looks the same every time, and leaves nothing to validate on: "
            "add an object that is drawn at random, or set validation to 0"
        )
    sources = []
    fixed: set[str] = set()
    for split, chosen, count in ((TRAIN, names, settings.object_count), (VALIDATION, random, kept)):
        for number in range(count):
            name = chosen[number % len(chosen)]
            if name not in random and (name in fixed or fixed.add(name)):  # type: ignore[func-returns-value]
                continue
            seed = object_seed(number, settings.seed, split == VALIDATION)
            sources.append(_object(name, seed, split, doses, settings, facts))
    return sources, []


def _object(
    name: str, seed: int, split: str, doses: Sequence[float], settings: DataSettings, facts: MethodFacts
) -> Source:
    modality = _modality_of(name)
    _refuse_object(name, modality, settings, facts)
    check_doses(doses, modality, name)

    def make() -> Made:
        drawn = draw_object(name, seed)
        truth = replace(drawn.made.truth, name=f"{name} {seed}")
        made = replace(drawn.made, truth=truth)
        roles = scan_object(made, doses, realisations_of(settings, facts), (settings.seed, seed))
        kept = kept_slices(truth, settings.most_slices, facts.dimensions == 3)
        wanted = settings.prior and Modality.CT in facts.prior
        prior = _attenuation(made.attenuation, truth) if wanted else None
        return Made(
            fewer(roles, kept),
            None if prior is None else taken(prior, kept),
            _points_among(drawn.points, kept),
        )

    title = f"{name} {seed}"
    return Source(title, title, split, modality, "", "drawn", make)


@lru_cache(maxsize=64)
def _modality_of(name: str) -> Modality:
    return make_object(name).modality


def _refuse_object(name: str, modality: Modality, settings: DataSettings, facts: MethodFacts) -> None:
    if settings.modality not in (None, modality):
        raise InputError(name, f"shows {modality.value}, and the settings say {settings.modality.value}")
    if modality not in facts.modalities and not settings.force:
        meant = ", ".join(m.value for m in facts.modalities)
        raise InputError(
            name,
            f"shows {modality.value}, and {facts.name} is meant for {meant}: --force takes it all the same",
        )
    if facts.needs_prior and not (settings.prior and Modality.CT in facts.prior and modality in WATER_PER_MM):
        raise InputError(name, f"has no prior image, and {facts.name} needs one: give a folder with prior/")


def _attenuation(values: FloatArray | None, truth: Image) -> Image | None:
    """Return the attenuation of an object as a CT would show it, HU."""
    if values is None or truth.modality not in WATER_PER_MM:
        return None
    hounsfield = 1000 * (values / WATER_PER_MM[truth.modality] - 1)
    return Image(
        hounsfield.astype(np.float32), Modality.CT, "HU", truth.geometry, volume=truth.volume, name=truth.name
    )


def _points_among(points: Points, kept: Integers) -> Points:
    """Return points in the voxels of the slices that are kept."""
    nearest = np.rint(points[:, 0]).astype(np.int64)
    place = np.minimum(np.searchsorted(kept, nearest), len(kept) - 1)
    there = kept[place] == nearest
    moved = points - np.stack([nearest - place, 0 * place, 0 * place], axis=1)
    return np.asarray(moved[there], np.float64)
