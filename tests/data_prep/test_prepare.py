from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.acs import only_acs
from mri_ambient.data_prep.coils import calibration
from mri_ambient.data_prep.coils.calibration import EspiritSettings
from mri_ambient.data_prep.coils.whitening import covariance, whitener
from mri_ambient.data_prep.prepare import PrepareSettings, acs_scale, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import fft2c, fftc, ifft2c, ifftc
from mri_ambient.store import read_volume, write_volume
from tests.operators import random_complex

SETTINGS = PrepareSettings(accel=3, acs=8)


def test_prepared_volume(undersampled):
    volume = undersampled
    assert volume.kspace.shape == volume.sens_maps.shape == (4, 4, 48, 48)
    assert volume.mask.shape == (4, 1, 48)
    assert (volume.mask.sum(-1) == 16).all()
    assert not torch.equal(volume.mask[0], volume.mask[1])
    assert volume.accel == pytest.approx(3)
    assert (volume.kspace[(~volume.mask).unsqueeze(1).expand_as(volume.kspace)] == 0).all()
    acs = only_acs(volume.kspace, volume.acs)
    torch.testing.assert_close(torch.stack([acs_scale(k) for k in acs]), torch.ones(4), rtol=1e-4, atol=0)
    assert volume.provenance["simulated"]


def test_the_noise_level_is_an_upper_bound_near_the_truth(scans):
    volume = prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(acs=8))
    with h5py.File(scans / "subject_0.h5") as file:
        truth = file.attrs["noise_std"] / volume.scale
    assert ((volume.noise_std / truth) > 0.9).all()
    assert ((volume.noise_std / truth) < 2.5).all()


def test_dead_coils_do_not_lower_the_noise_level(scans):
    """Two of four coils without signal or noise: the level is that of a scan of the other two."""
    scan = read_scan(scans / "subject_0.h5")
    noise = random_complex((4, 4000), 0, torch.complex64) * scan.kspace.abs().max() / 1000
    dead = torch.tensor([1.0, 0.0, 1.0, 0.0])
    quiet = replace(scan, kspace=scan.kspace * dead[:, None, None], noise=noise * dead[:, None])
    fewer = replace(scan, kspace=scan.kspace[:, ::2], noise=noise[::2])
    levels = [prepare(scan, PrepareSettings(acs=8, coils=2)).noise_std for scan in (quiet, fewer)]
    torch.testing.assert_close(*levels, rtol=0.02, atol=0)


@pytest.mark.parametrize("kind", ["random", "equispaced", "gaussian", "poisson"])
def test_nothing_off_the_mask_reaches_the_volume(scans, tmp_path, kind):
    """Two scans that differ only in unmeasured samples give bit-identical files: k-space, maps, noise, hashes and all."""
    settings = PrepareSettings(accel=3, acs=8, mask=kind)
    scan = read_scan(scans / "subject_0.h5")
    volume = prepare(scan, settings)
    measured = volume.mask.unsqueeze(1).expand_as(scan.kspace)
    other = replace(scan, kspace=torch.where(measured, scan.kspace, 1e3 * scan.kspace.abs().max()))
    again = prepare(other, settings)
    assert not torch.equal(complete(scan, volume).kspace, complete(other, again).kspace)
    write_volume(tmp_path / "a.h5", volume)
    write_volume(tmp_path / "b.h5", again)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_complete_shares_maps_and_scale(scans):
    scan = read_scan(scans / "subject_0.h5")
    volume = prepare(scan, SETTINGS)
    whole = complete(scan, volume)
    assert whole.fully_sampled
    assert not volume.fully_sampled
    assert torch.equal(torch.where(volume.mask.unsqueeze(1), whole.kspace, 0), volume.kspace)


def test_round_trip(undersampled, tmp_path):
    write_volume(tmp_path / "subject_0.h5", undersampled)
    volume = read_volume(tmp_path / "subject_0.h5")
    for key in ("kspace", "mask", "acquired", "sens_maps", "scale", "noise_std", "coil_transform", "coil_return"):
        assert torch.equal(getattr(volume, key), getattr(undersampled, key))
    assert volume.acs == undersampled.acs


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
    assert prepare(read_scan(path), PrepareSettings()).acs == (48, 9)


