"""A table: who is better is seen, who fails is told, and time is taken in turn."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.evaluation.benchmark.cases import Subject, make_case
from quell.evaluation.benchmark.record import NOISY, Benchmark, Row, Table
from quell.evaluation.benchmark.speed import measure_speed, speed_image
from quell.evaluation.benchmark.tables import Bench, measure_table
from quell.evaluation.denoisers import OBJECT, Entrant, find_denoiser
from quell.evaluation.report.benchmark_files import terminal_lines, write_benchmark
from quell.image import Image, Modality
from quell.inference.contracts import Denoised

HOSTILE = "<b>tool</b> & | co."


@dataclass
class Blend:
    """Goes a share of the way to the mean of the image; slow, broken or misshapen where asked for."""

    share: float = 0.0
    seconds: float = 0.0
    error: str = ""
    cut: bool = False
    mebibytes: int = 0

    card: Any = None

    def denoise(self, image: Image, strength: float = 1.0, sigma: Any = "auto") -> Denoised:
        if self.error:
            raise RuntimeError(self.error)
        np.ones((self.mebibytes, 1 << 20), np.uint8)
        time.sleep(self.seconds)
        voxels = image.voxels + np.float32(self.share) * (np.median(image.voxels) - image.voxels)
        result = replace(image, voxels=voxels[:, 1:]) if self.cut else image.with_voxels(voxels)
        return Denoised(result, None, {})  # type: ignore[arg-type]


def entrant(name: str, **fields: Any) -> Entrant:
    return Entrant(name, OBJECT, Blend(**fields), "a test")


def subjects(count: int, seed: int) -> list[Subject]:
    rng = np.random.default_rng(seed)
    scans = [rng.poisson(40, (1, 64, 64)).astype(np.float32) for _ in range(count)]
    return [Subject(f"scan {i}", f"p {i}", Image(v, Modality.NM, "counts"), 0) for i, v in enumerate(scans)]


@pytest.fixture(scope="module")
def bench() -> Bench:
    test, tuning = (
        tuple(make_case(s, 0.1, (seed, i)) for i, s in enumerate(subjects(count, seed)))
        for count, seed in ((4, 1), (2, 2))
    )
    return Bench(Modality.NM, 0.1, "of the counts", "made up", test, tuning, budget=3, seed=0)


@pytest.fixture(scope="module")
def table(bench: Bench) -> Table:
    entrants = [
        entrant("half", share=0.5),
        entrant("most", share=0.9),
        entrant("nothing"),
        entrant(HOSTILE, error="no\nlicence"),
        entrant("cut", cut=True),
        find_denoiser("gaussian"),
    ]
    return measure_table(bench, entrants, lambda name: None).table


def row(table: Table, name: str) -> Row:
    return next(one for one in table.rows if one.denoiser == name)


def test_the_first_is_what_others_are_compared_with(table: Table) -> None:
    assert [one.denoiser for one in table.rows][:2] == [NOISY, "half"]
    assert row(table, "half").difference is None
    better, worse = row(table, "most").difference, row(table, "nothing").difference
    assert better is not None and worse is not None
    assert better.mean.low > 0 > worse.mean.high
    assert better.p <= better.p_holm < 0.05


def test_doing_nothing_scores_as_the_noisy_image(table: Table) -> None:
    assert row(table, "nothing").values == row(table, NOISY).values


def test_whoever_fails_is_told_and_the_others_go_on(table: Table) -> None:
    assert row(table, HOSTILE).failed == "RuntimeError: no licence"
    assert "turned an image" in row(table, "cut").failed
    assert not row(table, HOSTILE).values


def test_classical_methods_are_tuned_with_the_budget(table: Table) -> None:
    assert "best of 3" in row(table, "gaussian").settings
    # A flat field wants the widest filter: the tuned one beats doing half.
    assert row(table, "gaussian").values["psnr"].value > row(table, "half").values["psnr"].value


def test_pictures_share_a_window(table: Table) -> None:
    assert table.gallery is not None
    names = [shot.title for shot in table.gallery.shots if not shot.difference]
    assert names[:3] == ["reference", NOISY, "half"]
    assert table.gallery.limit > 0


def test_times_are_ratios_within_a_round() -> None:
    slow = [entrant("fast", seconds=0.01), entrant("slow", seconds=0.04), entrant("broken", error="x")]
    rows = measure_speed([(one, "") for one in slow], speed_image(Modality.CT), rounds=4)
    assert rows[0].ratio is not None and rows[0].ratio.value == 1
    # Sleeping is never shorter than asked for, but may be longer on a busy machine.
    assert rows[1].ratio is not None and rows[1].ratio.value > 1.3
    assert rows[1].milliseconds is not None and rows[1].milliseconds.value >= 40
    assert rows[1].per_megapixel == pytest.approx(rows[1].milliseconds.value * 1e6 / 512**2)
    assert rows[2].failed == "RuntimeError: x"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell of peaks")
def test_memory_is_what_each_takes_whoever_came_before() -> None:
    greedy = [entrant("first", mebibytes=200), entrant("second", mebibytes=100)]
    peaks = [row.peak_mib for row in measure_speed([(e, "") for e in greedy], speed_image(Modality.CT), 2)]
    assert peaks == pytest.approx([200, 100], abs=30)


@pytest.fixture(scope="module")
def files(table: Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    speed = measure_speed([(entrant(HOSTILE), "")], speed_image(Modality.NM), rounds=2)
    told = ({"name": HOSTILE, "kind": OBJECT},)
    found = Benchmark((table,), speed, (), told, ("CT: <none>",), "0", "now", "here", "quell", 60.0, 7)
    assert any("failed" in words for _, words in terminal_lines(found))
    assert found.exit_code == 1
    paths = write_benchmark(found, tmp_path_factory.mktemp("benchmark") / "out")
    return {path.suffix: path.read_text("utf-8") for path in paths}


def test_the_json_carries_every_number_with_its_interval(files: dict[str, str], table: Table) -> None:
    values = json.loads(files[".json"], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    told = values["tables"][0]
    assert values["seed"] == 7 and told["data_sha256"] == table.data_sha256
    psnr = told["rows"][1]["values"]["psnr"]
    assert psnr["low"] < psnr["value"] < psnr["high"] and psnr["level"] == 0.95
    per_image = [one["psnr"] for one in told["rows"][1]["per_image"].values()]
    assert psnr["value"] == pytest.approx(np.mean(per_image), rel=1e-4)


def test_the_page_is_well_formed_and_needs_nothing_beside_itself(files: dict[str, str]) -> None:
    page = files[".html"]
    tree = ElementTree.fromstring(page.replace("<!DOCTYPE html>", ""))
    assert "<b>tool</b>" not in page
    sources = [node.attrib["src"] for node in tree.iter() if "src" in node.attrib]
    assert len(sources) == 9  # the reference, four results and what is wrong with each
    assert all(source.startswith("data:image/png") for source in sources)
    assert not [node for node in tree.iter() if node.tag.endswith(("script", "link"))]


def test_the_rows_and_the_tables_hold_all_denoisers(files: dict[str, str], table: Table) -> None:
    lines = files[".csv"].splitlines()
    assert sum(",PSNR," in line for line in lines) == sum(not one.failed for one in table.rows)
    assert files[".md"].count("| failed") + files[".md"].count("failed: ") >= 2
    assert "co\\." not in files[".md"] and "\\| co." in files[".md"]


def test_files_replace_those_of_an_earlier_run(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "benchmark.md").write_text("old")
    found = Benchmark((), (), (), (), (), "0", "now", "here", "quell", 1.0, 0)
    write_benchmark(found, tmp_path)
    assert "old" not in (tmp_path / "benchmark.md").read_text("utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"benchmark.{s}" for s in ("csv", "html", "json", "md")
    ]
