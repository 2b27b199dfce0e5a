"""Training data that can't teach what they should."""

import shutil

import h5py
import numpy as np
import pytest

from mri_ambient.errors import UserError
from mri_ambient.training.checks import check_measured_lines, check_noise_levels, identifiability
from mri_ambient.training.data import MeasuredSlices, read_volumes


def with_mask(prepared, folder, mask: np.ndarray):
    """The prepared volumes behind one mask, the same in all slices."""
    folder.mkdir()
    for path in prepared.glob("*.h5"):
        copy = shutil.copy(path, folder / path.name)
        with h5py.File(copy, "r+") as file:
            file["mask"][:] = mask
    return folder


def every_fourth_and_the_acs() -> np.ndarray:
    mask = np.zeros(48, bool)
    mask[::4] = True
    mask[20:28] = True
    return mask


def test_masks_that_differ_and_cover_everything_raise_no_warning(prepared):
    assert list(identifiability(MeasuredSlices(read_volumes(prepared), (2.0,), "random"))) == []


def test_the_same_lines_in_every_scan(prepared, tmp_path):
    data = MeasuredSlices(
        read_volumes(with_mask(prepared, tmp_path / "same", every_fourth_and_the_acs())), (4.0,), "random"
    )
    (warning,) = identifiability(data)
    assert "30 of 48 lines" in warning
    assert "all have the same mask" in warning


def test_equispaced_lines_give_away_the_rest(prepared):
    (warning,) = identifiability(MeasuredSlices(read_volumes(prepared), (2.0,), "equispaced"))
    assert "q = 0" in warning
    assert list(identifiability(MeasuredSlices(read_volumes(prepared), (1.0,), "equispaced"))) == []


def test_lines_that_the_stated_kind_of_mask_cannot_have(prepared, tmp_path):
    mask = every_fourth_and_the_acs()
    mask[1] = True
    folder = with_mask(prepared, tmp_path / "odd", mask)
    check_measured_lines(MeasuredSlices(read_volumes(folder), (4.0,), "random"))
    with pytest.raises(UserError, match=r"subject_0\.h5: slice 0 has line \d+.*--mask random"):
        check_measured_lines(MeasuredSlices(read_volumes(folder), (4.0,), "equispaced"))


@pytest.mark.parametrize("kind", ["random", "equispaced", "gaussian"])
def test_masks_of_their_own_kind_are_possible(prepared, kind):
    check_measured_lines(MeasuredSlices(read_volumes(prepared), (2.0, 4.0), kind))


@pytest.mark.parametrize("level", [0.0, float("nan")])
def test_no_noise_level(prepared, tmp_path, level):
    check_noise_levels(MeasuredSlices(read_volumes(prepared), (2.0,), "random"), "noise-aware")
    folder = with_mask(prepared, tmp_path / "silent", np.ones(48, bool))
    with h5py.File(folder / "subject_1.h5", "r+") as file:
        file["noise_std"][2] = level
    with pytest.raises(UserError, match=r"subject_1\.h5: states no noise level.*--loss weighted"):
        check_noise_levels(MeasuredSlices(read_volumes(folder), (2.0,), "random"), "noise-aware")
