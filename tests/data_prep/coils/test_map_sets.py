"""Two sets of maps where a head is wider than the field of view, one where it is not, whatever noise, ACS and coils."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import h5py
import pytest
import torch

from mri_ambient.bart import installed
from mri_ambient.data_prep.coils.calibration import EspiritSettings, calibrate
from mri_ambient.data_prep.coils.espirit import espirit, espirit_maps
from mri_ambient.data_prep.coils.map_sets import NEEDED, second_share
from mri_ambient.data_prep.coils.maps import bart_ecalib
from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.store import read_sampling, read_slice, read_volume, write_volume
from tests.folded import ACS, folded_scan


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    return folded_scan(tmp_path_factory.mktemp("folded"))


@pytest.mark.parametrize("coils", [4, 12])
@pytest.mark.parametrize("snr", [10.0, 60.0])
def test_a_head_that_wraps_is_known_from_one_that_does_not(tmp_path, coils, snr):
    """ACS from a narrow to a wide one; of two subjects."""
    shares = {}
    for wrap, subject in product((0.0, 0.15), range(2)):
        path = tmp_path / f"{wrap}_{subject}.h5"
        simulate_scan(path, subject, SimulateSettings(matrix=96, slices=1, wrap=wrap, coils=coils, snr=snr, seed=21))
        with h5py.File(path) as file:
            noise_std = float(file.attrs["noise_std"])
        kspace = read_scan(path).kspace
        for width in (10, 24, 40):
            found = max(second_share(calibrate(k, (kspace.shape[-2], width), noise_std)) for k in kspace)
            shares.setdefault(wrap, []).append(found)
    assert max(shares[0.0]) < NEEDED < min(shares[0.15])


def test_the_slices_share_the_number_that_the_second_eigenvalue_says(folded, scans):
    whole = read_scan(scans / "subject_0.h5")
    assert prepare(whole, PrepareSettings(acs=8)).sets == 1
    volume = prepare(folded, PrepareSettings(accel=2, acs=ACS))
    assert volume.sets == 2
    assert volume.second_maps.shape == volume.sens_maps.shape == volume.kspace.shape
    assert volume.provenance["maps"] == "joint, two sets"
    unrefined = prepare(folded, PrepareSettings(accel=2, acs=ACS, maps="espirit"))
    assert unrefined.provenance["maps"] == "espirit, two sets"
    assert not torch.equal(unrefined.second_maps, volume.second_maps)
    assert prepare(folded, PrepareSettings(acs=ACS, map_sets="1")).second_maps is None
    assert prepare(whole, PrepareSettings(acs=8, map_sets="2")).sets == 2


def test_one_set_is_the_same_maps_as_ever(folded, scans):
    scan = read_scan(scans / "subject_0.h5")
    auto, one = (prepare(scan, PrepareSettings(acs=8, map_sets=sets)) for sets in ("auto", "1"))
    assert torch.equal(auto.sens_maps, one.sens_maps)


def test_the_sets_are_orthonormal(folded):
    volume = prepare(folded, PrepareSettings(acs=ACS))
    for maps in (volume.sens_maps, volume.second_maps):
        norm = maps.abs().square().sum(1)
        assert ((norm - 1).abs().lt(1e-3) | norm.eq(0)).all()
    assert (volume.sens_maps.conj() * volume.second_maps).sum(1).abs().max() < 0.05
    image = volume.sense.adjoint(volume.kspace)
    assert volume.sense.gram(image).norm() <= 1.001 * image.norm()


def outside(images: torch.Tensor, sets: Sequence[torch.Tensor], where: torch.Tensor) -> float:
    """Root mean square of what maps leave of the coil images."""
    for maps in sets:
        images = images - maps * (maps.conj() * images).sum(0)
    return float(images.abs().square().mean(0)[where].mean().sqrt())


def test_the_second_set_explains_what_the_first_does_not(folded):
    """Where the head folds, one map leaves signal, two leave the noise of six of eight coils."""
    volume = prepare(folded, PrepareSettings(acs=24))
    images, sets = ifft2c(volume.kspace[0]), (volume.sens_maps[0], volume.second_maps[0])
    folds = espirit(volume.kspace[0], volume.acs, sets=2, settings=EspiritSettings(crop=0.9))[1].norm(dim=0) > 0
    noise = 2**0.5 * float(volume.noise_std[0])
    assert folds.sum() > 100
    assert outside(images, sets[:1], folds) > 1.1 * noise
    assert outside(images, sets, folds) < 0.9 * noise


def test_only_two_sets_are_in_the_file(folded, scans, tmp_path):
    one, two = (
        prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(acs=8)),
        prepare(folded, PrepareSettings(acs=ACS)),
    )
    for name, volume in (("one", one), ("two", two)):
        write_volume(tmp_path / f"{name}.h5", volume)
        assert read_sampling(tmp_path / f"{name}.h5").sets == volume.sets
    with h5py.File(tmp_path / "one.h5") as file:
        assert "second_maps" not in file
    assert read_volume(tmp_path / "one.h5").second_maps is None
    again = read_volume(tmp_path / "two.h5", slice(1, 2))
    assert torch.equal(again.second_maps, two.second_maps[1:])
    kspace, maps = read_slice(tmp_path / "two.h5", 1)
    assert torch.equal(maps, torch.cat([two.sens_maps, two.second_maps], 2)[1:])
    assert torch.equal(kspace, two.kspace[1:])


def test_who_has_one_set_alone_says_so(folded):
    for source in ("sigpy", "file"):
        scan = replace(folded, sens_maps=torch.ones_like(folded.kspace))
        with pytest.raises(UserError, match=f"--maps {source} has one set of maps"):
            prepare(scan, PrepareSettings(acs=ACS, maps=source, map_sets="2"))
    assert prepare(folded, PrepareSettings(acs=ACS, maps="sigpy")).sets == 1


def test_few_coils_have_no_second_set(folded):
    pair = replace(folded, kspace=folded.kspace[:, :2], noiseless=None)
    assert prepare(pair, PrepareSettings(acs=ACS)).sets == 1


@pytest.mark.bart
@pytest.mark.skipif(not installed(), reason="needs the BART toolbox: apt-get install bart, pip install mrbart")
def test_both_sets_span_what_barts_span(folded):
    """Where the second eigenvalue is surely near 1: degrees from each of BART's maps to the plane of ours."""
    kspace = prepare(folded, PrepareSettings(acs=24)).kspace[0]
    calibration = calibrate(kspace, (80, 24))
    ours, theirs = espirit_maps(calibration, 2, 0.95), bart_ecalib(calibration, 2, 0.95)
    both = (ours[1].norm(dim=0) > 0) & (theirs[1].norm(dim=0) > 0)
    assert both.sum() > 100
    for one in theirs:
        inside = sum((maps.conj() * one).sum(0).abs().square() for maps in ours).sqrt().clamp_max(1)
        degrees = torch.rad2deg(torch.arccos(inside))[both]
        assert degrees.median() < 2
        assert degrees.quantile(0.95) < 8
