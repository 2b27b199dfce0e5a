"""Magnitudes as the root sum of squares over the receive coils."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readout import crop_readout
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.errors import UserError
from mri_ambient.measurement import magnitude
from mri_ambient.physics.fourier import fft2c
from mri_ambient.recon.choices import Choices
from mri_ambient.recon.reconstruct import CPU, reference_image
from mri_ambient.recon.reference import MVUE, RSS, as_rss, reference_of, rss_of, scaled
from mri_ambient.recon.run_methods import Tools, run_methods
from mri_ambient.store import read_volume, write_volume
from tests.operators import random_complex

SIZE, SIGNALS, RECEIVE = 48, 5, 12


def noiseless(noise_scan: bool, oversampled: bool = False) -> Scan:
    """A disc seen by RECEIVE coils that mix what SIGNALS do: compression to 8 loses nothing. The last coil is dead."""
    axis = torch.linspace(-1, 1, SIZE)
    radius = torch.hypot(axis[:, None], 1.3 * axis)
    image = torch.sigmoid((0.7 - radius) * 20) * torch.exp(1j * axis[:, None]) * (1.2 + torch.sin(6 * axis))
    maps = torch.from_numpy(draw_coils(SIGNALS, SIZE, np.zeros(1), 230.0, np.random.default_rng(0)))
    mixing = random_complex((RECEIVE, SIGNALS), 1, torch.complex64) * torch.logspace(-1, 1, RECEIVE)[:, None]
    mixing[-1] = 0
    maps = torch.einsum("rv,svyx->sryx", mixing, maps)
    images, rows = image * maps, None
    if oversampled:
        empty = torch.zeros(1, RECEIVE, SIZE // 2, SIZE, dtype=torch.complex64)
        images, rows = torch.cat([empty, images, empty], -2), SIZE
    noise = random_complex((RECEIVE, RECEIVE), 2, torch.complex64) @ random_complex((RECEIVE, 4000), 3, torch.complex64)
    noise[-1] = 0
    everything = torch.ones(SIZE, dtype=torch.bool)
    kspace = fft2c(images)
    return Scan(
        source="scan",
        format="made up",
        kspace=kspace,
        mask=everything[None],
        acquired=everything,
        recon_rows=rows,
        noise=noise if noise_scan else None,
        sens_maps=maps,
    )


@pytest.mark.parametrize("oversampled", [False, True])
@pytest.mark.parametrize("coils", [8, 12])
@pytest.mark.parametrize("whiten", ["auto", "none"])
@pytest.mark.parametrize("noise_scan", [False, True])
def test_the_gain_leads_back_to_the_receive_coils(noise_scan, whiten, coils, oversampled):
    """Through whitening that mixes the coils, compression without loss, and with a dead coil."""
    scan = noiseless(noise_scan, oversampled)
    volume = prepare(scan, PrepareSettings(coils=coils, whiten=whiten, acs=16))
    assert volume.kspace.shape[1] == coils
    raw = rss_of(crop_readout(scan.kspace, scan))
    found = as_rss(reference_image(volume)[:, None], volume)[:, 0].abs()
    head = raw > 0.1 * raw.max()
    assert head.float().mean() > 0.2
    torch.testing.assert_close(found[head], raw[head], rtol=1e-3, atol=0)
    received = torch.einsum("srv,svyx->sryx", volume.coil_return, volume.kspace)
    whole = crop_readout(scan.kspace, scan)
    assert (received - whole).norm() < 1e-3 * whole.norm()
    ratio = (reference_image(volume).abs() / raw)[head]
    assert (
        noise_scan is False or whiten == "none" or ratio.std() > 0.05 * ratio.mean()
    )  # the MVUE is not shaded like it


def test_a_fastmri_file_has_the_same_rss(scans):
    """`reconstruction_rss` of a file in fastMRI's layout, whose noise our images lack: with estimated maps."""
    path = scans / "subject_0.h5"
    with h5py.File(path) as file:
        theirs = torch.from_numpy(file["reconstruction_rss"][:])
    scan = read_scan(path)
    volume = prepare(scan, PrepareSettings(acs=12))
    reference = reference_of(complete(scan, volume), RSS, scan.kspace)
    torch.testing.assert_close(reference.abs(), theirs, rtol=1e-4, atol=1e-5 * float(theirs.max()))
    torch.testing.assert_close(reference_of(volume, RSS).abs(), theirs, rtol=1e-3, atol=1e-3 * float(theirs.max()))
    mvue = reference_of(volume, MVUE)
    head = (theirs > 0.3 * theirs.max()) & (mvue != 0)
    torch.testing.assert_close(reference.angle()[head], mvue.angle()[head], rtol=0, atol=1e-3)
    ours = as_rss(mvue[:, None], volume)[:, 0].abs()
    assert ((ours - theirs).abs() / theirs)[head].quantile(0.95) < 0.05
    assert ((ours - theirs)[head].norm() / theirs[head].norm()) < 0.03


