"""The folder of a run: settings, data, checkpoints; every file appears complete or not at all."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from quell.errors import InputError, OutputError, QuellError
from quell.formats.atomic import atomic_file
from quell.training.settings import NAME, TrainSettings, read_yaml

CONFIG = "config.yaml"
DATA = "data.json"
LAST = "last.pt"
BEST = "best.pt"
LOG = "log.csv"
TENSORBOARD = "tensorboard"
MODEL = "model"
CACHE = "cache"

UNBEGUN = (CONFIG, DATA, LOG, TENSORBOARD, CACHE)
"""What a run may leave that never came to a checkpoint."""


class RunFolder:
    """Reads and writes what a run leaves.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def holds_a_run(self) -> bool:
        """Whether settings of a run are there."""
        return (self.path / CONFIG).is_file()

    def check_free(self, method: str, settings: TrainSettings) -> None:
        """Refuse a folder in which something else would be lost.

        Raises
        ------
        OutputError
            If it holds a run or other files.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(self.path, "is a file; a run needs a folder")
        # A run that was refused or stopped before its first checkpoint has nothing to lose.
        if self.holds_a_run and (self.path / LAST).exists():
            change = self._difference(method, settings)
            held = f"holds a run with other settings ({change})" if change else "holds this run already"
            go_on = f"go on with: quell train {self.method()} --resume {self.path}"
            raise OutputError(self.path, f"{held}; {go_on}; or choose another folder")
        # Data that were prepared for it are used again.
        if self.path.is_dir() and any(path.name not in UNBEGUN for path in self.path.iterdir()):
            raise OutputError(self.path, "is not empty; choose another folder")

    def begin(self, method: str, settings: TrainSettings, manifest: list[dict[str, Any]]) -> None:
        """Write the settings, and what the run is trained on."""
        self._write(DATA, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
        told = {NAME: method, **settings.told()}
        self._write(CONFIG, yaml.safe_dump(told, sort_keys=False, allow_unicode=True).encode())

    def told(self) -> dict[str, Any]:
        """Return the settings of the run.

        Raises
        ------
        InputError
            If this is no folder of a run.
        """
        if not self.holds_a_run:
            raise InputError(self.path, f"is no folder of a run: it has no {CONFIG}")
        return read_yaml(self.path / CONFIG)

    def method(self) -> str:
        """Return the name of the method of the run."""
        return str(self.told().get(NAME, ""))

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Write a checkpoint in the place of the one before.

        Raises
        ------
        OutputError
            If the disk is full; the one before is then still there.
        """
        # In memory first: torch hides that a disk is full behind an error of its own.
        held = io.BytesIO()
        torch.save(dict(state), held)
        self._write(name, held.getbuffer())

    def load(self, name: str, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """Return a checkpoint, None where there is none.

        Raises
        ------
        InputError
            If it is damaged.
        """
        file = self.path / name
        if not file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
        except (
            OSError,
            RuntimeError,
            EOFError,
            ValueError,
            KeyError,
            pickle.PickleError,
            zipfile.BadZipFile,
        ):
            raise InputError(file, "is a damaged checkpoint; start the training anew") from None
        return state

    def _difference(self, method: str, settings: TrainSettings) -> str:
        try:
            held = self.told()
        except QuellError:
            return f"its {CONFIG} cannot be read"
        if held.get(NAME) != method:
            return f"method {held.get(NAME)}, not {method}"
        for section, wanted in settings.told().items():
            was = held.get(section) or {}
            for key in {**was, **wanted}:
                if was.get(key) != wanted.get(key):
                    return f"{section}.{key} is {was.get(key)}, not {wanted.get(key)}"
        return ""

    def _write(self, name: str, content: bytes | memoryview) -> None:
        with atomic_file(self.path / name) as temporary:
            temporary.write_bytes(content)
