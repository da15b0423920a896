"""A program of somebody else as a denoiser: a file in, a file out."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from quell.errors import InputError, QuellError
from quell.image import FloatArray, Image
from quell.inference.contracts import Denoised, NoiseMap, Sigma
from quell.models.card import ModelCard
from quell.noise.spectrum import DESCRIPTOR_SIZE

TIMEOUT = 600.0
_TAIL = 200
_BLOCK = 8


class CommandDenoiser:
    """Denoise by a command that reads a NIfTI file and writes another.

    The program gets the image as compressed NIfTI of 32-bit floats in the units of the image, in a folder
    of its own that is removed afterwards; nothing of the environment is changed and no shell is run.

    Parameters
    ----------
    command : str
        With ``{in}`` and ``{out}`` where the two files belong, such as ``"mytool {in} {out}"``. Quotes
        group words as in a shell.
    timeout : float
        Seconds after which the program is ended.

    Raises
    ------
    QuellError
        If the command lacks ``{in}`` or ``{out}``, or cannot be split into words.
    """

    def __init__(self, command: str, timeout: float = TIMEOUT) -> None:
        missing = [place for place in ("{in}", "{out}") if place not in command]
        if missing:
            raise QuellError(f"the command {command!r} lacks {' and '.join(missing)}")
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise QuellError(f"the command {command!r} cannot be read: {error}") from error
        self._command, self._timeout = command, timeout

    @property
    def engine(self) -> str:
        """What runs it."""
        return "a process of its own, file to file"

    @property
    def card(self) -> ModelCard:
        """What is known of it: the command."""
        return ModelCard(
            name=Path(self._words[0]).name,
            tag="command",
            version="unknown",
            description=f"The command {self._command}",
            modalities=(),
            kmac_per_pixel=0,
            parameters=0,
            slices=1,
            multiple=1,
            halo=0,
            files={},
            sha256="",
            licence="unknown",
        )

    def denoise(self, image: Image, strength: float = 1.0, sigma: Sigma = "auto") -> Denoised:
        """Run the command on an image; see `quell.inference.contracts.Denoiser.denoise`.

        The program is told nothing of the noise; a strength below 1 blends its result with the input.
        Padding stays as it is.

        Raises
        ------
        InputError
            If the program fails, takes too long, or writes no image of the same shape and finite values.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must lie between 0 and 1, got {strength}")
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="quell-") as name:
            found = self._through_files(image, Path(name))
        voxels = image.voxels + np.float32(strength) * (found - image.voxels)
        if image.padding is not None:
            voxels = np.where(image.padding, image.voxels, voxels)
        seconds = {"estimate": 0.0, "network": time.perf_counter() - started}
        level = 0.0 if sigma == "auto" else float(sigma)
        return Denoised(image.with_voxels(voxels), _flat_map(image, level), seconds)

    def _through_files(self, image: Image, folder: Path) -> FloatArray:
        from quell.formats.nifti_new import write_new_nifti

        given, wanted = folder / "in.nii.gz", folder / "out.nii.gz"
        write_new_nifti(image, given, "to be denoised")
        self._run({"{in}": str(given), "{out}": str(wanted)}, image.name)
        if not wanted.is_file():
            raise InputError(image.name, f"{self._words[0]} wrote no file at {{out}}")
        return self._read(wanted, image)

    def _run(self, places: dict[str, str], name: str) -> None:
        words = [_filled(word, places) for word in self._words]
        try:
            # A group of its own, so that what it starts ends with it.
            process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=os.name == "posix"
            )
        except OSError as error:
            raise InputError(name, f"{words[0]} cannot be run: {error.strerror or error}") from error
        try:
            told, _ = process.communicate(timeout=self._timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise InputError(name, f"{words[0]} took longer than {self._timeout:g} s") from None
        except BaseException:
            _end(process)
            raise
        if process.returncode:
            tail = " ".join(told.decode(errors="replace").split())[-_TAIL:]
            raise InputError(name, f"{words[0]} ended with code {process.returncode}: {tail or 'no message'}")

    def _read(self, path: Path, image: Image) -> FloatArray:
        import nibabel as nib

        try:
            stored = np.asarray(nib.load(path).dataobj, np.float32)  # type: ignore[attr-defined]
        except Exception as error:
            # Whatever the library trips over is a fault of the file.
            raise InputError(image.name, f"{self._words[0]} wrote no readable NIfTI: {error}") from error
        voxels: FloatArray = np.ascontiguousarray(stored.T)
        if voxels.ndim == 2 and image.shape[0] == 1:
            voxels = voxels[None]
        if voxels.shape != image.shape:
            raise InputError(
                image.name, f"{self._words[0]} turned an image of {image.shape} into one of {voxels.shape}"
            )
        if not np.isfinite(voxels).all():
            raise InputError(image.name, f"{self._words[0]} wrote values that are not finite")
        return voxels


def _filled(word: str, places: dict[str, str]) -> str:
    for place, path in places.items():
        word = word.replace(place, path)
    return word


def _end(process: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _flat_map(image: Image, level: float) -> NoiseMap:
    depth, rows, columns = image.shape
    levels = np.full((depth, -(-rows // _BLOCK), -(-columns // _BLOCK)), level, np.float32)
    return NoiseMap(levels, _BLOCK, image.shape, np.zeros(DESCRIPTOR_SIZE, np.float32))
