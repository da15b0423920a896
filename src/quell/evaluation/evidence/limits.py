"""Where the evidence ends, and everything that a repeat needs."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata

from quell.evaluation.evidence.detection import Detected
from quell.evaluation.evidence.plan import Plan
from quell.evaluation.evidence.record import Section
from quell.evaluation.evidence.subject import Repeats
from quell.inference.contracts import Denoiser
from quell.models.card import ModelCard

GENERAL = (
    "All images are computed: test objects whose truth is known, scanned by a model of the physics. "
    "No patient is in them, and no reader looked at them.",
    "The signal and its place are known to the observer; search and unknown sizes are not modelled.",
    "Detection was measured in uniform objects; lesions in drawn anatomy.",
    "The noise model is that of one scanner of each modality, with the parameters below. Other kernels, "
    "iterative reconstruction and artefacts are not in it.",
    "With fewer than about fifteen images for each signal the intervals of the AUC are too narrow.",
)

_PACKAGES = ("numpy", "scipy", "openvino", "onnxruntime")


def limits_section(card: ModelCard) -> Section:
    """Say where the evidence and the model end."""
    return Section("limits", "Limits", notes=(*GENERAL, *card.limits))


def provenance(
    plan: Plan, denoiser: Denoiser, repeats: Sequence[Repeats], detected: Sequence[Detected], quick: bool
) -> dict[str, object]:
    """Return everything that a repeat needs, as plain JSON."""
    card = denoiser.card
    noise: Mapping[str, object] = repeats[0].parameters if repeats else {}
    return {
        "seed": plan.seed,
        "quick": quick,
        "pairs": plan.pairs,
        "images_per_signal": {one.task.name: len(set(one.before.groups.tolist())) for one in detected},
        "repeats": plan.repeats,
        "anatomies": plan.anatomies,
        "slices": plan.slices,
        "doses": list(plan.doses),
        "signals": sorted({f"{one.task.name}: {one.signal.name}" for one in detected}),
        "engine": str(getattr(denoiser, "engine", "Python")),
        "weights_sha256": card.sha256,
        "model_card_version": card.version,
        "noise_model": dict(noise),
        "data_sha256": data_hash(repeats, detected),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def data_hash(repeats: Sequence[Repeats], detected: Sequence[Detected]) -> str:
    """Return the SHA-256 over the noisy images, before any denoiser."""
    digest = hashlib.sha256()
    for one in repeats:
        digest.update(one.noisy.tobytes())
    # In the order in which they were made: the highest dose first.
    for case in sorted(detected, key=lambda one: (one.task.name, -one.dose)):
        digest.update(case.before.present.tobytes())
        digest.update(case.before.absent.tobytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
