"""`quell models`: lists the cards; its JSON is all of stdout."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quell.cli.main import main
from quell.models.card import ModelCard


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> tuple[ModelCard, ...]:
    card = ModelCard(
        name="universal",
        tag="fast",
        version="1.2",
        description="Every modality.",
        modalities=("CT", "MR"),
        kmac_per_pixel=9.1,
        parameters=610_000,
        slices=3,
        multiple=16,
        halo=32,
        files={"denoiser": "denoiser.onnx"},
        sha256="ab" * 32,
    )
    found = (card, card.model_copy(update={"tag": "standard", "slices": 1}))
    monkeypatch.setattr("quell.models.registry.list_cards", lambda: found)
    return found


def test_json_holds_the_whole_cards_and_nothing_else(cards: tuple[ModelCard, ...], capsys: Any) -> None:
    assert main(["models", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    listed = json.loads(captured.out)
    assert [item.pop("identifier") for item in listed] == ["universal.fast", "universal.standard"]
    assert tuple(ModelCard.model_validate(item) for item in listed) == cards


def test_the_list_names_every_model(cards: tuple[ModelCard, ...], capsys: Any) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    for card in cards:
        assert card.identifier in out
    assert "9.1 kMAC per pixel" in out


def test_models_for_one_kind_of_image_come_last_and_say_so(
    cards: tuple[ModelCard, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    changes = {"specialises": ("SPECT",), "modalities": ("NM",)}
    own = [
        cards[0].model_copy(update={**changes, "name": "spect", "tag": tag})
        for tag in ("fast", "standard", "trial")
    ]
    monkeypatch.setattr("quell.models.registry.list_cards", lambda: (*own, *cards))
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    names = [line.split()[0] for line in out.splitlines() if line and not line.startswith(" ")]
    assert names == ["universal.fast", "universal.standard", "spect.fast", "spect.standard", "spect.trial"]
    told = [line.strip() for line in out.splitlines() if "specialised" in line]
    assert told == [
        "specialised for SPECT: `quell denoise` takes it there by default",
        "specialised for SPECT: `quell denoise` takes it there with --tier standard",
        "specialised for SPECT",
    ]


def test_without_models_the_json_is_an_empty_list(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("quell.models.registry.list_cards", lambda: ())
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
