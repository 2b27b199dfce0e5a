from dataclasses import replace

import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.errors import UserError
from mri_ambient.measurement import measurement_of
from mri_ambient.recon.evaluate.model_check import check_model, looked_at, misfit
from mri_ambient.store import PreparedVolume


@pytest.fixture(scope="module", params=["lines", "poisson", "complete"])
def volume(request, scans) -> PreparedVolume:
    settings = {
        "lines": PrepareSettings(accel=3, acs=12),
        "poisson": PrepareSettings(accel=3, acs=16, mask="poisson"),
        "complete": PrepareSettings(acs=16),
    }
    return prepare(read_scan(scans / "subject_1.h5"), settings[request.param])


WRONG = {
    "coils in another order": lambda maps: maps.roll(1, 1),
    "two coils swapped": lambda maps: maps[:, [1, 0, 2, 3]],
    "shifted": lambda maps: maps.roll(12, -1),
    "half a field of view away": lambda maps: maps.roll(24, -2),
    "mirrored": lambda maps: maps.flip(-1),
    "conjugate": lambda maps: maps.conj().resolve_conj(),
}


def test_maps_that_explain_the_scan_pass_without_a_word(volume):
    assert check_model(volume) == []
    assert check_model(volume, force=True) == []


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_maps_are_refused_by_name_and_forced_with_a_warning(volume, kind):
    wrong = replace(volume, sens_maps=WRONG[kind](volume.sens_maps))
    with pytest.raises(
        UserError, match=rf"{volume.name}: the coil maps do not explain this scan: residual .* --force-model"
    ):
        check_model(wrong)
    (warning,) = check_model(wrong, force=True)
    assert warning.startswith("warning: the coil maps do not explain this scan: residual ")


def test_a_noise_level_that_is_an_upper_bound_hides_nothing(volume):
    loose = replace(volume, noise_std=4 * volume.noise_std)
    assert check_model(loose) == []
    with pytest.raises(UserError):
        check_model(replace(loose, sens_maps=loose.sens_maps.roll(1, 1)))


def test_the_slice_whose_maps_are_wrong_is_named(volume):
    maps = volume.sens_maps.clone()
    maps[2] = maps[2].roll(1, 0)
    (warning,) = check_model(replace(volume, sens_maps=maps), force=True)
    assert "do not explain slice 2 of this scan" in warning


def test_small_errors_of_maps_at_high_snr_matter_as_little_as_they_are(volume):
    """Noise a hundredth of what it is: maps that are 1 % off stand out of it, and are good enough."""
    measurement = measurement_of(volume)
    image = torch.where(measurement.operator.support, measurement.adjoint, 0)
    level = 0.01 * volume.noise_std
    noise = torch.randn(volume.kspace.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
    kspace = measurement.operator(image) + measurement.sense.apply_mask(2**0.5 * level[:, None, None, None] * noise)
    maps = volume.sens_maps * (1 + 0.01 * torch.linspace(-1, 1, 4)[:, None, None])
    quiet = replace(volume, kspace=kspace, sens_maps=maps, noise_std=level)
    assert float(misfit(looked_at(measurement_of(quiet))[1]).residual.min()) > 1.3
    assert check_model(quiet) == []


def test_noise_alone_has_a_residual_of_one_however_much_of_it_the_image_fits():
    for accel, coils in ((1, 6), (2, 6), (4, 6), (2, 3)):
        generator = torch.Generator().manual_seed(accel)
        maps = torch.randn(2, coils, 32, 48, dtype=torch.complex64, generator=generator)
        maps = maps / maps.norm(dim=1, keepdim=True)
        mask = (torch.arange(48) % accel == 0).expand(2, 1, 48)
        noise = torch.randn(2, coils, 32, 48, dtype=torch.complex64, generator=generator)
        volume = _volume(torch.where(mask[:, None], 0.05 * 2**0.5 * noise, 0), mask, maps, 0.05)
        residual = misfit(measurement_of(volume)).residual
        torch.testing.assert_close(residual, torch.ones(2), rtol=0, atol=0.05)


def test_one_coil_says_nothing_of_its_map(volume):
    one = _volume(volume.kspace[:, :1], volume.mask, torch.ones_like(volume.sens_maps[:, :1]), 1e-4)
    assert check_model(one) == []


def test_large_volumes_are_looked_at_in_part(volume, monkeypatch):
    whole = misfit(looked_at(measurement_of(volume))[1])
    monkeypatch.setattr("mri_ambient.recon.evaluate.model_check.WORK", 4 * 48 * 48 * 2)
    slices, part = looked_at(measurement_of(volume))
    assert part.kspace.numel() < volume.kspace.numel()
    if volume.mask.shape[-2] == 1:
        assert slices == [0, 1, 2, 3]
        torch.testing.assert_close(misfit(part).residual, whole.residual, rtol=0.15, atol=0)
    else:
        torch.testing.assert_close(misfit(part).residual, whole.residual[slices], rtol=0.1, atol=0)
    with pytest.raises(UserError):
        check_model(replace(volume, sens_maps=volume.sens_maps.roll(1, 1)))


def _volume(kspace: torch.Tensor, mask: torch.Tensor, maps: torch.Tensor, noise_std: float) -> PreparedVolume:
    return PreparedVolume(
        name="scan",
        kspace=kspace,
        mask=mask,
        acquired=torch.ones(kspace.shape[-1], dtype=torch.bool),
        sens_maps=maps,
        scale=torch.ones(len(kspace)),
        noise_std=torch.full((len(kspace),), noise_std),
        acs=(kspace.shape[-2], 8),
        coil_transform=torch.zeros(len(kspace), kspace.shape[1], kspace.shape[1], dtype=torch.complex64),
        provenance={},
    )
