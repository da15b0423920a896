"""The images of a folder: found, grouped by patient, and given to the side of the split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quell.errors import InputError
from quell.evaluation.references import listed, load, read_manifest
from quell.formats.contracts import Purpose, Series
from quell.formats.open import open_study
from quell.image import Image, Modality
from quell.training.data.contracts import UnsuitableError

UNKNOWN_LICENCE = "unknown"
TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True, eq=False)
class Found:
    """An image that can be read.

    Attributes
    ----------
    name : str
        Relative to the folder, without suffix; no patient's name.
    place : Path
        File or folder, for messages.
    patient : str
        What images of one patient share.
    modality : Modality
        As its format says.
    files : tuple of Path
    read : callable
        Gives the image.
    split : str
        ``"train"`` or ``"validation"`` where it is settled; empty where it is not.
    licence : str
    """

    name: str
    place: Path
    patient: str
    modality: Modality
    files: tuple[Path, ...]
    read: Callable[[], Image]
    split: str = ""
    licence: str = UNKNOWN_LICENCE

    def sha256(self) -> str:
        """Return the SHA-256 over the bytes of the files, in the order of their names."""
        digest = hashlib.sha256()
        for file in sorted(self.files):
            with file.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
        return digest.hexdigest()


def find_images(folder: Path, noisy: bool = False) -> tuple[list[Found], list[str]]:
    """Return the images of a folder, and notes on what was passed over.

    Images of one patient are those that DICOM says are (Patient ID, or Study Instance UID where there is
    none), and files of one sub-folder. Files that lie side by side are patients of their own.

    Parameters
    ----------
    folder : Path
    noisy : bool
        Take what Quell denoised itself as well, which has no noise to learn from but may be a target.

    Raises
    ------
    InputError
        If there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder")
    study = open_study(folder, Purpose.EVALUATE if noisy else Purpose.MEASURE)
    notes = [f"{folder.name}/{one.what}: {one.reason}" for one in study.passed_over]
    named = [(series, _files(series)) for series in study.series]
    inside = _groups([files for _, files in named], folder)
    found = []
    for (series, files), group in zip(named, inside, strict=True):
        patient = _dicom_patient(series) or group
        found.append(
            Found(_name(files, folder), _place(files, folder), patient, series.modality, files, series.read)
        )
    return _distinct(found), notes


def find_references(folder: Path, modality: Modality) -> list[Found]:
    """Return the images of Quell's own data folder, each on its side of the split.

    Raises
    ------
    InputError
        If none of those of the manifest is there.
    """
    found = []
    for entry in read_manifest():
        if entry["modality"] != modality.value:
            continue
        for one in listed(entry, folder):
            files = tuple(p for p in sorted(one.path.rglob("*")) if p.is_file()) or (one.path,)
            found.append(
                Found(
                    one.path.relative_to(folder).as_posix().split(".")[0],
                    one.path,
                    one.patient,
                    modality,
                    files,
                    _loader(one.path, modality),
                    one.split,
                    entry.get("licence", UNKNOWN_LICENCE),
                )
            )
    if not found:
        raise InputError(folder, f"none of the {modality.value} reference images is in it")
    return found


def _loader(path: Path, modality: Modality) -> Callable[[], Image]:
    return lambda: load(path, modality.value)


def of_modality(
    found: Sequence[Found], wanted: Modality | None, allowed: tuple[Modality, ...], folder: Path, force: bool
) -> tuple[list[Found], list[str]]:
    """Keep the images of one modality.

    Parameters
    ----------
    found : sequence of Found
        From one folder.
    wanted : Modality, optional
        As the user says; images whose format does not say theirs are taken to be of it.
    allowed : tuple of Modality
        That the method is meant for.
    folder : Path
        For messages.
    force : bool
        Take what the method is not meant for.

    Returns
    -------
    list of Found, list of str
        The images, all of one known modality, and notes on the others.

    Raises
    ------
    InputError
        If there is none, or several could be meant.
    """
    meant = ", ".join(m.value for m in allowed)
    if wanted is None:
        present = sorted({one.modality for one in found} - {Modality.UNKNOWN}, key=lambda m: m.value)
        fitting = [m for m in present if m in allowed]
        if len(fitting) > 1 or (not fitting and force and len(present) > 1):
            told = ", ".join(m.value for m in (fitting or present))
            raise InputError(folder, f"holds images of several kinds ({told}): say which, with modality")
        if fitting or (force and present):
            wanted = (fitting or present)[0]
        elif present:
            told = ", ".join(m.value for m in present)
            raise InputError(
                folder, f"holds {told}, and the method is meant for {meant}: --force takes it all the same"
            )
        elif len(allowed) == 1:
            wanted = allowed[0]
        else:
            raise InputError(folder, "nothing says of which kind the images are: say it, with modality")
    elif wanted not in allowed and not force:
        raise InputError(
            folder,
            f"taken as {wanted.value}, and the method is meant for {meant}: --force takes it all the same",
        )
    kept = [replace(one, modality=wanted) for one in found if one.modality in (wanted, Modality.UNKNOWN)]
    if not kept:
        raise InputError(folder, f"holds no {wanted.value} image")
    other = len(found) - len(kept)
    return kept, [f"{folder.name}: {other} images of other kinds were left out"] if other else []


