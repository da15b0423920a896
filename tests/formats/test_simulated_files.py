"""Simulated images in formats other than DICOM: like the source, to be read again, and marked."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Pillow

from quell.errors import InputError
from quell.formats.contracts import Origin, OutputKind, Provenance, Series, Simulation, WriteOptions
from quell.formats.derived import is_made, is_simulated
from quell.formats.open import open_study
from quell.image import FloatArray

SIMULATION = Simulation("quell.noise.us.UltrasoundNoise", "0.1", "ab" * 32, "dose", 0.25, 3)
PROVENANCE = Provenance("universal.fast", "1.0", "ab" * 32, 0.7)
META = "ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"


def make(folder: Path, suffix: str) -> Path:
    """Write a small image in a format and return its path."""
    folder.mkdir()
    path = folder / f"scan{suffix}"
    values = np.random.default_rng(0).integers(0, 200, (3, 4, 5))
    if suffix.startswith(".nii"):
        nib.save(nib.Nifti1Image(values.astype(np.int16), np.eye(4)), path)
    elif suffix == ".mha":
        path.write_bytes(META.encode() + values.astype("<i2").tobytes())
    else:
        Pillow.fromarray(values[0].astype(np.uint8)).save(path)
    return path


def opened(path: Path) -> Series:
    (series,) = open_study(path).series
    return series


def put(series: Series, out: Path, kind: OutputKind, origin: Origin) -> tuple[Path, FloatArray]:
    voxels = series.read().voxels + 1
    return series.write(voxels, out, kind, origin, WriteOptions()).files[0], voxels


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".png", ".tif"])
def test_it_is_read_again_and_what_is_denoised_of_it_is_not(suffix: str, tmp_path: Path) -> None:
    source = opened(make(tmp_path / "in", suffix))
    path, voxels = put(source, tmp_path / "out", OutputKind.SIMULATED, SIMULATION)
    assert path.name == f"scan_simulated_dose0.25_seed3{suffix}"
    again = opened(path)
    np.testing.assert_array_equal(again.read().voxels, voxels)
    assert any("simulated by Quell" in note for note in again.notes)
    assert not any("simulated" in note for note in source.notes)
    denoised, _ = put(again, tmp_path / "out", OutputKind.DENOISED, PROVENANCE)
    with pytest.raises(InputError, match="written by Quell"):
        open_study(denoised)
    twice, _ = put(again, tmp_path / "out", OutputKind.SIMULATED, SIMULATION)
    assert opened(twice).shape == source.shape


@pytest.mark.parametrize("suffix", [".png", ".tif", ".mha", ".nii"])
def test_what_is_denoised_of_it_still_says_so(suffix: str, tmp_path: Path) -> None:
    simulated, _ = put(
        opened(make(tmp_path / "in", suffix)), tmp_path / "out", OutputKind.SIMULATED, SIMULATION
    )
    denoised, _ = put(opened(simulated), tmp_path / "out", OutputKind.DENOISED, PROVENANCE)
    content = denoised.read_bytes()
    assert b"Quell simulated" in content and b"seed=3" in content


def test_doses_and_seeds_lie_beside_each_other(tmp_path: Path) -> None:
    source = opened(make(tmp_path / "in", ".png"))
    origins = [
        Simulation("m", "1", "ab", measure, amount, seed)
        for measure, amount, seed in (
            ("dose", 0.5, 1),
            ("dose", 0.25, 1),
            ("dose", 0.5, 2),
            ("looks", 4.0, 1),
        )
    ]
    files = {put(source, tmp_path / "out", OutputKind.SIMULATED, origin)[0] for origin in origins}
    assert len(files) == 4


def test_the_line_tells_simulated_from_made() -> None:
    assert is_made("Quell denoised: x") and is_made("Quell universal.fast denoised")
    assert is_made("Quell universal.fast denoised; Quell simulated 25 % dose")
    assert not is_made("Quell simulated: x; research use only") and is_simulated("Quell phantom x")
    assert not is_made("") and not is_made("Quellmann") and not is_simulated("Quell denoised: x")
