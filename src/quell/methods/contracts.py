"""What a learning method is: the data that it needs, the networks that it trains, one step of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Protocol

from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from quell.image import FloatArray, Image, Modality
from quell.models.scaling import Scaling


class Need(str, Enum):
    """The data that a method learns from."""

    PAIRED = "noisy images, each with its clean one"
    NOISY_PAIRS = "two noisy images of each object, with independent noise"
    NOISY_ONLY = "noisy images alone"
    UNPAIRED = "noisy images, and clean ones of other objects"
    ONE_IMAGE = "the one study that is denoised"


class Fidelity(str, Enum):
    """How far a method may bear the name that it has."""

    NAMED = "after the authors' own code or paper"
    RECONSTRUCTION = "reconstruction: the original was not available to us"
    OURS = "ours"


@dataclass(frozen=True)
class MethodFacts:
    """What there is to know of a method without loading what it computes with.

    Attributes
    ----------
    name : str
        What ``quell train`` takes.
    title : str
        One line.
    source : str
        Authors, year, where; or why there is none.
    fidelity : Fidelity
    ours : str
        What was not found in the source and is our choice.
    need : Need
    modalities : tuple of Modality
        What it is meant for; it can be tried on others.
    dimensions : int
        2 for slices (with neighbours as channels), 3 for volumes.
    prior : tuple of Modality
        A second image of the patient that it can be told of; empty where it takes none.
    needs_prior : bool
    objects : tuple of str
        Test objects of `quell.phantoms` that it is trained on where no data is given.
    doses : tuple of float
        Doses of the noisy images that are simulated where the data is clean.
    """

    name: str
    title: str
    source: str
    fidelity: Fidelity
    need: Need
    modalities: tuple[Modality, ...]
    ours: str = ""
    dimensions: int = 2
    prior: tuple[Modality, ...] = ()
    needs_prior: bool = False
    objects: tuple[str, ...] = ()
    doses: tuple[float, ...] = (0.25,)


class StudyConfig(BaseModel):
    """Settings of a method that learns from one study; each method adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodConfig(StudyConfig):
    """Settings that every method has that is trained before; each method adds its own.

    Attributes
    ----------
    steps
        Length of the training.
    batch
        Crops of one step.
    size
        Rows and columns of a crop.
    slices
        Neighbouring slices in (2-D methods; odd), or slices of a crop (3-D methods).
    rate
        Highest learning rate.
    """

    steps: int = Field(20_000, ge=1)
    batch: int = Field(16, ge=1)
    size: int = Field(64, ge=8)
    slices: int = Field(1, ge=1)
    rate: float = Field(1e-3, gt=0)