def read_image(one: Found) -> Image:
    """Read an image, with the modality that was settled.

    Raises
    ------
    UnsuitableError
        If it is damaged or constant.
    InputError
        If it holds values that are no numbers.
    """
    try:
        image = replace(one.read(), modality=one.modality, name=one.name)
    except InputError as error:
        raise UnsuitableError(one.place, error.reason) from error
    real = image.voxels if image.padding is None else image.voxels[~image.padding]
    if not np.isfinite(image.voxels).all():
        raise InputError(one.place, "holds values that are no numbers (NaN or infinity)")
    if real.size == 0 or float(np.ptp(real)) == 0:
        raise UnsuitableError(one.place, "all its values are equal")
    return image


def spread(items: Sequence[Any], most: int | None) -> list[Any]:
    """Return at most so many items, evenly spread."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, most).round()]


def split_patients(patients: Iterable[str], share: float) -> frozenset[str]:
    """Return the patients that are kept for validation.

    Each goes by the hash of its name, so that a patient stays on its side when others are added; at least
    one is kept, and one left, where there are two.

    Parameters
    ----------
    patients : iterable of str
    share : float
        Of the patients; 0 keeps none.
    """
    order = sorted(set(patients), key=_rank)
    if share == 0 or len(order) < 2:
        return frozenset()
    kept = [name for name in order if _rank(name) < share]
    kept = kept or order[:1]
    return frozenset(kept[: len(order) - 1])


def _rank(name: str) -> float:
    """Return a number from 0 to 1 that a name has for ever."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2.0**64


def _files(series: Any) -> tuple[Path, ...]:
    if series.format == "DICOM":
        return tuple(sorted({instance.path for instance in series.instances}))
    return tuple(series.files)


def _dicom_patient(series: Series) -> str:
    """Return a name for the patient that does not tell who it is; empty for other formats."""
    if series.format != "DICOM":
        return ""
    header = series.instances[0].header  # type: ignore[attr-defined]
    told = str(header.get("PatientID", "") or "").strip() or str(header.get("StudyInstanceUID", "") or "")
    return f"patient {hashlib.sha256(told.encode()).hexdigest()[:12]}" if told else ""


def _groups(files: Sequence[tuple[Path, ...]], folder: Path) -> list[str]:
    """Return for each image the sub-folder that tells patients apart, or its own name where none does."""
    parts = [_relative(group[0], folder).parts for group in files]
    # A folder that holds everything tells nothing.
    while parts and all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    return [p[0] if len(p) > 1 else p[0].split(".")[0] for p in parts]


def _relative(path: Path, folder: Path) -> Path:
    # Members of an archive are unpacked elsewhere.
    return path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)


def _place(files: tuple[Path, ...], folder: Path) -> Path:
    return files[0] if len(files) == 1 or files[0].parent == folder else files[0].parent


def _name(files: tuple[Path, ...], folder: Path) -> str:
    place = _relative(_place(files, folder), folder)
    stem = place.name if len(files) > 1 else place.name.split(".")[0]
    return (place.parent / stem).as_posix()


def _distinct(found: list[Found]) -> list[Found]:
    """Give images of one name a number."""
    seen: dict[str, int] = {}
    named = []
    for one in found:
        seen[one.name] = seen.get(one.name, 0) + 1
        number = seen[one.name]
        named.append(one if number == 1 else replace(one, name=f"{one.name} ({number})"))
    return named
