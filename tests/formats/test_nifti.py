from __future__ import annotations

import gzip
import itertools
import json
import struct
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.errors import InputError, OutputError
from quell.formats.contracts import OutputKind, Provenance, WriteOptions
from quell.formats.nifti import open_nifti
from quell.formats.nifti_header import geometry_from_ras
from quell.formats.source import Source, UnsuitableError
from quell.image import Modality

PROVENANCE = Provenance("universal.fast", "1.0", "ab" * 32, 0.7)
OPTIONS = WriteOptions()
# Written on purpose: type, scaling, place of the voxels and what names the processing.
CHANGED = {"descrip", "vox_offset", "magic"}


def opened(path):
    return open_nifti(Source.of(Path(path)))


def written(series, voxels, out, kind=OutputKind.DENOISED, options=OPTIONS):
    return series.write(voxels, Path(out), kind, PROVENANCE, options)


def save(path, array, affine=None, header=None, **fields):
    image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine, header)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return Path(path)


def block(shape=(4, 3, 2), code=4, bits=16, **fields):
    """Return a hand-made file, so that its header can lie."""
    header = nib.Nifti1Header()
    header["dim"][: len(shape) + 1] = (len(shape), *shape)
    header["datatype"], header["bitpix"] = code, bits
    header["vox_offset"], header["magic"] = 352, b"n+1"
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + b"\0\0\0\0"


DTYPES = st.sampled_from(["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
SCALINGS = st.sampled_from([None, (1.0, 0.0), (2.5, -7.0), (0.1, -1024.0), (-3.0, 5.0)])


@settings(max_examples=60, deadline=None)
@given(
    dtype=DTYPES,
    order=st.sampled_from("<>"),
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    scaling=SCALINGS,
    packed=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_round_trip_keeps_voxels_and_header(dtype, order, shape, scaling, packed, seed):
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        raw = rng.normal(size=shape).astype(np.float32).astype(kind)
        scaling = None if scaling in (None, (1.0, 0.0)) else (4.0, 0.0)
    else:
        low, high = max(np.iinfo(kind).min, -(2**20)), min(np.iinfo(kind).max, 2**20)
        raw = rng.integers(low, high, shape, endpoint=True).astype(kind)
    affine = np.eye(4) + np.pad(rng.normal(size=(3, 4)), ((0, 1), (0, 0)))
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("x_T1w.nii" + ".gz" * packed)
        header = nib.Nifti1Header(endianness=order)
        header.set_data_dtype(kind)
        image = nib.Nifti1Image(raw, affine, header)
        image.header["cal_max"], image.header["descrip"] = 42, b"by hand"
        image.header.set_xyzt_units("mm", "sec")
        _store(image, raw, path, scaling)
        series = opened(path)
        voxels = series.read().voxels
        slope, inter = scaling or (1.0, 0.0)
        slope, inter = float(np.float32(slope)), float(np.float32(inter))
        expected = (raw.astype(np.float64) * slope + inter).astype(np.float32)
        assert np.array_equal(voxels, expected.T.reshape(-1, shape[1], shape[0]))
        result = written(series, voxels, Path(folder) / "out")
        assert result.clamped == 0
        assert result.files[0].name == "x_T1w_denoised.nii" + ".gz" * packed
        _same_file_but_for_note(path, result.files[0])


def _store(image, raw, path, scaling):
    """Save with the scaling of the header; nibabel would choose one of its own."""
    fresh = image.header.copy()
    fresh["vox_offset"], fresh["magic"] = 352, b"n+1"
    fresh["scl_slope"], fresh["scl_inter"] = scaling or (np.nan, np.nan)
    body = raw.astype(fresh.get_data_dtype()).tobytes(order="F")
    data = fresh.binaryblock + b"\0\0\0\0" + body
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _same_file_but_for_note(before, after):
    def parts(path):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        order = "<" if content[:4] == struct.pack("<i", 348) else ">"
        header = nib.Nifti1Header(content[:348], endianness=order, check=False)
        return header, content[int(header["vox_offset"]) :]

    (one, voxels), (other, others) = parts(before), parts(after)
    assert voxels == others
    for field in [name for name, _ in one.items()]:
        if field not in CHANGED:
            assert np.array_equal(one[field], other[field], equal_nan=one[field].dtype.kind == "f"), field
    assert bytes(other["descrip"].tobytes()).startswith(b"by hand; Quell universal.fast")


def _ras_of(geometry, index):
    x, y, z = index
    steps = [
        n * s * np.array(d) for n, s, d in zip((z, y, x), geometry.spacing, geometry.direction, strict=True)
    ]
    return np.diag([-1, -1, 1]) @ (np.array(geometry.origin) + sum(steps))


AXES = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@settings(max_examples=60, deadline=None)
@given(
    axes=st.sampled_from(AXES),
    spacing=st.tuples(*[st.floats(0.05, 50)] * 3),
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    origin=st.tuples(*[st.floats(-1e3, 1e3)] * 3),
)
def test_geometry_places_voxels_where_the_affine_does(axes, spacing, angles, origin):
    affine = _affine(axes, spacing, angles, origin)
    geometry = geometry_from_ras(affine)
    assert geometry.known
    for index in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 5, 7)):
        assert np.allclose(_ras_of(geometry, index), (affine @ (*index, 1))[:3], atol=1e-6)


def _affine(axes, spacing, angles, origin):
    order, signs = axes
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        one, two = [i for i in range(3) if i != axis]
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.eye(3)[:, order] * signs * spacing
    affine[:3, 3] = origin
    return affine


@pytest.mark.parametrize("axes", AXES)
def test_all_48_orientations_survive(axes, tmp_path):
    affine = _affine(axes, (0.7, 0.8, 3.0), (0, 0, 0), (-10, 20, 30))
    raw = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    series = opened(save(tmp_path / "x_T1w.nii", raw, affine))
    image = series.read()
    assert np.array_equal(image.voxels, raw.transpose(2, 1, 0))
    assert np.allclose(_ras_of(image.geometry, (1, 2, 1)), (affine @ (1, 2, 1, 1))[:3], atol=1e-4)
    after = nib.load(written(series, image.voxels, tmp_path / "out").files[0])
    before = nib.load(series.source.path)
    assert nib.aff2axcodes(after.affine) == nib.aff2axcodes(affine)
    assert np.array_equal(after.affine, before.affine)
    assert np.array_equal(np.asarray(after.dataobj), raw)


def test_qform_alone_and_micrometres(tmp_path):
    image = nib.Nifti1Image(np.ones((3, 3, 3), np.int16), None)
    image.set_qform(_affine(AXES[5], (500, 600, 700), (0.1, 0.2, 0.3), (1, 2, 3)), code=1)
    image.set_sform(None, code=0)
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "x_T1w.nii")
    assert np.allclose(opened(tmp_path / "x_T1w.nii").read().geometry.spacing, (0.7, 0.6, 0.5), rtol=1e-5)


