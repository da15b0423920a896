"""Words that several commands take."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quell.image import Modality


class Device(str, Enum):
    """Where the network runs."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Engine(str, Enum):
    """What runs the network."""

    AUTO = "auto"
    OPENVINO = "openvino"
    ONNX = "onnx"


class GivenModality(str, Enum):
    """Modalities as a user may name them."""

    CT = "CT"
    MR = "MR"
    PT = "PT"
    NM = "NM"
    US = "US"
    XR = "XR"
    CR = "CR"
    DX = "DX"


class Tier(str, Enum):
    """Size of a network that ships."""

    FAST = "fast"
    STANDARD = "standard"


def given_modality(given: GivenModality | None) -> Modality | None:
    """Return the modality that a user named."""
    from quell.image import Modality

    if given is None:
        return None
    if given in (GivenModality.CR, GivenModality.DX):
        return Modality.XR
    return Modality(given.value)
