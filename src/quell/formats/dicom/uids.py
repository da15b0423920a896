"""Identifiers of derived objects: the same source processed in the same way gets the same UIDs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from quell.formats.contracts import Origin, OutputKind

# A name space of its own, so that no other program's uuid5 of the same text can collide.
_NAMESPACE = uuid.UUID("6c0d9f9e-5e0b-5b57-9b3d-8d5a3e6f7a10")


def uid_from(text: str) -> str:
    """Return the UID that belongs to `text`, always the same.

    ``2.25.`` followed by a UUID as one decimal number: valid without registration
    (PS3.5 B.2; Rec. ITU-T X.667), at most 44 of the 64 characters allowed.
    """
    return f"2.25.{uuid.uuid5(_NAMESPACE, text).int}"


IMPLEMENTATION_CLASS_UID = uid_from("implementation class of the Quell DICOM writer, 1")
"""Says which program encoded a file (PS3.7 D.3.3.2); changes only with the encoder itself."""

IMPLEMENTATION_VERSION_NAME = "QUELL_DICOM_1"


@dataclass(frozen=True)
class DerivedUids:
    """Derives the UIDs of one written series.

    The same source and settings give the same UIDs, so that a repeat replaces the earlier result
    in a PACS instead of standing beside it. Another strength, model, version or kind of output
    gives others.

    Attributes
    ----------
    provenance : Origin
    kind : OutputKind
    """

    provenance: Origin
    kind: OutputKind

    def derive(self, source_uid: str, frames: Sequence[int] | None = None) -> str:
        """Return the derived UID of a source UID.

        Parameters
        ----------
        source_uid : str
            Of an instance, a series, a concatenation; equal UIDs give equal results, so that
            references among sources stay consistent among their derived objects.
        frames : sequence of int, optional
            The frames treated, where an object is treated in part only: two stacks of one
            multi-frame object become two objects, each in its own series.
        """
        part = "" if frames is None else " frames=" + ",".join(map(str, frames))
        return uid_from(f"{source_uid.strip()} {self.kind.value} {self.provenance.settings()}{part}")


def device_uid(provenance: Origin) -> str:
    """Return the UID of the model as a device: another for every training (IHE AIR, rev. 1.1)."""
    return uid_from(f"device {provenance.model} {provenance.model_version} {provenance.model_sha256}")
