"""Train a method from images to a model: where the data, the method and the loop meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from quell.errors import QuellError
from quell.jobs.training_extra import training_extra

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from quell.training.run import RunResult, Watch
    from quell.training.settings import TrainSettings

CHANGEABLE = ("method.steps",)
"""Settings outside the section ``run`` that may be others when a run goes on."""


def trainable(name: str) -> Any:
    """Return the class of a method that ``quell train`` can train.

    Raises
    ------
    QuellError
        If there is no such method, or it learns from the study that it denoises.
    """
    with training_extra():
        from quell.methods.contracts import Need
        from quell.methods.registry import find_method
    kind = find_method(name)
    if kind.facts.need is Need.ONE_IMAGE:
        raise QuellError(
            f"{name} learns from the study that it denoises: quell denoise STUDY -o OUT --method {name}"
        )
    return kind


def method_facts() -> tuple[Any, ...]:
    """Return the `quell.methods.contracts.MethodFacts` of all methods, by name."""
    with training_extra():
        from quell.methods.registry import list_methods

        return list_methods()


def entered(
    config: Path | None, changes: Iterable[str], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return settings from a file, changes such as ``method.steps=500``, and values given by themselves.

    Parameters
    ----------
    config : Path or None
    changes : iterable of str
        They win over the file.
    given : mapping
        Values by section, which win over all; None stands for one that was not given.

    Raises
    ------
    QuellError
        If the file or a change cannot be read.
    """
    from quell.training.settings import read_yaml, with_changes

    told = with_changes({} if config is None else read_yaml(config), changes)
    for section, values in given.items():
        wanted = {key: value for key, value in values.items() if value is not None}
        if wanted:
            told[section] = {**(told.get(section) or {}), **wanted}
    return told


def settings_for(name: str, told: Mapping[str, Any]) -> TrainSettings:
    """Check settings for a method and fill in the defaults.

    Parameters
    ----------
    name : str
    told : mapping
        Plain values in the sections ``method``, ``data`` and ``run``.

    Raises
    ------
    QuellError
        Naming the key at fault.
    """
    kind = trainable(name)
    from quell.training.data.settings import DataSettings
    from quell.training.settings import read_settings

    return read_settings(told, kind.Config, DataSettings, name)


def train_method(
    method_name: str,
    settings: TrainSettings | Mapping[str, Any],
    run_folder: Path,
    progress: Watch | None = None,
) -> RunResult:
    """Train a method into a new folder.

    Parameters
    ----------
    method_name : str
    settings : TrainSettings or mapping
        Plain values by section are checked first.
    run_folder : Path
        Made if absent; must hold nothing.
    progress : Watch, optional

    Raises
    ------
    QuellError
        If the settings, the folder or the data cannot be used, the loss is no number any more, or the disk
        is full.

    Notes
    -----
    With several devices the script that calls this is started once for each of them.
    """
    asked = settings_for(method_name, settings) if isinstance(settings, Mapping) else settings
    from quell.training.run_folder import RunFolder

    folder = RunFolder(run_folder)
    return _train(method_name, asked, folder, progress, new=True)


def resume_method(
    method_name: str, run_folder: Path, changes: Mapping[str, Any], progress: Watch | None = None
) -> RunResult:
    """Go on with a run; one that is finished is only exported again.

    Parameters
    ----------
    method_name : str
    run_folder : Path
    changes : mapping
        Plain values by section; only those of ``run`` and ``method.steps`` may differ from the run's own.
    progress : Watch, optional

    Raises
    ------
    QuellError
        As `train_method`, or if a change would make another run of it.
    """
    trainable(method_name)
    from quell.training.run_folder import RunFolder

    folder = RunFolder(run_folder)
    told = folder.told()
    for section, values in changes.items():
        for key, value in (values or {}).items():
            held = (told.get(section) or {}).get(key)
            if section != "run" and f"{section}.{key}" not in CHANGEABLE and held != value:
                raise QuellError(
                    f"{section}.{key}: a run goes on with its own settings ({held}, not {value})"
                )
        told[section] = {**(told.get(section) or {}), **(values or {})}
    return _train(method_name, settings_for(method_name, told), folder, progress, new=False)


def _train(name: str, settings: TrainSettings, folder: Any, progress: Watch | None, new: bool) -> RunResult:
    from quell.training.devices import finish, first_does, is_first, start
    from quell.training.loop import make_method
    from quell.training.run import Run, Unwatched

    kind = trainable(name)
    if new and is_first():
        folder.check_free(name, settings)
    fabric = start(settings.run)
    prepared = _data(kind, settings, folder, fabric)
    # Behind the data: what cannot be trained leaves no folder that looks like a run.
    first_does(fabric, lambda: folder.begin(name, settings, prepared.manifest))
    watch = progress if progress is not None and fabric.is_global_zero else Unwatched()
    for note in prepared.notes:
        watch.tell(f"note: {note}")
    method = make_method(kind, settings.method, prepared.facts, settings.run.seed)
    run = Run(folder, method, prepared.train, prepared.validation, settings, fabric, watch)
    result = run.go(prepared.manifest)
    finish(fabric)
    return result


def _data(kind: Any, settings: TrainSettings, folder: Any, fabric: Fabric) -> Any:
    """Return the data on the device; the first process prepares it and the others read what it left."""
    from quell.training.data.prepare import prepare
    from quell.training.data.settings import DataSettings
    from quell.training.devices import first_does
    from quell.training.run_folder import CACHE

    cache, asked = folder.path / CACHE, cast(DataSettings, settings.data)
    prepared = first_does(fabric, lambda: prepare(asked, kind, cache))
    prepared = prepared or prepare(asked, kind, cache)
    prepared.train.to(fabric.device)
    return prepared
