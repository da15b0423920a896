"""New DICOM objects, for images that have no source: see `quell.formats.dicom.new.write`."""

from __future__ import annotations

from quell.formats.dicom.new.write import write_new

__all__ = ["write_new"]
