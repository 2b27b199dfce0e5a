import multiprocessing
import os
import signal
import time

import h5py
import numpy as np
import pytest
import torch

from data_prep import prepare as module
from data_prep.prepare import PrepareSettings, acs_scale, centre_mask, complete, prepare, prepare_file, prepare_folder
from data_prep.readers import read_scan
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.store import read_volume

SETTINGS = PrepareSettings(accel=3, acs=8)


def test_prepared_volume(undersampled):
    volume = undersampled
    assert volume.kspace.shape == volume.sens_maps.shape == (4, 4, 48, 48)
    assert volume.mask.shape == (4, 1, 48)
    assert (volume.mask.sum(-1) == 16).all()
    assert not torch.equal(volume.mask[0], volume.mask[1])
    assert volume.accel == pytest.approx(3)
    assert (volume.kspace[(~volume.mask).unsqueeze(1).expand_as(volume.kspace)] == 0).all()
    acs = volume.kspace * centre_mask(volume.acs, 48, 48)
    torch.testing.assert_close(torch.stack([acs_scale(k) for k in acs]), torch.ones(4), rtol=1e-4, atol=0)
    assert volume.provenance["simulated"]


def test_the_noise_level_is_an_upper_bound_near_the_truth(scans):
    volume = prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(acs=8))
    with h5py.File(scans / "subject_0.h5") as file:
        truth = file.attrs["noise_std"] / volume.scale
    assert ((volume.noise_std / truth) > 0.9).all()
    assert ((volume.noise_std / truth) < 2.5).all()


def test_nothing_off_the_mask_reaches_the_volume(scans, tmp_path):
    """Two scans that differ only in unmeasured samples give bit-identical volumes."""
    scan = read_scan(scans / "subject_0.h5")
    volume = prepare(scan, SETTINGS)
    unmeasured = (~volume.mask).unsqueeze(1).expand_as(scan.kspace)
    other = scan.kspace.clone()
    other[unmeasured] = 1e3
    again = prepare(type(scan)(**{**vars(scan), "kspace": other}), SETTINGS)
    for key in ("kspace", "mask", "sens_maps", "scale", "noise_std"):
        assert torch.equal(getattr(volume, key), getattr(again, key))


def test_complete_shares_maps_and_scale(scans):
    scan = read_scan(scans / "subject_0.h5")
    volume = prepare(scan, SETTINGS)
    whole = complete(scan, volume)
    assert whole.fully_sampled
    assert not volume.fully_sampled
    assert torch.equal(torch.where(volume.mask.unsqueeze(1), whole.kspace, 0), volume.kspace)


def test_round_trip_and_rerun(scans, tmp_path):
    source, target = scans / "subject_0.h5", tmp_path / "subject_0.h5"
    assert prepare_file(source, target, SETTINGS)
    stamp = target.stat().st_mtime_ns
    assert not prepare_file(source, target, SETTINGS)
    assert target.stat().st_mtime_ns == stamp
    volume, direct = read_volume(target), prepare(read_scan(source), SETTINGS)
    for key in ("kspace", "mask", "acquired", "sens_maps", "scale", "noise_std"):
        assert torch.equal(getattr(volume, key), getattr(direct, key))
    assert volume.acs == direct.acs
    assert prepare_file(source, target, PrepareSettings(accel=4, acs=8))


def test_a_bad_file_is_reported_and_the_rest_go_on(scans, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a_bad.h5").write_text("no")
    os.link(scans / "subject_0.h5", folder / "b_good.h5")
    done, skipped, errors = prepare_folder(folder, tmp_path / "out", PrepareSettings(acs=8))
    assert (done, skipped, len(errors)) == (1, 0, 1)
    assert "a_bad.h5" in str(errors[0])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b_good.h5"]


def test_no_half_file_under_the_final_name(tmp_path):
    target = tmp_path / "file.h5"
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def _write_slowly(path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        time.sleep(60)


def test_a_killed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "file.h5"
    target.write_text("old")
    child = multiprocessing.get_context("spawn").Process(target=_write_slowly, args=(target,))
    child.start()
    while not list(tmp_path.glob("*.partial")):
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert target.read_text() == "old"


def test_too_large_an_acceleration_names_file_and_remedy(scans):
    with pytest.raises(UserError, match=r"subject_0.h5: R=40 leaves 1 of 48 lines.*smaller --accel"):
        prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(accel=40, acs=8))


def test_undersampling_twice_is_refused(scans, tmp_path):
    mask = np.zeros(48, bool)
    mask[::4] = mask[20:28] = True
    path = tmp_path / "a.h5"
    with h5py.File(scans / "subject_0.h5") as file, h5py.File(path, "w") as out:
        out["kspace"] = file["kspace"][:] * mask
    with pytest.raises(UserError, match="already undersampled"):
        prepare(read_scan(path), PrepareSettings(accel=4))
    assert module.prepare(read_scan(path), PrepareSettings()).acs == (48, 9)
