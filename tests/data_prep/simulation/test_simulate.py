import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.anatomy import SLICE_SPAN, draw_subject
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate, simulate_folder, simulate_scan
from mri_ambient.errors import UserError
from mri_ambient.workflows.opening import truth_of

SETTINGS = SimulateSettings(matrix=32, slices=2, coils=3, seed=1)


def kspace(path) -> np.ndarray:
    with h5py.File(path) as file:
        return file["kspace"][:]


@pytest.fixture
def serial(monkeypatch) -> None:
    """No processes, which take seconds to start."""

    def run(function, jobs, *_) -> None:
        for job in jobs:
            function(*job)

    monkeypatch.setattr("mri_ambient.data_prep.simulation.simulate.run_jobs", run)


def test_a_subject_depends_on_its_number_and_seed_alone(tmp_path):
    simulate_folder(tmp_path / "three", 3, SETTINGS)
    simulate_scan(tmp_path / "second.h5", 1, SETTINGS)
    assert np.array_equal(kspace(tmp_path / "second.h5"), kspace(tmp_path / "three" / "subject_0001.h5"))
    simulate_scan(tmp_path / "other.h5", 1, SimulateSettings(matrix=32, slices=2, coils=3, seed=2))
    assert not np.array_equal(kspace(tmp_path / "second.h5"), kspace(tmp_path / "other.h5"))


def test_the_data_of_the_bundled_prior_are_still_drawn_so(tmp_path):
    """Another order of the random numbers changes all of these."""
    simulate_scan(tmp_path / "a.h5", 0, SimulateSettings(matrix=64, slices=4, coils=4, seed=3))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["acquisition"] == "SIMULATED T1"
        assert file.attrs["noise_std"] == pytest.approx(2.2871916e-07, rel=1e-4)
        assert file["kspace"][1, 2, 32, 31] == pytest.approx(2.0032943e-05 + 3.4705255e-05j, rel=1e-3)
        assert file["kspace"][3, 0, 1, 1] == pytest.approx(-4.123041e-07 - 6.3625487e-07j, rel=1e-2)


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


def test_a_rerun_keeps_what_is_there_and_refuses_another_setting(serial, tmp_path):
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
    def full_disk(rows: int, columns: int) -> str:
        assert [p.suffix for p in tmp_path.iterdir()] == [".partial"]
        raise OSError("disk full")

    monkeypatch.setattr("mri_ambient.data_prep.simulation.simulate._header", full_disk)
    with pytest.raises(OSError, match="disk full"):
        simulate_scan(tmp_path / "subject_0000.h5", 0, SETTINGS)
    assert not list(tmp_path.iterdir())


def images(path: Path) -> np.ndarray:
    """Coil images in the file's units over those of the noise-free simulation's greatest root-sum-of-squares."""
    found = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace(path), axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    return found / np.linalg.norm(found, axis=1).max()


def attributes(path: Path) -> dict:
    with h5py.File(path) as file:
        return dict(file.attrs)


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory) -> Path:
    """Two patients of study ms with two contrasts and one of unknown identity with one."""
    rng = np.random.default_rng(0)
    labels = [f"ms/p{p}/s1_{c}/{k}" for p in (1, 2) for c in ("T1", "FLAIR") for k in range(3)] + ["cheng/1", "cheng/2"]
    heads = np.zeros((len(labels), 40, 40))
    heads[:, 8:32, 8:32] = rng.uniform(0.3, 1, (len(labels), 24, 24))
    path = tmp_path_factory.mktemp("anatomy") / "heads.npz"
    np.savez(path, images=heads, labels=labels)
    return path


def test_the_heights_of_the_slices_are_those_of_the_coils(tmp_path):
    """Several slices span the template; a single one is anywhere in it, and so the coils must be told where."""
    low, high = SLICE_SPAN
    assert np.array_equal(draw_subject(32, 3, np.random.default_rng(0)).heights, np.linspace(low, high, 3))
    (height,) = draw_subject(32, 1, np.random.default_rng([1, 0])).heights
    assert low < height < high
    simulate_scan(tmp_path / "a.h5", 0, replace(SETTINGS, slices=1))
    assert kspace(tmp_path / "a.h5").shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("matrix", "coils"), [(50, 1), (65, 20), (33, 2)])
