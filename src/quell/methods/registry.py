"""The methods by name: whatever module of this folder has a `METHOD` is one."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import quell.methods
from quell.errors import QuellError
from quell.methods.contracts import MethodFacts, Need


@lru_cache(maxsize=1)
def find_methods() -> dict[str, Any]:
    """Return the classes of all methods by name.

    A module may hold several: `METHOD` is a class or a tuple of classes.
    """
    found: dict[str, Any] = {}
    for module in iter_modules(quell.methods.__path__):
        held = getattr(import_module(f"quell.methods.{module.name}"), "METHOD", ())
        for kind in held if isinstance(held, tuple) else (held,):
            found[kind.facts.name] = kind
    return dict(sorted(found.items()))


def list_methods() -> tuple[MethodFacts, ...]:
    """Return the facts of all methods, by name."""
    return tuple(kind.facts for kind in find_methods().values())


def find_method(name: str) -> Any:
    """Return the class of a method: a `Method`, or a `StudyMethod` where it learns from one study.

    Raises
    ------
    QuellError
        If there is no such method.
    """
    known = find_methods()
    if name not in known:
        raise QuellError(f"unknown method {name!r}; there is: {', '.join(known)}")
    return known[name]


def learns_from_one(facts: MethodFacts) -> bool:
    """Whether a method can be applied to one study without a training before."""
    return facts.need in (Need.ONE_IMAGE, Need.NOISY_ONLY)