def test_two_sets_add_in_the_coils(undersampled):
    """Against the sum in every receive coil, pixel by pixel; the reference has the RSS of the raw coils as its magnitude."""
    first = undersampled.sens_maps
    other = random_complex(first.shape, 4, torch.complex64) * (first != 0)
    second = other - first * (first.conj() * other).sum(1, keepdim=True)
    norm = second.norm(dim=1, keepdim=True)
    second = second / torch.where(norm > 0, norm, 1)
    second[:, :, :20] = 0  # where one set is enough
    volume = replace(undersampled, second_maps=second)
    rows = first.shape[-2]
    images = random_complex((4, 3, 2 * rows, first.shape[-1]), 5, torch.complex64)
    one, two = images[:, :, :rows], images[:, :, rows:]
    seen = first[:, None] * one[:, :, None] + second[:, None] * two[:, :, None]
    back = volume.coil_return / volume.scale[:, None, None]
    truth = torch.einsum("srv,skvyx->skryx", back, seen).norm(dim=2)
    torch.testing.assert_close(
        magnitude(as_rss(images, volume), rows), truth, rtol=1e-4, atol=1e-5 * float(truth.max())
    )
    raw = random_complex(volume.kspace.shape, 6, torch.complex64)
    reference = reference_of(volume, RSS, raw)
    torch.testing.assert_close(magnitude(reference, rows), rss_of(raw), rtol=1e-4, atol=1e-5)


def test_what_compression_lost_is_not_in_it():
    """Of five signals four remain: less than the whole, never more, and said."""
    scan = noiseless(noise_scan=False)
    volume = prepare(scan, PrepareSettings(coils=4, whiten="none", acs=16))
    kept = rss_of(torch.einsum("srv,svyx->sryx", volume.coil_return, volume.kspace))
    raw = rss_of(scan.kspace)
    assert (kept <= raw * (1 + 1e-3) + 1e-4 * raw.max()).all()
    assert kept.square().sum() < (1 - 1e-4) * raw.square().sum()
    outcome = run_methods(volume, None, Choices(("zero-filled",), "zero-filled", magnitude=RSS), Tools({}, {}, CPU))
    assert "compression to 4 virtual coils left out" in outcome.notes[-1]
    assert "root sum of squares over the receive coils (RSS), without noise" in outcome.notes[-1]


def test_all_of_a_reconstruction_is_in_its_magnitude(undersampled, scans):
    """Mean, std and samples by one factor a pixel; residuals and errors on hidden lines are those of what was reconstructed."""
    scan = read_scan(scans / "subject_0.h5")
    whole = complete(scan, undersampled)
    outcomes = {
        magnitude: run_methods(
            undersampled,
            reference_of(whole, magnitude, scan.kspace),
            Choices(("zero-filled", "cg-sense"), "cg-sense", magnitude=magnitude),
            Tools({}, {}, CPU),
        )
        for magnitude in (MVUE, RSS)
    }
    gain = as_rss(torch.ones_like(undersampled.kspace[:, :1]), undersampled)[:, 0]
    assert (gain.imag == 0).all()
    gain = gain.real
    for name in ("zero-filled", "cg-sense"):
        plain, other = (outcomes[magnitude].reconstructions[name] for magnitude in (MVUE, RSS))
        torch.testing.assert_close(other.mean, plain.mean * gain)
        assert torch.equal(other.measured_residual, plain.measured_residual)
        assert torch.equal(outcomes[MVUE].held_out.errors[name], outcomes[RSS].held_out.errors[name])
    one = outcomes[MVUE].reconstructions["cg-sense"]
    two = replace(one, samples=one.samples * torch.tensor([1.0, 1.2])[:, None, None])
    torch.testing.assert_close(scaled(two, undersampled).std, two.std * gain)
    assert two.std.max() > 0


def test_a_volume_of_an_earlier_version(undersampled, tmp_path):
    write_volume(tmp_path / "scan.h5", undersampled)
    torch.testing.assert_close(read_volume(tmp_path / "scan.h5").coil_return, undersampled.coil_return)
    with h5py.File(tmp_path / "scan.h5", "r+") as file:
        del file["coil_return"]
    old = read_volume(tmp_path / "scan.h5")
    assert torch.equal(reference_of(old, MVUE), reference_of(undersampled, MVUE))
    with pytest.raises(UserError, match="scan: was prepared by an earlier version, .*; prepare it again, or leave out"):
        run_methods(old, None, Choices(("cg-sense",), "cg-sense", magnitude=RSS), Tools({}, {}, CPU))
