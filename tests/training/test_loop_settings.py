"""Settings: what is wrong is said in one line that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from quell.errors import QuellError
from quell.methods.redcnn import REDCNNMethod
from quell.training.settings import RunSettings, read_settings, read_yaml, with_changes


class SomeData(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str | None = None


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"method": {"stepz": 5}}, "unknown setting 'method.stepz'; did you mean steps"),
        ({"run": {"device": 2}}, "unknown setting 'run.device'; did you mean devices"),
        ({"data": {"x1": 2}}, "unknown setting 'data.x1'; there is: folder"),
        ({"methods": {}}, "unknown section 'methods' of the settings; did you mean method"),
        ({"method": {"steps": 0}}, "method.steps: input should be greater than or equal to 1, not 0"),
        ({"method": {"size": 16}}, "method.size: input should be greater than or equal to 21, not 16"),
        ({"method": {"slices": 2}}, "method.slices: must be odd"),
        ({"method": {"steps": "many"}}, "method.steps: input should be a valid integer"),
        ({"method": 5}, "section 'method' of the settings must hold keys and values"),
        ({"run": {"precision": "16"}}, "run.precision: input should be '32' or 'bf16'"),
        ({"run": {"checkpoint_every": "5 hours"}}, "run.checkpoint_every: must be a number of steps"),
        ({"run": {"checkpoint_every": 0}}, "run.checkpoint_every: must be a number of steps"),
        ({"run": {"minutes": -1}}, "run.minutes: input should be greater than 0"),
        ({"name": "unet"}, "these settings are for the method 'unet', not for 'redcnn'"),
        # The typo comes first, whatever else is wrong.
        ({"method": {"steps": 0, "bacth": 5}}, "unknown setting 'method.bacth'; did you mean batch"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(told: dict[str, Any], words: str) -> None:
    with pytest.raises(QuellError) as caught:
        read_settings(told, REDCNNMethod.Config, SomeData, "redcnn")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_settings_survive_a_file(tmp_path: Path) -> None:
    import yaml

    told = {"method": {"steps": 7}, "run": {"precision": 32, "checkpoint_every": "2 min"}}
    asked = read_settings(told, REDCNNMethod.Config, SomeData)
    assert asked.run.precision == "32" and asked.run.checkpoint_seconds == 120
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(asked.told()))
    assert read_settings(read_yaml(file), REDCNNMethod.Config, SomeData) == asked


def test_changes_win_over_the_file_and_have_its_types() -> None:
    told = with_changes(
        {"method": {"steps": 7, "batch": 2}, "run": None},
        ["method.steps=500", "run.minutes=1.5", "data.folder=a b"],
    )
    assert told == {
        "method": {"steps": 500, "batch": 2},
        "run": {"minutes": 1.5},
        "data": {"folder": "a b"},
    }


@pytest.mark.parametrize("change", ["steps=5", "method.steps", "method=5", "method.=5", "method.steps=[1"])
def test_a_change_without_its_form_is_refused(change: str) -> None:
    with pytest.raises(QuellError, match="--set"):
        with_changes({}, [change])


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [", "is no YAML"), ("- 1\n- 2", "must have the sections"), (None, "cannot be read")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "settings.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(QuellError, match=words) as caught:
        read_yaml(file)
    assert "\n" not in str(caught.value)


def test_checkpoints_are_counted_in_steps_or_minutes() -> None:
    assert RunSettings(checkpoint_every=50).checkpoint_steps == 50
    assert RunSettings(checkpoint_every="50").checkpoint_steps == 50
    assert RunSettings(checkpoint_every="0.5 min").checkpoint_seconds == 30
    assert RunSettings().checkpoint_steps is None
