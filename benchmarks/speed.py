"""Speed and memory of the main job, beside non-local means and DnCNN-17 in the same run.

``python benchmarks/speed.py [--slices 300] [--json FILE]``

A synthetic chest-like CT series (512 x 512, 16 bit, uncompressed) is denoised from DICOM to DICOM by
the command itself, in a process of its own whose wall time and peak memory are read from the
operating system. Then single slices go through our network, scikit-image's non-local means and
DnCNN-17 (Zhang et al. 2017; random weights, which cost the same time) in turn, so that a drift of
the machine meets all of them; DnCNN runs through the same engine and precision as ours.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from quell.inference.runtimes import make_runtime
from quell.machine import describe_machine
from quell.models.registry import find_card, model_files

SIDE = 512
ROUNDS = 5


def write_series(folder: Path, slices: int) -> None:
    """Write a noisy synthetic CT series."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    body = np.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 40.0, -1000.0)
    study, series, frame = (generate_uid(entropy_srcs=[f"speed{i}"]) for i in range(3))
    for z in range(slices):
        lungs = ((np.abs(x) - 0.4) / 0.25) ** 2 + (y / (0.4 + 0.001 * z)) ** 2 < 1
        hu = np.where(lungs, -850.0, body) + rng.normal(0, 20, body.shape)
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
        uid = generate_uid(entropy_srcs=[f"speed slice {z}"])
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Speed", "1", "", ""
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260101", "000000", "1", ""
        ds.ReferringPhysicianName, ds.Manufacturer, ds.PositionReferenceIndicator = "", "Phantom", ""
        ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber, ds.KVP = 1, z + 1, 1, "120"
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, float(z)], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [0.7, 0.7], 1.0
        ds.Rows = ds.Columns = SIDE
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        ds.PixelData = (np.rint(hu) + 1024).astype("<i2").tobytes()
        ds.save_as(folder / f"{z:04d}.dcm", enforce_file_format=True)


def time_command(arguments: list[str]) -> tuple[float, float]:
    """Run ``quell`` in a process of its own; return wall seconds and peak memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "quell", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"quell {' '.join(arguments)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def time_job(slices: int, rounds: int) -> dict[str, float]:
    """Time the whole job, DICOM to DICOM, and read the steps of one more run from its report."""
    with tempfile.TemporaryDirectory(dir=_ram_disk()) as name:
        folder = Path(name)
        (folder / "in").mkdir()
        write_series(folder / "in", slices)
        walls, peaks = [], []
        for _ in range(rounds):
            wall, peak = time_command(["denoise", str(folder / "in"), "-o", str(folder / "out"), "--quiet"])
            walls.append(wall)
            peaks.append(peak)
        # The steps come from a run with a report, which is not part of the job that is timed.
        time_command(["denoise", str(folder / "in"), "-o", str(folder / "told"), "--report", "--quiet"])
        steps = json.loads((folder / "told" / "report.json").read_text())["series"][0]["seconds"]
    job = {"wall": min(walls), "wall_median": float(np.median(walls)), "peak_mib": max(peaks)}
    return job | {name: float(steps[name]) for name in ("read", "estimate", "network", "write")}


def dncnn(depth: int = 17, width: int = 64) -> nn.Module:
    """Return DnCNN (Zhang et al. 2017, table 1) with its batch normalisation folded in."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))


def contenders(folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed on one slice, by name."""
    from skimage.restoration import denoise_nl_means

    card = find_card("universal.fast")
    file = folder / "dncnn.onnx"
    torch.onnx.export(dncnn(), (torch.zeros(1, 1, 64, 64),), str(file), input_names=["image"], dynamo=False,
                      dynamic_axes={"image": {2: "y", 3: "x"}}, opset_version=17)  # fmt: skip
    rng = np.random.default_rng(0)
    stack = rng.standard_normal((1, card.slices, SIDE, SIDE)).astype(np.float32)
    told = np.zeros((1, 9 + len(card.kinds)), np.float32)
    kind = (np.zeros((1, len(card.kinds)), np.float32),) if card.kinds else ()
    runtime = make_runtime("openvino")
    shapes = {"normalised": stack.shape, "condition" if card.kinds else "spectrum": told.shape}
    files = model_files(card)
    ours = {exact: runtime.load(files["denoiser"], shapes, 1, exact) for exact in (False, True)}
    theirs = {exact: runtime.load(file, {"image": (1, 1, SIDE, SIDE)}, 1, exact) for exact in (False, True)}
    scaled = {"scaled": (1, 1, SIDE, SIDE), **({"kind": kind[0].shape} if kind else {})}
    estimator = runtime.load(files["estimator"], scaled, 1, True)
    one = stack[:, :1].copy()
    slice_ = one[0, 0] * 20 + 40
    short = runtime.description.split()[-1]
    return {
        f"network, OpenVINO {short}": lambda: ours[False](stack, told),
        "network, OpenVINO f32": lambda: ours[True](stack, told),
        "noise estimator, OpenVINO f32": lambda: estimator(one, *kind),
        f"DnCNN-17, OpenVINO {short}": lambda: theirs[False](one),
        "DnCNN-17, OpenVINO f32": lambda: theirs[True](one),
        "non-local means, scikit-image, patch 5, distance 6": lambda: denoise_nl_means(
            slice_ / 1000, patch_size=5, patch_distance=6, h=0.016, sigma=0.02, fast_mode=True
        ),
    }


def time_slices(rounds: int) -> dict[str, float]:
    """Time every contender on one slice, in turn, and return the medians in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        runs = contenders(Path(name))
        for run in runs.values():
            run()
        times: dict[str, list[float]] = {key: [] for key in runs}
        for _ in range(rounds):
            for key, run in runs.items():
                for _ in range(5 if "network" in key or "estimator" in key else 1):
                    started = time.perf_counter()
                    run()
                    times[key].append(1000 * (time.perf_counter() - started))
    return {key: float(np.median(values)) for key, values in times.items()}


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(describe_machine())
    starts = [time_command(["--help"])[0] for _ in range(7)]
    print(f"quell --help: {np.median(starts):.2f} s")
    job = time_job(arguments.slices, arguments.rounds)
    print(f"{arguments.slices} slices of {SIDE} x {SIDE}, DICOM to DICOM:")
    print(f"  {job['wall']:.2f} s at best, median {job['wall_median']:.2f} s; peak {job['peak_mib']:.0f} MiB")
    steps = ", ".join(f"{name} {job[name]:.2f} s" for name in ("read", "estimate", "network", "write"))
    print(f"  steps of one more run: {steps}")
    slices = time_slices(ROUNDS)
    reference = next(iter(slices.values()))
    for name, value in slices.items():
        print(f"  {name:52s} {value:8.1f} ms  {value / reference:7.2f} x")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"(this process itself: {own:.0f} MiB)")
    if arguments.json:
        result = {
            "machine": describe_machine(),
            "help_s": float(np.median(starts)),
            "job": job,
            "slice_ms": slices,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def _ram_disk() -> str | None:
    """Return a folder in memory where there is one, so that no disk is timed."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main()
