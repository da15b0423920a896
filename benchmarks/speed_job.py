"""The main job, from DICOM to DICOM, by the command itself in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIDE = 512
STEPS = ("read", "estimate", "network", "write")
TIMED = Path(__file__).with_name("timed_process.py")


def write_series(folder: Path, slices: int) -> None:
    """Write a noisy synthetic CT series, uncompressed."""
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


def write_parts(folder: Path, numbers: Sequence[int]) -> dict[int, Path]:
    """Write a series, and its first slices as series of their own.

    Parameters
    ----------
    folder : Path
    numbers : sequence of int
        Of slices.

    Returns
    -------
    dict of int to Path
        Folder of each number of slices.
    """
    parts = {number: folder / f"{number}" for number in sorted(numbers, reverse=True)}
    most = max(parts)
    for number, part in parts.items():
        part.mkdir()
        if number == most:
            write_series(part, most)
        for z in range(number if number < most else 0):
            os.link(parts[most] / f"{z:04d}.dcm", part / f"{z:04d}.dcm")
    return parts


def time_command(arguments: Sequence[str]) -> tuple[float, float]:
    """Run ``quell`` in a process of its own; return wall seconds and peak memory in MiB."""
    command = [sys.executable, str(TIMED), sys.executable, "-m", "quell", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"quell {' '.join(arguments)} failed")
    wall, peak = map(float, done.stdout.split())
    return wall, peak


class Job:
    """A network that denoises series of several lengths.

    Parameters
    ----------
    model : str
        What ``--model`` takes.
    series : mapping of int to Path
        Folders of DICOM files by their number of slices, see `write_parts`.
    out : Path
        Folder that may be made and removed.
    """

    def __init__(self, model: str, series: dict[int, Path], out: Path) -> None:
        self._model, self._series, self._out = model, series, out
        self._walls: dict[int, list[float]] = {number: [] for number in series}
        self._peaks: dict[int, list[float]] = {number: [] for number in series}

    def run(self) -> None:
        """Denoise each series once."""
        for number in self._series:
            wall, peak = time_command(self._arguments(number, "--quiet"))
            self._walls[number].append(wall)
            self._peaks[number].append(peak)
            shutil.rmtree(self._out)

    def result(self) -> dict[str, float | dict[str, float]]:
        """Return seconds and MiB of the longest series, and the memory of all.

        The steps are those of one more run with a report, which is not part of the job that is timed.
        """
        most = max(self._series)
        time_command(self._arguments(most, "--report", "--quiet"))
        steps = json.loads((self._out / "report.json").read_text("utf-8"))["series"][0]["seconds"]
        shutil.rmtree(self._out)
        return {
            "slices": most,
            "wall": min(self._walls[most]),
            "wall_median": float(np.median(self._walls[most])),
            "peak_mib": max(self._peaks[most]),
            "peak_mib_by_slices": {str(number): max(self._peaks[number]) for number in sorted(self._peaks)},
            **{name: float(steps[name]) for name in STEPS},
        }

    def _arguments(self, number: int, *options: str) -> list[str]:
        return ["denoise", str(self._series[number]), "-o", str(self._out), "--model", self._model, *options]