def test_time_points_are_apart(tmp_path):
    raw = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    series = opened(save(tmp_path / "x_bold.nii.gz", raw))
    image = series.read()
    assert series.shape == image.shape == (20, 3, 2)
    assert image.volume and series.volume and image.gaps == (3, 7, 11, 15)
    assert np.array_equal(image.voxels[4:8], raw[..., 1].transpose(2, 1, 0))
    assert series.modality is Modality.MR


def test_frames_of_one_slice_are_no_volume(tmp_path):
    series = opened(save(tmp_path / "x_bold.nii", np.zeros((2, 3, 1, 5), np.int16)))
    image = series.read()
    assert image.shape == (5, 3, 2) and image.gaps == ()
    assert not image.volume and not series.volume


def test_trailing_axes_of_one_are_no_axes(tmp_path):
    raw = np.zeros((2, 3, 4, 1, 1), np.int16)
    assert opened(save(tmp_path / "x_T1w.nii", raw)).shape == (4, 3, 2)


def test_values_beyond_the_type_are_clamped_and_counted(tmp_path):
    series = opened(save(tmp_path / "x_T1w.nii", np.zeros((2, 2, 1), np.uint8)))
    voxels = np.array([[[-5, 300], [254.6, 0.4]]], np.float32)
    result = written(series, voxels, tmp_path / "out")
    assert result.clamped == 2
    assert np.asarray(nib.load(result.files[0]).dataobj).T.ravel().tolist() == [0, 255, 255, 0]


@pytest.mark.parametrize(
    ("kind", "options", "ending"),
    [
        (OutputKind.RESIDUAL, OPTIONS, "residual"),
        (OutputKind.NOISE_MAP, OPTIONS, "noise"),
        (OutputKind.DENOISED, WriteOptions(float_output=True), "denoised"),
    ],
)
def test_maps_and_float_output_are_unscaled_float32(tmp_path, kind, options, ending):
    path = tmp_path / "x_T1w.nii"
    path.write_bytes(block(scl_slope=2.0, scl_inter=-3.0) + bytes(48))
    series = opened(path)
    voxels = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    result = written(series, voxels, tmp_path / "out", kind, options)
    after = nib.load(result.files[0])
    assert result.files[0].name == f"x_T1w_{ending}.nii"
    assert after.get_data_dtype() == np.float32
    assert np.array_equal(np.asarray(after.dataobj), voxels.transpose(2, 1, 0))


