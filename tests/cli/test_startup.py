"""`quell --help` and `quell models` are instant because they import nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from quell.models.registry import DEFAULT, WEIGHTS

HEAVY = (
    "torch",
    "matplotlib",
    "openvino",
    "onnxruntime",
    "scipy",
    "pydicom",
    "nibabel",
    "gdcm",
    "jinja2",
    "PIL",
)

PROBE = """
import sys
from quell.cli.main import main
code = main(sys.argv[1:])
print("loaded", *sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("loaded ")]
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        *(
            (command, "--help")
            for command in ("denoise", "simulate", "noise", "phantom", "demo", "evaluate", "readers")
        ),
    ],
)
def test_help_loads_neither_numpy_nor_rich(arguments: tuple[str, ...]) -> None:
    assert not loaded_by(*arguments) & {*HEAVY, "numpy", "rich"}


@pytest.mark.parametrize("which", [(), (str(WEIGHTS / DEFAULT),)])
def test_models_loads_neither_numpy_nor_rich(which: tuple[str, ...]) -> None:
    assert not loaded_by("models", *which, "--json") & {*HEAVY, "numpy", "rich"}


def test_version_is_that_of_the_package() -> None:
    from quell.cli.console import version

    done = subprocess.run(
        [sys.executable, "-m", "quell", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"quell {version()}\n"


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["--frobnicate"]])
def test_a_wrong_call_ends_with_2(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quell", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error_to_tell() -> None:
    done = subprocess.run(
        f"{sys.executable} -m quell --help | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
