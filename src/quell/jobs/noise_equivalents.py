"""What a noise level means in the terms of its modality, and what to expect of it at a lower dose."""

from __future__ import annotations

import numpy as np

from quell.evaluation.report.noise_record import Equivalent, Expected
from quell.image import FloatArray, Image, Modality
from quell.noise.blind.air import air_noise
from quell.noise.blind.level import block_means
from quell.noise.blind.regions import signal_floor
from quell.noise.law import Law, LawKind

DOSES = (0.5, 0.25, 0.1)
SPECKLE_DECIBELS = 5.57
"""Standard deviation of one look of developed speckle after log compression, dB (Goodman 1975)."""

SHOWN_DECIBELS = 60.0
"""Dynamic range that a B-mode image is taken to show where it does not say."""

_COUNTING = (Modality.NM, Modality.XR)


def expected_levels(image: Image, level: FloatArray) -> tuple[Expected, ...]:
    """Return what level to expect at fractions of the dose, by the law of the modality.

    Values that are calibrated (HU, Bq/ml) or scaled keep their signal, and the noise grows as one over the
    square root of the dose; raw counts fall with the dose, and their noise with its square root.
    Either way the noise relative to the signal grows as one over the square root. Electronic noise comes on
    top at very low doses. Ultrasound has no dose.
    """
    median, signal = typical(image, level)
    if image.modality in (Modality.US, Modality.UNKNOWN) or median <= 0:
        return ()
    counts = is_counting(image)
    found = []
    for dose in DOSES:
        root = float(np.sqrt(dose))
        then = median * root if counts else median / root
        relative = median / signal / root if signal > 0 and image.modality is not Modality.CT else None
        exposure = image.acquisition.exposure
        found.append(Expected(dose, then, relative, exposure * dose if exposure else None))
    return tuple(found)


def equivalents(image: Image, level: FloatArray, law: Law | None) -> tuple[Equivalent, ...]:
    """Return the numbers in which the modality speaks of its noise."""
    median, signal = typical(image, level)
    if median <= 0:
        return ()
    kind = image.modality
    if kind is Modality.CT:
        return _exposure(image, median)
    if kind is Modality.MR:
        return (_ratio(signal / median), *_air(image))
    if kind is Modality.US:
        return _looks(image, median)
    if kind is Modality.PT or (kind is Modality.NM and image.volume):
        words = "standard deviation over mean where there is activity"
        return (Equivalent("relative_noise", median / signal, "", words),) if signal > 0 else ()
    return _quanta(image, law)


def typical(image: Image, level: FloatArray) -> tuple[float, float]:
    """Return the medians of level and signal over the blocks of the patient."""
    means = np.stack([block_means(image, z) for z in range(image.shape[0])])
    inside = (level > 0) & (means > signal_floor(image))
    inside = inside if inside.any() else level > 0
    if not inside.any():
        return 0.0, 0.0
    return float(np.median(level[inside])), float(np.median(means[inside]))


def is_counting(image: Image) -> bool:
    """Whether the values are counts or quanta as detected, which fall with the dose."""
    if image.modality is Modality.NM:
        return not image.volume
    return image.modality is Modality.XR and image.acquisition.intensity == "LIN"


def _ratio(value: float) -> Equivalent:
    return Equivalent("snr", value, "", "signal over noise, medians over the object")


def _air(image: Image) -> tuple[Equivalent, ...]:
    air = air_noise(image)
    if air is None:
        return ()
    words = "noise where there is signal, as the air tells it"
    coils = "coils in a sum of squares, as the air tells it; 1 of an adaptive combination"
    return (
        Equivalent("air_level", air.level, image.units, words),
        Equivalent("coils", air.coils, "", coils),
    )


def _exposure(image: Image, level: float) -> tuple[Equivalent, ...]:
    exposure = image.acquisition.exposure
    if not exposure:
        return ()
    words = "exposure at which the same scanner, protocol and patient would have a level of 10 HU"
    return (Equivalent("exposure", exposure * (level / 10.0) ** 2, "mAs", words),)


def _looks(image: Image, level: float) -> tuple[Equivalent, ...]:
    words = "independent looks averaged"
    decibels = level
    if image.units != "dB":
        span = float(image.voxels.max() - image.voxels.min())
        if span <= 0:
            return ()
        decibels = level / span * SHOWN_DECIBELS
        words += f", if the image shows {SHOWN_DECIBELS:.0f} dB from black to white"
    return (Equivalent("equivalent_looks", (SPECKLE_DECIBELS / decibels) ** 2, "", words),)


def _quanta(image: Image, law: Law | None) -> tuple[Equivalent, ...]:
    """Return mean over variance times mean, where the noise is that of quanta."""
    if image.modality not in _COUNTING or law is None or law.linear <= 0:
        return ()
    if law.kind not in (LawKind.POISSON, LawKind.MIXED):
        return ()
    inside = image.voxels[image.voxels > signal_floor(image)]
    signal = float(np.median(inside)) if inside.size else 0.0
    words = "quanta in a pixel of the patient: signal over the slope of variance against signal"
    return (Equivalent("quanta_per_pixel", signal / law.linear, "", words),) if signal > 0 else ()