def test_poisson_masks_reach_the_volume(scans):
    volume = prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(accel=4, acs=8, mask="poisson"))
    assert volume.mask.shape == (4, 48, 48)
    assert (volume.mask.sum((1, 2)) == 48 * 48 // 4).all()
    assert volume.acs == (8, 8)
    assert volume.accel == pytest.approx(4)


def scan_with(kspace: torch.Tensor, tmp_path, **more) -> Scan:
    lines = torch.ones(1, kspace.shape[-1], dtype=torch.bool)
    return Scan(tmp_path / "scan.h5", "test", kspace, lines, lines[0], **more)


def test_noise_is_white_in_the_files_units_and_its_level_known(tmp_path):
    """Coils with correlated noise of different levels, and a noise scan that tells of it."""
    mixing = random_complex((6, 6), 1, torch.complex64) / 6 + torch.eye(6)
    mixing = mixing * torch.tensor([1.0, 1, 5, 1, 0.2, 1])[:, None]
    noise = mixing @ random_complex((6, 20000), 2, torch.complex64)
    image = torch.zeros(1, 6, 64, 64, dtype=torch.complex64)
    image[..., 20:44, 20:44] = 40 * random_complex((1, 6, 1, 1), 3, torch.complex64)
    added = (mixing @ random_complex((6, 64 * 64), 4, torch.complex64)).view(1, 6, 64, 64)
    volume = prepare(scan_with(fft2c(image) + added, tmp_path, noise=noise), PrepareSettings(acs=16))
    psi = covariance(volume.coil_transform[0] @ (mixing @ random_complex((6, 50000), 5, torch.complex64)))
    expected = 2 * volume.noise_std[0] ** 2  # of a complex sample
    torch.testing.assert_close(psi, torch.eye(6) * expected + 0j, rtol=0.05, atol=0.05 * float(expected))
    level = covariance(noise).diagonal().real.mean()
    torch.testing.assert_close(2 * (volume.noise_std[0] * volume.scale[0]) ** 2, level, rtol=0.05, atol=0)


def test_many_coils_become_a_fixed_number_and_the_complete_scan_follows(tmp_path):
    """64 coils that see 5 different things: 8 virtual ones keep all of it."""
    sources = random_complex((1, 5, 40, 40), 0, torch.complex64)
    kspace = torch.einsum("vc,scyx->svyx", random_complex((64, 5), 1, torch.complex64), fft2c(sources))
    noise = random_complex((64, 4000), 2, torch.complex64)
    scan = scan_with(kspace, tmp_path, noise=noise)
    volume = prepare(scan, PrepareSettings(accel=2, acs=12))
    whole = complete(scan, volume)
    assert volume.kspace.shape == volume.sens_maps.shape == (1, 8, 40, 40)
    assert volume.provenance["coils"] == [64, 8]
    assert volume.provenance["coil_energy_kept"] > 0.999
    assert torch.equal(torch.where(volume.mask.unsqueeze(1), whole.kspace, 0), volume.kspace)
    everything = (whitener(covariance(noise)) @ kspace[0].flatten(1)).norm() * covariance(
        noise
    ).diagonal().real.mean().sqrt()
    torch.testing.assert_close(whole.kspace[0].norm() * volume.scale[0], everything, rtol=1e-3, atol=0)


def test_the_files_own_maps_win_and_follow_the_coils(tmp_path):
    maps = random_complex((1, 3, 32, 32), 1, torch.complex64)
    maps = maps / maps.norm(dim=1, keepdim=True)
    image = random_complex((1, 1, 32, 32), 2, torch.complex64)
    scan = scan_with(fft2c(maps * image), tmp_path, sens_maps=maps, noise=random_complex((3, 5000), 4, torch.complex64))
    volume = prepare(scan, PrepareSettings(acs=8))
    assert volume.provenance["maps"] == "file"
    images = ifft2c(volume.kspace)
    combined = volume.sens_maps * (volume.sens_maps.conj() * images).sum(1, keepdim=True)
    torch.testing.assert_close(combined, images, rtol=1e-3, atol=1e-4)
    assert prepare(scan, PrepareSettings(acs=8, maps="espirit")).provenance["maps"] == "espirit"
    with pytest.raises(UserError, match="holds no `sens_maps`"):
        prepare(replace(scan, sens_maps=None), PrepareSettings(acs=8, maps="file"))


def test_maps_that_vanish_where_there_is_signal_are_refused(scans):
    scan = read_scan(scans / "subject_0.h5")
    maps = prepare(scan, PrepareSettings(acs=8)).sens_maps
    prepare(replace(scan, sens_maps=maps), PrepareSettings(acs=8))
    half = torch.where(torch.arange(48) < 24, maps, 0)
    with pytest.raises(
        UserError, match=r"subject_0\.h5: the `sens_maps` of slice 0 are 0 where \d\d% of the signal is"
    ):
        prepare(replace(scan, sens_maps=half), PrepareSettings(acs=8))


def test_one_coil_and_a_dead_coil(tmp_path, scans):
    one = read_scan(scans / "subject_0.h5")
    volume = prepare(replace(one, kspace=one.kspace[:, :1].clone()), PrepareSettings(acs=8))
    magnitude = volume.sens_maps.abs()
    assert (magnitude.eq(0) | (magnitude - 1).abs().lt(1e-5)).all()
    dead = one.kspace.clone()
    dead[:, 2] = 0
    volume = prepare(replace(one, kspace=dead), PrepareSettings(acs=8))
    for key in ("kspace", "sens_maps"):
        assert torch.isfinite(torch.view_as_real(getattr(volume, key))).all()
    assert volume.sens_maps[:, 2].abs().max() < 1e-3


def test_fewer_lines_than_a_kernel_still_calibrate_and_fewer_than_four_are_refused(scans):
    scan = read_scan(scans / "subject_0.h5")
    assert prepare(scan, PrepareSettings(acs=4)).acs == (48, 4)
    with pytest.raises(UserError, match="ask for 4 to 48 --acs lines"):
        prepare(scan, PrepareSettings(acs=3))


def test_a_reference_scan_calibrates_and_is_nothing_else(scans):
    """Lines of another contrast and gain: the maps come from them, k-space and its scale from the image's own lines."""
    scan = read_scan(scans / "subject_0.h5")
    mask = (torch.arange(48) % 2 == 0)[None]
    undersampled = replace(scan, kspace=torch.where(mask, scan.kspace, 0), mask=mask)
    turned = 7 * ifft2c(scan.kspace) * torch.exp(2j * ifft2c(scan.kspace).abs() / ifft2c(scan.kspace).abs().max())
    centre = (torch.arange(48) - 24).abs() < 8
    reference = torch.where(centre, fft2c(turned), 0)
    volume = prepare(replace(undersampled, reference=reference), PrepareSettings())
    own = prepare(scan, PrepareSettings(acs=15))
    assert volume.accel == pytest.approx(2)
    assert volume.provenance["calibrated_on"].startswith("48x15 reference lines")
    torch.testing.assert_close(volume.scale, own.scale, rtol=0.2, atol=0)
    torch.testing.assert_close(
        volume.kspace * volume.scale[:, None, None, None],
        torch.where(mask, own.kspace * own.scale[:, None, None, None], 0),
        rtol=0.05,  # the level of each coil's noise is found in other lines
        atol=1e-4,
    )
    bright = ifft2c(scan.kspace).norm(dim=1) > 0.2 * ifft2c(scan.kspace).norm(dim=1).max()
    both = bright & (volume.sens_maps.norm(dim=1) > 0) & (own.sens_maps.norm(dim=1) > 0)
    cosine = (volume.sens_maps.conj() * own.sens_maps).sum(1).abs()[both]
    assert cosine.quantile(0.05) > 0.97
    wide = replace(
        undersampled, reference=_oversampled(reference), kspace=_oversampled(undersampled.kspace), recon_rows=48
    )
    cropped = prepare(wide, PrepareSettings())
    assert cropped.provenance["calibrated_on"].startswith("48x15 reference lines")
    alike = (cropped.sens_maps.conj() * volume.sens_maps).sum(1).abs()[both]
    assert alike.quantile(0.05) > 0.97
    apart = replace(undersampled, reference=torch.where(mask, 0, reference))
    with pytest.raises(UserError, match="reference scan has"):
        prepare(apart, PrepareSettings())


def _oversampled(kspace: torch.Tensor) -> torch.Tensor:
    """Twice the field of view along the readout, empty at its ends."""
    return fftc(torch.nn.functional.pad(ifftc(kspace, (-2,)), (0, 0, 24, 24)), (-2,))


def test_a_noise_scan_that_is_asked_for_has_to_be_there(scans):
    with pytest.raises(UserError, match="holds no noise scan"):
        prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(whiten="noise-scan"))


