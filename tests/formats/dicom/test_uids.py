"""Derived UIDs: valid, the same for the same work, another for any other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from quell.formats.contracts import OutputKind, Provenance, Simulation
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
        {"grain": 0.5},
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
    assert len(uids) == len(OutputKind) + 4


def test_uids_of_what_was_written_before_stay_as_they_were() -> None:
    """A repeat after an update must replace what a PACS holds, not stand beside it."""
    uid = DerivedUids(PROVENANCE, OutputKind.DENOISED).derive(SOURCE)
    assert uid == "2.25.191997449906958710542554199715664104009"
    assert device_uid(PROVENANCE) == "2.25.202777972676348810504192166531491086970"


SIMULATION = Simulation("quell.noise.ct.CTNoise", "0.1", "ab" * 32, "dose", 0.25, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0.5},
        {"seed": 2},
        {"measure": "snr"},
        {"model": "quell.noise.pet.PETNoise"},
        {"model_version": "0.2"},
        {"model_sha256": "cd" * 32},
    ],
)
def test_another_simulation_gives_another_uid(change: dict[str, Any]) -> None:
    uids = {
        DerivedUids(one, OutputKind.SIMULATED).derive(SOURCE)
        for one in (SIMULATION, replace(SIMULATION, **change))
    }
    assert len(uids) == 2


def test_warnings_do_not_change_the_uid_of_a_simulation() -> None:
    warned = replace(SIMULATION, warnings=("approximate",))
    assert warned.settings() == SIMULATION.settings()


def test_padding_of_a_uid_does_not_count() -> None:
    uids = DerivedUids(PROVENANCE, OutputKind.DENOISED)
    assert uids.derive(SOURCE + " ") == uids.derive(SOURCE)


def test_the_device_is_the_trained_model() -> None:
    assert device_uid(PROVENANCE) == device_uid(replace(PROVENANCE, strength=0.1))
    assert device_uid(PROVENANCE) != device_uid(replace(PROVENANCE, model_sha256="cd" * 32))
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
