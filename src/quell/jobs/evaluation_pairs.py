"""Which series of two studies show the same: by geometry, origin and content, never by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.formats.contracts import PassedOver, Purpose, Series, Study
from quell.image import Geometry, Image, Modality
from quell.jobs.common import series_to_do

ONLY, PLACE, SOURCE, CONTENT = (
    "the only ones",
    "shape, modality and geometry",
    "the source that DICOM names",
    "likeness of the pixels",
)
"""How two series were found to belong together."""

_SAME = 1e-3
_SIDE = 32
_DEPTH = 16
_CLEARLY = 0.5


@dataclass(frozen=True)
class Pair:
    """A test series and what it is judged by.

    Attributes
    ----------
    test : Series
    reference, noisy : Series or None
    paired_by : str
    """

    test: Series
    reference: Series | None = None
    noisy: Series | None = None
    paired_by: str = ONLY


@dataclass(frozen=True)
class Paired:
    """The pairs of two or three studies, and what was left."""

    pairs: tuple[Pair, ...]
    passed_over: tuple[PassedOver, ...]


def pair_studies(
    reference: Path | None,
    test: Path,
    noisy: Path | None,
    modality: Modality | None,
    called: str = "reference study",
) -> Paired:
    """Open studies and find the series that belong together.

    One series on each side is taken as it is: whether it fits is looked at later, and told exactly. Of
    several, those may belong together that agree in shape, modality and, where both know it, geometry. Of
    several of these the one counts that DICOM names as the source (directly or through the noisy study),
    and else the one that looks clearly more alike than the next.

    Parameters
    ----------
    reference, noisy : Path or None
    test : Path
    modality : Modality or None
        Of series whose format does not say it.
    called : str
        What messages call the first study.

    Raises
    ------
    InputError
        If a study cannot be used, or no series has a partner.
    """
    tests, passed = _open(test, modality)
    low, low_passed = _open(noisy, modality)
    full, full_passed = _open(reference, modality)
    links = _Links(tests, low, full)
    pairs = {id(one): Pair(one) for one in tests}
    left = [*passed, *low_passed, *full_passed]
    for role, others, path in (("noisy", low, noisy), ("reference", full, reference)):
        if path is None:
            continue
        place = called if role == "reference" else "noisy study"
        found = links.partners(list(pairs.values()), others, path)
        for one in tests:
            if id(one) not in pairs:
                continue
            if id(one) not in found:
                del pairs[id(one)]
                why = f"nothing in the {place} has its shape, modality and geometry"
                left.append(PassedOver(one.name, why, error=True))
                continue
            partner, how = found[id(one)]
            pairs[id(one)] = replace(pairs[id(one)], **{role: partner}, paired_by=how)
        taken = {id(partner) for partner, _ in found.values()}
        left += [
            PassedOver(one.name, f"in the {place}, without a partner in the other")
            for one in others
            if id(one) not in taken
        ]
        if not pairs:
            raise InputError(path, f"holds no partner for any series of {test}: shape, modality or geometry")
    return Paired(tuple(pairs.values()), tuple(left))


def _open(path: Path | None, modality: Modality | None) -> tuple[list[Series], tuple[PassedOver, ...]]:
    from quell.formats.open import open_study

    if path is None:
        return [], ()
    study: Study = open_study(path, Purpose.EVALUATE)
    return list(series_to_do(study, modality)), study.passed_over


class _Links:
    """Which series come from which, by the identifiers in DICOM headers."""

    def __init__(self, *studies: Sequence[Series]) -> None:
        self.own: dict[int, frozenset[str]] = {}
        self._sources: dict[int, frozenset[str]] = {}
        self._up: dict[str, frozenset[str]] = {}
        for series in (one for study in studies for one in study):
            if series.format != "DICOM":
                continue
            from quell.formats.dicom.lineage import lineage

            found = lineage(series)  # type: ignore[arg-type]
            self.own[id(series)], self._sources[id(series)] = found.own, found.sources
            self._up.update(dict.fromkeys(found.own, found.sources))

    def ancestors(self, series: Series) -> frozenset[str]:
        """Return the identifiers of all that a series was made of, over any number of steps."""
        found: set[str] = set()
        fresh = set(self._sources.get(id(series), frozenset()))
        while fresh:
            found |= fresh
            fresh = {up for uid in fresh for up in self._up.get(uid, frozenset())} - found
        return frozenset(found)

    def related(self, one: Series, other: Series) -> bool:
        """Whether one was made of the other, or both of the same."""
        a, b = self.ancestors(one), self.ancestors(other)
        own, its = self.own.get(id(one), frozenset()), self.own.get(id(other), frozenset())
        return bool(a & its or b & own or a & b)

    def partners(
        self, pairs: Sequence[Pair], others: Sequence[Series], path: Path
    ) -> dict[int, tuple[Series, str]]:
        """Return the partner of each test, and how it was found; none for those that have none."""
        if len(pairs) == 1 and len(others) == 1:
            return {id(pairs[0].test): (others[0], ONLY)}
        found: dict[int, tuple[Series, str]] = {}
        open_ones: list[tuple[Series, list[Series]]] = []
        for pair in pairs:
            fitting = [one for one in others if fits(pair.test, one) and not self._same(pair.test, one)]
            related = [one for one in fitting if self.related(pair.test, one)]
            if len(related) == 1:
                found[id(pair.test)] = related[0], SOURCE
            elif fitting:
                open_ones.append((pair.test, related or fitting))
        taken = {id(partner) for partner, _ in found.values()}
        return found | _by_content(open_ones, taken, path)

    def _same(self, one: Series, other: Series) -> bool:
        own = self.own.get(id(one))
        return own is not None and own == self.own.get(id(other))


def fits(one: Series, other: Series) -> bool:
    """Whether two series agree in shape, modality and, where both know it, geometry; by their headers."""
    kinds = {one.modality, other.modality} - {Modality.UNKNOWN}
    if one.shape != other.shape or len(kinds) > 1:
        return False
    a, b = _geometry(one), _geometry(other)
    if not (a.known and b.known):
        return True
    apart = float(np.max(np.abs(np.subtract(a.origin, b.origin))))
    return bool(
        np.allclose(a.spacing, b.spacing, rtol=_SAME)
        and np.allclose(a.direction, b.direction, atol=_SAME)
        and apart <= 0.01 * min(a.spacing)
    )


def _geometry(series: Series) -> Geometry:
    geometry: Geometry = getattr(series, "geometry", Geometry())
    return geometry


def _by_content(
    open_ones: Sequence[tuple[Series, list[Series]]], taken: set[int], path: Path
) -> dict[int, tuple[Series, str]]:
    """Choose among partners that fit alike: each other's best, and clearly better than the next."""
    choices = [(test, [one for one in fitting if id(one) not in taken]) for test, fitting in open_ones]
    counts: dict[int, int] = {}
    for one in (one for _, fitting in choices for one in fitting):
        counts[id(one)] = counts.get(id(one), 0) + 1
    found = {
        id(test): (fitting[0], PLACE)
        for test, fitting in choices
        if len(fitting) == 1 and counts[id(fitting[0])] == 1
    }
    rest = [(test, fitting) for test, fitting in choices if fitting and id(test) not in found]
    sketches: dict[int, npt.NDArray[np.float64]] = {}
    for series in (one for test, fitting in rest for one in (test, *fitting)):
        if id(series) not in sketches:
            sketches[id(series)] = sketch(series.read())
    for test, fitting in rest:
        mine = sketches[id(test)]
        apart = sorted((_unlike(mine, sketches[id(one)]), number) for number, one in enumerate(fitting))
        rivals = [
            _unlike(sketches[id(t)], sketches[id(fitting[apart[0][1]])]) for t, _ in rest if t is not test
        ]
        next_best = min([d for d, _ in apart[1:]] + rivals, default=np.inf)
        if not apart[0][0] < _CLEARLY * next_best:
            raise InputError(
                path,
                f"several series could belong to {test.name}, and they look too much alike to tell; "
                "give one series at a time",
            )
        found[id(test)] = fitting[apart[0][1]], CONTENT
    return found


def sketch(image: Image) -> npt.NDArray[np.float64]:
    """Return a coarse picture of an image, free of its mean and of unit length; noise averages out in it."""
    depth, rows, columns = image.shape
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, _DEPTH)).astype(int))
    low, high = np.percentile(image.voxels[chosen], (0.5, 99.5))
    stack = np.clip(image.voxels[chosen].astype(np.float64), low, high)
    edges = [np.linspace(0, n, min(n, _SIDE) + 1).astype(int)[:-1] for n in (rows, columns)]
    coarse = np.add.reduceat(np.add.reduceat(stack, edges[0], axis=1), edges[1], axis=2)
    counts: Any = np.add.reduceat(np.add.reduceat(np.ones((1, rows, columns)), edges[0], 1), edges[1], 2)
    flat = (coarse / counts).ravel()
    flat = flat - flat.mean()
    size = float(np.sqrt((flat**2).sum()))
    return np.asarray(flat / size if size > 0 else flat, np.float64)


def _unlike(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return one minus the correlation of two sketches."""
    return 1 - float(one @ other) if one.shape == other.shape else 2.0