def test_any_matrix_and_any_number_of_coils(serial, tmp_path, anatomy, matrix, coils):
    for source in (None, str(anatomy)):
        settings = SimulateSettings(matrix=matrix, slices=2, coils=coils, anatomy=source, contrasts=("T1",))
        (path,) = simulate_folder(tmp_path / str(source is None), 1, settings)
        assert kspace(path).shape == (2, coils, matrix, matrix)
        assert np.isfinite(kspace(path)).all()


def test_contrasts_share_anatomy_and_coils_but_not_noise_or_phase(serial, tmp_path):
    settings = SimulateSettings(matrix=48, slices=2, coils=4, snr=1e9, contrasts=("T1", "T2"))
    silent = simulate_folder(tmp_path / "silent", 2, settings)
    assert [p.name for p in silent] == [f"subject_000{i}_{c}.h5" for i in (0, 1) for c in ("T1", "T2")]
    assert [attributes(p)["patient_id"] for p in silent] == ["subject_0000"] * 2 + ["subject_0001"] * 2
    assert [attributes(p)["acquisition"] for p in silent] == ["SIMULATED T1", "SIMULATED T2"] * 2
    t1, t2 = (images(path) for path in silent[:2])
    rss1, rss2 = (np.linalg.norm(x, axis=1) for x in (t1, t2))
    head = (rss1 > 0.02) & (rss2 > 0.02)
    assert head.sum() > 0.8 * (rss1 > 0.02).sum()
    assert np.corrcoef(rss1[head], rss2[head])[0, 1] < 0.95
    coils1, coils2 = (
        (x * x[:, :1].conj() / rss[:, None] ** 2).swapaxes(0, 1)[:, head] for x, rss in ((t1, rss1), (t2, rss2))
    )
    assert coils1 == pytest.approx(coils2, abs=1e-3)
    assert np.abs(np.angle(t1[:, 0] * t2[:, 0].conj())[head]).max() > 0.1

    loud = simulate_folder(tmp_path / "loud", 1, replace(settings, snr=20))
    noise = [(kspace(a) - kspace(b)).ravel() for a, b in zip(loud, silent[:2], strict=True)]
    assert abs(np.vdot(*noise)) / np.linalg.norm(noise[0]) / np.linalg.norm(noise[1]) < 0.03


def test_off_resonance_changes_the_phase_alone(tmp_path):
    settings = SimulateSettings(matrix=64, slices=2, coils=4, snr=1e9)
    simulate_scan(tmp_path / "off.h5", 0, settings)
    simulate_scan(tmp_path / "on.h5", 0, replace(settings, off_resonance=True))
    off, on = images(tmp_path / "off.h5"), images(tmp_path / "on.h5")
    assert np.linalg.norm(on, axis=1) == pytest.approx(np.linalg.norm(off, axis=1), abs=1e-4)
    head = np.linalg.norm(off, axis=1) > 0.05
    change = np.angle((on * off.conj()).sum(1))
    assert np.abs(change[0][head[0]]).max() > 1  # the lowest slice has the cavity
    assert np.abs(change[head]).mean() < 0.5  # and most of the head doesn't


def test_a_series_a_file_and_patients_in_turn(tmp_path, anatomy):
    settings = SimulateSettings(matrix=32, slices=2, coils=2, anatomy=str(anatomy))
    paths = simulate_folder(tmp_path, 4, settings, workers=2)
    assert {p.stem: attributes(p)["patient_id"] for p in paths} == {
        "subject_0000_s1_T1": "ms/p1",
        "subject_0000_s1_FLAIR": "ms/p1",
        "subject_0001_s1_T1": "ms/p2",
        "subject_0001_s1_FLAIR": "ms/p2",
        "subject_0002": "cheng/block_0000",
        "subject_0003_s1_T1": "ms/p1",
        "subject_0003_s1_FLAIR": "ms/p1",
    }
    first, again = (next(p for p in paths if p.stem == f"subject_{i}_s1_T1") for i in ("0000", "0003"))
    rss = [np.linalg.norm(images(p), axis=1) for p in (first, again)]
    assert np.corrcoef(rss[0].ravel(), rss[1].ravel())[0, 1] > 0.8  # one anatomy
    assert np.abs(np.angle((images(first) * images(again).conj()).sum(1))).mean() > 0.3  # another phase, other coils
    kept = attributes(first)
    assert kept["simulated"]
    assert kept["anatomy"] == "ms/p1"
    assert kept["acquisition"] == "SIMULATED s1_T1"


