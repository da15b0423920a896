"""From settings to all that a training learns from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from quell.errors import InputError, QuellError
from quell.image import Modality
from quell.methods.contracts import DataFacts, MethodFacts, Need
from quell.models.scaling import Scaling
from quell.training.data.contracts import Stack, UnsuitableError, ValidationCase
from quell.training.data.folder_sources import folder_sources
from quell.training.data.images import TRAIN, VALIDATION
from quell.training.data.measure import measure_data
from quell.training.data.object_sources import object_sources
from quell.training.data.pool import Pool
from quell.training.data.settings import DataSettings
from quell.training.data.sources import Source
from quell.training.data.stacks import make_stack, validation_cases
from quell.training.data.store import Entry, Store, digest

__all__ = ["DataSettings", "Prepared", "ValidationCase", "prepare"]

_FORMAT = 1
"""Raised when the same settings give other arrays."""


class Scaled(Protocol):
    """What `prepare` asks of a method."""

    facts: ClassVar[MethodFacts]

    @classmethod
    def scaling(cls, modality: Modality) -> Scaling:
        """Return how images of a modality become numbers for the network."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a training learns from.

    Attributes
    ----------
    train : Pool
    validation : tuple of ValidationCase
        Empty where none were kept back.
    facts : DataFacts
    manifest : list of dict
        Plain JSON: for every image its name, the SHA-256 of its source, licence, split, shape, doses, seed.
    notes : tuple of str
        What was passed over, and what is approximate about the noise.
    """

    train: Pool
    validation: tuple[ValidationCase, ...]
    facts: DataFacts
    manifest: list[dict[str, Any]]
    notes: tuple[str, ...] = ()


def prepare(settings: DataSettings, method: type[Scaled], cache: Path) -> Prepared:
    """Find the images or draw the objects, make their roles, and put them into a pool.

    Parameters
    ----------
    settings : DataSettings
    method : class
        With ``facts`` and ``scaling``, as `quell.methods.contracts.Method` has them.
    cache : Path
        Folder for the arrays; what is there from the same settings is used as it is, even where the source
        is gone.

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        If the data cannot serve the method, before anything is simulated.
    OutputError
        If the disk is full.
    """
    facts = method.facts
    if facts.need is Need.ONE_IMAGE:
        raise QuellError(f"{facts.name} learns from the study that it denoises, and is not trained before")
    store = Store(cache, _key(settings, facts, method))
    finished = store.finished()
    if finished is None:
        finished = _fill(store, settings, method)
    made, notes = finished
    train = [stack for stack, entry in made if entry["split"] == TRAIN]
    held = [stack for stack, entry in made if entry["split"] == VALIDATION]
    modality = train[0].modality
    return Prepared(
        Pool(train, facts.dimensions, facts.need is Need.UNPAIRED),
        validation_cases(held, facts.dimensions),
        measure_data(train, modality, method.scaling(modality)),
        [_row(entry) for _, entry in made],
        tuple(notes),
    )


def _key(settings: DataSettings, facts: MethodFacts, method: type[Scaled]) -> str:
    told = {
        "format": _FORMAT,
        "settings": settings.model_dump(mode="json"),
        "method": [facts.name, facts.need.name, facts.dimensions, facts.needs_prior],
        "doses": facts.doses,
        "objects": facts.objects,
        "modalities": [[m.value for m in group] for group in (facts.modalities, facts.prior)],
        "scalings": [method.scaling(m).model_dump(mode="json") for m in Modality],
    }
    return digest(json.dumps(told, sort_keys=True))


def _fill(
    store: Store, settings: DataSettings, method: type[Scaled]
) -> tuple[list[tuple[Stack, Entry]], list[str]]:
    facts = method.facts
    sources, notes = (object_sources if settings.folder is None else folder_sources)(settings, facts)
    _refuse_mixed(sources, settings)
    made: list[tuple[Stack, Entry]] = []
    for number, source in enumerate(sources):
        try:
            name = f"{source.split}-{number:04d}"
            made.append(store.kept(name, f"{source.name} {source.sha256}", _maker(source, settings, method)))
        except UnsuitableError as error:
            notes.append(f"{source.name}: passed over, {error.reason}")
    _refuse_too_few(made, sources, notes, settings)
    notes += [note for _, entry in made for note in entry["notes"]]
    notes = list(dict.fromkeys(notes))
    store.finish([entry for _, entry in made], notes)
    return made, notes


def _maker(source: Source, settings: DataSettings, method: type[Scaled]) -> Any:
    def make() -> tuple[Stack, Entry]:
        found = source.make()
        stack = make_stack(
            source.name,
            source.patient,
            found.roles,
            method.scaling(found.roles.like.modality),
            settings.longest_side,
            found.prior,
            found.points,
        )
        known = {
            "split": source.split,
            "source_sha256": source.sha256,
            "licence": source.licence,
            "seed": settings.seed,
            "doses": sorted({v.dose for v in stack.variants}),
            "notes": list(found.roles.notes),
        }
        return stack, known

    return make


def _row(entry: Entry) -> Entry:
    names = ("name", "split", "modality", "source_sha256", "licence", "shape", "doses", "seed", "file")
    return {name: entry[name] for name in names}


def _refuse_mixed(sources: list[Source], settings: DataSettings) -> None:
    kinds = sorted({source.modality.value for source in sources})
    if len(kinds) > 1:
        raise InputError(
            settings.folder or "objects", f"images of several kinds ({', '.join(kinds)}) cannot be mixed"
        )


def _refuse_too_few(
    made: list[tuple[Stack, Entry]], sources: list[Source], notes: list[str], settings: DataSettings
) -> None:
    where: Path | str = settings.folder or "objects"
    for split in (TRAIN, VALIDATION):
        wanted = split == TRAIN or any(source.split == VALIDATION for source in sources)
        usable = [stack for stack, entry in made if entry["split"] == split]
        if wanted and not any(v.noisy >= 0 for stack in usable for v in stack.variants):
            passed = [note for note in notes if "passed over" in note]
            why = f"; {passed[0]}" if passed else ""
            purpose = "train on" if split == TRAIN else "validate on"
            raise InputError(
                where, f"too few images: at least 1 is needed to {purpose}, and none is left{why}"
            )
