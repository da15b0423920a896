"""The models that ship are what their cards say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quell.errors import ModelError
from quell.image import Modality
from quell.inference.normalise import MEAN_BLOCK
from quell.models import registry
from quell.models.card import ModelCard
from quell.models.registry import (
    WEIGHTS,
    default_card,
    find_card,
    list_cards,
    model_files,
    read_card,
    weights_hash,
)

CARDS = list_cards()
MEGABYTE = 10**6


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of the default model alone, which a test may damage."""
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS / registry.DEFAULT, folder / registry.DEFAULT)
    monkeypatch.setattr(registry, "WEIGHTS", folder)
    list_cards.cache_clear()
    yield folder
    list_cards.cache_clear()


def test_models_ship() -> None:
    assert CARDS
    assert registry.DEFAULT in [card.identifier for card in CARDS]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.identifier)
def test_a_card_fits_its_folder_and_the_house(card: ModelCard) -> None:
    assert find_card(card.identifier) == card
    assert read_card(WEIGHTS / card.identifier / registry.CARD) == card
    assert set(card.files) == {"denoiser", "estimator"}
    assert set(card.modalities) <= {modality.value for modality in Modality}
    assert card.slices % 2 == 1
    assert MEAN_BLOCK % card.multiple == 0
    assert card.description and card.licence


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.identifier)
def test_the_weights_have_the_hash_of_the_card(card: ModelCard) -> None:
    files = model_files(card)
    assert weights_hash(files) == card.sha256
    assert weights_hash(dict(reversed(files.items()))) == card.sha256


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.identifier)
def test_the_card_counts_the_parameters_of_the_weights(card: ModelCard) -> None:
    content = (WEIGHTS / card.identifier / "weights.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    assert sum(int(np.prod(entry["shape"])) for entry in header.values()) == card.parameters


def test_all_weights_together_stay_below_60_megabytes() -> None:
    total = sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file())
    assert MEGABYTE < total < 60 * MEGABYTE


@pytest.mark.parametrize("modality", list(Modality))
def test_every_modality_has_a_model(modality: Modality) -> None:
    assert modality.value in default_card(modality).modalities


def ship(copies: Path, name: str, modality: str, kind: str) -> None:
    """Put a copy of the default model among the others, as one for one kind of image."""
    source = copies / registry.DEFAULT
    told = json.loads((source / registry.CARD).read_text())
    model, _, tag = name.partition(".")
    shutil.copytree(source, copies / name)
    own = {"name": model, "tag": tag, "modalities": [modality], "specialises": [kind]}
    if model == registry.UNIVERSAL:
        own = {"tag": tag}
    (copies / name / registry.CARD).write_text(json.dumps({**told, **own}))
    list_cards.cache_clear()


def test_a_model_for_one_kind_of_image_comes_before_the_universal_one(copies: Path) -> None:
    ship(copies, "ultrasound.fast", "US", "US")
    ship(copies, "spect.fast", "NM", "SPECT")
    assert default_card(Modality.US).identifier == "ultrasound.fast"
    assert default_card(Modality.US, "fast").identifier == "ultrasound.fast"
    for modality in set(Modality) - {Modality.US}:
        assert default_card(modality).identifier == registry.DEFAULT, modality
    assert default_card(Modality.NM, kind="SPECT").identifier == "spect.fast"
    assert default_card(Modality.NM, kind="NM").identifier == registry.DEFAULT
    assert default_card(Modality.UNKNOWN, kind="").identifier == registry.DEFAULT
    assert model_files(default_card(Modality.US))["denoiser"].parent.name == "ultrasound.fast"


def test_each_tier_has_its_defaults(copies: Path) -> None:
    ship(copies, "ultrasound.standard", "US", "US")
    with pytest.raises(ModelError, match="trained for CT in the tier 'standard'"):
        default_card(Modality.CT, "standard")
    ship(copies, "universal.standard", "", "")
    ship(copies, "pet.fast", "PT", "PT")
    # None is named by a tier that is not one.
    ship(copies, "ct.trial", "CT", "CT")
    chosen = {
        (modality.value, tier): default_card(modality, tier).identifier
        for modality in (Modality.US, Modality.PT, Modality.CT)
        for tier in registry.TIERS
    }
    assert chosen == {
        ("US", "fast"): "universal.fast",
        ("US", "standard"): "ultrasound.standard",
        ("PT", "fast"): "pet.fast",
        ("PT", "standard"): "universal.standard",
        ("CT", "fast"): "universal.fast",
        ("CT", "standard"): "universal.standard",
    }