def test_a_series_depends_on_its_number_and_seed_alone(serial, tmp_path, anatomy):
    settings = SimulateSettings(matrix=32, slices=2, coils=2, anatomy=str(anatomy))
    first, *_ = simulate_folder(tmp_path / "two", 2, settings)
    simulate_folder(tmp_path / "again", 1, settings)
    assert np.array_equal(kspace(tmp_path / "again" / first.name), kspace(first))
    (flair, *_) = simulate_folder(tmp_path / "flair", 2, replace(settings, contrasts=("flair",)))
    assert flair.name == "subject_0000_s1_FLAIR.h5"
    assert np.array_equal(kspace(flair), kspace(tmp_path / "two" / flair.name))


def test_names_of_series_are_made_safe_for_files(serial, tmp_path):
    np.savez(tmp_path / "a.npz", images=np.ones((2, 8, 8)), labels=["a/b/T1 pre?/1", "a/b/T1:pre/1"])
    settings = SimulateSettings(matrix=32, slices=1, coils=1, anatomy=str(tmp_path / "a.npz"))
    paths = simulate_folder(tmp_path / "out", 1, settings)
    assert [p.name for p in paths] == ["subject_0000_T1%20pre%3F.h5", "subject_0000_T1%3Apre.h5"]


def test_unknown_contrasts(serial, tmp_path, anatomy):
    with pytest.raises(UserError, match="--contrasts T3: is not one of T1, T2, FLAIR, PD, T1-post; choose"):
        simulate_folder(tmp_path, 1, replace(SETTINGS, contrasts=("T1", "T3")))
    with pytest.raises(UserError, match="heads.npz: no series is called T2; choose .* s1_T1, s1_FLAIR, cheng"):
        simulate_folder(tmp_path, 1, replace(SETTINGS, anatomy=str(anatomy), contrasts=("T2",)))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_before_is_resumed(serial, tmp_path, anatomy):
    """Its settings don't tell of what was not an option then."""
    (path,) = simulate_folder(tmp_path, 1, SETTINGS)
    with h5py.File(path, "r+") as file:
        del file.attrs["anatomy"]
        old = {
            k: v
            for k, v in json.loads(file.attrs["settings"]).items()
            if k in ("matrix", "slices", "coils", "snr", "seed")
        }
        file.attrs["settings"] = json.dumps(old)
    stamp = path.stat().st_mtime_ns
    simulate_folder(tmp_path, 1, SETTINGS)
    assert path.stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="other settings"):
        simulate_folder(tmp_path, 1, replace(SETTINGS, off_resonance=True))


def test_another_patient_under_the_same_path_is_refused(serial, tmp_path):
    settings = SimulateSettings(matrix=32, slices=1, coils=1, anatomy=str(tmp_path / "a.npz"))
    for subject in ("p", "q"):
        np.savez(tmp_path / "a.npz", images=np.ones((1, 8, 8)), subjects=[subject])
        if subject == "p":
            simulate_folder(tmp_path / "out", 1, settings)
    with pytest.raises(UserError, match="other settings"):
        simulate_folder(tmp_path / "out", 1, settings)


