"""How many slices may be run side by side."""

from __future__ import annotations

import os


def cores() -> int:
    """Return how many cores the process may use; where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
