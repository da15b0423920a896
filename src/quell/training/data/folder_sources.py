"""The images of a folder, with the roles that its sub-folders give, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quell.errors import InputError
from quell.image import Image, Modality
from quell.methods.contracts import MethodFacts, Need
from quell.training.data.contracts import NONE, UnsuitableError, Variant
from quell.training.data.images import (
    TRAIN,
    UNKNOWN_LICENCE,
    VALIDATION,
    Found,
    find_images,
    find_references,
    of_modality,
    read_image,
    split_patients,
    spread,
)
from quell.training.data.noise import (
    Roles,
    check_clean,
    check_doses,
    fewer,
    given_roles,
    scan_image,
    split_counts,
)
from quell.training.data.pairs import Grid, match, role_folders
from quell.training.data.settings import DataSettings
from quell.training.data.slices import Integers, kept_slices, taken
from quell.training.data.sources import Made, Source, realisations_of


def folder_sources(settings: DataSettings, facts: MethodFacts) -> tuple[list[Source], list[str]]:
    """Return the images of the folder and of the folder to validate on.

    All are read once and looked at, so that what cannot be used is refused before anything is simulated.

    Raises
    ------
    InputError
        As the modules of this folder say: too few patients, images that do not align, have the wrong
        modality, hold no numbers or no counts, or lack the role that the method learns from.
    """
    assert settings.folder is not None
    reader = _Folder(settings.folder, settings, facts)
    if settings.validation_folder is None:
        return reader.sources(None)
    sources, notes = reader.sources(TRAIN)
    other = _Folder(settings.validation_folder, settings, facts, reader.modality)
    more, remarks = other.sources(VALIDATION)
    shared = {one.sha256 for one in sources} & {one.sha256 for one in more}
    if shared:
        name = next(one.name for one in more if one.sha256 in shared)
        raise InputError(settings.validation_folder, f"{name} is among the images to train on too")
    both = {one.patient for one in sources} & {one.patient for one in more}
    if any(patient.startswith("patient ") for patient in both):
        raise InputError(settings.validation_folder, "holds images of a patient that is trained on too")
    return sources + more, notes + remarks


class _Folder:
    """A folder of images with the roles that its sub-folders give."""

    def __init__(
        self, folder: Path, settings: DataSettings, facts: MethodFacts, modality: Modality | None = None
    ) -> None:
        self._folder, self._settings, self._facts = folder, settings, facts
        self.modality = modality or settings.modality
        self._roles = role_folders(folder) if folder.is_dir() else {}
        if not settings.prior:
            self._roles.pop("prior", None)
        if not self._roles:
            self._roles = {settings.role: folder}
        self._base = "noisy" if "noisy" in self._roles else "clean"
        self._refuse_roles()

    def _refuse_roles(self) -> None:
        """Refuse roles from which the method cannot learn."""
        need, name, has = self._facts.need, self._facts.name, set(self._roles)
        if self._facts.needs_prior and "prior" not in has:
            raise InputError(self._folder, f"{name} needs a prior image of each patient, in prior/")
        if self._base == "clean":
            if "second" in has:
                raise InputError(self._folder, "second/ holds second noisy images, and there is no noisy/")
            return
        if need in (Need.PAIRED, Need.UNPAIRED) and "clean" not in has:
            raise InputError(
                self._folder,
                f"holds noisy images alone, and {name} learns from {need.value}: give clean/ too",
            )
        if need is Need.NOISY_PAIRS and not has & {"clean", "second"} and not self._may_split():
            raise InputError(
                self._folder,
                f"holds noisy images alone, and {name} learns from {need.value}: give second/ too",
            )

    def _may_split(self) -> bool:
        """Whether the noisy images may be raw counts, which make two independent images each."""
        return (self.modality or self._facts.modalities[0]) is Modality.NM

    def sources(self, split: str | None) -> tuple[list[Source], list[str]]:
        """Return what is in the folder, all on one side or split."""
        base, notes = self._list(self._base)
        sides = self._sides(base, split)
        found = self._limited([replace(one, split=sides[one.patient]) for one in base])
        grids = self._looked_at_all(found, self._base, notes)
        partners: dict[str, list[Found]] = {}
        apart: list[Found] = []
        for role in sorted(set(self._roles) - {self._base}):
            others, remarks = self._list(role)
            notes += remarks
            seen = self._looked_at_all(others, role, notes)
            if role == "clean" and self._facts.need is Need.UNPAIRED:
                apart = [one for one, _ in seen]
            else:
                partners[role] = match(grids, seen, self._roles[role])
        made = [
            self._source(one, {role: chosen[number] for role, chosen in partners.items()})
            for number, (one, _) in enumerate(grids)
        ]
        kept = {patient for patient, side in sides.items() if side == VALIDATION}
        return made + [self._clean_alone(one) for one in apart if one.patient not in kept], notes

    def _looked_at_all(self, found: Sequence[Found], role: str, notes: list[str]) -> list[tuple[Found, Grid]]:
        """Return the images that can be read, with their grids; a note for each of the others."""
        seen = []
        for one in found:
            try:
                seen.append((one, self._looked_at(one, role)))
            except UnsuitableError as error:
                notes.append(f"{one.name}: passed over, {error.reason}")
        return seen

    def _list(self, role: str) -> tuple[list[Found], list[str]]:
        folder, settings = self._roles[role], self._settings
        if settings.use_manifest:
            wanted = self.modality or (
                self._facts.modalities[0] if len(self._facts.modalities) == 1 else None
            )
            if wanted is None:
                raise InputError(folder, "holds images of several kinds: say which, with modality")
            self.modality = wanted
            found, notes = find_references(folder, wanted), list[str]()
        else:
            found, notes = find_images(folder, noisy=role != "noisy")
        if role == "prior":
            return self._priors(found), notes
        found, more = of_modality(found, self.modality, self._facts.modalities, folder, settings.force)
        self.modality = found[0].modality
        return found, notes + more

    def _priors(self, found: list[Found]) -> list[Found]:
        usual = self._facts.prior[0] if self._facts.prior else Modality.UNKNOWN
        told = [replace(f, modality=usual) if f.modality is Modality.UNKNOWN else f for f in found]
        strange = [f for f in told if self._facts.prior and f.modality not in self._facts.prior]
        if strange and not self._settings.force:
            meant = ", ".join(m.value for m in self._facts.prior)
            raise InputError(
                strange[0].place, f"is {strange[0].modality.value}, and the prior is to be {meant}"
            )
        return told

    def _sides(self, found: Sequence[Found], split: str | None) -> dict[str, str]:
        """Return the side of each patient.

        Raises
        ------
        InputError
            If there is nobody to validate on.
        """
        if split is not None:
            return {one.patient: split for one in found}
        if any(one.split for one in found):
            # A patient of whom anything is to be validated on is not trained on.
            order = sorted(found, key=lambda one: one.split == VALIDATION)
            return {one.patient: one.split for one in order}
        share = self._settings.validation
        kept = split_patients((one.patient for one in found), share)
        if share and not kept:
            raise InputError(
                self._folder,
                "too few images: all are of one patient, and at least 2 patients are needed, one of them to "
                "validate on; or set validation to 0, or give a validation_folder",
            )
        return {one.patient: VALIDATION if one.patient in kept else TRAIN for one in found}

    def _limited(self, found: list[Found]) -> list[Found]:
        most = self._settings.most_images
        return [
            one for side in (TRAIN, VALIDATION) for one in spread([f for f in found if f.split == side], most)
        ]

    def _looked_at(self, one: Found, role: str) -> Grid:
        image = read_image(one)
        simulated = role == "clean" and self._base == "clean"
        if simulated:
            check_doses(self._doses, one.modality, str(self._folder))
            try:
                check_clean(image)
            except InputError as error:
                raise InputError(one.place, error.reason) from error
        elif role == "noisy" and self._splits_counts:
            try:
                split_counts(image, 1, (0,))
            except InputError as error:
                raise InputError(one.place, f"cannot be split into two: {error.reason}") from error
        return Grid.of(image)

    @property
    def _doses(self) -> tuple[float, ...]:
        return self._settings.doses or self._facts.doses

    @property
    def _splits_counts(self) -> bool:
        pairs = self._facts.need is Need.NOISY_PAIRS
        return pairs and self._base == "noisy" and not set(self._roles) & {"clean", "second"}

    def _source(self, one: Found, partners: dict[str, Found]) -> Source:
        hashes = [found.sha256() for found in (one, *partners.values())]
        seed = (self._settings.seed, int(hashes[0][:8], 16), int(hashes[0][8:16], 16))
        named = f"{self._folder.name}/{one.name}"

        def make() -> Made:
            image = replace(read_image(one), name=named)
            images = {role: read_image(found) for role, found in partners.items()}
            kept = kept_slices(image, self._settings.most_slices, self._facts.dimensions == 3)
            roles = self._roles_of(image, images, seed, kept)
            return Made(roles, taken(images["prior"], kept) if "prior" in images else None)

        return Source(one.name, one.patient, one.split, one.modality, " ".join(hashes), one.licence, make)

    def _roles_of(
        self, image: Image, others: dict[str, Image], seed: tuple[int, ...], kept: Integers
    ) -> Roles:
        count = realisations_of(self._settings, self._facts)
        if self._base == "clean":
            return scan_image(image, self._doses, count, seed, kept)
        if self._splits_counts:
            return fewer(split_counts(image, max(1, count // 2), seed), kept)
        second = others.get("second")
        if self._facts.need is Need.NOISY_PAIRS and second is None:
            # Whatever was scanned by itself has noise of its own, the better one too.
            roles = given_roles(image, others["clean"], None)
            variant = replace(roles.variants[0], second=roles.variants[0].clean)
            return fewer(replace(roles, variants=(variant,)), kept)
        return fewer(given_roles(image, others.get("clean"), second), kept)

    def _clean_alone(self, one: Found) -> Source:
        def make() -> Made:
            image = read_image(one)
            kept = kept_slices(image, self._settings.most_slices, self._facts.dimensions == 3)
            return Made(fewer(Roles(image, (image.voxels,), (Variant(NONE, 0),)), kept))

        sha = one.sha256()
        return Source(f"{one.name} (clean)", one.patient, TRAIN, one.modality, sha, UNKNOWN_LICENCE, make)
