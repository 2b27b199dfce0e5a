import h5py
import numpy as np
import pytest

from data_prep.simulate import SimulateSettings, simulate_folder, simulate_scan
from mri_ambient.errors import UserError

SETTINGS = SimulateSettings(matrix=32, slices=2, coils=3, seed=1)


def kspace(path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["kspace"][:]


def test_a_subject_depends_on_its_number_and_seed_alone(tmp_path):
    simulate_folder(tmp_path / "three", 3, SETTINGS)
    simulate_scan(tmp_path / "second.h5", 1, SETTINGS)
    assert np.array_equal(kspace(tmp_path / "second.h5"), kspace(tmp_path / "three" / "subject_0001.h5"))
    simulate_scan(tmp_path / "other.h5", 1, SimulateSettings(matrix=32, slices=2, coils=3, seed=2))
    assert not np.array_equal(kspace(tmp_path / "second.h5"), kspace(tmp_path / "other.h5"))


def test_layout_and_label(scans):
    with h5py.File(scans / "subject_0.h5") as file:
        assert file["kspace"].shape == (4, 4, 48, 48)
        assert file["kspace"].dtype == np.complex64
        assert file["reconstruction_rss"].shape == (4, 48, 48)
        assert file.attrs["max"] == pytest.approx(file["reconstruction_rss"][:].max())
        assert file.attrs["simulated"]
        assert file.attrs["acquisition"].startswith("SIMULATED")


def test_signal_to_noise_is_as_stated(tmp_path):
    """The noise level of the corner of the image, which is air, against the mean signal of the head."""
    simulate_scan(tmp_path / "a.h5", 0, SimulateSettings(matrix=64, slices=3, coils=4, snr=20.0))
    data = kspace(tmp_path / "a.h5")
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(data, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    corner = images[:, :, :5, :5]
    noise = np.sqrt((corner.real.var() + corner.imag.var()) / 2)
    rss = np.linalg.norm(images, axis=1)
    signal = rss[rss > 6 * noise].mean()
    with h5py.File(tmp_path / "a.h5") as file:
        assert noise == pytest.approx(file.attrs["noise_std"], rel=0.15)
    assert signal / noise == pytest.approx(20, rel=0.25)


def test_a_rerun_keeps_what_is_there_and_refuses_another_setting(tmp_path):
    (path,) = simulate_folder(tmp_path, 1, SETTINGS)
    stamp = path.stat().st_mtime_ns
    simulate_folder(tmp_path, 1, SETTINGS)
    assert path.stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="other settings"):
        simulate_folder(tmp_path, 1, SimulateSettings(matrix=32, slices=2, coils=4, seed=1))
    assert path.stat().st_mtime_ns == stamp


def test_stated_noise_is_the_noise_added(tmp_path):
    """Against the same subject without noise: white, circular, and of the standard deviation in the file."""
    loud, silent = tmp_path / "loud.h5", tmp_path / "silent.h5"
    simulate_scan(loud, 0, SimulateSettings(matrix=64, slices=3, coils=4, snr=20.0))
    simulate_scan(silent, 0, SimulateSettings(matrix=64, slices=3, coils=4, snr=1e9))
    noise = kspace(loud) - kspace(silent)
    with h5py.File(loud) as file:
        stated = file.attrs["noise_std"]
    assert noise.real.std() == pytest.approx(stated, rel=0.02)
    assert noise.imag.std() == pytest.approx(stated, rel=0.02)
    assert abs(np.corrcoef(noise.real.ravel(), noise.imag.ravel())[0, 1]) < 0.02


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(matrix: int) -> str:
        assert [p.suffix for p in tmp_path.iterdir()] == [".partial"]
        raise OSError("disk full")

    monkeypatch.setattr("data_prep.simulate._header", full_disk)
    with pytest.raises(OSError, match="disk full"):
        simulate_scan(tmp_path / "subject_0000.h5", 0, SETTINGS)
    assert not list(tmp_path.iterdir())
