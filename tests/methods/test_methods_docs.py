"""Every method is told of: a page of its own, a row in the table, and in it the facts of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from quell.methods.contracts import Fidelity, MethodFacts
from quell.methods.registry import find_method, list_methods

PAGES = Path(__file__).parents[2] / "docs" / "methods"


@pytest.mark.parametrize("facts", list_methods(), ids=lambda facts: facts.name)
def test_every_method_has_its_page_and_its_row(facts: MethodFacts) -> None:
    page = (PAGES / f"{facts.name}.md").read_text("utf-8")
    assert page.startswith("# ")
    row = next(
        line for line in (PAGES / "README.md").read_text("utf-8").splitlines() if f"({facts.name}.md)" in line
    )
    assert facts.need.value in row
    assert ("reconstruction" in row) == (facts.fidelity is Fidelity.RECONSTRUCTION)
    if facts.fidelity is Fidelity.RECONSTRUCTION:
        assert "reconstruction" in page.lower()
        assert "reconstruction" in str(find_method(facts.name).__doc__).lower()


def test_the_systems_of_the_mission_are_there() -> None:
    assert {facts.name for facts in list_methods()} >= {
        *("unad", "capad", "scintigraphy-unet", "demist", "cui-cdip", "pet-ddpm", "pet-unet"),
        *("ultrasound-cnn", "ultrasound-gbm", "ultrasound-cnn-gbm"),
        *("redcnn", "dncnn", "unet", "resnet", "wgan-perceptual"),
        *("noise2noise", "neighbor2neighbor", "noise2void", "gr2r", "unsure", "transfer"),
    }