def test_extensions_survive_and_the_settings_join_them(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("afni", b"<AFNI/>"))
    nib.save(image, tmp_path / "x_T1w.nii.gz")
    series = opened(tmp_path / "x_T1w.nii.gz")
    result = written(series, series.read().voxels, tmp_path / "out")
    codes = [(e.get_code(), e.get_content()) for e in nib.load(result.files[0]).header.extensions]
    assert codes[0][0] == 4 and b"<AFNI/>" in codes[0][1]
    assert codes[1][0] == 6 and PROVENANCE.settings().encode() in bytes(codes[1][1])


def test_nifti2_and_pairs(tmp_path):
    raw = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    nib.save(nib.Nifti2Image(raw, np.eye(4)), tmp_path / "two_T1w.nii")
    nib.save(nib.Nifti1Pair(raw, np.eye(4)), tmp_path / "pair_T1w.hdr")
    for name in ("two_T1w.nii", "pair_T1w.hdr"):
        series = opened(tmp_path / name)
        voxels = series.read().voxels
        after = nib.load(written(series, voxels, tmp_path / "out").files[0])
        assert np.array_equal(np.asarray(after.dataobj), raw)
    assert {p.name for p in opened(tmp_path / "pair_T1w.hdr").files} == {"pair_T1w.hdr", "pair_T1w.img"}


def test_the_same_again_gives_equal_files_and_nothing_else(tmp_path):
    series = opened(save(tmp_path / "x_T1w.nii.gz", np.arange(24, dtype=np.int16).reshape(4, 3, 2)))
    voxels = series.read().voxels
    first = written(series, voxels, tmp_path / "out").files[0].read_bytes()
    again = written(series, voxels, tmp_path / "out").files[0].read_bytes()
    assert first == again
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["x_T1w_denoised.nii.gz"]


def test_our_own_output_is_no_source(tmp_path):
    series = opened(save(tmp_path / "x_T1w.nii", np.zeros((2, 2, 2), np.int16)))
    result = written(series, series.read().voxels, tmp_path)
    with pytest.raises(UnsuitableError, match="Quell"):
        opened(result.files[0])


LIES = {
    "huge": block((32767,) * 4),
    "negative": block((4, -3, 2)),
    "zero": block((4, 0, 2)),
    "no axes": block(dim=np.zeros(8)),
    "too many axes": block(dim=[9] + [1] * 7),
    "type": block(code=77),
    "bits": block(bits=8),
    "offset nan": block(vox_offset=np.nan),
    "offset far": block(vox_offset=1e30),
    "offset behind": block(vox_offset=1e6),
    "short": block()[:300],
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_are_refused_before_allocation(lie, packed, tmp_path):
    path = tmp_path / ("x_T1w.nii" + ".gz" * packed)
    content = LIES[lie] + bytes(48)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InputError) as caught:
        opened(path).read()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_bomb_is_refused(tmp_path):
    path = tmp_path / "x_T1w.nii.gz"
    with gzip.open(path, "wb", 9) as file:
        file.write(block((1024, 1024, 300)))
        for _ in range(20):
            file.write(bytes(2**20))
    with pytest.raises(InputError, match=r"expand|can hold"):
        opened(path)


@pytest.mark.parametrize("code", [1, 32, 128, 1536, 1792, 2304])
def test_what_is_not_grey_is_passed_over(code, tmp_path):
    path = tmp_path / "x_T1w.nii"
    path.write_bytes(block(code=code) + bytes(999))
    with pytest.raises(UnsuitableError):
        opened(path)


def test_vectors_and_labels_are_passed_over(tmp_path):
    with pytest.raises(UnsuitableError, match="vectors"):
        opened(save(tmp_path / "x.nii", np.zeros((2, 2, 2, 1, 3), np.float32)))
    with pytest.raises(UnsuitableError, match="label"):
        opened(save(tmp_path / "y.nii", np.zeros((2, 2, 2), np.int16), intent_code=1002))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_no_float32_are_refused(value, tmp_path):
    raw = np.zeros((2, 2, 2))
    raw[1, 0, 1] = value
    with pytest.raises(InputError, match="not finite"):
        opened(save(tmp_path / "x_T1w.nii", raw)).read()


