"""``quell methods``: the ways to learn a denoiser."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from quell.methods.contracts import MethodFacts


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known of them as JSON.")] = False,
) -> None:
    """List the methods that can be trained, and those that learn from the study they denoise."""
    from quell.jobs.training import method_facts

    known = method_facts()
    if as_json:
        print(json.dumps([_plain(asdict(facts)) for facts in known], indent=2, ensure_ascii=False))
        return
    print("\n\n".join(_describe(facts) for facts in known))


def _describe(facts: MethodFacts) -> str:
    modalities = " ".join(modality.value for modality in facts.modalities)
    lines = [f"{facts.name}  {facts.dimensions}-D  {modalities}", _filled(facts.title)]
    lines.append(_filled(f"needs: {facts.need.value}{_prior(facts)}"))
    source = f" ({facts.source})" if facts.source else ""
    lines.append(_filled(f"{facts.fidelity.value}{source}"))
    return "\n".join(lines)


def _prior(facts: MethodFacts) -> str:
    if not facts.prior:
        return ""
    kinds = " or ".join(modality.value for modality in facts.prior)
    return f"; a {kinds} of the same patient {'as well' if facts.needs_prior else 'if there is one'}"


def _filled(text: str) -> str:
    return textwrap.fill(text, 88, initial_indent="  ", subsequent_indent="  ")


def _plain(value: Any) -> Any:
    """Return a value with the words of its enumerations, as JSON takes it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
