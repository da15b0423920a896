"""What training needs beyond the core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quell.errors import QuellError


@contextmanager
def training_extra() -> Iterator[None]:
    """Say in one line what to install where the core alone is there."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith("quell"):
            raise
        needed = "training needs more than the core"
        raise QuellError(f"{needed} ({error.name} is missing): pip install 'quell[train]'") from error