def test_a_model_for_one_kind_is_no_default_for_another(copies: Path) -> None:
    ship(copies, "spect.fast", "NM", "SPECT")
    shutil.rmtree(copies / registry.DEFAULT)
    list_cards.cache_clear()
    with pytest.raises(ModelError, match="no model that ships was trained for NM"):
        default_card(Modality.NM)
    assert default_card(Modality.NM, kind="SPECT").identifier == "spect.fast"


@pytest.mark.parametrize(("tier", "words"), [("huge", "there is fast, standard"), ("standard", "ships")])
def test_a_tier_that_does_not_ship_is_told(tier: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = tuple(card for card in CARDS if card.tag == "fast")
    monkeypatch.setattr(registry, "list_cards", lambda: cards)
    with pytest.raises(ModelError, match=words) as caught:
        default_card(Modality.CT, tier)
    assert repr(tier) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("role", ["denoiser", "estimator"])
def test_a_single_changed_bit_is_found(copies: Path, role: str) -> None:
    card = default_card(Modality.CT)
    file = copies / card.identifier / card.files[role]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{card.identifier}.*damaged"):
        model_files(card)


def test_missing_weights_are_told(copies: Path) -> None:
    card = default_card(Modality.CT)
    (copies / card.identifier / card.files["denoiser"]).unlink()
    with pytest.raises(ModelError, match=rf"{card.identifier}: cannot read"):
        model_files(card)


def test_an_unknown_model_is_told_with_those_there_are() -> None:
    with pytest.raises(ModelError) as caught:
        find_card("universal.slow")
    assert "universal.slow" in str(caught.value)
    assert all(card.identifier in str(caught.value) for card in CARDS)


def test_a_modality_without_a_model_is_told(copies: Path) -> None:
    for file in copies.glob(f"*/{registry.CARD}"):
        card = json.loads(file.read_text())
        file.write_text(json.dumps({**card, "modalities": ["CT"]}))
    assert default_card(Modality.CT)
    with pytest.raises(ModelError, match="MR"):
        default_card(Modality.MR)


@pytest.mark.parametrize("content", ["", "{}", "no json", '{"name": "universal"}'])
def test_what_is_no_card_is_told_on_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "card.json"
    file.write_text(content)
    with pytest.raises(ModelError, match="not a model card") as caught:
        read_card(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"slices": 0}, {"halo": -1}, {"multiple": 0}, {"colour": "red"}])
def test_a_card_refuses_what_makes_no_sense(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        ModelCard.model_validate({**CARDS[0].model_dump(), **change})


def test_figures_of_other_weights_do_not_enter_a_card(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the release step needs torch")
    assert torch
    from quell.training.release import add_metrics

    card = CARDS[0]
    file = tmp_path / "card.json"
    file.write_text(card.model_dump_json())
    measured = {"command": "measure", "results": {"CT": {"0.03": {"network": [31.236, 0.91236]}}}}
    (tmp_path / "other.json").write_text(json.dumps(measured | {"sha256": "0" * 64}))
    with pytest.raises(ModelError, match="other weights"):
        add_metrics(file, [tmp_path / "other.json"])
    (tmp_path / "own.json").write_text(json.dumps(measured | {"sha256": card.sha256}))
    add_metrics(file, [tmp_path / "own.json"])
    found = read_card(file)
    assert found.metrics == {"CT at 0.03: network, PSNR dB": 31.24, "CT at 0.03: network, SSIM": 0.9124}
    assert found.metrics_command == "measure"
    assert found.sha256 == card.sha256


def test_strengths_of_other_weights_do_not_enter_a_card_and_spect_gets_that_of_pet(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the release step needs torch")
    from quell.training.release import add_strengths

    card = CARDS[0]
    file = tmp_path / "card.json"
    file.write_text(card.model_dump_json())
    chosen = {"CT": (0.7, 0.2), "PT": (0.5, 0.45)}
    measured = {"modalities": {k: {"chosen": {"strength": s, "grain": g}} for k, (s, g) in chosen.items()}}
    (tmp_path / "other.json").write_text(json.dumps(measured | {"sha256": "0" * 64}))
    with pytest.raises(ModelError, match="other weights"):
        add_strengths(file, tmp_path / "other.json")
    (tmp_path / "own.json").write_text(json.dumps(measured | {"sha256": card.sha256}))
    add_strengths(file, tmp_path / "own.json")
    assert read_card(file).strength == {"CT": 0.7, "PT": 0.5, "SPECT": 0.5}
    assert read_card(file).grain == {"CT": 0.2, "PT": 0.45, "SPECT": 0.45}
