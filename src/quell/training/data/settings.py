"""What a user says of the training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from quell.image import Modality

Dose = Annotated[float, Field(gt=0, le=1000)]


class DataSettings(BaseModel):
    """Where images come from, and what is made of them.

    Attributes
    ----------
    folder
        Images, each study in a folder or file of its own. A folder with sub-folders ``clean``, ``noisy``,
        ``second`` or ``prior`` holds images with these roles, matched by geometry, then by name. None: test
        objects are drawn.
    role
        What the images of a folder without such sub-folders are.
    objects
        Test objects that are drawn where there is no folder; those of the method where none is named.
    object_count
        How many are drawn for training.
    modality
        Of images whose format does not say it; of images that say it, only those of this one are taken.
    doses
        Of the noisy images that are simulated; those of the method where none is given. Fractions below 1 of
        the dose of the images; ultrasound: looks.
    realisations
        Noisy images for each image and dose.
    validation
        Share of the patients that is kept back; 0: none is.
    validation_folder
        Validate on the images in here, and train on all of `folder`.
    use_manifest
        The folder is Quell's own of reference images, whose split is kept.
    seed
        Of the objects and of the noise.
    most_images
        Take at most so many images for training, spread evenly.
    most_slices
        Take at most so many slices of each image, spread over it in runs of neighbours (3-D methods: the
        middle ones).
    longest_side
        Crop rows and columns to at most so many pixels around the patient.
    prior
        Give methods that take a second image of the patient one, where there is one.
    force
        Take a modality that the method is not meant for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path | None = None
    role: Literal["clean", "noisy"] = "clean"
    objects: tuple[str, ...] = ()
    object_count: int = Field(24, ge=1, le=20_000)
    modality: Modality | None = None
    doses: tuple[Dose, ...] = ()
    realisations: int = Field(2, ge=1, le=64)
    validation: float = Field(0.2, ge=0, lt=1)
    validation_folder: Path | None = None
    use_manifest: bool = False
    seed: int = Field(0, ge=0, lt=2**31)
    most_images: int | None = Field(None, ge=1)
    most_slices: int | None = Field(48, ge=1)
    longest_side: int | None = Field(1024, ge=32)
    prior: bool = True
    force: bool = False

    @model_validator(mode="after")
    def _possible(self) -> DataSettings:
        if self.modality is Modality.UNKNOWN:
            raise ValueError("modality: name one, or leave it out")
        if self.folder is not None and self.objects:
            raise ValueError("objects are drawn where there is no folder: give one of the two")
        if self.folder is None and self.validation_folder is not None:
            raise ValueError("validation_folder needs a folder to train on")
        if self.folder is None and self.use_manifest:
            raise ValueError("use_manifest needs the folder of reference images")
        if self.use_manifest and self.validation_folder is not None:
            raise ValueError("the manifest splits by itself: no validation_folder beside use_manifest")
        if self.role == "noisy" and self.use_manifest:
            raise ValueError("reference images are clean: role noisy does not go with use_manifest")
        if self.role == "noisy" and self.doses:
            raise ValueError("doses are simulated from clean images: none for role noisy")
        if len(set(self.doses)) != len(self.doses):
            raise ValueError("doses: each once")
        return self
