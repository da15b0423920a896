"""Derived UIDs: valid, the same for the same work, another for any other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from quell.formats.contracts import OutputKind, Provenance
from quell.formats.dicom.uids import IMPLEMENTATION_CLASS_UID, DerivedUids, device_uid, uid_from

PROVENANCE = Provenance("net.fast", "1.0", "ab" * 32, 1.0)
SOURCE = "1.2.840.113619.2.55.3"


@given(st.text())
def test_any_text_gives_a_valid_uid(text: str) -> None:
    uid = uid_from(text)
    assert UID(uid).is_valid and len(uid) <= 64
    assert uid.startswith("2.25.") and int(uid[5:]) < 2**128


def test_the_same_work_gives_the_same_uid_in_another_process() -> None:
    program = (
        "from quell.formats.contracts import *; from quell.formats.dicom.uids import *;"
        f"print(DerivedUids({PROVENANCE!r}, OutputKind.DENOISED).derive({SOURCE!r}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == DerivedUids(PROVENANCE, OutputKind.DENOISED).derive(SOURCE)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "net.standard"},
        {"model_version": "1.1"},
        {"model_sha256": "cd" * 32},
        {"strength": 0.5},
        {"sigma": 12.0},
        {"slices_used": 5},
    ],
)
def test_any_other_setting_gives_another_uid(change: dict[str, object]) -> None:
    other = replace(PROVENANCE, **change)  # type: ignore[arg-type]
    assert DerivedUids(other, OutputKind.DENOISED).derive(SOURCE) != DerivedUids(
        PROVENANCE, OutputKind.DENOISED
    ).derive(SOURCE)


def test_kinds_frames_and_sources_have_uids_of_their_own() -> None:
    uids = {DerivedUids(PROVENANCE, kind).derive(SOURCE) for kind in OutputKind}
    uids |= {
        DerivedUids(PROVENANCE, OutputKind.DENOISED).derive(SOURCE, frames) for frames in [(0,), (1,), (0, 1)]
    }
    uids |= {DerivedUids(PROVENANCE, OutputKind.DENOISED).derive(SOURCE + ".1")}
    assert len(uids) == 7


def test_padding_of_a_uid_does_not_count() -> None:
    uids = DerivedUids(PROVENANCE, OutputKind.DENOISED)
    assert uids.derive(SOURCE + " ") == uids.derive(SOURCE)


def test_the_device_is_the_trained_model() -> None:
    assert device_uid(PROVENANCE) == device_uid(replace(PROVENANCE, strength=0.1))
    assert device_uid(PROVENANCE) != device_uid(replace(PROVENANCE, model_sha256="cd" * 32))
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
