import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readout import crop_readout
from mri_ambient.data_prep.simulation.simulate import _header
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import fft2c
from tests.operators import random_complex


def kspace(rows: int = 32, columns: int = 24, slices: int = 2, coils: int = 3) -> np.ndarray:
    return random_complex((slices, coils, rows, columns), 0, torch.complex64).numpy()


def write(path, **datasets):
    with h5py.File(path, "w") as file:
        for key, value in datasets.items():
            file[key] = value
    return path


def test_training_layout(scans):
    scan = read_scan(scans / "subject_0.h5")
    assert scan.kspace.shape == (4, 4, 48, 48)
    assert scan.mask.shape == (1, 48)
    assert scan.mask.all()
    assert scan.field_of_view == (230.0, 230.0)
    assert scan.simulated


def test_test_layout_with_its_mask(tmp_path):
    mask = np.zeros(24, bool)
    mask[::3] = mask[8:16] = True
    scan = read_scan(write(tmp_path / "a.h5", kspace=kspace() * mask, mask=mask.astype(np.float32)))
    assert torch.equal(scan.mask[0], torch.from_numpy(mask))
    assert scan.acquired.all()


def test_bare_undersampled_lines_and_samples(tmp_path):
    lines = np.zeros(24, bool)
    lines[[2, 5, 11, 12, 13, 20]] = True
    scan = read_scan(write(tmp_path / "lines.h5", kspace=kspace() * lines))
    assert scan.mask.shape == (1, 24)
    assert torch.equal(scan.mask[0], torch.from_numpy(lines))
    samples = np.random.default_rng(0).random((32, 24)) < 0.3
    scan = read_scan(write(tmp_path / "samples.h5", kspace=kspace() * samples))
    assert torch.equal(scan.mask, torch.from_numpy(samples))


def test_slices_that_are_sampled_differently_are_refused(tmp_path):
    """Their union would pass for measured; a slice without anything is blank, not undersampled."""
    data = kspace(slices=3)
    data[1] = 0
    assert read_scan(write(tmp_path / "blank.h5", kspace=data)).mask.all()
    data[2, ..., [3, 8]] = 0
    with pytest.raises(UserError, match="slice 2 lacks 2 lines that other slices have"):
        read_scan(write(tmp_path / "lines.h5", kspace=data))
    scattered = kspace() * (np.random.default_rng(0).random((2, 1, 32, 24)) < 0.3)
    with pytest.raises(UserError, match="slice 0 lacks .* samples that other slices have"):
        read_scan(write(tmp_path / "samples.h5", kspace=scattered))


def test_a_line_mask_stored_for_every_row_is_a_line_mask(tmp_path):
    lines = np.zeros(24, bool)
    lines[[2, 5, 11, 12, 13, 20]] = True
    scan = read_scan(write(tmp_path / "a.h5", kspace=kspace() * lines, mask=np.tile(lines, (32, 1))))
    assert torch.equal(scan.mask, torch.from_numpy(lines)[None])


def test_stray_zeros_do_not_make_a_line_unmeasured(tmp_path):
    data = kspace()
    data[..., 3, 7] = 0
    assert read_scan(write(tmp_path / "a.h5", kspace=data)).mask.all()


def test_zero_padding_is_not_acquired(tmp_path):
    data = kspace()
    data[..., :4] = data[..., -3:] = 0
    scan = read_scan(write(tmp_path / "a.h5", kspace=data))
    assert scan.acquired.sum() == 17
    assert torch.equal(scan.mask[0], scan.acquired)
    header = _header(24, 24).replace(
        "<maximum>23</maximum><center>12</center>", "<maximum>16</maximum><center>8</center>"
    )
    undersampled = data.copy()
    undersampled[..., 5:9] = 0
    scan = read_scan(write(tmp_path / "b.h5", kspace=undersampled, ismrmrd_header=header))
    assert scan.acquired.nonzero().squeeze(1).tolist() == list(range(4, 21))
    assert scan.mask.sum() == 17 - 4


def test_readout_oversampling_is_removed_at_unit_noise_gain(tmp_path):
    image = torch.zeros(1, 2, 64, 24, dtype=torch.complex64)
    image[..., 16:48, :] = random_complex((1, 2, 32, 24), 1, torch.complex64)
    header = (
        _header(24, 24)
        .replace("<encodedSpace><matrixSize><x>24</x>", "<encodedSpace><matrixSize><x>64</x>")
        .replace("<fieldOfView_mm><x>230.0</x>", "<fieldOfView_mm><x>460.0</x>", 1)
        .replace("<reconSpace><matrixSize><x>24</x>", "<reconSpace><matrixSize><x>32</x>")
    )
    scan = read_scan(write(tmp_path / "a.h5", kspace=fft2c(image).numpy(), ismrmrd_header=header))
    assert scan.recon_rows == 32
    torch.testing.assert_close(crop_readout(scan.kspace, scan), fft2c(image[..., 16:48, :]), rtol=1e-5, atol=1e-5)


def test_a_header_of_another_array_is_not_followed(tmp_path):
    """fastMRI brain files exist whose header is wider than their k-space."""
    header = _header(24, 24).replace("<reconSpace><matrixSize><x>24</x>", "<reconSpace><matrixSize><x>320</x>")
    scan = read_scan(write(tmp_path / "a.h5", kspace=kspace(), ismrmrd_header=header))
    assert scan.recon_rows is None


def test_swapped_axes_are_turned(tmp_path):
    data = kspace(rows=24, columns=32)  # the readout last
    header = _header(24, 24).replace("<encodedSpace><matrixSize><x>24</x>", "<encodedSpace><matrixSize><x>32</x>")
    scan = read_scan(write(tmp_path / "a.h5", kspace=data, ismrmrd_header=header))
    assert torch.equal(scan.kspace, torch.from_numpy(data).transpose(-1, -2))
    assert scan.acquired.shape == (24,)
    assert "axes are swapped" in scan.notes[0]


def nan(data: np.ndarray) -> np.ndarray:
    data[0, 0, 1, 1] = np.nan
    return data


BAD = {
    "no `kspace`": {"image": np.zeros(3)},
    "3 dimensions": {"kspace": kspace()[0]},
    "not complex": {"kspace": kspace().real},
    "is empty": {"kspace": kspace()[:0]},
    "zero everywhere": {"kspace": 0 * kspace()},
    "NaN": {"kspace": nan(kspace())},
    "does not fit k-space": {"kspace": kspace(), "mask": np.ones(23)},
    "keeps no measured sample": {"kspace": kspace(), "mask": np.zeros(24)},
    "can't be read": {"kspace": kspace(), "ismrmrd_header": b"<broken"},
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_content_is_told_in_one_sentence(problem, tmp_path):
    path = write(tmp_path / "scan.h5", **BAD[problem])
    with pytest.raises(UserError, match=problem) as error:
        read_scan(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_not_whole_hdf5(tmp_path, scans):
    text = tmp_path / "text.h5"
    text.write_text("hello")
    with pytest.raises(UserError, match="is not a scan in a known format"):
        read_scan(text)
    truncated = tmp_path / "truncated.h5"
    whole = (scans / "subject_0.h5").read_bytes()
    truncated.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="truncated or damaged"):
        read_scan(truncated)
    with pytest.raises(UserError, match="no such file"):
        read_scan(tmp_path / "absent.h5")


def test_too_few_central_lines(tmp_path):
    lines = np.zeros(24, bool)
    lines[::3] = True
    scan = read_scan(write(tmp_path / "a.h5", kspace=kspace() * lines))
    with pytest.raises(UserError, match="central lines"):
        prepare(scan, PrepareSettings())
