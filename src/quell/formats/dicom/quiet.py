"""Keep the complaints of libraries, which may quote values of the patient, off logs and terminal."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_DESCRIPTOR = threading.Lock()


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


def unheard(items: Iterator[T]) -> Iterator[T]:
    """Yield from an iterator whose C code writes to the terminal, without what it writes."""
    while True:
        with _no_standard_error():
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


@contextmanager
def _no_standard_error() -> Iterator[None]:
    """Send the process's standard error nowhere: the JPEG decoders know no other way to be silent."""
    with _DESCRIPTOR:
        try:
            kept = os.dup(2)
        except OSError:
            # There is none, in a service for instance.
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
