"""Resolution of a denoiser by contrast and by noise: the same inserts before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quell.errors import InputError
from quell.evaluation.contrast_recovery import Recovery, contrast_recovery
from quell.evaluation.transfer import TransferFunction, task_transfer
from quell.image import Image
from quell.inference.contracts import Denoiser, Sigma
from quell.phantoms.uniform import Insert


@dataclass(frozen=True, eq=False)
class Scene:
    """Images of known inserts in noise.

    Attributes
    ----------
    image : Image
        Each slice shows the same inserts in other noise; `volume` is False where the denoiser must not
        take them for neighbours.
    inserts : tuple of Insert
        In pixels.
    dose : float
        What the noise stands for; a label.
    sigma : float or "auto"
        What the denoiser is told of the noise.
    """

    image: Image
    inserts: tuple[Insert, ...]
    dose: float
    sigma: Sigma = "auto"


@dataclass(frozen=True, eq=False)
class TransferRow:
    """The transfer function at one insert before and after denoising.

    Attributes
    ----------
    insert : Insert
    dose : float
    before, after : TransferFunction
    """

    insert: Insert
    dose: float
    before: TransferFunction
    after: TransferFunction

    @property
    def change50(self) -> float:
        """Change of the frequency at which half is left, in percent of that before."""
        return 100 * (self.after.f50.value / self.before.f50.value - 1)

    @property
    def change10(self) -> float:
        """Change of the frequency at which a tenth is left, in percent of that before."""
        return 100 * (self.after.f10.value / self.before.f10.value - 1)


@dataclass(frozen=True)
class RecoveryRow:
    """What is left of one insert at one dose."""

    dose: float
    recovery: Recovery


def transfer_by_task(
    denoiser: Denoiser, scenes: Iterable[Scene], **options: float
) -> tuple[TransferRow, ...]:
    """Measure the transfer function of a denoiser at every insert of every scene.

    Parameters
    ----------
    denoiser : Denoiser
    scenes : iterable of Scene
        One for each noise level, with inserts of several contrasts, all large enough for
        `quell.evaluation.transfer.task_transfer`.
    options
        Passed on to `task_transfer` (``margin``, ``level``, ``seed``).
    """
    rows = []
    for scene in scenes:
        spacing = _square(scene.image)
        after = denoiser.denoise(scene.image, sigma=scene.sigma).image
        for insert in scene.inserts:
            both = [
                task_transfer(image.voxels, insert.centre, insert.radius, spacing, **options)  # type: ignore[arg-type]
                for image in (scene.image, after)
            ]
            rows.append(TransferRow(insert, scene.dose, both[0], both[1]))
    return tuple(rows)


def recovery_by_task(denoiser: Denoiser, scenes: Sequence[Scene], seed: int = 0) -> tuple[RecoveryRow, ...]:
    """Measure how much of the contrast of every insert a denoiser keeps, at every dose."""
    rows: list[RecoveryRow] = []
    for scene in scenes:
        after = denoiser.denoise(scene.image, sigma=scene.sigma).image
        found = contrast_recovery(after.voxels, scene.inserts, scene.image.voxels, seed=seed)
        rows.extend(RecoveryRow(scene.dose, one) for one in found)
    return tuple(rows)


def _square(image: Image) -> float:
    _, height, width = image.geometry.spacing
    if abs(height - width) > 1e-3 * width:
        raise InputError(image.name, f"a transfer function needs square pixels, not {height} x {width} mm")
    return width
