import numpy as np
import pytest
import torch

from mri_ambient.bart import bart, installed
from mri_ambient.data_prep.acs import only_acs
from mri_ambient.data_prep.coils.espirit import espirit
from mri_ambient.data_prep.coils.refine import cosines, refine_maps
from mri_ambient.data_prep.simulation.anatomy import smooth_noise
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.masks import slice_mask
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import data_consistency

SIZE, ACS, NOISE = 80, 10, 0.02


class Case:
    """An object that fills the field of view, whose coils differ on both of its sides; R=4, 8 coils, few ACS lines."""

    def __init__(self, seed: int = 4, kind: str = "random"):
        rng = np.random.default_rng(seed)
        image = 0.5 + 0.5 * np.tanh(2 * smooth_noise((1, SIZE, SIZE), (1, 3, 3), rng)[0])
        phase = smooth_noise((1, SIZE, SIZE), (1, 20, 20), rng)[0]
        fields = torch.from_numpy(draw_coils(8, SIZE, np.array([0.0]), 230.0, rng)[0])
        rss = fields.norm(dim=0)
        self.maps = (fields / rss).to(torch.complex64)
        self.image = (torch.from_numpy(image * np.exp(1j * phase)) * rss).to(torch.complex64)
        self.image = self.image / self.image.abs().quantile(0.99)
        everywhere = torch.ones(SIZE, dtype=torch.bool)
        self.acs = (16, 16) if kind == "poisson" else (SIZE, ACS)
        self.mask = slice_mask("case", seed, kind, 4, self.acs, everywhere, SIZE)
        noise = torch.randn(self.maps.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
        kspace = fft2c(self.maps * self.image) + 2**0.5 * NOISE * noise
        self.kspace = torch.where(self.mask, kspace, 0)
        self.estimated = espirit(only_acs(self.kspace, self.acs), self.acs, NOISE)[0]

    def refined(self, maps: torch.Tensor) -> torch.Tensor:
        return refine_maps(self.kspace, self.mask, maps, NOISE, self.acs)

    def error(self, maps: torch.Tensor) -> float:
        """NRMSE of CG-SENSE against the noiseless image."""
        found = data_consistency(Sense(maps, self.mask), self.kspace, None, 1e-2, 30)
        return float((found.abs() - self.image.abs()).norm() / self.image.norm())


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.mark.parametrize("kind", ["random", "poisson"])
def test_maps_that_the_acs_leaves_wrong_become_nearly_as_good_as_the_true_ones(kind):
    case = Case(kind=kind)
    true = case.error(case.maps)
    assert case.error(case.estimated) > 1.3 * true  # else nothing is shown
    assert case.error(case.refined(case.estimated)) < 1.1 * true


@pytest.mark.parametrize("weight", [1e3, 1e9])
def test_maps_too_stiff_for_these_coils_are_not_taken(case, monkeypatch, weight):
    monkeypatch.setattr("mri_ambient.data_prep.coils.refine.SMOOTHNESS", (weight, 6))
    assert case.refined(case.maps) is case.maps
    assert case.error(case.refined(case.estimated)) <= case.error(case.estimated)


def test_good_maps_stay_good(case):
    assert case.error(case.refined(case.maps)) < 1.02 * case.error(case.maps)


def test_unit_norm_on_the_same_support_and_the_same_phase_reference(case):
    estimated = case.estimated.clone()
    estimated[:, :9, :7] = 0
    refined = case.refined(estimated)
    assert refined is not estimated
    norm = refined.norm(dim=0)
    assert torch.equal(norm > 0, estimated.norm(dim=0) > 0)
    torch.testing.assert_close(norm[norm > 0], torch.ones(int((norm > 0).sum())))
    overlap = (case.estimated.conj() * refined).sum(0)
    assert overlap[30:50, 30:50].angle().abs().max() < 0.2


def test_only_measured_samples_matter_and_again_gives_the_same(case):
    refined = case.refined(case.estimated)
    assert torch.equal(refined, case.refined(case.estimated))
    hidden = torch.where(case.mask, case.kspace, 1e3)
    torch.testing.assert_close(
        refine_maps(hidden, case.mask, case.estimated, NOISE, case.acs), refined, rtol=0, atol=1e-4
    )


def test_nothing_to_learn_from(case):
    mask = torch.zeros_like(case.mask)
    mask[:, SIZE // 2 - ACS // 2 : SIZE // 2 + ACS // 2] = True  # the ACS alone
    assert refine_maps(case.kspace * mask, mask, case.estimated, NOISE, case.acs) is case.estimated
    one = torch.ones(1, SIZE, SIZE, dtype=torch.complex64)
    assert refine_maps(case.kspace[:1], case.mask, one, NOISE, case.acs) is one


def test_a_pixel_has_its_place_whatever_the_matrix():
    for size in (96, 97, 130):
        torch.testing.assert_close(cosines(size)[:, size // 2], cosines(64)[:, 32], rtol=0, atol=1e-5)
    torch.testing.assert_close(cosines(128)[:, ::2], cosines(64))


def test_no_worse_than_joint_estimation_elsewhere(case):
    """sigpy's JSENSE, and BART's NLINV where it is installed; both take all measured lines."""
    from sigpy.mri.app import JsenseRecon

    ours = case.error(case.refined(case.estimated))
    kspace = case.kspace.numpy()
    weights = case.mask.expand(8, SIZE, SIZE).float().numpy()
    found = JsenseRecon(kspace, mps_ker_width=12, ksp_calib_width=SIZE, weights=weights, show_pbar=False).run()
    assert ours < 1.02 * case.error(unit(torch.from_numpy(found)))
    if installed():
        _, found = bart("nlinv -i 9", case.kspace.permute(1, 2, 0)[:, :, None].numpy(), outputs=2, threads=1)
        maps = torch.from_numpy(np.ascontiguousarray(found.reshape(SIZE, SIZE, 8))).permute(2, 0, 1)
        assert ours < 1.02 * case.error(unit(maps))


def unit(maps: torch.Tensor) -> torch.Tensor:
    return (maps / maps.norm(dim=0).clamp_min(1e-12)).to(torch.complex64)