def test_espirits_settings_are_followed_and_kept(scans):
    scan = read_scan(scans / "subject_0.h5")
    usual = prepare(scan, PrepareSettings(acs=12, maps="espirit"))
    assert usual.provenance["settings"]["espirit"] == asdict(EspiritSettings())
    for changed in ({"crop": 0.95}, {"kernel": 4}, {"largest_box": 8}, {"threshold": 0.3}, {"edge": 20.0}):
        other = prepare(scan, PrepareSettings(acs=12, maps="espirit", espirit=EspiritSettings(**changed)))
        assert not torch.equal(other.sens_maps, usual.sens_maps), changed
        assert torch.equal(other.kspace, usual.kspace)
        assert other.provenance["settings"]["espirit"] == asdict(EspiritSettings(**changed))
    sigpys = (PrepareSettings(acs=12, maps="sigpy", espirit=EspiritSettings(toolbox_crop=crop)) for crop in (0.8, 0.99))
    one, other = (prepare(scan, settings).sens_maps for settings in sigpys)
    assert not torch.equal(one, other)


def test_each_slices_kernels_are_computed_once(scans, monkeypatch):
    """For its maps, and for whether it needs a second set."""
    seen = []
    compute = calibration.kernel_correlation
    monkeypatch.setattr(calibration, "kernel_correlation", lambda *given: seen.append(given) or compute(*given))
    volume = prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(acs=12, maps="espirit"))
    assert len(seen) == len(volume.kspace)
