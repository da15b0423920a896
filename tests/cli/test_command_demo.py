"""`quell demo`: copies only what pydicom brings, deletes only what it wrote, repeats to the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quell.cli.demo import IMAGES, copy_images
from quell.cli.main import main
from quell.errors import OutputError


@pytest.fixture
def demo_job(fake_job: Any, make_series: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job that writes one file and a report beside it, as the real one does."""

    def job(source: Path, out: Path, settings: Any, **rest: Any) -> Any:
        out.mkdir(parents=True, exist_ok=True)
        (out / "1.dcm").write_bytes(b"image")
        for name in ("report.html", "report.json"):
            (out / name).write_text("the job's own")
        fake_job.series = (make_series(files=(out / "1.dcm",)),)
        return fake_job(source, out, settings, **rest)

    monkeypatch.setattr("quell.jobs.denoising.run_job", job)
    return fake_job


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_sources_results_and_one_report(demo_job: Any, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "-o", str(out)]) == 0
    written = files(out)
    assert written == {f"source/{name}" for name in IMAGES} | {"denoised/1.dcm", "report.html", "report.json"}
    assert str(out / "report.html") in capsys.readouterr().out
    assert demo_job.calls[0]["settings"].report


def test_the_sources_are_the_bytes_that_pydicom_brings(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    copy_images(tmp_path / "source")
    for name in IMAGES:
        bundled = Path(str(get_testdata_file(name, download=False)))
        assert (tmp_path / "source" / name).read_bytes() == bundled.read_bytes()


def test_every_source_is_denoised_and_one_of_them_is_ultrasound(tmp_path: Path) -> None:
    from quell.formats.open import open_study
    from quell.image import Modality

    study = open_study(copy_images(tmp_path / "source"))
    assert not study.passed_over
    assert len(study.series) == len(IMAGES)
    assert Modality.US in {series.modality for series in study.series}


def test_a_repeat_replaces_and_leaves_nothing_stale(demo_job: Any, tmp_path: Path) -> None:
    main(["demo", "-o", str(tmp_path)])
    before = files(tmp_path)
    page = json.loads((tmp_path / "report.json").read_text())
    (tmp_path / "denoised" / "old.dcm").write_bytes(b"of an older version")
    page["series"][0]["files"].append("denoised/old.dcm")
    (tmp_path / "report.json").write_text(json.dumps(page))
    main(["demo", "-o", str(tmp_path)])
    assert files(tmp_path) == before


def test_files_outside_its_own_folder_are_never_deleted(demo_job: Any, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    precious = tmp_path / "precious.dcm"
    precious.write_bytes(b"keep")
    listed = ["../precious.dcm", str(precious), "denoised/../../precious.dcm"]
    (out / "report.json").write_text(json.dumps({"series": [{"files": listed}]}))
    main(["demo", "-o", str(out)])
    assert precious.read_bytes() == b"keep"


@pytest.mark.parametrize("text", ["", "[]", '{"series": 3}', '{"series": [{"files": null}]}', "\x00"])
def test_a_foreign_report_json_is_replaced(demo_job: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    assert main(["demo", "-o", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["schema"] == "quell-report"


def test_a_folder_with_other_images_is_refused(demo_job: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "mine.dcm").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"mine\.dcm"):
        copy_images(tmp_path / "source")
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert demo_job.calls == []
    assert files(tmp_path) == {"source/mine.dcm"}
