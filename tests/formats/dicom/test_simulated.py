"""What a simulated lower dose says of itself, and that it may be read again, unlike other outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from writing import SAMPLES, SIMULATION, found, pixels, write

from quell.formats.contracts import OutputKind
from quell.formats.dicom.discover import find_series
from quell.formats.dicom.series import DicomSeries
from samples import dicom
from samples.dicom_parts import save


def simulated(source: DicomSeries, out: Path, **changes: object) -> tuple[Path, ...]:
    provenance = replace(SIMULATION, **changes)  # type: ignore[arg-type]
    return write(source, source.read().voxels, out, OutputKind.SIMULATED, provenance).files


def test_the_header_says_that_noise_was_added(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "in"))
    warning = "the kernel is unknown, a soft one is assumed."
    header = pydicom.dcmread(simulated(source, tmp_path / "out", warnings=(warning,))[0])
    assert header.ImageType[0] == "DERIVED"
    assert header.SeriesDescription == "Source series [Quell simulated 25 % dose]"
    assert header.SeriesNumber == 4003
    said = header.DerivationDescription
    for words in ("Noise was ADDED", "25 % dose", "seed 7", "quell.noise.test 1.2", warning, "RESEARCH USE"):
        assert words in said
    assert header.ImageComments.startswith("SIMULATED, not a real examination.")
    (code,) = header.DerivationCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("SIMULATED_DOSE", "99QUELL")
    equipment = header.ContributingEquipmentSequence[-1]
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
    assert equipment.ManufacturerModelName == "Quell simulation quell.noise.test"
    assert "dose=0.25 seed=7" in equipment.ContributionDescription
    assert header.Manufacturer == "Maker"


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"amount": 1 / 3}, "33.33 % dose"),
        ({"amount": 0.001}, "0.1 % dose"),
        ({"measure": "snr", "amount": 12.0}, "SNR 12"),
        ({"measure": "looks", "amount": 4.0}, "4 looks"),
    ],
)
def test_the_series_description_keeps_the_amount_within_64_characters(
    changes: dict[str, object], label: str, tmp_path: Path
) -> None:
    source = found(SAMPLES["US"](tmp_path / "in", SeriesDescription="long " * 12))
    header = pydicom.dcmread(simulated(source, tmp_path / "out", **changes)[0])
    assert header.SeriesDescription.endswith(f"[Quell simulated {label}]")
    assert len(header.SeriesDescription) <= 64


def test_many_warnings_fit(tmp_path: Path) -> None:
    source = found(SAMPLES["MR"](tmp_path / "in"))
    header = pydicom.dcmread(simulated(source, tmp_path / "out", warnings=("äwords " * 40,) * 9)[0])
    assert len(header.DerivationDescription) <= 1024
    assert "25 % dose, seed 7" in header.DerivationDescription


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_read_again_but_what_is_denoised_of_it_is_not(name: str, tmp_path: Path) -> None:
    source = found(SAMPLES[name](tmp_path / "in"))
    files = simulated(source, tmp_path / "simulated")
    (again,) = find_series(files, tmp_path).series
    assert (again.shape, again.modality) == (source.shape, source.modality)
    assert any("simulated by Quell" in note for note in again.notes)
    assert not any("simulated" in note for note in source.notes)
    for kind in (OutputKind.DENOISED, OutputKind.RESIDUAL, OutputKind.NOISE_MAP):
        made = write(again, again.read().voxels, tmp_path / "made", kind).files
        result = find_series(made, tmp_path)
        assert result.series == ()
        assert {item.reason for item in result.passed_over} == {"made by Quell already"}


def test_what_is_denoised_of_it_still_says_that_it_was_simulated(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "in"))
    (again,) = find_series(simulated(source, tmp_path / "simulated"), tmp_path).series
    header = pydicom.dcmread(write(again, again.read().voxels, tmp_path / "out").files[0])
    assert "SIMULATED" in header.DerivationDescription and "25 % dose" in header.DerivationDescription
    assert "SIMULATED" in header.ImageComments
    assert header.SeriesDescription.endswith("[Quell simulated 25 % dose] [Quell denoised]")


def test_a_simulation_of_a_simulation_tells_both_doses(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "in"))
    (again,) = find_series(simulated(source, tmp_path / "one", amount=0.5), tmp_path).series
    header = pydicom.dcmread(simulated(again, tmp_path / "two", amount=0.125)[0])
    assert "12.5 % dose" in header.DerivationDescription and "50 % dose" in header.DerivationDescription
    assert header.ImageComments.count("SIMULATED") == 1


def test_counts_accumulated_are_those_of_the_pixels(tmp_path: Path) -> None:
    source = found(SAMPLES["NM whole body"](tmp_path / "in"))
    thinned = np.random.default_rng(0).binomial(source.read().voxels.astype(int), 0.25).astype(np.float32)
    written = write(source, thinned, tmp_path / "out", OutputKind.SIMULATED)
    header = pydicom.dcmread(written.files[0])
    assert header.CountsAccumulated == header.pixel_array.sum(dtype=int) == int(thinned.sum())
    denoised = pydicom.dcmread(write(source, thinned, tmp_path / "out").files[0])
    assert denoised.CountsAccumulated == pydicom.dcmread(source.instances[0].path).CountsAccumulated


def test_the_counts_of_a_reconstruction_fall_by_the_dose(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    header = dicom.nm(pixels(4, 6, 5, top=90), kind="RECON TOMO", CountsAccumulated=4000)
    source = found([save(header, folder / "a.dcm")])
    assert pydicom.dcmread(simulated(source, tmp_path / "out")[0]).CountsAccumulated == 1000


def test_noise_beyond_the_range_is_clamped_and_counted(tmp_path: Path) -> None:
    source = found(SAMPLES["CT unsigned 12 bit"](tmp_path / "in"))
    voxels = source.read().voxels.copy()
    voxels[0, 0, :3] = (-5000, 9000, 0)
    written = write(source, voxels, tmp_path / "out", OutputKind.SIMULATED)
    assert written.clamped == 2
    header = pydicom.dcmread(written.files[0])
    back = header.pixel_array[0, :3] * header.RescaleSlope + header.RescaleIntercept
    assert back.tolist() == [-1024, 4095 - 1024, 0]


def test_a_repeat_gives_the_same_object_and_another_seed_another(tmp_path: Path) -> None:
    source = found(SAMPLES["CT"](tmp_path / "in"))
    first, again, other = (simulated(source, tmp_path / "out", seed=seed)[0] for seed in (1, 1, 2))
    assert first == again and first.parent != other.parent
    assert pydicom.dcmread(first).SOPInstanceUID != pydicom.dcmread(other).SOPInstanceUID
