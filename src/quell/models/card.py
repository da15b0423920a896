"""The card of a model: what it is, what it was trained on, what it was measured to do, where it ends."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from quell.models.scaling import Scaling


class TrainingData(BaseModel):
    """One source of training images."""

    model_config = ConfigDict(extra="forbid")

    name: str
    licence: str
    what: str = ""


class ModelCard(BaseModel):
    """What a user must know of a model; the JSON file beside its weights.

    Attributes
    ----------
    name, tag, version
        ``name.tag`` is what ``--model`` takes; the version rises with every change of the weights.
    modalities
        DICOM modalities that it was trained for (``XR`` for radiography).
    slices
        Neighbouring slices that it reads for one slice of output.
    multiple
        Rows and columns are padded to a multiple of this.
    halo
        Pixels of context that a tile needs on each side to equal the whole image.
    sha256
        Over the weight files, in the alphabetical order of their roles.
    files
        Weight files by role: ``denoiser`` and ``estimator``.
    method
        How it was trained; ``"universal"`` has an estimator beside the denoiser.
    dimensions
        2 for slices, 3 for volumes.
    scaling
        Between image units and the numbers of the network; None for ``"universal"``, which normalises by the
        noise.
    outputs
        What the network gives: ``image``, and ``spread`` or ``lower`` and ``upper``.
    prior
        Modalities of the second image of the patient that the network is told of; empty for none.
    kinds
        What the network can be told that an image shows, in its order (see `quell.inference.kinds`); empty
        for one that is not told.
    specialises
        Of these, those that it was trained for alone: the default there, see
        `quell.models.registry.default_card`; empty for a model of all kinds.
    strength
        Share of the estimated noise that is taken away where the user says nothing, by kind; 1 for others.
    grain
        Share of the fine part of that noise that stays nevertheless, for the sake of its texture, by kind; 0
        for others. Only where the user says nothing of the strength.
    samples
        Draws of noise that are averaged by a generative model; 0 for all others.
    metrics
        Measured figures by name, each with the command that prints it in `metrics_command`.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    tag: str
    version: str
    description: str
    modalities: tuple[str, ...]
    kmac_per_pixel: float
    parameters: int
    slices: int = Field(ge=1)
    multiple: int = Field(ge=1)
    halo: int = Field(ge=0)
    files: dict[str, str]
    sha256: str
    training_data: tuple[TrainingData, ...] = ()
    training: dict[str, str | float | int] = {}
    metrics: dict[str, float] = {}
    metrics_command: str = ""
    limits: tuple[str, ...] = ()
    licence: str = "Apache-2.0"
    method: str = "universal"
    dimensions: int = Field(default=2, ge=2, le=3)
    scaling: Scaling | None = None
    outputs: tuple[str, ...] = ("image",)
    prior: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    specialises: tuple[str, ...] = ()
    strength: dict[str, float] = {}
    grain: dict[str, float] = {}
    samples: int = Field(default=0, ge=0)

    @property
    def identifier(self) -> str:
        """``name.tag``, as ``--model`` takes it."""
        return f"{self.name}.{self.tag}"
