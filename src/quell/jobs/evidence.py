"""The evidence for one denoiser: from phantoms and simulated doses to a page and a JSON file."""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from quell import __version__
from quell.errors import OutputError, QuellError
from quell.evaluation.evidence.anatomy import lesion_section
from quell.evaluation.evidence.bias import bias_section
from quell.evaluation.evidence.detection import detect_all
from quell.evaluation.evidence.limits import limits_section, provenance
from quell.evaluation.evidence.noise import noise_section
from quell.evaluation.evidence.page import write_evidence
from quell.evaluation.evidence.plan import Plan, plan_for
from quell.evaluation.evidence.record import Evidence
from quell.evaluation.evidence.resolution import image_rods, resolution_section
from quell.evaluation.evidence.showing import rod_pictures, task_pictures
from quell.evaluation.evidence.speed import speed_section
from quell.evaluation.evidence.subject import Step, Subject, flat_object, repeat
from quell.evaluation.evidence.task import task_section
from quell.image import Modality
from quell.inference.contracts import Denoiser
from quell.machine import describe_machine


@dataclass(frozen=True)
class EvidenceSettings:
    """Choices of the user about one report.

    Attributes
    ----------
    modality : Modality
    quick : bool
        Few realisations: a first look with wide intervals.
    pairs : int or None
        Pairs of regions for each signal and dose; as planned where None.
    seed : int
        The same seed gives the same images and numbers, but for those of speed.
    engine, device : str
        See `quell.inference.runtimes.make_runtime`.
    threads : int or None
    """

    modality: Modality = Modality.CT
    quick: bool = False
    pairs: int | None = None
    seed: int = 0
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None

    def plan(self, slices: int = 1) -> Plan:
        """Return what is measured; raise QuellError where it cannot be."""
        return plan_for(self.modality, quick=self.quick, pairs=self.pairs, seed=self.seed, slices=slices)


def run_evidence(
    denoiser: Denoiser,
    out: Path,
    settings: EvidenceSettings,
    *,
    name: str = "",
    step: Step = lambda words: None,
    plan: Plan | None = None,
) -> tuple[Evidence, tuple[Path, Path]]:
    """Measure a denoiser and write the report.

    Parameters
    ----------
    denoiser : Denoiser
    out : Path
        Folder; made if absent.
    settings : EvidenceSettings
    name : str
        How the report calls the denoiser; by default as its card does.
    step : callable
        Told of progress.
    plan : Plan, optional
        In place of that of the settings.

    Returns
    -------
    Evidence
    tuple of Path
        The page and the numbers.

    Raises
    ------
    QuellError
        If there are too few realisations, or the modality has no plan.
    OutputError
        If the report cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(out, "is a file; the report goes to a folder")
    evidence = make_evidence(denoiser, settings, name=name, step=step, plan=plan)
    return evidence, write_evidence(evidence, out)


def make_evidence(
    denoiser: Denoiser,
    settings: EvidenceSettings,
    *,
    name: str = "",
    step: Step = lambda words: None,
    plan: Plan | None = None,
) -> Evidence:
    """Measure a denoiser; see `run_evidence`."""
    _require_scipy()
    card = denoiser.card
    chosen = plan or settings.plan(min(card.slices, 5))
    chosen.check()
    started, clock = datetime.now().astimezone(), time.perf_counter()
    subject = Subject(denoiser, chosen, step)
    flat = flat_object(chosen)
    repeats = [
        repeat(subject, flat.truth, dose, subject.rng(1, k), "noise") for k, dose in enumerate(chosen.doses)
    ]
    rods = image_rods(subject)
    detected = detect_all(subject)
    noise = noise_section(repeats, flat)
    resolution = replace(resolution_section(rods, detected), pictures=rod_pictures(rods))
    task = task_section(detected, chosen.seed)
    task = replace(task, pictures=task_pictures(detected, chosen.low, repeats[0].units))
    sections = (
        noise,
        resolution,
        task,
        bias_section(subject, repeats, flat, rods),
        lesion_section(subject),
        speed_section(subject),
        limits_section(card),
    )
    return Evidence(
        model=name or card.identifier,
        model_version=card.version,
        sha256=card.sha256,
        description=card.description,
        modality=chosen.modality.value,
        sections=sections,
        facts=provenance(chosen, denoiser, repeats, detected, settings.quick),
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        machine=describe_machine(),
        version=__version__,
    )


def load_model(identifier: str, settings: EvidenceSettings) -> Denoiser:
    """Return a model that ships, or that of a training run, ready to run.

    Raises
    ------
    ModelError
        If there is no such model, its weights are damaged, or the engine is not there.
    """
    from quell.inference.make import make_denoiser
    from quell.inference.runtimes import make_runtime
    from quell.models.registry import locate, model_files

    found = locate(identifier)
    runtime = make_runtime(settings.engine, settings.device, settings.threads)
    return make_denoiser(found.card, model_files(found.card, found.folder), runtime, settings.threads)


def load_object(words: str) -> Denoiser:
    """Return the denoiser that ``module:object`` names.

    The object is a denoiser, or something that returns one when it is called without arguments. Modules
    of the current folder are found, too.

    Raises
    ------
    QuellError
        If it cannot be imported, or is no denoiser.
    """
    module, colon, name = words.partition(":")
    if not (module and colon and name):
        raise QuellError(f"a denoiser is named as module:object, got {words!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise QuellError(f"{words}: cannot be imported: {error}") from error
    made = found() if isinstance(found, type) or not hasattr(found, "denoise") else found
    if not (callable(getattr(made, "denoise", None)) and hasattr(made, "card")):
        raise QuellError(f"{words}: is no denoiser: it needs `card` and `denoise(image, strength, sigma)`")
    return cast(Denoiser, made)


def _require_scipy() -> None:
    try:
        importlib.import_module("scipy")
    except ImportError as error:
        raise QuellError("quell evidence needs SciPy: pip install 'quell[lab]'") from error
