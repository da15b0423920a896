"""What a stranger reads is true: links lead somewhere, commands exist, options and figures agree."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import quell
from quell.models.registry import list_cards

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCE = ROOT / "src" / "quell"
ROOMS = (
    *("src/", "tests/", "docs/", "benchmarks/"),
    *(f"{file.parent.name}/" for file in SOURCE.glob("*/*.py")),
)
TEXTS = [*PAGES, ROOT / "NOTICE", ROOT / ".ci" / "run"]

DEMO = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/quell demo"
TESTS = 'python3 -m venv .venv && .venv/bin/pip install ".[dev]" -c constraints.txt && .venv/bin/pytest'
"""What the README promises to a stranger, and what .ci/run calls."""


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and anchor of every link and picture that is no address."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield (page.parent / file if file else page), anchor


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = [
        f"{file.name}#{anchor}" if anchor else str(file)
        for file, anchor in links(page)
        if not file.exists() or (anchor and anchor not in anchors(file))
    ]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_file_of_the_project_that_is_named_is_there(page: Path) -> None:
    quoted = re.findall(r"`([\w./-]+)`", page.read_text("utf-8"))
    named = [path for path in quoted if path.startswith(ROOMS) and not re.search("NAME|NNNN", path)]
    assert [path for path in named if not ((ROOT / path).exists() or (SOURCE / path).exists())] == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_command_that_is_named_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    modules = re.findall(r"python -m (quell[\w.]*)", text)
    scripts = re.findall(r"python (benchmarks/\w+\.py)", text)
    assert [name for name in modules if find_spec(name) is None] == []
    assert [name for name in scripts if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("page", TEXTS, ids=names(TEXTS))
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert re.findall(r"\{\{\w+\}\}|TODO|FIXME|XXX", page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", TEXTS, ids=names(TEXTS))
def test_no_place_on_somebodys_machine_is_named(page: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:root|home|work|Users|opt)/\S*", page.read_text("utf-8")) == []


def test_readme_opens_with_the_two_commands() -> None:
    first, second = blocks(ROOT / "README.md", "")[:2]
    assert (first.strip(), second.strip()) == (DEMO, TESTS)


def test_ci_runs_the_second_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line.strip() for line in script.read_text("utf-8").splitlines()]
    assert TESTS in lines
    assert os.access(script, os.X_OK)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_ci_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True, timeout=30)


def denoise_options() -> set[str]:
    from typer.main import get_command

    from quell.cli.main import app

    command = get_command(app).commands["denoise"]  # type: ignore[attr-defined]
    return {name for one in command.params for name in one.opts if name.startswith("-")} | {"-h", "--help"}


def test_readme_has_the_options_of_denoise_and_no_others() -> None:
    rows = re.findall(r"^\| (`-.*?) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    told = {option for row in rows for option in re.findall(r"`(--?[a-z-]+)`", row)}
    assert told == denoise_options()


def test_readme_has_the_exit_codes() -> None:
    from quell.cli.main import DONE, INTERRUPTED, SOME_FAILED, UNUSABLE

    told = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [int(code) for code in told] == [DONE, SOME_FAILED, UNUSABLE, INTERRUPTED]


def test_readme_example_runs() -> None:
    example = blocks(ROOT / "README.md", "python")[0]
    values: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), values)
    noisy, clean = values["noisy"], values["clean"]
    assert clean.shape == noisy.shape and str(clean.dtype) == "float32"  # type: ignore[attr-defined]
    assert clean.std() < 0.8 * noisy.std()  # type: ignore[attr-defined]


def test_readme_examples_use_what_there_is() -> None:
    for example in blocks(ROOT / "README.md", "python"):
        compile(example, "README.md", "exec")
        assert all(hasattr(quell, name) for name in re.findall(r"\bquell\.(\w+)", example))


def test_every_decision_has_its_parts_and_is_listed() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    listed = {file.resolve() for file, _ in links(ROOT / "docs" / "architecture.md")}
    for record in records:
        text = record.read_text("utf-8")
        assert text.startswith(f"# {record.name[:4]} ")
        parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Situation", "Decision", "Follows"], record.name
        assert record in listed, f"{record.name} is not listed in architecture.md"


def test_notice_names_every_source_of_the_training_images() -> None:
    notice = " ".join((ROOT / "NOTICE").read_text("utf-8").split())
    manifest = SOURCE / "training" / "universal_data.json"
    for entry in json.loads(manifest.read_text("utf-8")):
        name = re.split(r" \(|,| test files", entry["source"])[0]
        # From the name to the next name of a licence there is no other licence.
        told = re.search(rf"{re.escape(name)}\b.*?(CC BY \d\.\d|Apache-2\.0|MIT|BSD-\d-Clause)", notice)
        assert told is not None and told[1] == entry["licence"], entry["source"]


def test_notice_names_the_source_of_every_picture() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.png"))
    assert [file.name for file in pictures if f"  {file.name} " not in notice] == []


def test_models_page_agrees_with_the_cards() -> None:
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    for card in list_cards():
        assert f"## {card.identifier}\n" in text
        assert f"{card.parameters:,} parameters" in text
        assert f"{card.kmac_per_pixel:g} thousand multiplications" in text


def test_version_is_in_changelog_and_citation() -> None:
    version = quell.__version__
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"Quell {version}" in (ROOT / "README.md").read_text("utf-8")


def test_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert [number for number in range(1, 10) if f"\n   {number}. " not in text] == []
