"""Denoisers by name: models, training runs, classical methods, objects of any module, commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from quell.errors import QuellError
from quell.evaluation.at_strength import AtStrength
from quell.evaluation.command_denoiser import TIMEOUT, CommandDenoiser
from quell.filters.registry import PREFIX, find_filter, list_filters
from quell.image import Modality
from quell.inference.contracts import Denoiser
from quell.models.registry import list_cards, locate, model_files

COMMAND = "cmd:"
NETWORK, CLASSICAL, OBJECT, PROGRAM = "network", "classical", "object", "command"


@dataclass(frozen=True, eq=False)
class Entrant:
    """A denoiser that takes part in a comparison.

    Attributes
    ----------
    name : str
        As it was asked for.
    kind : str
        ``"network"``, ``"classical"`` (to be tuned), ``"object"`` or ``"command"``.
    denoiser : Denoiser
    engine : str
        What computes, and in what precision.
    """

    name: str
    kind: str
    denoiser: Denoiser
    engine: str

    def using(self, denoiser: Denoiser) -> Entrant:
        """Return the same entrant with another denoiser, such as one with tuned settings."""
        return replace(self, denoiser=denoiser)

    def fits(self, modality: Modality) -> bool:
        """Whether it is made for a modality; those that do not say are taken to be for all."""
        known = self.denoiser.card.modalities
        return not known or modality.value in known


def find_denoiser(name: str, *, engine: str = "auto", streams: int = 1, timeout: float = TIMEOUT) -> Entrant:
    """Return a denoiser by name.

    Parameters
    ----------
    name : str
        A model that ships (``"universal.fast"``) or the folder of a training run, as users get it, or either
        at one strength (``"universal.fast@1"``); a classical method (``"nlm"``, ``"anscombe+wavelet"``),
        ``"module:object"`` (a `Denoiser`, or something that makes one when called without arguments), or
        ``"cmd:mytool {in} {out}"``.
    engine : str
        Of networks, see `quell.inference.runtimes.make_runtime`.
    streams : int
        Slices side by side, and threads of a network.
    timeout : float
        Seconds for a command.

    Raises
    ------
    QuellError
        If there is no such denoiser; the message lists the known ones.
    """
    if name.startswith(COMMAND):
        command = CommandDenoiser(name.removeprefix(COMMAND), timeout)
        return Entrant(name, PROGRAM, command, command.engine)
    network, strength = split_strength(name)
    if strength is not None:
        found = find_denoiser(network, engine=engine, streams=streams, timeout=timeout)
        if found.kind != NETWORK:
            raise QuellError(f"{name}: only a network can be taken at a strength")
        return replace(found, name=name, denoiser=AtStrength(found.denoiser, strength))
    if name in {card.identifier for card in list_cards()}:
        return _network(name, engine, streams)
    classical = {facts.name for facts in list_filters(installed=False)}
    if name in classical or name.removeprefix(PREFIX) in classical:
        return Entrant(name, CLASSICAL, find_filter(name, streams=streams), "NumPy and SciPy, 64-bit floats")
    if Path(name).exists():
        return _network(name, engine, streams)
    if ":" in name:
        return _object(name)
    known = ", ".join(known_names())
    raise QuellError(
        f"unknown denoiser {name!r}; there is: {known}, folders of finished runs, module:object and "
        "cmd:'tool {in} {out}'"
    )


def split_strength(name: str) -> tuple[str, float | None]:
    """Split ``NAME@0.8``; None where a name has no strength from 0 to 1 at its end."""
    network, sign, share = name.rpartition("@")
    try:
        strength = float(share) if sign and network else None
    except ValueError:
        return name, None
    return (network, strength) if strength is not None and 0 <= strength <= 1 else (name, None)


def known_names(modality: Modality | None = None) -> tuple[str, ...]:
    """Return the names of the models that ship and of the classical methods at hand.

    Parameters
    ----------
    modality : Modality, optional
        Only those made for it.
    """
    cards = [c.identifier for c in list_cards() if modality is None or modality.value in c.modalities]
    return (*cards, *(facts.name for facts in list_filters(modality)))


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas; a command may hold commas within quotes.

    Examples
    --------
    >>> split_names("nlm, cmd:'tool -a 1,2 {in} {out}'")
    ('nlm', 'cmd:tool -a 1,2 {in} {out}')
    """
    names, word, quote = [], "", ""
    for letter in text:
        # Only the outermost quotes go; those inside belong to the command.
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif letter == "," and not quote:
            names.append(word.strip())
            word = ""
        else:
            word += letter
    return tuple(name for name in (*names, word.strip()) if name)


def everyone() -> tuple[str, ...]:
    """Return the models that ship, as users get them and at full strength, and the classical methods."""
    cards = [card.identifier for card in list_cards()]
    return (*cards, *(f"{name}@1" for name in cards), *(facts.name for facts in list_filters()))


def find_denoisers(names: Sequence[str], **options: Any) -> tuple[Entrant, ...]:
    """Return denoisers by name, each once, in order; see `find_denoiser`."""
    return tuple(find_denoiser(name, **options) for name in dict.fromkeys(names))


def _network(name: str, engine: str, streams: int) -> Entrant:
    from quell.inference.make import make_denoiser
    from quell.inference.runtimes import make_runtime

    found = locate(name)
    runtime = make_runtime(engine, threads=streams)
    denoiser = make_denoiser(found.card, model_files(found.card, found.folder), runtime, streams)
    return Entrant(name, NETWORK, denoiser, denoiser.engine)


def _object(name: str) -> Entrant:
    """Import a denoiser; whatever goes wrong in foreign code is told in one line."""
    module, _, path = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        # The installed command, unlike `python -m`, does not look for modules beside the user.
        sys.path.append(here)
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        if isinstance(found, type) or not hasattr(found, "denoise"):
            found = found()
    except Exception as error:
        raise QuellError(f"{name}: cannot be loaded: {type(error).__name__}: {error}") from error
    lacking = [part for part in ("card", "denoise") if not hasattr(found, part)]
    if lacking:
        raise QuellError(f"{name}: is no denoiser: it has no {' and no '.join(lacking)}")
    return Entrant(name, OBJECT, cast(Denoiser, found), str(getattr(found, "engine", "not told")))
