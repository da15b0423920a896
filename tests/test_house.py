"""The order of the house: who may import whom, and what nobody loads without need."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import quell

PACKAGE = Path(quell.__file__).parent

FLOORS = (
    ("__main__",),
    ("cli",),
    ("service", "cluster"),
    ("__init__", "api"),
    ("jobs",),
    ("training",),
    ("methods",),
    ("networks",),
    ("evaluation",),
    ("trust",),
    ("filters",),
    ("inference",),
    ("models",),
    ("noise",),
    ("phantoms",),
    ("formats",),
    ("machine",),
    ("image",),
    ("errors",),
)
"""Rooms from the roof to the ground; each may use those below it."""

NARROW = {
    "formats": {"image", "errors"},
    "noise": {"image", "errors"},
    "phantoms": {"image", "errors", "noise"},
    "filters": {"inference", "models", "noise", "image", "errors"},
    "networks": {"noise"},
    "models": {"image", "errors"},
    "machine": set(),
    "errors": set(),
    "image": {"errors"},
}
"""Rooms that may use less than all below them."""

WITH_TORCH = {"training", "networks", "methods"}
HEAVY = {
    *("torch", "matplotlib", "openvino", "onnxruntime", "onnx", "safetensors", "skimage", "gdcm", "numba"),
    *("pynetdicom", "fastapi", "uvicorn", "sqlalchemy", "dask"),
}


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    deferred: bool
    """Inside a function, or only for type checkers."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    name = file.relative_to(PACKAGE).as_posix()
    package = ["quell", *file.relative_to(PACKAGE).parent.parts]

    def visit(node: ast.AST, deferred: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(name, node.lineno, alias.name, deferred) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            module = (base + (node.module or "")).strip(".")
            # `from quell.models import registry` is about quell.models.registry.
            yield from (Import(name, node.lineno, f"{module}.{alias.name}", deferred) for alias in node.names)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        inside = deferred or typing_only or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse(file.read_text(encoding="utf-8")), False)


ALL = [found for file in sorted(PACKAGE.rglob("*.py")) for found in imports_of(file)]


def room_of(parts: list[str]) -> str:
    return parts[0].removesuffix(".py")


def used_room(found: Import) -> str | None:
    """Return the room of the package that an import is about, None for other packages."""
    top, *rest = found.module.split(".")
    if top != "quell":
        return None
    known = {room for floor in FLOORS for room in floor}
    # `from quell import __version__` asks nothing of the house.
    return rest[0] if rest and rest[0] in known and rest[0] != "__init__" else None


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_the_rules_see_the_imports() -> None:
    assert any(
        i.file == "jobs/common.py" and i.module == "quell.formats.open.open_study" and i.deferred for i in ALL
    )
    assert any(i.file == "image.py" and i.module == "numpy" and not i.deferred for i in ALL)


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(list(file.relative_to(PACKAGE).parts)) for file in PACKAGE.rglob("*.py")}
    assert rooms <= {room for floor in FLOORS for room in floor}


def test_arrows_run_downwards_only() -> None:
    wrong = []
    for found in ALL:
        room, used = room_of(found.file.split("/")), used_room(found)
        # The package offers names of its rooms without loading them.
        if used is None or used == room or room == "__init__":
            continue
        if floor_of(used) <= floor_of(room) or used not in NARROW.get(room, {used}):
            wrong.append(str(found))
    assert not wrong


def test_nothing_heavy_is_loaded_at_module_level() -> None:
    heavy = [found for found in ALL if found.module.split(".")[0] in HEAVY and not found.deferred]
    assert not [str(found) for found in heavy if room_of(found.file.split("/")) not in WITH_TORCH]


def test_torch_is_used_only_in_its_rooms_and_runtime() -> None:
    users = {found.file for found in ALL if found.module.split(".")[0] == "torch"}
    outside = {file for file in users if room_of(file.split("/")) not in WITH_TORCH}
    assert outside <= {"inference/torch_runtime.py"}


def test_nobody_uses_private_names_of_another_module() -> None:
    wrong = [
        str(found)
        for found in ALL
        if found.module.startswith("quell.")
        and any(part.startswith("_") and not part.startswith("__") for part in found.module.split("."))
    ]
    assert not wrong


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import quell; quell.__version__", {"numpy", "pydicom", "openvino", "torch", "scipy", "typer"}),
        ("import quell; quell.list_cards()", {"numpy", "pydicom", "openvino", "torch", "scipy"}),
        ("import quell; quell.denoise", {"pydicom", "nibabel", "PIL", "openvino", "torch", "scipy"}),
    ],
)
def test_a_name_loads_no_more_than_it_needs(code: str, absent: set[str]) -> None:
    loaded = modules_after(code)
    assert "quell" in loaded
    assert not loaded & absent