def test_a_wrapped_scan_is_the_whole_one_folded(tmp_path):
    """Image for image, without noise and up to the arbitrary scale; so are the stated field of view and the RSS."""
    silent = replace(SETTINGS, matrix=64, snr=1e7)
    simulate_scan(tmp_path / "whole.h5", 0, silent)
    simulate_scan(tmp_path / "wrapped.h5", 0, replace(silent, wrap=0.25))
    whole, wrapped = images(tmp_path / "whole.h5"), images(tmp_path / "wrapped.h5")
    columns = wrapped.shape[-1]
    across = np.flatnonzero((np.abs(whole).sum(1) > 0.1 * np.abs(whole).sum(1).max()).any((0, 1)))
    assert columns == pytest.approx((np.ptp(across) + 1) / 1.25, abs=3)
    folded = np.zeros_like(wrapped)
    for column in range(64):
        folded[..., (column - 32 + columns // 2) % columns] += whole[..., column]
    scale = np.vdot(folded, wrapped) / np.vdot(folded, folded)
    assert np.linalg.norm(wrapped - scale * folded) < 1e-4 * np.linalg.norm(wrapped)
    with h5py.File(tmp_path / "wrapped.h5") as file:
        rss = file["reconstruction_rss"][:] / file.attrs["max"]
    np.testing.assert_allclose(rss, np.linalg.norm(wrapped, axis=1), rtol=0, atol=1e-5)
    scan = read_scan(tmp_path / "wrapped.h5")
    assert scan.field_of_view == pytest.approx((230, 230 * columns / 64))
    assert scan.fully_sampled


def test_noise_of_a_wrapped_scan_is_that_of_any(tmp_path):
    """The folded signal adds up, the receiver's noise does not."""
    simulate_scan(tmp_path / "a.h5", 0, replace(SETTINGS, matrix=64, wrap=0.25, snr=0.5))
    with h5py.File(tmp_path / "a.h5") as file:
        corner = file["kspace"][..., :12, :6]
        assert corner.real.std() == pytest.approx(file.attrs["noise_std"], rel=0.1)
        assert corner.imag.std() == pytest.approx(file.attrs["noise_std"], rel=0.1)


def test_files_without_wrap_do_not_know_of_it(serial, tmp_path):
    """So that they have the bytes they always had, and are resumed."""
    (path,) = simulate_folder(tmp_path, 1, SETTINGS)
    with h5py.File(path) as file:
        assert "wrap" not in json.loads(file.attrs["settings"])
    assert simulate_folder(tmp_path, 1, SETTINGS) == [path]
    with pytest.raises(UserError, match="other settings"):
        simulate_folder(tmp_path, 1, replace(SETTINGS, wrap=0.1))


@pytest.mark.parametrize("changed", [{}, {"contrasts": ("T2", "T1")}, {"wrap": 0.2}])
def test_in_memory_as_from_its_file(tmp_path, changed):
    settings = replace(SETTINGS, **changed)
    path = next(path for path in simulate_folder(tmp_path, 2, settings) if "subject_0001" in path.name)
    here, there = simulate(settings, subject=1), read_scan(path)
    assert here.name == there.name
    for name in ("kspace", "mask", "acquired"):
        assert torch.equal(getattr(here, name), getattr(there, name))
    for name in ("recon_rows", "field_of_view", "subject", "simulated", "notes"):
        assert getattr(here, name) == getattr(there, name)


def test_the_truth_without_noise_goes_along(tmp_path):
    """In the file and in memory; the rest is noise of the level that is stated."""
    settings = SimulateSettings(matrix=48, slices=2, coils=4, snr=10)
    (path,) = simulate_folder(tmp_path, 1, settings)
    for scan in (read_scan(path), simulate(settings)):
        assert scan.noiseless is not None
        noise = torch.view_as_real(scan.kspace - scan.noiseless)
        with h5py.File(path) as file:
            assert noise.std().item() == pytest.approx(float(file.attrs["noise_std"]), rel=0.02)
        assert not scan.notes
        assert torch.equal(scan[1:].noiseless, scan.noiseless[1:])


def test_errors_are_measured_against_it(tmp_path):
    """Nearer to nothing than the noisy scan is: of cg-sense from all lines only the noise is left."""
    settings = SimulateSettings(matrix=48, slices=1, coils=4, snr=10)
    scan = simulate(settings)
    volume = prepare(scan, PrepareSettings(accel=2, acs=8))
    truth, noisy = truth_of(scan, volume, "mvue")
    assert noisy is not None
    clean = replace(scan, kspace=scan.noiseless, noiseless=None)
    again, none = truth_of(
        clean, replace(volume, kspace=torch.zeros_like(volume.kspace), mask=volume.mask & False), "mvue"
    )
    assert none is None
    torch.testing.assert_close(truth, again)
    off = (noisy - truth).abs().square().mean().sqrt() / truth.abs().square().mean().sqrt()
    assert 0.02 < off < 0.5
    with h5py.File(simulate_folder(tmp_path, 1, settings)[0], "a") as file:
        file.attrs["simulated"] = False  # of a scanner nothing of the kind is believed
    assert read_scan(tmp_path / "subject_0000.h5").noiseless is None
