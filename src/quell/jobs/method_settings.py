"""Settings of a method that learns from the one study: a file of them, and changes to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quell.errors import InputError, QuellError

_SECTION = "method"


def read_method_settings(config: Path | None, changes: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a method as plain values by name.

    Parameters
    ----------
    config : Path or None
        A YAML file as ``quell train`` takes it, of which the section ``method`` counts, or one that holds
        nothing but that section's keys.
    changes : sequence of str
        ``steps=500`` or ``method.steps=500``.

    Raises
    ------
    QuellError
        If the file cannot be read or a change is of another form, or PyYAML is not installed.
    """
    try:
        from quell.training.settings import SECTIONS, read_yaml, with_changes
    except ImportError as error:
        raise QuellError(f"settings of a method need {error.name}: pip install 'quell[train]'") from error
    told: dict[str, Any] = read_yaml(config) if config is not None else {}
    own = told.get(_SECTION) or {} if set(told) & set(SECTIONS) else told
    if not isinstance(own, dict):
        raise InputError(config or "", f"section {_SECTION!r} must hold keys and values")
    full = [change if change.startswith(f"{_SECTION}.") else f"{_SECTION}.{change}" for change in changes]
    settings: dict[str, Any] = with_changes({_SECTION: own}, full)[_SECTION]
    return settings
