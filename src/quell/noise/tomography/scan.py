"""All there is to know of how a CT slice was scanned and reconstructed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from quell.noise.tomography.beam import Beam
from quell.noise.tomography.kernels import KERNELS, Kernel


@dataclass(frozen=True)
class Scan:
    """How a slice was scanned and reconstructed.

    Attributes
    ----------
    beam : Beam
        At dose 1.
    kernel : Kernel
    views : int
        Over 180 degrees.
    pitch : float
        Distance of the rays at the centre of rotation, mm.
    """

    beam: Beam = field(default_factory=Beam)
    kernel: Kernel = KERNELS["soft"]
    views: int = 720
    pitch: float = 0.55

    def __post_init__(self) -> None:
        if self.views < 1 or not 0 < self.pitch < math.inf:
            raise ValueError(f"views and pitch must be positive, got {self.views} and {self.pitch:g}")
