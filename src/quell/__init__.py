"""Quell: denoise medical images with deep learning, DICOM in and valid derived DICOM out.

Research use only. Not for diagnosis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from quell.api import denoise as denoise
    from quell.api import read as read
    from quell.api import simulate as simulate
    from quell.image import Image as Image
    from quell.image import Modality as Modality
    from quell.jobs.denoising import JobSettings as JobSettings
    from quell.jobs.denoising import run_job as run_job
    from quell.jobs.evaluation import EvaluationSettings as EvaluationSettings
    from quell.jobs.evaluation import evaluate as evaluate
    from quell.jobs.evaluation import run_evaluation as run_evaluation
    from quell.jobs.noise_survey import SurveySettings as SurveySettings
    from quell.jobs.noise_survey import measure_noise as measure_noise
    from quell.jobs.simulation import SimulationSettings as SimulationSettings
    from quell.jobs.simulation import run_simulation as run_simulation
    from quell.models.registry import list_cards as list_cards

_HOMES = {
    "denoise": "quell.api",
    "read": "quell.api",
    "Image": "quell.image",
    "Modality": "quell.image",
    "JobSettings": "quell.jobs.denoising",
    "run_job": "quell.jobs.denoising",
    "run_simulation": "quell.jobs.simulation",
    "simulate": "quell.api",
    "SimulationSettings": "quell.jobs.simulation",
    "evaluate": "quell.jobs.evaluation",
    "EvaluationSettings": "quell.jobs.evaluation",
    "run_evaluation": "quell.jobs.evaluation",
    "SurveySettings": "quell.jobs.noise_survey",
    "measure_noise": "quell.jobs.noise_survey",
    "list_cards": "quell.models.registry",
}

__all__ = [
    "EvaluationSettings",
    "Image",
    "JobSettings",
    "Modality",
    "SimulationSettings",
    "SurveySettings",
    "__version__",
    "denoise",
    "evaluate",
    "list_cards",
    "measure_noise",
    "read",
    "run_evaluation",
    "run_job",
    "run_simulation",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that ``quell --help`` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'quell' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
