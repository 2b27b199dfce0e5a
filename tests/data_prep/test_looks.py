"""What is odd about an array is seen before any work: mended where there is no doubt, and said; else refused with a remedy."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan
from mri_ambient.errors import UserError
from mri_ambient.physics.masks import slice_mask
from tests.data_prep.raw import CENTRED, coil_maps, image_of, lines, object_of, scan, spectrum, write

REAL = Path(os.environ.get("MRI_AMBIENT_REAL_DATA", "absent")) / "kspace"
SIGNS = (-1.0) ** np.add.outer(np.arange(48), np.arange(40))


def noted(scan, *words: str) -> bool:
    return any(all(word in note for word in words) for note in scan.notes)


# --- nothing is done to a scan that is as it should be ---------------------------------------------------------------

ORDINARY = {
    "plain": scan(),
    "noisy": scan(noise=0.2),
    "one coil": scan(coils=1, slices=5, noise=0.05),
    "one coil, one slice": scan(coils=1, slices=1),
    "many coils": scan(coils=16, slices=1),
    "two by two": scan(slices=2, coils=2),
    "more slices than coils": scan(slices=8, coils=3),
    "small": scan(rows=16, columns=12),
    "odd": scan(rows=45, columns=37),
    "oversampled": spectrum(np.pad(image_of(scan()), ((0, 0), (0, 0), (24, 24), (0, 0)))).astype(np.complex64),
    "off-centre object": (scan() * np.exp(0.9j * np.arange(40))).astype(np.complex64),
    "echo 3 early": np.roll(scan(), -3, -2),
    "no noise": scan(noise=0),
    "wraps": spectrum(image_of(scan()) + np.roll(image_of(scan()), 13, -1)).astype(np.complex64),
}


@pytest.mark.parametrize("kind", ORDINARY)
@pytest.mark.parametrize("sampling", ["all", "random", "equispaced", "gaussian", "poisson", "centre"])
def test_an_ordinary_scan_stays_as_it_is(kind, sampling, tmp_path):
    kspace = ORDINARY[kind]
    rows, columns = kspace.shape[-2:]
    if sampling == "centre":
        mask = np.abs(np.arange(columns) - columns // 2) < 4
    elif sampling == "all":
        mask = np.ones(columns, bool)
    else:
        everything = torch.ones(columns, dtype=torch.bool)
        mask = slice_mask("v", 0, sampling, 2.5, (4, 4), everything, rows).numpy()
    found = read_scan(write(tmp_path / "a.h5", kspace=kspace * mask))
    assert torch.equal(found.kspace, torch.from_numpy(kspace * mask))
    assert torch.equal(
        found.mask.expand(rows, columns), torch.from_numpy(np.broadcast_to(mask, (rows, columns)).copy())
    )
    assert not [note for note in found.notes if not note.startswith("columns") and "slices of one coil" not in note]


@pytest.mark.parametrize(("coils", "matrix"), [(1, 48), (4, 64), (12, 64)])
def test_a_simulated_scan_stays_as_it_is(coils, matrix, tmp_path):
    simulate_scan(tmp_path / "a.h5", 0, SimulateSettings(matrix=matrix, slices=3, coils=coils, seed=3))
    found = read_scan(tmp_path / "a.h5")
    assert found.fully_sampled
    assert not [note for note in found.notes if "slices of one coil" not in note]


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="needs real scans: MRI_AMBIENT_REAL_DATA/kspace/*.h5")
def test_real_scans_stay_as_they_are():
    for path in sorted(REAL.glob("*.h5")):
        assert read_scan(path).notes == ()


# --- where the centre of k-space is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [CENTRED, (-2,), (-1,)])
@pytest.mark.parametrize("sampling", ["all", "lines", "scattered"])
@pytest.mark.parametrize("shape", [(48, 40), (45, 37)])
def test_a_centre_in_the_corner_is_shifted(axes, sampling, shape, tmp_path):
    kspace = scan(rows=shape[0], columns=shape[1])
    if sampling == "lines":
        kspace = kspace * lines(shape[1])
    if sampling == "scattered":
        kspace = (
            kspace * slice_mask("v", 0, "poisson", 3, (8, 8), torch.ones(shape[1], dtype=torch.bool), shape[0]).numpy()
        )
    found = read_scan(write(tmp_path / "a.h5", kspace=np.fft.ifftshift(kspace, axes=axes)))
    assert torch.equal(found.kspace, torch.from_numpy(kspace))
    assert noted(found, "shifted to the middle", "numpy.fft.fftshift")


def test_the_mask_beside_it_is_shifted_too(tmp_path):
    mask, kspace = lines(40), scan()
    corner = {"kspace": np.fft.ifftshift(kspace, axes=CENTRED), "mask": np.fft.ifftshift(mask)}
    found = read_scan(write(tmp_path / "a.h5", **corner))
    assert torch.equal(found.mask[0], torch.from_numpy(mask))


@pytest.mark.parametrize(
    ("axis", "by", "told"), [(-1, 9, "column 29 of 40"), (-2, -14, "row 10 of 48"), (-1, 5, "column 25")]
)
def test_any_other_place_is_refused_with_the_shift(axis, by, told, tmp_path):
    path = write(tmp_path / "a.h5", kspace=np.roll(scan(), by, axis))
    with pytest.raises(UserError, match=told) as error:
        read_scan(path)
    assert f"numpy.roll(kspace, {-by}, axis={axis})" in str(error.value)
    assert "\n" not in str(error.value)


def test_readouts_cut_on_one_side_are_refused(tmp_path):
    """An asymmetric echo that was stored without its zeros: shifting would join the two ends of k-space."""
    with pytest.raises(UserError, match="add 16 rows of zeros before it"):
        read_scan(write(tmp_path / "a.h5", kspace=scan()[:, :, 16:]))


def test_slices_of_different_shifts_are_refused(tmp_path):
    kspace = scan(slices=3)
    kspace[2] = np.roll(kspace[2], 20, -1)
    with pytest.raises(UserError, match="column 0 in slice 2, at 20 in others"):
        read_scan(write(tmp_path / "a.h5", kspace=kspace))


# --- is it k-space -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_images_are_refused(noise, tmp_path):
    images = image_of(scan(noise=noise)).astype(np.complex64)
    for stored in (images, np.abs(images) + 0j, np.where(np.abs(images) > 0.2, images, 0)):
        with pytest.raises(UserError, match="holds images, not k-space; give their transform, numpy.fft"):
            read_scan(write(tmp_path / "a.h5", kspace=stored))


@pytest.mark.parametrize(("axis", "name"), [(-2, "rows"), (-1, "columns")])
def test_a_half_transformed_array_is_refused(axis, name, tmp_path):
    hybrid = image_of(scan(), (axis,)).astype(np.complex64)
    with pytest.raises(UserError, match=f"along its {name} already"):
        read_scan(write(tmp_path / "a.h5", kspace=hybrid))


@pytest.mark.parametrize(("signs", "axes"), [(SIGNS, "yx"), (SIGNS[:1], "x"), (SIGNS[:, :1], "y")])
@pytest.mark.parametrize("mask", [np.ones(40, bool), lines(40, centre=14)])
def test_images_half_a_field_of_view_off_are_put_back(signs, axes, mask, tmp_path):
    kspace = scan() * mask
    found = read_scan(write(tmp_path / "a.h5", kspace=(kspace * signs).astype(np.complex64)))
    np.testing.assert_array_equal(np.abs(image_of(found.kspace.numpy())), np.abs(image_of(kspace)))
    assert [axis for axis in "yx" if noted(found, "half a field of view off", f"(-1)^{axis}")] == list(axes)


def test_what_fft2_gives_is_centred_and_put_back(tmp_path):
    """Neither the image nor k-space was shifted."""
    images = image_of(scan())
    found = read_scan(write(tmp_path / "a.h5", kspace=np.fft.fft2(images, norm="ortho").astype(np.complex64)))
    np.testing.assert_allclose(np.abs(image_of(found.kspace.numpy())), np.abs(images), atol=1e-5)


def test_maps_beside_an_alternating_kspace_are_not_guessed_at(tmp_path):
    maps = np.broadcast_to(coil_maps(4, 48, 40), (2, 4, 48, 40)).astype(np.complex64)
    with pytest.raises(UserError, match="half a field of view off, and whether `sens_maps` do"):
        read_scan(write(tmp_path / "a.h5", kspace=(scan() * SIGNS).astype(np.complex64), sens_maps=maps))


# --- which axis is which -----------------------------------------------------------------------------------------------

ORDERS = {
    "coils last": (0, 2, 3, 1),
    "coils first": (1, 0, 2, 3),
    "all reversed": (3, 2, 1, 0),
    "y and x first": (2, 3, 1, 0),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("slices", "coils"), [(3, 6), (6, 3), (1, 8)])
@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_axes_in_another_order_are_found(order, slices, coils, noise, tmp_path):
    kspace = scan(slices, coils, noise=noise)
    path = tmp_path / "a.npy"
    np.save(path, kspace.transpose(ORDERS[order]))
    found = read_scan(path)
    wanted = kspace.swapaxes(-1, -2) if order == "all reversed" else kspace  # y and x can't be told from each other
    assert np.array_equal(found.kspace.numpy(), wanted)
    assert noted(found, "other axes than (slice, coil, y, x): transposed by")


def test_other_dimensions_than_four(tmp_path):
    coils, slices = scan(1, 6), scan(5, 1)
    for stored, wanted, told in (
        (coils[0], coils, "is the coils of one slice"),
        (slices[:, 0], slices, "is slices of one coil"),
        (slices[0, 0], slices[:1], "one slice of one coil"),
        (scan()[:, :, None], scan(), "of length 1 are left out"),
        (coils[:, :, None], coils, "of length 1 are left out"),
    ):
        found = read_scan(write(tmp_path / "a.h5", kspace=stored))
        assert np.array_equal(found.kspace.numpy(), wanted)
        assert noted(found, told)
    with pytest.raises(UserError, match=r"5 dimensions \(2, 4, 2, 48, 40\)"):
        read_scan(write(tmp_path / "a.h5", kspace=np.stack([scan(), scan()], 2)))


def test_slices_where_coils_belong_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"the 5 coils of `kspace` see the same image.*as \(slice, 1, y, x\)"):
        read_scan(write(tmp_path / "a.h5", kspace=scan(5, 1).swapaxes(0, 1)))


def test_axes_that_nothing_tells_are_refused(tmp_path):
    noise = np.random.default_rng(0).normal(size=(2, 64, 48, 8, 2)).view(np.complex128)[..., 0]
    with pytest.raises(UserError, match=r"looks as if its last axis were the coils.*transpose\(0, 3, 1, 2\)"):
        read_scan(write(tmp_path / "a.h5", kspace=noise))
    alike = spectrum(np.stack([object_of(48, 40)] * 6).reshape(2, 3, 48, 40))  # the same object everywhere
    with pytest.raises(
        UserError, match=r"which of the others is the coils can't be told.*\(0, 3, 1, 2\) or \(3, 0, 1, 2\)"
    ):
        read_scan(write(tmp_path / "a.h5", kspace=alike.transpose(0, 2, 3, 1)))


def test_real_and_imaginary_parts_are_joined(tmp_path):
    kspace = scan()
    record = np.empty(kspace.shape, [("real", "f4"), ("imag", "f4")])
    record["real"], record["imag"] = np.real(kspace), np.imag(kspace)
    for stored, told in (
        (record, "fields real and imag"),
        (np.stack([np.real(kspace), np.imag(kspace)], -1), "last axis of real"),
    ):
        found = read_scan(write(tmp_path / "a.h5", kspace=stored))
        assert np.array_equal(found.kspace.numpy(), kspace)
        assert noted(found, told)


def test_other_arrays_of_a_file_are_named(tmp_path):
    assert noted(
        read_scan(write(tmp_path / "a.h5", kspace=scan(), reference=scan())), "`kspace` is read, not reference"
    )
    np.savez(tmp_path / "a.npz", kspace=scan(), mask=lines(40))
    with pytest.raises(UserError, match=r"is an archive .*save the one array of k-space with numpy.save"):
        read_scan(tmp_path / "a.npz")


# --- numbers that can't be right ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e-38, 1e-30, 1e-20, 1e20, 1e30, 1e36])
def test_extreme_units_are_read_in_sane_ones(factor, tmp_path):
    kspace, noise = scan(), scan()[0, :, 0, :9]
    far = (kspace.astype(complex) * factor).astype(np.complex64)
    found = read_scan(write(tmp_path / "a.h5", kspace=far, noise=(noise.astype(complex) * factor).astype(np.complex64)))
    times = found.kspace.abs().max() / np.abs(kspace).max()
    assert 1e-3 < found.kspace.abs().max() < 1e3
    np.testing.assert_allclose(found.kspace / times, kspace, atol=1e-5 * np.abs(kspace).max())
    np.testing.assert_allclose(found.noise / times, noise, atol=1e-5 * np.abs(kspace).max())
    assert noted(found, "it is read times 2^")


@pytest.mark.parametrize("factor", [1e-280, 1e250])
def test_double_precision_may_be_further_off(factor, tmp_path):
    found = read_scan(write(tmp_path / "a.h5", kspace=scan().astype(complex) * factor))
    assert 0.1 < found.kspace.abs().max() < 10


def spoilt(value: complex) -> np.ndarray:
    kspace = scan()
    kspace[0, 1, 5, 7] = value
    return kspace


def one_hot() -> np.ndarray:
    kspace = np.zeros((1, 2, 32, 24), np.complex64)
    kspace[..., 16, 12] = 1
    return kspace


BAD: dict[str, Callable[[], dict[str, np.ndarray]]] = {
    r"spike at \(y, x\) = \(5, 7\)": lambda: {"kspace": spoilt(1e38)},
    "NaN or infinite": lambda: {"kspace": spoilt(np.inf)},
    r"spike at \(y, x\) = \(16, 12\), any number of": lambda: {"kspace": one_hot()},
    "is constant": lambda: {"kspace": np.full((1, 2, 32, 24), 1 + 2j)},
    "has no digits": lambda: {"kspace": (scan().astype(complex) * 1e-44).astype(np.complex64)},
    "`noise` reaches": lambda: {"kspace": scan(), "noise": 1e6 * scan()[0, :, 0, :9]},
}


@pytest.mark.parametrize("problem", BAD)
def test_numbers_that_make_no_image_are_refused(problem, tmp_path):
    path = write(tmp_path / "scan.h5", **BAD[problem]())
    with pytest.raises(UserError, match=problem) as error:
        read_scan(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_but_nan_is_told_too(tmp_path):
    for kspace in (scan() * np.nan, np.concatenate([scan(), scan(1) * np.nan])):
        with pytest.raises(UserError, match="NaN or infinite"):
            read_scan(write(tmp_path / "a.h5", kspace=kspace))