@dataclass(frozen=True, eq=False)
class DataFacts:
    """What a method may know of the training data when it is made.

    Attributes
    ----------
    modality : Modality
    units : str
    items : int
        Training images.
    scaling : Scaling
        Between image units and the numbers of the network.
    scale : float
        Median over the images of image units for one network unit.
    sigma : float
        Standard deviation of the noise of the noisy images in network units, in the median; 0 where it is
        not known.
    residual : tuple of float, optional
        The 0.1 % and 99.9 % quantiles of clean minus noisy, in image units; None without clean images.
    correlation : tuple of float
        Autocorrelation of the noise at distances of 1, 2, ... pixels, the larger of rows and columns;
        empty where it is not known.
    mean : float
        Mean of the noisy images in network units.
    shape : tuple of int
        Smallest numbers of slices, rows and columns of all images.
    prior : bool
        Whether there is a prior image for each.
    """

    modality: Modality
    units: str
    items: int
    scaling: Scaling
    scale: float = 1.0
    sigma: float = 0.0
    residual: tuple[float, float] | None = None
    correlation: tuple[float, ...] = ()
    mean: float = 0.0
    shape: tuple[int, int, int] = (1, 64, 64)
    prior: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops in network units, all of one shape (n, z, y, x).

    2-D methods read z as neighbouring slices of which the middle one counts; 3-D methods read it as depth.

    Attributes
    ----------
    noisy : Tensor, shape (n, z, y, x)
    clean : Tensor or None
        The same without noise, or at full dose.
    second : Tensor or None
        The same object with noise that is independent of that of `noisy`.
    unpaired : Tensor or None
        Clean crops of other places.
    prior : Tensor or None
        The same place in the other image of the patient.
    points : Tensor or None, shape (n, p, 3)
        Positions (z, y, x) in pixels of the crop of what an observer looks for; NaN where there is none.
    dose : Tensor, shape (n,)
        Dose of `noisy` as a fraction of that of `clean`; 1 where it is not known.
    scale : Tensor, shape (n,)
        Image units for one network unit.
    patient : Tensor or None, shape (n,)
        Number of the patient of each crop, for methods that keep some back.
    """

    noisy: Tensor
    clean: Tensor | None
    second: Tensor | None
    unpaired: Tensor | None
    prior: Tensor | None
    points: Tensor | None
    dose: Tensor
    scale: Tensor
    patient: Tensor | None = None


@dataclass(frozen=True)
class Stage:
    """What is drawn at a point of the training.

    Attributes
    ----------
    name : str
    batch : int
    patch : tuple of int
        Slices, rows and columns of a crop.
    """

    name: str
    batch: int
    patch: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Exported:
    """The part of a trained method that denoises.

    Attributes
    ----------
    module : nn.Module
        Takes the noisy crop, then the prior where there is one, each of shape (n, slices, y, x), or
        (n, 1, z, y, x) in three dimensions; then, where `samples` is positive, unit Gaussian noise of one
        channel, shape (n, 1, y, x) or (n, 1, z, y, x). Gives the denoised image, of the shape of that noise,
        and what `outputs` names besides it. Everything in network units.
    slices : int
        Neighbouring slices in; 1 in three dimensions.
    dimensions : int
        2 or 3.
    multiple : int
        Rows and columns (and slices in three dimensions) must be a multiple of this.
    halo : int
        Pixels of context that a tile needs on each side.
    outputs : tuple of str
        ``("image",)``, ``("image", "spread")`` (standard deviation), or ``("image", "lower", "upper")``.
    prior : bool
        Whether it takes a prior image.
    samples : int
        How many draws of noise are averaged; 0 where it takes none.
    """

    module: nn.Module
    slices: int = 1
    dimensions: int = 2
    multiple: int = 1
    halo: int = 0
    outputs: tuple[str, ...] = ("image",)
    prior: bool = False
    samples: int = 0


class Method(Protocol):
    """A way to learn a denoiser; one file each in `quell.methods`.

    Making one raises `quell.errors.QuellError` where the data is such that it cannot work.
    """

    facts: ClassVar[MethodFacts]
    Config: ClassVar[type[MethodConfig]]
    networks: dict[str, nn.Module]
    """What is trained, by name; the loop moves, wraps, averages and saves them."""

    def __init__(self, config: Any, data: DataFacts) -> None: ...

    @classmethod
    def scaling(cls, modality: Modality) -> Scaling:
        """Return how images of a modality become numbers for the network."""

    def setup(self, fabric: Fabric) -> None:
        """Put networks and optimisers on the devices; called once, before the first step."""

    def stage(self, progress: float) -> Stage:
        """Return what to draw when a share `progress` (0 to 1) of the training is done."""

    def step(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        """Learn from one batch; return losses by name, the one to be watched first."""

    def state(self) -> dict[str, Any]:
        """Return everything that going on needs besides the settings."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""

    def exported(self) -> Exported:
        """Return what denoises; shares its weights with `networks`."""


@dataclass(frozen=True, eq=False)
class StudyResult:
    """What a method that learns from one study gives.

    Attributes
    ----------
    voxels : ndarray of float32, shape (z, y, x)
        In the units of the image.
    spread : ndarray of float32, optional
        Standard deviation of each voxel.
    facts : mapping
        What is told of the run: iterations, why it stopped.
    """

    voxels: FloatArray
    spread: FloatArray | None = None
    facts: Mapping[str, float | int | str] = field(default_factory=dict)


class StudyMethod(Protocol):
    """A method that learns from the one study that it denoises (`Need.ONE_IMAGE`)."""

    facts: ClassVar[MethodFacts]
    Config: ClassVar[type[StudyConfig]]

    def __init__(self, config: Any) -> None: ...

    def denoise(self, image: Image, prior: Image | None, seed: int = 0) -> StudyResult:
        """Denoise one image.

        Parameters
        ----------
        image : Image
        prior : Image, optional
            Another image of the patient on the same grid.
        seed : int
        """
