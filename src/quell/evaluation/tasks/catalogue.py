"""The detection tasks by name, and the observer that reads each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from quell.errors import QuellError
from quell.evaluation.observers.channels import Channels, gabor, laguerre_gauss
from quell.evaluation.observers.hotelling import (
    InternalNoise,
    Observation,
    channelized_hotelling_observer,
)
from quell.evaluation.observers.splits import Split
from quell.evaluation.tasks.bone_hot_lesion import bone_hot_lesion
from quell.evaluation.tasks.ct_low_contrast import ct_low_contrast
from quell.evaluation.tasks.ct_lung_nodule import ct_lung_nodule
from quell.evaluation.tasks.mr_lesion import mr_lesion
from quell.evaluation.tasks.pet_hot_lesion import pet_hot_lesion
from quell.evaluation.tasks.spect_perfusion import spect_perfusion
from quell.evaluation.tasks.task import Background, DetectionTask, Pairs
from quell.evaluation.tasks.ultrasound_inclusion import ultrasound_cyst, ultrasound_mass
from quell.evaluation.tasks.xray_contrast_detail import xray_contrast_detail
from quell.image import Modality

TASKS: Mapping[str, Callable[[Background], DetectionTask]] = {
    "ct-low-contrast": ct_low_contrast,
    "ct-lung-nodule": ct_lung_nodule,
    "spect-perfusion": spect_perfusion,
    "pet-hot-lesion": pet_hot_lesion,
    "bone-hot-lesion": bone_hot_lesion,
    "ultrasound-cyst": ultrasound_cyst,
    "ultrasound-mass": ultrasound_mass,
    "mr-lesion": mr_lesion,
    "xray-contrast-detail": xray_contrast_detail,
}

CHANNELS = 6
_WIDTH = 1.5


def detection_task(name: str, background: Background = "uniform") -> DetectionTask:
    """Return a task by name.

    Raises
    ------
    QuellError
        If the name or the background is unknown; the message lists the known ones.
    """
    if name not in TASKS:
        raise QuellError(f"no detection task {name!r}; known are {', '.join(TASKS)}")
    if background not in ("uniform", "anatomy"):
        raise QuellError(f"no background {background!r}; known are uniform, anatomy")
    return TASKS[name](background)


def tasks_of(modality: Modality) -> tuple[str, ...]:
    """Return the names of the tasks of a modality."""
    return tuple(name for name, build in TASKS.items() if build("uniform").modality is modality)


def channels_for(task: DetectionTask, pairs: Pairs) -> Channels:
    """Return the channels that suit the signal of a task.

    Six Laguerre-Gauss channels, 1.5 times as wide as the signal after blur, for what is round; Gabor
    channels, which know directions, for a defect in a wall: four octaves of four directions, even.
    """
    shape = (pairs.present.shape[1], pairs.present.shape[2])
    if task.name == "spect-perfusion":
        return gabor(shape, spacing=pairs.spacing, orientations=4, phases=(0.0,))
    width = _WIDTH * math.hypot(pairs.signal.diameter_mm, task.resolution_mm)
    return laguerre_gauss(shape, width, CHANNELS, spacing=pairs.spacing)


def observe(
    task: DetectionTask,
    pairs: Pairs,
    *,
    channels: Channels | None = None,
    split: Split | None = None,
    internal_noise: InternalNoise | None = None,
    rng: np.random.Generator | None = None,
) -> Observation:
    """Let the channelized Hotelling observer of a task read its regions.

    Regions of one image train or test together. See `channelized_hotelling_observer`.
    """
    return channelized_hotelling_observer(
        pairs.present,
        pairs.absent,
        channels or channels_for(task, pairs),
        split=split,
        internal_noise=internal_noise,
        rng=rng,
        groups=pairs.groups,
    )
