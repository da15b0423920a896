"""The evidence report: what leaves an image alone changes nothing, what blurs it is found out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from quell.errors import OutputError, QuellError
from quell.evaluation.evidence.page import cell, render_page, summary
from quell.evaluation.evidence.plan import Inserts, Plan, plan_for
from quell.evaluation.evidence.record import Evidence, Quantity, Verdict, at_least, at_most
from quell.evaluation.evidence.resolution import ratio_change
from quell.evaluation.evidence.values import evidence_values
from quell.evaluation.metrics.statistics import Interval
from quell.image import Image, Modality
from quell.inference.contracts import Denoised, NoiseMap, Sigma
from quell.jobs.evidence import EvidenceSettings, load_object, make_evidence, run_evidence
from quell.models.card import ModelCard

PLAN = Plan(
    Modality.MR,
    (0.25, 0.5, 1.0),
    "mr-lesion",
    Inserts(24.0, (200.0, -200.0), 45.0),
    None,
    pairs=32,
    repeats=6,
    images=4,
    anatomies=1,
)


class Fake:
    """A denoiser of known faults: a Gaussian of a given width, 0 for none."""

    def __init__(self, width: float = 0.0) -> None:
        self.width = width
        self.card = ModelCard(
            name="fake",
            tag="blur" if width else "identity",
            version="1",
            description="A fake.",
            modalities=("MR",),
            kmac_per_pixel=0,
            parameters=0,
            slices=1,
            multiple=1,
            halo=0,
            files={},
            sha256="",
            limits=("it is a fake",),
        )

    def denoise(self, image: Image, strength: float = 1.0, sigma: Sigma = "auto") -> Denoised:
        voxels = image.voxels
        if self.width:
            voxels = ndimage.gaussian_filter(voxels, (0, self.width, self.width))
        nothing = NoiseMap(np.zeros((1, 1, 1), np.float32), 8, image.shape, np.zeros(1, np.float32))
        return Denoised(image.with_voxels(voxels), nothing, {})


@pytest.fixture(scope="module")
def identity() -> Evidence:
    return make_evidence(Fake(), EvidenceSettings(Modality.MR), plan=PLAN)


@pytest.fixture(scope="module")
def blur() -> Evidence:
    return make_evidence(Fake(1.5), EvidenceSettings(Modality.MR), plan=PLAN)


def rows_of(evidence: Evidence, section: str, table: str) -> list[dict[str, Any]]:
    values = evidence_values(evidence)
    rows: list[dict[str, Any]] = values["sections"][section]["tables"][table]["rows"]
    return rows


CHANGES = [
    ("noise", "noise_by_dose", "sd_change", 0.0),
    ("noise", "noise_by_dose", "mean_shift", 0.0),
    ("resolution", "transfer", "f50_change", 0.0),
    ("resolution", "contrast_kept", "kept", 1.0),
    ("task", "detectability_plain", "d_change", 0.0),
    ("task", "detectability_plain", "auc_change", 0.0),
    ("task", "detectability_human", "auc_change", 0.0),
    ("bias", "plain_regions", "bias", 0.0),
]


@pytest.mark.parametrize(("section", "table", "key", "still"), CHANGES)
def test_identity_changes_nothing(
    identity: Evidence, section: str, table: str, key: str, still: float
) -> None:
    found = [row[key]["value"] for row in rows_of(identity, section, table)]
    assert found and all(value == pytest.approx(still, abs=1e-6) for value in found)


def test_identity_reads_like_the_dose_that_it_was_given(identity: Evidence) -> None:
    for row in rows_of(identity, "task", "equivalent_dose"):
        low, high = row["plain"]["low"], row["plain"]["high"]
        assert low <= row["dose"] * 1.001 and high >= row["dose"] * 0.999


def test_identity_falls_short_of_nothing(identity: Evidence) -> None:
    assert summary(identity.checks)["short"] == summary(identity.checks)["perhaps"] == 0
    assert summary(identity.checks)["met"] > 20


def test_blur_is_caught_by_the_transfer_function(blur: Evidence) -> None:
    changes = [check for check in blur.checks if check.name.startswith("Change of MTF50")]
    judged = [check for check in changes if check.verdict is not Verdict.NO_BAR]
    assert len(judged) >= 2
    assert all(check.verdict is Verdict.SHORT and check.sure for check in judged)
    assert all(check.quantity.high < -10 for check in judged)


def test_blur_is_caught_by_small_signals(blur: Evidence) -> None:
    """A reader with noise of its own sees less of the smallest signal, and most of its contrast is gone."""
    small = [row for row in rows_of(blur, "task", "detectability_human") if row["signal"].startswith("2 mm")]
    full = next(row for row in small if row["dose"] == 1.0)
    assert full["d_change"]["value"] < 0 and full["auc_change"]["value"] < 0
    kept = rows_of(blur, "resolution", "contrast_kept")
    by_size = {row["signal"]: row["kept"]["value"] for row in kept if row["dose"] == 1.0}
    assert by_size["2 mm, +70"] < 0.5 < by_size["6 mm, +15"]


def test_blur_makes_the_noise_coarse_and_the_report_says_so(blur: Evidence) -> None:
    shift = [check for check in blur.checks if check.name.startswith("Shift of the mean frequency")]
    assert shift and all(check.verdict is Verdict.SHORT and check.quantity.value < -10 for check in shift)
    page = render_page(blur)
    assert "falls short" in page and shift[0].name in page


def test_the_json_is_complete(blur: Evidence) -> None:
    values = json.loads(json.dumps(evidence_values(blur), allow_nan=False))
    assert set(values["sections"]) == {"noise", "resolution", "task", "bias", "lesions", "speed", "limits"}
    facts = values["provenance"]
    for key in ("seed", "pairs", "repeats", "doses", "noise_model", "data_sha256", "packages", "engine"):
        assert facts[key] not in ("", None, {}, [])
    for section in values["sections"].values():
        for table in section["tables"].values():
            known = {column["key"] for column in table["columns"]}
            assert table["rows"] and all(set(row) <= known for row in table["rows"])
        for check in section["checks"]:
            assert check["verdict"] in ("met", "falls short", "no bar") and check["bar"]
    assert len(rows_of(blur, "task", "detectability_plain")) == 4 * 3
    assert any("fake" in note for note in values["sections"]["limits"]["notes"])


def test_every_number_has_a_paragraph_with_its_source(blur: Evidence) -> None:
    for section in blur.sections:
        if section.tables:
            assert section.readings and all(one.text and one.source for one in section.readings)


def test_the_same_seed_gives_the_same_data(identity: Evidence, blur: Evidence) -> None:
    """The denoiser plays no part in the images that it is judged on."""
    assert identity.facts["data_sha256"] == blur.facts["data_sha256"]
    before = [row["auc_before"] for row in rows_of(identity, "task", "detectability_plain")]
    assert before == [row["auc_before"] for row in rows_of(blur, "task", "detectability_plain")]


def test_the_page_needs_nothing_beside_itself(identity: Evidence) -> None:
    page = render_page(identity)
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert page.count("<svg") >= 6 and page.count("data:image/png") >= 6


@pytest.mark.parametrize("few", [{"pairs": 18}, {"repeats": 3}, {"anatomies": 0}])
def test_too_few_realisations_are_refused(few: dict[str, Any]) -> None:
    with pytest.raises(QuellError, match="at least"):
        replace(PLAN, **few).check()


def test_too_few_pairs_are_refused_by_the_settings() -> None:
    with pytest.raises(QuellError, match="at least 20 pairs"):
        EvidenceSettings(pairs=10).plan()
    with pytest.raises(QuellError, match="at least 45 pairs"):
        EvidenceSettings(Modality.NM, pairs=30).plan()


def test_every_modality_has_a_plan() -> None:
    for modality in set(Modality) - {Modality.UNKNOWN}:
        assert len(plan_for(modality).doses) >= 3 and len(plan_for(modality, quick=True).doses) >= 3
    with pytest.raises(QuellError, match="OT"):
        plan_for(Modality.UNKNOWN)


def test_a_file_in_the_way_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("")
    with pytest.raises(OutputError):
        run_evidence(Fake(), tmp_path / "report", EvidenceSettings(Modality.MR), plan=PLAN)


def test_an_object_is_loaded_by_name() -> None:
    assert load_object(f"{__name__}:Fake").card.identifier == "fake.identity"
    for words in ("nothing", f"{__name__}:Missing", "no.such.module:x", f"{__name__}:cell"):
        with pytest.raises((QuellError, TypeError)):
            load_object(words)


def test_a_bar_is_not_loosened_by_a_wide_interval() -> None:
    found = at_most("x", Quantity(3.0, -5.0, 11.0), 2.0, "%", "bar")
    assert found.verdict is Verdict.SHORT and not found.sure
    assert at_most("x", Quantity(3.0, 2.5, 3.5), 2.0, "%", "bar").sure
    assert at_most("x", Quantity(0.5, -1.0, 1.5), 2.0, "%", "bar").sure
    assert not at_least("x", Quantity(5.0, 1.0, 9.0), 2.0, "", "bar").sure


def test_ratio_of_intervals_holds_what_it_must() -> None:
    one, other = Interval(1.0, 0.9, 1.1, 0.95, 5), Interval(0.8, 0.7, 0.9, 0.95, 5)
    found = ratio_change(one, other, 5)
    assert found.value == pytest.approx(-20) and found.low < -20 < found.high < 0
    assert ratio_change(one, one, 5).value == 0


def test_cells_are_short() -> None:
    assert cell(Quantity(-1234.5, -1300.0, -1200.0)) == "−1,234 [−1,300, −1,200]"
    assert cell(None) == "" and cell("x") == "x" and cell(0.25) == "0.25"


def test_few_images_never_make_a_finding_sure(blur: Evidence) -> None:
    """Eight regions of four images are no 32 independent cases."""
    found = [check for check in blur.checks if "change of AUC" in check.name]
    assert found and not any(check.sure for check in found)
