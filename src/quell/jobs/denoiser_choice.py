"""Which denoiser a series gets: the model or method that the user named, or the default of its modality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from quell.errors import InputError, QuellError
from quell.image import Image, Modality
from quell.jobs.denoising_settings import JobSettings
from quell.jobs.prior import Guide, Prior

if TYPE_CHECKING:
    from quell.inference.contracts import Denoised, Sigma, Step
    from quell.inference.make import ModelDenoiser
    from quell.training.study_denoiser import StudyDenoiser

    Chosen: TypeAlias = ModelDenoiser | StudyDenoiser


class Denoising:
    """The denoisers of one run, each made once.

    Parameters
    ----------
    settings : JobSettings

    Raises
    ------
    QuellError
        If the settings make no sense, or the prior cannot be used.
    """

    def __init__(self, settings: JobSettings) -> None:
        settings.check()
        self._settings = settings
        self._made: dict[Path, ModelDenoiser] = {}
        self._study = study_denoiser(settings) if settings.method is not None else None
        self._prior = Prior(settings.prior) if settings.prior is not None else None

    def denoiser(self, modality: Modality, volume: bool = False) -> Chosen:
        """Return the denoiser for a kind of image, or the one that the user named.

        Parameters
        ----------
        modality : Modality
        volume : bool
            Whether the slices of an image are neighbours.
        """
        from quell.inference.kinds import kind_for
        from quell.inference.make import make_denoiser
        from quell.inference.runtimes import make_runtime
        from quell.models.registry import default_card, locate, model_files

        if self._study is not None:
            return self._study
        chosen = self._settings
        name = chosen.model or default_card(modality, chosen.tier, kind_for(modality, volume)).identifier
        card, folder = locate(name)
        if folder not in self._made:
            runtime = make_runtime(chosen.engine, chosen.device, chosen.threads)
            self._made[folder] = make_denoiser(card, model_files(card, folder), runtime, chosen.threads)
        return self._made[folder]

    def check(self, name: str, modality: Modality, volume: bool = False) -> None:
        """Raise InputError where a series cannot be denoised as the settings say, before it is read.

        Parameters
        ----------
        name : str
            Of the series.
        modality : Modality
        volume : bool
            Whether its slices are neighbours.
        """
        from quell.inference.learned_denoiser import LearnedDenoiser, not_for

        denoiser = self.denoiser(modality, volume)
        card = denoiser.card
        learned = isinstance(denoiser, LearnedDenoiser)
        if learned and card.modalities and modality.value not in card.modalities:
            raise InputError(name, not_for(card, modality.value))
        if self._settings.spread and not denoiser.tells_spread:
            raise InputError(name, f"{card.identifier} does not tell how sure it is: no spread")
        if self._prior is not None and not card.prior:
            raise InputError(name, f"{card.identifier} takes no prior image: leave out --prior")
        needed = self._study.needs_prior if self._study is not None else learned and bool(card.prior)
        if self._prior is None and needed:
            raise InputError(
                name, f"{card.identifier} needs a {' or '.join(card.prior)} of the patient: --prior PATH"
            )

    def remarks(self, image: Image) -> tuple[str, ...]:
        """Return what is to be said of a method or model that is applied to what it was not made for."""
        from quell.inference.kinds import kind_of

        card, modality = self.denoiser(image.modality, image.volume).card, image.modality.value
        if self._study is not None and modality not in card.modalities:
            return (f"{card.name} is meant for {', '.join(card.modalities)}, not for {modality}",)
        if card.specialises and kind_of(image) not in card.specialises:
            shown = kind_of(image) or modality
            return (f"{card.identifier} is meant for {', '.join(card.specialises)}, not for {shown}",)
        return ()

    def guide(self, image: Image) -> Guide | None:
        """Return the prior on the grid of an image; None where none was given."""
        if self._prior is None:
            return None
        return self._prior.guide(image, self.denoiser(image.modality, image.volume).card.prior)

    def denoise(self, image: Image, step: Step | None = None, guide: Guide | None = None) -> Denoised:
        """Denoise one image with the denoiser for its modality.

        Parameters
        ----------
        image : Image
        step : Step, optional
        guide : Guide, optional
            What `guide` gave for this image; found out if not given.
        """
        from quell.inference.network_denoiser import NetworkDenoiser

        chosen = self._settings
        self.check(image.name, image.modality, image.volume)
        sigma: Sigma = "auto" if chosen.sigma is None else chosen.sigma
        tell = step or (lambda name, count: None)
        denoiser = self.denoiser(image.modality, image.volume)
        found = guide or self.guide(image)
        if found is not None and not isinstance(denoiser, NetworkDenoiser):
            denoiser = denoiser.with_prior(found.image)
        if isinstance(denoiser, NetworkDenoiser):
            return denoiser.denoise(image, self.strength(image), sigma, tell, self.grain(image))
        return denoiser.denoise(image, self.strength(image), sigma, tell)

    def strength(self, image: Image) -> float:
        """Return the share of the noise to take away: as the user says, or as the model's card does."""
        from quell.inference.kinds import usual_strength

        given = self._settings.strength
        if given is not None:
            return given
        return usual_strength(self.denoiser(image.modality, image.volume).card, image)

    def grain(self, image: Image) -> float:
        """Return the share of the fine noise that stays: as the user says, or as the model's card does.

        Networks without an estimator of the noise leave none.
        """
        from quell.inference.kinds import usual_grain
        from quell.inference.network_denoiser import NetworkDenoiser

        chosen, denoiser = self._settings, self.denoiser(image.modality, image.volume)
        if not isinstance(denoiser, NetworkDenoiser):
            return 0.0
        if chosen.grain is not None:
            return chosen.grain
        return usual_grain(denoiser.card, image) if chosen.strength is None else 0.0


def study_denoiser(settings: JobSettings) -> StudyDenoiser:
    """Return what applies the method of the settings.

    Raises
    ------
    QuellError
        If there is no such method, it cannot learn from one study, its settings are wrong, or what it
        needs is not installed.
    """
    name = settings.method or ""
    try:
        from quell.training.study_denoiser import StudyDenoiser

        return StudyDenoiser(name, settings.method_settings, settings.device, settings.threads)
    except ImportError as error:
        lacking = error.name or "a package"
        raise QuellError(f"the method {name!r} needs {lacking}: pip install 'quell[train]'") from error
