"""Keep the DICOM library's complaints, which quote values of the patient, out of every log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings and log while headers are read."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = before
