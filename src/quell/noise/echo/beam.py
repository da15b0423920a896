"""Size of an ultrasound pulse: how long it is along the beam and how wide across."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

SOUND = 1.54
"""Speed of sound in soft tissue, mm/us."""

_PULSE = 4 * math.log(2) / math.pi


def pulse_length(frequency: float, bandwidth: float) -> float:
    """Return the length of the echo of a point, mm, as full width at half amplitude.

    Duration times bandwidth of a Gaussian pulse, both as full widths at half amplitude, is
    ``4 ln 2 / pi``; the way there and back halves the length.

    Parameters
    ----------
    frequency : float
        MHz.
    bandwidth : float
        Over the frequency.
    """
    return SOUND * _PULSE / (2 * bandwidth * frequency)


def beam_width(
    depth: npt.NDArray[np.float64], wavelength: float, f_number: float, aperture: float, focus: float
) -> npt.NDArray[np.float64]:
    """Return the full width at half amplitude of a pulse-echo beam, mm.

    The product of a transmit beam with one focus, a Gaussian beam (Goldsmith, Quasioptical Systems,
    1998, ch. 2), and a receive beam that is focused at every depth.

    Parameters
    ----------
    depth : ndarray of float64
        mm.
    wavelength, aperture, focus : float
        mm.
    f_number : float
        Depth over aperture, as long as the aperture can grow.
    """
    received = math.sqrt(2) * wavelength * np.maximum(f_number, depth / aperture)
    waist = math.sqrt(2) * wavelength * max(f_number, focus / aperture)
    # The 1/e radius of the amplitude, squared, is waist^2 / (4 ln 2).
    rayleigh = math.pi * waist**2 / (4 * math.log(2) * wavelength)
    sent = waist * np.sqrt(1 + ((depth - focus) / rayleigh) ** 2)
    width: npt.NDArray[np.float64] = 1 / np.sqrt(1 / received**2 + 1 / sent**2)
    return width