def test_truncated_and_corrupt_gzip(tmp_path):
    rng = np.random.default_rng(0)
    path = save(tmp_path / "x_T1w.nii.gz", rng.integers(0, 2**15, (64, 64, 9)).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    series = opened(path)
    assert series.shape == (9, 64, 64)
    with pytest.raises(InputError):
        series.read()
    changed = bytearray(content)
    changed[-6] ^= 1
    path.write_bytes(bytes(changed))
    with pytest.raises(InputError, match="damaged"):
        opened(path).read()


def test_one_voxel_and_constant(tmp_path):
    for shape in ((1, 1, 1), (1, 1), (5, 5, 5)):
        series = opened(save(tmp_path / "x_T1w.nii", np.full(shape, 7, np.int16)))
        voxels = series.read().voxels
        assert (voxels == 7).all()
        assert written(series, voxels, tmp_path / "out").clamped == 0


def test_output_that_cannot_be_written(tmp_path):
    series = opened(save(tmp_path / "x_T1w.nii", np.zeros((2, 2, 2), np.int16)))
    voxels = series.read().voxels
    with pytest.raises(OutputError):
        written(series, voxels, tmp_path / "x_T1w.nii")
    with pytest.raises(OutputError):
        written(series, voxels, tmp_path / "x_T1w.nii" / "below")
    (tmp_path / "out" / "x_T1w_denoised.nii").mkdir(parents=True)
    with pytest.raises(OutputError):
        written(series, voxels, tmp_path / "out")
    with pytest.raises(OutputError, match="finite"):
        written(series, np.full_like(voxels, np.nan), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="shape"):
        written(series, voxels[:1], tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "modality", "units"),
    [
        ("sub-01_T1w", Modality.MR, "arbitrary"),
        ("sub-01_task-rest_bold", Modality.MR, "arbitrary"),
        ("sub-01_FLAIR", Modality.MR, "arbitrary"),
        ("brain_t2flair_upper", Modality.MR, "arbitrary"),
        ("sub-01_trc-FDG_pet", Modality.PT, "arbitrary"),
        ("sts_004_pet_suv", Modality.PT, "g/ml"),
        ("ct_0001", Modality.CT, "HU"),
        ("patient_ct", Modality.CT, "HU"),
        ("patient_ct_t1", Modality.CT, "HU"),
        ("actor", Modality.UNKNOWN, "arbitrary"),
    ],
)
def test_modality_from_the_name(name, modality, units, tmp_path):
    series = opened(save(tmp_path / f"{name}.nii.gz", np.ones((2, 2, 2), np.int16)))
    assert (series.modality, series.read().units) == (modality, units)


def test_modality_from_the_sidecar_goes_first(tmp_path):
    path = save(tmp_path / "x_T1w.nii.gz", np.ones((2, 2, 2), np.int16))
    sidecar = tmp_path / "x_T1w.json"
    sidecar.write_text(json.dumps({"Modality": "PT", "Units": "Bq/mL"}))
    assert (opened(path).modality, opened(path).read().units) == (Modality.PT, "Bq/ml")
    sidecar.write_text(json.dumps({"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}))
    with pytest.raises(UnsuitableError, match="phase"):
        opened(path)
    sidecar.write_text("{no json")
    assert opened(path).modality is Modality.MR


@pytest.mark.parametrize("name", ["lesion_mask", "x_dseg", "x_part-phase_bold", "x_phasediff"])
def test_masks_and_phase_maps_are_passed_over_by_name(name, tmp_path):
    with pytest.raises(UnsuitableError):
        opened(save(tmp_path / f"{name}.nii.gz", np.ones((2, 2, 2), np.int16)))


def test_hounsfield_units_are_recognised_and_phase_is_not(tmp_path):
    rng = np.random.default_rng(0)
    ct = np.where(rng.random((20, 20, 20)) < 0.3, -1000, 40) + rng.normal(0, 20, (20, 20, 20))
    ct[:5] = -3024
    phase = rng.integers(-4096, 4096, (20, 20, 20))
    count = rng.poisson(100, (20, 20, 20))
    found = [
        opened(save(tmp_path / f"{i}.nii.gz", a.astype(np.int16))) for i, a in enumerate((ct, phase, count))
    ]
    assert [s.modality for s in found] == [Modality.CT, Modality.UNKNOWN, Modality.UNKNOWN]
    assert any("guess" in note for note in found[0].notes)
    image = found[0].read()
    assert np.array_equal(image.padding, image.voxels == -3024)


def test_the_caller_may_set_the_modality(tmp_path):
    raw = np.full((2, 2, 2), 10, np.int16)
    raw[0, 0, 0] = -2000
    series = replace(opened(save(tmp_path / "x.nii", raw)), modality=Modality.CT)
    image = series.read()
    assert image.units == "HU" and image.padding is not None and image.padding.sum() == 1


def test_real_images_survive(shared_data, tmp_path):
    for path in sorted((shared_data / "mri" / "sct_spine").glob("*.nii.gz")):
        series = opened(path)
        image = series.read()
        before, after = nib.load(path), nib.load(written(series, image.voxels, tmp_path).files[0])
        assert np.array_equal(np.asarray(before.dataobj), np.asarray(after.dataobj))
        assert np.array_equal(before.affine, after.affine)
        assert before.get_data_dtype() == after.get_data_dtype()
