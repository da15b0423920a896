"""Packages that only some noise models need."""

from __future__ import annotations

import importlib
from typing import Any

from quell.errors import QuellError


def need_scipy(module: str, purpose: str) -> Any:
    """Import a module of SciPy.

    Parameters
    ----------
    module : str
        Such as ``"scipy.sparse"``.
    purpose : str
        What needs it, as the beginning of a sentence.

    Raises
    ------
    QuellError
        If SciPy is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise QuellError(f"{purpose} needs SciPy: pip install 'quell[lab]'") from error
