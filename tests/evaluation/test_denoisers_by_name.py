"""Denoisers by name, and programs that turn one file into another."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from quell.errors import InputError, QuellError
from quell.evaluation.command_denoiser import CommandDenoiser
from quell.evaluation.denoisers import find_denoiser, find_denoisers, known_names, split_names
from quell.image import Image, Modality

HALVE = """
import sys, nibabel as nib
image = nib.load(sys.argv[1])
nib.save(nib.Nifti1Image((image.get_fdata() / 2).astype("float32"), image.affine), sys.argv[2])
"""


def tool(folder: Path, code: str, places: str = "{in} {out}") -> str:
    file = folder / "my tool.py"
    file.write_text(code, encoding="utf-8")
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(file))} {places}"


def image(*shape: int, padding: bool = False) -> Image:
    voxels = np.random.default_rng(1).normal(40, 9, shape).astype(np.float32)
    hidden = np.zeros(shape, bool)
    hidden[..., :2] = padding
    return Image(voxels, Modality.CT, "HU", padding=hidden if padding else None, volume=shape[0] > 1)


@pytest.mark.parametrize("shape", [(1, 20, 24), (3, 20, 24)])
def test_a_command_sees_the_values_and_its_result_comes_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    noisy = image(*shape)
    found = CommandDenoiser(tool(tmp_path, HALVE)).denoise(noisy)
    assert np.array_equal(found.image.voxels, noisy.voxels / 2)
    assert found.image.units == "HU"


def test_a_command_leaves_padding_alone_and_a_lower_strength_blends(tmp_path: Path) -> None:
    noisy = image(2, 20, 24, padding=True)
    found = CommandDenoiser(tool(tmp_path, HALVE)).denoise(noisy, strength=0.5).image.voxels
    assert np.array_equal(found[..., :2], noisy.voxels[..., :2])
    assert np.allclose(found[..., 2:], 0.75 * noisy.voxels[..., 2:])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('out of luck')", "ended with code 1: out of luck"),
        ("pass", "wrote no file"),
        (HALVE.replace("image.get_fdata()", "image.get_fdata()[:5]"), "turned an image"),
        (HALVE.replace("/ 2", "* float('nan')"), "not finite"),
        ("import sys; open(sys.argv[2], 'wb').write(b'no image')", "no readable NIfTI"),
    ],
)
def test_a_command_that_fails_is_told_in_one_line(tmp_path: Path, code: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        CommandDenoiser(tool(tmp_path, code)).denoise(image(2, 20, 24))
    assert "\n" not in str(caught.value)


def test_a_network_at_a_strength_is_a_plain_blend() -> None:
    noisy = image(1, 64, 64)
    usual, full, half = (find_denoiser(f"universal.fast{at}", engine="onnx") for at in ("", "@1", "@0.5"))
    assert (full.name, full.kind, full.denoiser.card) == ("universal.fast@1", "network", usual.denoiser.card)
    strong, weak = (one.denoiser.denoise(noisy).image.voxels for one in (full, half))
    np.testing.assert_allclose(weak, (noisy.voxels + strong) / 2, atol=0.5)
    assert strong.std() < usual.denoiser.denoise(noisy).image.voxels.std() < noisy.voxels.std()


@pytest.mark.parametrize(
    "name", ["nlm@0.5", "universal.fast@2", "universal.fast@", "@0.5", "universal.fast@x"]
)
def test_what_has_no_strength_is_refused(name: str) -> None:
    with pytest.raises(QuellError):
        find_denoiser(name)


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="longer than"):
        CommandDenoiser(tool(tmp_path, "import time; time.sleep(60)"), timeout=0.5).denoise(image(1, 20, 24))


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be run"):
        CommandDenoiser(f"{tmp_path / 'absent'} {{in}} {{out}}").denoise(image(1, 20, 24))


@pytest.mark.parametrize("command", ["tool {in}", "tool {out}", "tool", "tool '{in} {out}"])
def test_a_command_without_places_is_refused(command: str) -> None:
    with pytest.raises(QuellError):
        find_denoiser(f"cmd:{command}")


def test_every_known_name_is_found() -> None:
    for name in known_names():
        assert find_denoiser(name).name == name
    assert find_denoiser("anscombe+median").fits(Modality.NM)
    assert not find_denoiser("lee").fits(Modality.CT)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(QuellError, match=r"universal\.fast.*nlm.*module:object"):
        find_denoiser("nml")


def test_objects_of_other_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_me.py").write_text(
        "from quell.filters.registry import find_filter\n"
        "mine = find_filter('gaussian')\n"
        "def make(): return find_filter('median')\n"
        "def broken(): raise RuntimeError('no licence')\n"
        "nothing = 3\n",
        encoding="utf-8",
    )
    assert find_denoiser("beside_me:mine").denoiser.card.name == "gaussian"
    assert find_denoiser("beside_me:make").denoiser.card.name == "median"
    for name in ("broken", "nothing", "absent"):
        with pytest.raises(QuellError, match="beside_me"):
            find_denoiser(f"beside_me:{name}")


def test_lists_of_names() -> None:
    assert split_names("a, b,,c ") == ("a", "b", "c")
    assert split_names("""a,cmd:'t "x, y" {in} {out}'""") == ("a", 'cmd:t "x, y" {in} {out}')
    assert [one.name for one in find_denoisers(("median", "gaussian", "median"))] == ["median", "gaussian"]
