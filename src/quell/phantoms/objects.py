"""Named test objects: what they are called, what they hold, and the truth about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from quell.errors import InputError, QuellError
from quell.image import FloatArray, Image, Modality

LabelArray = npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class TestObject:
    """An object to be imaged, and all that there is to know about it.

    Attributes
    ----------
    name : str
        As in the registry.
    modality : Modality
    truth : Image
        The object free of noise and blur; every voxel is the mean over its volume. CT: HU. PET: Bq/ml.
        SPECT: relative concentration of activity. Planar scintigraphy: expected counts a pixel at full
        dose, before the camera blurs them. Ultrasound: mean echo intensity in dB, 0 for tissue and -60
        for fluid. MR: signal. Radiography: expected signal of the detector, linear in the exposure.
    attenuation : ndarray of float32, shape (z, y, x), or None
        Linear attenuation coefficient in 1/mm at the energy of the modality (PET 511 keV, SPECT 140 keV);
        None where it plays no part.
    labels : ndarray of uint16, shape (z, y, x)
        Number of the insert that fills at least half of the voxel, 0 where there is none. An insert too
        small to do so has the voxel of which it fills most.
    parameters : mapping
        Sizes in mm, positions in mm in array order (z, y, x) from the middle of the grid, contrasts,
        values; plain JSON. ``"inserts"`` lists the inserts with their ``"label"``.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a set of tests

    name: str
    modality: Modality
    truth: Image
    attenuation: FloatArray | None
    labels: LabelArray
    parameters: Mapping[str, Any]

    def __post_init__(self) -> None:
        shape = self.truth.shape
        if self.labels.shape != shape:
            raise ValueError(f"labels have shape {self.labels.shape}, the truth {shape}")
        if self.attenuation is not None and self.attenuation.shape != shape:
            raise ValueError(f"the attenuation has shape {self.attenuation.shape}, the truth {shape}")


Builder = Callable[..., TestObject]


@dataclass(frozen=True)
class ObjectKind:
    """An entry of the registry.

    Attributes
    ----------
    name : str
    summary : str
        One line.
    module, function : str
        Where its builder is; it takes a `numpy.random.Generator` first and then its options.
    random : bool
        Whether the seed changes it.
    needs_scipy : bool
    """

    name: str
    summary: str
    module: str
    function: str
    random: bool = False
    needs_scipy: bool = False


_KINDS = (
    ObjectKind("ct-uniform", "water cylinder of 200 mm", "ct", "uniform_cylinder"),
    ObjectKind("ct-mita", "low-contrast rods: 3 mm/14 HU, 5/7, 7/5, 10/3 HU", "ct", "low_contrast"),
    ObjectKind("ct-resolution", "bars of 1 to 10 lp/cm, wire, slanted block, rods", "ct", "resolution"),
    ObjectKind(
        "pet-nema-iq", "spheres of 10 to 37 mm, 4:1 hot, two cold; lung insert", "pet", "image_quality"
    ),
    ObjectKind("spect-jaszczak", "cold rods of 4.8 to 12.7 mm and cold spheres", "spect", "jaszczak"),
    ObjectKind(
        "spect-cardiac", "left ventricle with perfusion defects in a torso", "cardiac", "cardiac", random=True
    ),
    ObjectKind(
        "bone-scan",
        "whole-body skeleton with lesions, 3.6 million counts",
        "bone",
        "bone_scan",
        random=True,
        needs_scipy=True,
    ),
    ObjectKind("us-cysts", "echo-free cysts, targets of -6 to +12 dB, wires", "echo", "cysts"),
    ObjectKind(
        "xray-contrast-detail",
        "discs of 0.3 to 8 mm in 15 x 15 contrasts",
        "radiography",
        "contrast_detail",
        random=True,
    ),
    ObjectKind(
        "mr-brain",
        "brain with PD, T1 and T2 of its tissues, and lesions",
        "brain",
        "brain",
        random=True,
        needs_scipy=True,
    ),
    *(
        ObjectKind(
            f"anatomy-{name}",
            f"random {what}",
            "anatomy",
            function,
            random=True,
            needs_scipy=True,
        )
        for name, what, function in (
            ("ct", "trunk or limb as CT shows it, with lesions", "anatomy_ct"),
            ("mr", "trunk or limb as MR shows it, with lesions", "anatomy_mr"),
            ("pet", "trunk with uptake, attenuation and hot lesions", "anatomy_pet"),
            ("spect", "trunk with uptake, attenuation and hot lesions", "anatomy_spect"),
            ("nm", "planar uptake with hot lesions", "anatomy_nm"),
            ("us", "layered tissue with lesions", "anatomy_us"),
            ("xr", "projection of a chest or of bones, with lesions", "anatomy_xr"),
        )
    ),
)

OBJECTS: Mapping[str, ObjectKind] = {kind.name: kind for kind in _KINDS}
"""Every named object, in the order in which they are listed."""


def make_object(name: str, seed: int = 0, **options: Any) -> TestObject:
    """Build a named test object.

    Parameters
    ----------
    name : str
        One of `OBJECTS`.
    seed : int
        Not negative. The same seed gives the same object; those that are not random do not depend on it.
    **options
        What the builder of the object takes besides, such as ``te_ms`` for ``"mr-brain"``.

    Returns
    -------
    TestObject

    Raises
    ------
    InputError
        If the name is unknown; the message lists the known ones.
    QuellError
        If the object needs SciPy and it is not installed.
    """
    kind = OBJECTS.get(name)
    if kind is None:
        raise InputError(name, f"no such test object; known are {', '.join(OBJECTS)}")
    try:
        module = import_module(f"quell.phantoms.families.{kind.module}")
    except ImportError as error:
        if not (kind.needs_scipy and (error.name or "").split(".")[0] == "scipy"):
            raise
        raise QuellError(f"{name} needs SciPy: pip install 'quell[lab]'") from error
    build: Builder = getattr(module, kind.function)
    return build(np.random.default_rng([seed, 0]), **options)
