"""Named test objects: what every one of them keeps, and the exactness that each promises."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.errors import InputError, QuellError
from quell.image import Modality
from quell.phantoms.coverage import Grid
from quell.phantoms.objects import OBJECTS, TestObject, make_object

UNITS = {
    Modality.CT: "HU",
    Modality.PT: "Bq/ml",
    Modality.NM: "counts",
    Modality.US: "dB",
    Modality.MR: "arbitrary",
    Modality.XR: "arbitrary",
}
EVERY = pytest.mark.parametrize("name", list(OBJECTS))
ANATOMY = [name for name in OBJECTS if name.startswith("anatomy-")]


@cache
def built(name: str, seed: int = 0, **options: Any) -> TestObject:
    return make_object(name, seed, **options)


def around(made: TestObject, insert: dict[str, Any], margin: float = 2.0) -> tuple[slice, ...]:
    """Return the voxels of a box around a round insert; all slices of what runs through them."""
    spacing, shape = made.truth.geometry.spacing, made.truth.shape
    reach = insert["diameter_mm"] / 2 + margin * max(spacing[1:])
    window = []
    for axis, place in enumerate(insert["centre_mm"]):
        first = -(shape[axis] - 1) / 2 * spacing[axis]
        low, high = ((place + side * reach - first) / spacing[axis] for side in (-1, 1))
        window.append(slice(max(int(np.floor(low)), 0), int(np.ceil(high)) + 1))
    return tuple(window)


def content(made: TestObject, insert: dict[str, Any], background: float) -> float:
    """Return the sum of contrast times volume, in units times mm^3, of an insert and two voxels around."""
    window, spacing = around(made, insert), made.truth.geometry.spacing
    places = [
        (np.arange(n)[part] - (n - 1) / 2) * step - middle
        for n, part, step, middle in zip(made.truth.shape, window, spacing, insert["centre_mm"], strict=True)
    ]
    far = np.sqrt(sum(np.meshgrid(*[place**2 for place in places], indexing="ij")))
    near = far < insert["diameter_mm"] / 2 + 2 * max(spacing)
    voxels = made.truth.voxels[window].astype(np.float64)
    return float((voxels - background)[near].sum() * np.prod(spacing))


def ball(diameter: float) -> float:
    return float(np.pi / 6 * diameter**3)


def disc(diameter: float) -> float:
    return float(np.pi / 4 * diameter**2)


def inserts(made: TestObject, kind: str = "") -> list[dict[str, Any]]:
    return [one for one in made.parameters["inserts"] if kind in one["kind"]]


@EVERY
def test_an_object_is_what_it_says(name: str) -> None:
    made = built(name)
    assert made.name == made.truth.name == made.parameters["name"] == name
    assert made.truth.modality is made.modality
    assert made.truth.units == UNITS[made.modality] == made.parameters["units"]
    assert list(made.truth.shape) == made.parameters["shape"]
    assert list(made.truth.geometry.spacing) == made.parameters["spacing_mm"]
    assert made.truth.geometry.known
    assert made.truth.volume == (made.truth.shape[0] > 1)
    assert np.isfinite(made.truth.voxels).all()
    assert float(np.ptp(made.truth.voxels)) > 0
    if made.modality not in (Modality.CT, Modality.US):
        assert made.truth.voxels.min() >= 0


@EVERY
def test_parameters_are_plain_json(name: str) -> None:
    parameters = built(name).parameters
    assert json.loads(json.dumps(dict(parameters), allow_nan=False)) == parameters


@EVERY
def test_labels_are_those_of_the_inserts(name: str) -> None:
    made = built(name)
    listed = [one["label"] for one in made.parameters["inserts"]]
    assert listed == list(range(1, len(listed) + 1))
    found = set(np.unique(made.labels).tolist()) - {0}
    # A defect may lie over the whole wall below it; every other insert has voxels of its own.
    assert found <= set(listed)
    assert len(found) >= len(listed) - 1


@EVERY
def test_labels_lie_where_the_parameters_say(name: str) -> None:
    made = built(name)
    spacing = made.truth.geometry.spacing
    marked = np.argwhere(made.labels)
    label = made.labels[tuple(marked.T)]
    for one in made.parameters["inserts"]:
        if one["kind"] in ("wall", "bars", "cold rods") or not (label == one["label"]).any():
            continue
        at = marked[label == one["label"]].mean(axis=0)
        for axis in range(3):
            middle = (at[axis] - (made.truth.shape[axis] - 1) / 2) * spacing[axis]
            # Through all slices, or as far as labels by halves can be off: about a voxel.
            assert middle == pytest.approx(one["centre_mm"][axis], abs=1.01 * spacing[axis])


@EVERY
def test_a_seed_is_an_object(name: str) -> None:
    made, again, other = built(name), make_object(name, 0), make_object(name, 1)
    np.testing.assert_array_equal(made.truth.voxels, again.truth.voxels)
    np.testing.assert_array_equal(made.labels, again.labels)
    assert made.parameters == again.parameters
    assert np.array_equal(made.truth.voxels, other.truth.voxels) != OBJECTS[name].random


@EVERY
def test_attenuation_is_that_of_a_body(name: str) -> None:
    made = built(name)
    reconstructed = made.modality is Modality.PT or (made.modality is Modality.NM and made.truth.volume)
    assert (made.attenuation is not None) == reconstructed
    if made.attenuation is not None:
        water = 0.0096 if made.modality is Modality.PT else 0.0154
        inside = made.attenuation[made.attenuation > 0.5 * water]
        assert made.attenuation.min() >= 0
        assert np.median(inside) == pytest.approx(water, rel=0.15)
        assert made.attenuation.max() < 2.5 * water


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="known are ct-uniform, ct-mita"):
        make_object("ct-mitra")


def test_what_needs_scipy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [one for one in sys.modules if one.startswith("quell.phantoms.")]:
        if not module.endswith(".objects"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(QuellError, match=r"quell\[lab\]"):
        make_object("bone-scan")
    assert make_object("ct-mita").name == "ct-mita"


def test_the_docs_list_every_object() -> None:
    page = Path(__file__).parents[2] / "docs" / "phantoms.md"
    told = re.findall(r"^\| `([\w-]+)` \|", page.read_text("utf-8"), re.MULTILINE)
    assert told == list(OBJECTS)


def test_rods_of_the_low_contrast_object() -> None:
    made = built("ct-mita")
    rods = inserts(made)
    assert [(one["diameter_mm"], one["contrast"]) for one in rods] == [(3, 14), (5, 7), (7, 5), (10, 3)]
    for one in rods:
        part = made.truth.voxels[1][around(made, one)[1:]].astype(np.float64)
        wanted = one["contrast"] * disc(one["diameter_mm"])
        assert part.sum() * 0.25 == pytest.approx(wanted, rel=1e-3)


def test_the_signal_absent_object_is_plain() -> None:
    made = make_object("ct-mita", kinds=())
    np.testing.assert_array_equal(made.truth.voxels, built("ct-uniform").truth.voxels)
    inside = (made.truth.voxels + 1000).astype(np.float64).sum(axis=(1, 2)) * 0.25 / 1000
    np.testing.assert_allclose(inside, disc(200), rtol=1e-6)


def test_bars_wire_and_block_have_their_areas() -> None:
    made = built("ct-resolution")
    plane = made.truth.voxels[0].astype(np.float64)
    rows, columns = (np.arange(512) - 255.5) / 2, (np.arange(512) - 255.5) / 2

    def area(one: dict[str, Any], reach: float) -> float:
        _, y, x = one["centre_mm"]
        part = plane[np.abs(rows - y) < reach][:, np.abs(columns - x) < reach]
        return float(part.sum()) * 0.25 / one["contrast"]

    for one in inserts(made, "bars"):
        assert one["bar_width_mm"] == pytest.approx(5 / one["line_pairs_per_cm"])
        wanted = one["bars"] * one["bar_width_mm"] * one["bar_length_mm"]
        assert area(one, max(one["bars"] * one["bar_width_mm"] + 1, 7)) == pytest.approx(wanted, rel=1e-4)
    (wire,) = inserts(made, "wire")
    assert area(wire, 1.0) == pytest.approx(disc(0.28), rel=1e-4)
    (block,) = inserts(made, "block")
    assert area(block, 16.0) == pytest.approx(24.0**2, rel=2e-3)
    for rod in inserts(made, "rod"):
        assert area(rod, 8.5) == pytest.approx(disc(15), rel=1e-4)


def test_spheres_of_the_image_quality_phantom() -> None:
    made = built("pet-nema-iq")
    spheres = inserts(made, "sphere")
    assert [one["diameter_mm"] for one in spheres] == [10, 13, 17, 22, 28, 37]
    assert [one["value"] for one in spheres] == [4 * 5300.0] * 4 + [0.0] * 2
    for one in spheres:
        wanted = (one["value"] - 5300) * ball(one["diameter_mm"])
        assert content(made, one, 5300.0) == pytest.approx(wanted, rel=1e-3)
    ring = [np.hypot(*one["centre_mm"][1:]) for one in spheres]
    np.testing.assert_allclose(ring, 57.2)


def test_body_and_lung_of_the_image_quality_phantom() -> None:
    made = built("pet-nema-iq")
    assert made.attenuation is not None
    mu = made.attenuation.astype(np.float64).sum() * 27
    outline = np.pi * 147**2 / 2 + 140 * 77 + np.pi * 77**2 / 2
    lung = disc(50)
    assert mu == pytest.approx(0.0096 * 180 * (outline - 0.7 * lung), rel=2e-3)
    middle = made.truth.voxels[32, 64, 64]
    assert middle == 0
    assert made.attenuation[32, 64, 64] == pytest.approx(0.3 * 0.0096)


def test_cold_rods_and_spheres() -> None:
    made = built("spect-jaszczak")
    total = made.truth.voxels.astype(np.float64).sum() * 64 / 100
    rods = sum(one["rods"] * disc(one["diameter_mm"]) * 88 for one in inserts(made, "rods"))
    balls = sum(ball(one["diameter_mm"]) for one in inserts(made, "sphere"))
    assert total == pytest.approx(disc(216) * 186 - rods - balls, rel=1e-4)
    for one in inserts(made, "sphere"):
        assert content(made, one, 100.0) == pytest.approx(-100 * ball(one["diameter_mm"]), rel=1e-3)


def test_rods_do_not_touch_and_lie_inside() -> None:
    places = [
        (y, x, one["diameter_mm"] / 2)
        for one in inserts(built("spect-jaszczak"), "rods")
        for y, x in one["centres_mm"]
    ]
    assert len(places) > 120
    at, radius = np.array(places)[:, :2], np.array(places)[:, 2]
    apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) - radius[:, None] - radius
    assert apart[~np.eye(len(at), dtype=bool)].min() > 0
    assert (np.hypot(*at.T) + radius).max() < 108


@pytest.mark.parametrize("territory", ["LAD", "LCX", "RCA"])
@pytest.mark.parametrize(("extent", "severity"), [(0.05, 1.0), (0.2, 0.5)])
def test_defects_have_their_extent_and_severity(territory: str, extent: float, severity: float) -> None:
    from quell.phantoms.families.cardiac import Defect

    healthy = built("spect-cardiac", defects=())
    ill = make_object("spect-cardiac", defects=(Defect(territory, extent, severity),))
    missing = (healthy.truth.voxels.astype(np.float64) - ill.truth.voxels).sum() * 6.4**3
    (wall,) = inserts(healthy, "wall")
    assert missing / 100 == pytest.approx(extent * severity * wall["volume_mm3"], rel=0.01)


def test_volume_of_the_wall() -> None:
    from quell.phantoms.families.cardiac import Ventricle

    shape = Ventricle()
    made = built("spect-cardiac", defects=())
    (wall,) = inserts(made, "wall")
    outer, inner = (
        2 / 3 * np.pi * r**2 * length + np.pi * r**2 * 25 for r, length in ((33.0, 50.0), (23.0, 40.0))
    )
    assert wall["volume_mm3"] == pytest.approx(outer - inner)
    assert shape.volume(0, 0.3) + shape.volume(0.3, 1) == pytest.approx(shape.volume())
    # 5 points a voxel along each axis: the wall is as thick as 8 of them.
    voxels = made.truth.voxels.astype(np.float64)
    hot = (voxels - 10)[made.labels > 0].sum() * 6.4**3 / 90
    assert hot == pytest.approx(wall["volume_mm3"], rel=0.2)


def test_a_defect_larger_than_its_territory_is_refused() -> None:
    from quell.phantoms.families.cardiac import Defect

    for defect in (Defect("RCA", 0.95, 1.0), Defect("LMCA", 0.1, 1.0), Defect("LAD", 0.1, 1.5)):
        with pytest.raises(ValueError, match=r"territory|no such defect"):
            make_object("spect-cardiac", defects=(defect,))


def test_counts_of_the_bone_scan_and_its_lesions() -> None:
    plain, ill = make_object("bone-scan", 5, lesions=0), make_object("bone-scan", 5, lesions=8)
    found = inserts(ill, "lesion")
    assert len(found) == 8
    for made in (plain, ill):
        assert made.truth.voxels.astype(np.float64).sum() == pytest.approx(3.6e6, rel=1e-5)
    share = 1 - sum(one["added_counts"] for one in found) / 3.6e6
    added = ill.truth.voxels.astype(np.float64) - share * plain.truth.voxels
    for one in found:
        assert added[around(ill, one)].sum() == pytest.approx(one["added_counts"], rel=0.01)
        assert 6 <= one["diameter_mm"] <= 30


def test_the_bone_scan_counts_like_a_real_one() -> None:
    """Of a real scan of 3.6 million counts 75, 90 and 99 % of the pixels have up to 23, 43 and 92 counts."""
    levels = [np.percentile(make_object("bone-scan", seed).truth.voxels, (75, 90, 99)) for seed in range(3)]
    np.testing.assert_allclose(np.median(levels, axis=0), (23, 43, 92), rtol=0.45)


def test_cysts_targets_and_wires() -> None:
    made = built("us-cysts")
    linear = made.truth.with_voxels(10 ** (made.truth.voxels / 10))
    for one in made.parameters["inserts"]:
        wanted = (10 ** (one["value"] / 10) - 1) * disc(one["diameter_mm"])
        part = linear.voxels[0][around(made, one)[1:]].astype(np.float64)
        assert (part - 1).sum() * 0.01 == pytest.approx(wanted, rel=1e-3)
    assert {one["value"] for one in inserts(made, "target")} == {-6, -3, 3, 6, 12}
    assert made.truth.voxels.min() == pytest.approx(-60)


def test_holes_of_the_contrast_detail_object() -> None:
    made = built("xray-contrast-detail")
    holes = made.parameters["inserts"]
    assert len(inserts(made, "middle")) == 225
    assert len(inserts(made, "corner")) == 15 * 12
    for one in holes[::7]:
        assert one["contrast"] == pytest.approx(np.exp(0.0247 * one["depth_mm"]) - 1)
        part = made.truth.voxels[0][around(made, one)[1:]].astype(np.float64)
        wanted = 1000 * one["contrast"] * disc(one["diameter_mm"])
        assert (part - 1000).sum() * 0.04 == pytest.approx(wanted, rel=2e-3)
    corners = [
        tuple(np.sign(np.array(one["centre_mm"][1:]) - [(one[k] - 7) * 16 for k in ("row", "column")]))
        for one in inserts(made, "corner")
    ]
    # Each of four corners, drawn 180 times: 45 expected, SD 5.8.
    counted = np.unique(corners, axis=0, return_counts=True)[1]
    assert len(counted) == 4
    assert counted.min() > 25


def test_signal_of_the_brain_is_that_of_a_spin_echo() -> None:
    from quell.phantoms.families.brain import TISSUES, brain_tissues, spin_echo

    tissues = brain_tissues(np.random.default_rng(1), Grid((4, 128, 128), (4.0, 1.8, 1.8)), lesions=3)
    total = np.sum(list(tissues.fractions.values()), axis=0)
    assert total.max() < 1 + 1e-5
    assert total.min() > -1e-6
    pd, t1, t2 = tissues.maps()
    t1_weighted = tissues.signal(500, 15)
    for name in ("csf", "grey", "white"):
        pure = tissues.fractions[name] > 0.9999
        assert pure.sum() > 20
        np.testing.assert_allclose(t1_weighted[pure], spin_echo(TISSUES[name], 500, 15), rtol=1e-3)
        for map_, value in zip((pd, t1, t2), TISSUES[name], strict=True):
            np.testing.assert_allclose(map_[pure], value, rtol=1e-2)
    # In T1 weighting white matter is brightest, in T2 weighting fluid; FLAIR suppresses it.
    t1w, t2w, flair = (
        {name: spin_echo(TISSUES[name], *times) for name in TISSUES}
        for times in ((500, 15), (4000, 90), (9000, 100, 2200))
    )
    assert t1w["white"] > t1w["grey"] > t1w["csf"]
    assert t2w["csf"] > t2w["lesion"] > t2w["grey"] > t2w["white"]
    assert flair["lesion"] > flair["grey"] > flair["csf"]


def test_lesions_of_the_brain_have_their_volume() -> None:
    from quell.phantoms.families.brain import brain_tissues

    tissues = brain_tissues(np.random.default_rng(2), lesions=6)
    found = tissues.drawing.inserts
    assert len(found) == 6
    whole = [one for one in found if abs(one["centre_mm"][0]) + one["diameter_mm"] / 2 < 24]
    assert whole
    volume = tissues.fractions["lesion"].astype(np.float64).sum() * tissues.drawing.grid.voxel_mm3
    cut = sum(ball(one["diameter_mm"]) for one in found if one not in whole)
    assert volume == pytest.approx(sum(ball(one["diameter_mm"]) for one in whole), rel=0.01, abs=cut)


@pytest.mark.parametrize("name", ANATOMY)
def test_lesions_in_anatomy_have_their_size_and_contrast(name: str) -> None:
    plain, ill = make_object(name, 3, lesions=0), make_object(name, 3)
    found = inserts(ill)
    assert found
    share = 1.0
    if "total_counts" in ill.parameters:
        # What the lesions do not touch tells how much they left to the rest.
        plain_parts, ill_parts = plain.truth.voxels, ill.truth.voxels
        bright = plain_parts > np.percentile(plain_parts, 80)
        share = float(np.median(ill_parts[bright] / plain_parts[bright]))
    added = ill.truth.voxels.astype(np.float64) - share * plain.truth.voxels
    spacing = ill.truth.geometry.spacing
    flat = ill.truth.shape[0] == 1
    size = float(np.prod(spacing[1:])) if flat else float(np.prod(spacing))
    for one in found:
        if "contrast" not in one or (ill.truth.voxels[around(ill, one)] <= 0).any():
            continue
        wanted = one["contrast"] * (disc if flat else ball)(one["diameter_mm"])
        assert added[around(ill, one)].sum() * size == pytest.approx(wanted, rel=0.01)
