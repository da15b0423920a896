"""What a training is asked for: one YAML file with the sections `method`, `data` and `run`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quell.errors import InputError, QuellError
from quell.methods.contracts import MethodConfig

SECTIONS = ("method", "data", "run")
NAME = "name"
"""Key that tells the method in the settings of a run; may be left out of a file that one writes."""


class RunSettings(BaseModel):
    """How the loop runs.

    Attributes
    ----------
    seed
        The same seed gives the same training on one processor.
    minutes
        Time limit; the schedule then follows the clock in place of the steps.
    clock
        What `minutes` are of: ``wall``, or ``processor``, the time that all threads of the process compute,
        which makes runs on a busy machine comparable.
    devices
        Processes, or GPUs, that train side by side, each with its own batch.
    accelerator
        ``auto`` takes a GPU where there is one.
    precision
        ``bf16`` computes products in bfloat16 and keeps weights in 32 bits.
    validate_every
        Steps from one validation to the next; None for twenty in the whole training.
    validate_voxels
        About so many are denoised in a validation, of all held-out images together.
    checkpoint_every
        Steps (``500``) or minutes (``"5 min"``) from one checkpoint to the next.
    average
        Share of the old in the running average of the weights, which is what is validated and exported;
        0 takes the weights as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0)
    minutes: float | None = Field(None, gt=0)
    clock: Literal["wall", "processor"] = "wall"
    devices: int = Field(1, ge=1)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32", "bf16"] = "32"
    validate_every: int | None = Field(None, ge=1)
    validate_voxels: int = Field(2**18, ge=1)
    checkpoint_every: int | str = "5 min"
    average: float = Field(0.999, ge=0, lt=1)

    @field_validator("precision", mode="before")
    @classmethod
    def _as_word(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("checkpoint_every")
    @classmethod
    def _steps_or_minutes(cls, value: int | str) -> int | str:
        number, _, unit = str(value).partition(" ")
        try:
            amount = float(number)
        except ValueError:
            amount = 0.0
        if amount <= 0 or unit.strip() not in ("", "min", "minutes") or (not unit and amount != int(amount)):
            raise ValueError('must be a number of steps, such as 500, or of minutes, such as "5 min"')
        return value if unit else int(amount)

    @property
    def checkpoint_steps(self) -> int | None:
        """Steps between checkpoints, None where minutes are asked for."""
        return self.checkpoint_every if isinstance(self.checkpoint_every, int) else None

    @property
    def checkpoint_seconds(self) -> float | None:
        """Seconds between checkpoints, None where steps are asked for."""
        every = self.checkpoint_every
        return None if isinstance(every, int) else 60 * float(every.partition(" ")[0])


@dataclass(frozen=True)
class TrainSettings:
    """All settings of one training.

    Attributes
    ----------
    method : MethodConfig
        Of the class that the method says.
    data : BaseModel
        `quell.training.data.settings.DataSettings`.
    run : RunSettings
    """

    method: MethodConfig
    data: BaseModel
    run: RunSettings

    def told(self) -> dict[str, dict[str, Any]]:
        """Return all settings, the defaults too, as plain values by section."""
        return {section: getattr(self, section).model_dump(mode="json") for section in SECTIONS}


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the sections of a file of settings.

    Raises
    ------
    InputError
        If it cannot be read or is no mapping of sections.
    """
    try:
        told = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(file, f"cannot be read: {reason}") from error
    except yaml.YAMLError as error:
        raise InputError(file, f"is no YAML: {error}") from error
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise InputError(file, f"must have the sections {', '.join(SECTIONS)}")
    return told


def with_changes(told: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Return settings with changes such as ``method.steps=500`` entered.

    Raises
    ------
    QuellError
        If a change is not of this form.
    """
    entered = {name: dict(held) if isinstance(held, Mapping) else held for name, held in told.items()}
    for change in changes:
        path, equals, value = change.partition("=")
        section, dot, key = path.strip().partition(".")
        if not (equals and dot and key):
            raise QuellError(f"--set {change}: say section.key=value, such as method.steps=500")
        try:
            entered[section] = {**(entered.get(section) or {}), key: yaml.safe_load(value)}
        except yaml.YAMLError as error:
            raise QuellError(f"--set {change}: {value!r} is no YAML value") from error
    return entered


def read_settings(
    told: Mapping[str, Any], config: type[MethodConfig], data: type[BaseModel], method: str = ""
) -> TrainSettings:
    """Check settings and fill in the defaults.

    Parameters
    ----------
    told : mapping
        Sections of plain values.
    config, data : type
        Classes of the sections ``method`` and ``data``.
    method : str
        Name of the method, which the settings may repeat.

    Raises
    ------
    QuellError
        Naming the key at fault, and those that it may have been meant to be.
    """
    for section in told:
        if section not in (*SECTIONS, NAME):
            raise QuellError(f"unknown section {section!r} of the settings{_nearest(section, SECTIONS)}")
    if method and told.get(NAME, method) != method:
        raise QuellError(f"these settings are for the method {told[NAME]!r}, not for {method!r}")
    return TrainSettings(
        method=check("method", config, told.get("method")),
        data=check("data", data, told.get("data")),
        run=check("run", RunSettings, told.get("run")),
    )


def check(section: str, model: type[BaseModel], told: Any) -> Any:
    """Return a section as a value of its class.

    Raises
    ------
    QuellError
        As one line that names the first key at fault.
    """
    if told is not None and not isinstance(told, Mapping):
        raise QuellError(f"section {section!r} of the settings must hold keys and values")
    try:
        return model.model_validate(dict(told or {}))
    except ValidationError as error:
        raise QuellError(_in_one_line(section, model, error)) from error


def _in_one_line(section: str, model: type[BaseModel], error: ValidationError) -> str:
    # An unknown key first: what it was meant to be may be the cause of all others.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    path = ".".join(str(part) for part in (section, *first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown setting {path!r}{_nearest(str(first['loc'][-1]), model.model_fields)}"
    reason = first["msg"].removeprefix("Value error, ")
    given = f", not {first['input']!r}" if first["loc"] and first["type"] != "missing" else ""
    return f"{path}: {reason[:1].lower()}{reason[1:]}{given}"


def _nearest(name: str, known: Iterable[str]) -> str:
    listed = list(known)
    near = difflib.get_close_matches(name, listed, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there is: {', '.join(listed)}"
