"""Kernel and flux are found in the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quell.image import Image
from quell.noise.ct import CTNoise
from quell.noise.flat import quiet_level
from quell.noise.tomography.calibration import measure
from quell.noise.tomography.kernels import KERNELS, Kernel, ramp_power
from samples import ct_noise as s

SIZE, SPACING = 192, 1.5
MODEL = CTNoise(flux=8e5, views=240, pitch=1.2, kernel=Kernel(0.22, 2.4))


def trunk(scale: float = 1.0) -> np.ndarray:
    """Return an ellipse of soft tissue with fat around it, organs, vessels, bones and some texture."""
    y, x = (np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / SIZE / scale
    values = np.full((SIZE, SIZE), -1000.0)
    values[(x / 0.44) ** 2 + (y / 0.34) ** 2 < 1] = -90
    values[(x / 0.4) ** 2 + (y / 0.3) ** 2 < 1] = 45
    values[((x + 0.18) / 0.14) ** 2 + (y / 0.2) ** 2 < 1] = 110
    for at, radius, value in (((0.2, 0.0), 0.05, 900), ((-0.1, 0.05), 0.03, 250), ((0.0, 0.2), 0.02, 200)):
        values[np.hypot(y - at[0], x - at[1]) < radius] = value
    rng = np.random.default_rng(5)
    f = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)) + 0.5 / SIZE
    texture = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * f**-1.5).real
    values[values > -500] += (6 * texture / texture.std())[values > -500]
    return values.astype(np.float32)


def scanned(model: CTNoise, count: int = 6, truth: np.ndarray | None = None) -> Image:
    stack = np.broadcast_to(trunk() if truth is None else truth, (count, SIZE, SIZE))
    return model.acquire(s.ct(stack, SPACING), 1.0, np.random.default_rng(3)).image


def moment(kernel: Kernel) -> float:
    return s.first_moment(ramp_power((SIZE, SIZE), SPACING, kernel))


@pytest.mark.parametrize("flux", [1e5, 6e5])
@pytest.mark.parametrize("kernel", [Kernel(0.21, 2.2), Kernel(0.28, 3.0)], ids=["soft", "sharp"])
def test_flux_and_kernel_are_found(flux: float, kernel: Kernel) -> None:
    image = scanned(replace(MODEL, flux=flux, kernel=kernel))
    found = MODEL.calibrate(image)
    assert found.calibrated and found.remarks == ()
    assert moment(found.kernel) == pytest.approx(moment(kernel), rel=0.05)
    # Level: what a scan with the found parameters looks like, against the image.
    again = scanned(found, 6).voxels
    inside = (trunk() > 0) & (trunk() < 90)
    ratio = np.sqrt(again.var(axis=0)[inside].mean() / image.voxels.var(axis=0)[inside].mean())
    assert ratio == pytest.approx(1, abs=0.06)


def test_what_is_added_at_half_the_dose_is_as_much_as_there_was() -> None:
    image = scanned(MODEL)
    model = CTNoise(views=240, pitch=1.2).calibrate(image)
    lower = model.simulate(image, 0.5, np.random.default_rng(0)).image.voxels
    inside = (trunk() > 0) & (trunk() < 90)
    ratio = lower.var(axis=0)[inside].mean() / image.voxels.var(axis=0)[inside].mean()
    # The variance is 2 with electronic noise next to none; twice the tolerance of the SD.
    assert ratio == pytest.approx(2, abs=0.2)


def test_the_current_along_the_patient_is_found() -> None:
    """Slices of growing size, scanned with a current that follows their attenuation."""
    for modulation in (0.0, 0.8):
        model = replace(MODEL, slice_modulation=modulation, usual_attenuation=4.0)
        stack = np.stack([trunk(scale) for scale in np.linspace(0.6, 1, 8)])
        image = model.acquire(s.ct(stack, SPACING), 1.0, np.random.default_rng(3)).image
        found = MODEL.calibrate(image)
        assert found.slice_modulation == pytest.approx(modulation, abs=0.2)


def test_smoothed_noise_is_told_from_a_ramp() -> None:
    image = scanned(MODEL)
    noise = np.random.default_rng(4).standard_normal(image.shape)
    f = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE))
    blobs = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-((f / 0.06) ** 2))).real
    flat = np.where(trunk() > -500, 40.0, -1000.0)
    smoothed = image.with_voxels((flat + 12 * blobs / blobs.std()).astype(np.float32))
    model = MODEL.calibrate(smoothed)
    assert any("not the ramp" in remark for remark in model.remarks)
    warnings = model.simulate(smoothed, 0.5, np.random.default_rng(0)).warnings
    assert any("not the ramp" in warning for warning in warnings)


@pytest.mark.parametrize(
    "voxels",
    [
        np.full((1, 64, 64), -800.0),
        np.zeros((1, 64, 64)),
        np.zeros((1, 20, 20)),
        np.where(np.mgrid[:64, :64][0] % 2 == 0, -1000.0, 300.0)[None],
    ],
    ids=["lung", "constant", "tiny", "stripes"],
)
def test_nothing_to_measure_leaves_the_model_and_says_so(voxels: np.ndarray) -> None:
    image = s.ct(voxels.astype(np.float32), SPACING)
    model = MODEL.calibrate(image)
    assert not model.calibrated
    assert replace(model, remarks=()) == MODEL
    assert any("no plain soft tissue" in warning for warning in model.check(image))


def test_calibration_is_left_alone_by_padding() -> None:
    image = scanned(MODEL, 2)
    padded = image.voxels.copy()
    outside = np.hypot(*(np.mgrid[:SIZE, :SIZE] - SIZE / 2)) > SIZE / 2 - 2
    padded[:, outside] = -2000
    mask = np.broadcast_to(outside, padded.shape)
    for other in (s.ct(padded, SPACING), s.ct(padded, SPACING, padding=mask)):
        assert MODEL.calibrate(other).flux == pytest.approx(MODEL.calibrate(image).flux, rel=0.05)


REAL = {
    "ct/phantom/ge_ct750hd_qa_imgA.dcm": (0.45, 0.65),
    "ct/kits_00072_upper_abdomen_arterial.nii.gz": (0.32, 0.45),
    "ct/cptac_pda_00189_lungbase_lungkernel.nii.gz": (0.5, 0.7),
}
"""Plausible f50 in 1/mm: STANDARD of a water phantom, B30s, and LUNG at 0.86 mm pixels."""


@pytest.mark.parametrize("name", REAL)
def test_real_images_give_plausible_scans(shared_data: Path, name: str) -> None:
    import quell

    image = quell.read(shared_data / name)[0]
    found = measure(image, CTNoise().scan)
    assert found is not None
    low, high = REAL[name]
    assert low < found.kernel.f50 < high
    assert found.misfit < 0.15
    assert 1e5 < 1e6 / found.variance_ratio < 2e7
    assert found.low_frequencies < 1.5


def test_a_real_slice_at_a_quarter_of_the_dose_is_twice_as_noisy(shared_data: Path) -> None:
    """Measured in the quiet blocks of soft tissue, by another measure than that of the calibration."""
    import quell

    image = quell.read(shared_data / "ct" / "lidc_idri_0314_chest_s100_135.nii.gz")[0]
    one = s.ct(image.voxels[18:19], geometry=image.geometry)
    model = CTNoise().calibrate(image)
    lower = model.simulate(one, 0.25, np.random.default_rng(0)).image
    levels = [quiet_level(stack, (-150, 200)) for stack in (one.voxels, lower.voxels)]
    assert levels[1] / levels[0] == pytest.approx(2, rel=0.15)
    assert KERNELS["soft"].f50 < model.kernel.f50 < KERNELS["lung"].f50
