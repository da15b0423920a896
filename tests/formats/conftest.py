"""What the tests of the doors share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quell.formats.contracts import Provenance


@pytest.fixture
def provenance() -> Provenance:
    return Provenance("universal.fast", "1.0", "ab" * 32, 0.7)


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of real images; skip where it is not installed."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    path = Path(os.environ.get("QUELL_SHARED_DATA", beside))
    if not path.is_dir():
        pytest.skip("real images are not installed (set QUELL_SHARED_DATA)")
    return path
