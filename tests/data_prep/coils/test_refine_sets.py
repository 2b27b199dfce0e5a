"""Two sets refined from all measured lines, of an object that folds onto itself."""

import numpy as np
import pytest
import torch

from mri_ambient.data_prep.acs import only_acs
from mri_ambient.data_prep.coils.espirit import espirit
from mri_ambient.data_prep.coils.map_sets import CROP
from mri_ambient.data_prep.coils.refine_sets import refine_sets
from mri_ambient.data_prep.simulation.anatomy import smooth_noise
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.masks import slice_mask
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import data_consistency

SIZE, WIDE, ACS, NOISE = 64, 80, 7, 0.01


class Folded:
    """An object a quarter wider than the field of view, R=3, 8 coils, few ACS lines."""

    def __init__(self, seed: int = 3):
        rng = np.random.default_rng(seed)
        image = 0.5 + 0.5 * np.tanh(2 * smooth_noise((1, WIDE, WIDE), (1, 3, 3), rng)[0])
        fields = torch.from_numpy(draw_coils(8, WIDE, np.array([0.0]), 230.0, rng)[0])
        coil_images = torch.from_numpy(image) * fields
        coil_images = coil_images[:, (WIDE - SIZE) // 2 :][:, :SIZE].to(torch.complex64)
        margin = (WIDE - SIZE) // 2
        folded = coil_images[..., margin : margin + SIZE].clone()
        folded[..., -margin:] += coil_images[..., :margin]
        folded[..., :margin] += coil_images[..., -margin:]
        folded /= folded.norm(dim=0).quantile(0.99)
        self.truth, self.acs = folded.norm(dim=0), (SIZE, ACS)
        self.mask = slice_mask("folded", seed, "random", 3, self.acs, torch.ones(SIZE, dtype=torch.bool), SIZE)
        noise = torch.randn(folded.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
        self.kspace = torch.where(self.mask, fft2c(folded) + 2**0.5 * NOISE * noise, 0)
        self.estimated = self.espirit(self.kspace)

    def espirit(self, kspace: torch.Tensor) -> torch.Tensor:
        return espirit(only_acs(kspace, self.acs), self.acs, NOISE, sets=2, crop=CROP)

    def refined(self, kspace: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return refine_sets(kspace, self.mask, maps, NOISE, self.acs)

    def error(self, maps: torch.Tensor) -> float:
        """Of CG-SENSE's images together, against the root sum of squares."""
        found = data_consistency(Sense(torch.cat(list(maps), -2), self.mask, 2), self.kspace, None, 1e-2, 30)
        return float((found.unflatten(-2, (2, -1)).norm(dim=0) - self.truth).norm() / self.truth.norm())


@pytest.fixture(scope="module")
def case() -> Folded:
    return Folded()


def test_what_the_acs_leaves_wrong_is_mended(case):
    assert case.error(case.refined(case.kspace, case.estimated)) < 0.9 * case.error(case.estimated)


def test_the_sets_are_orthonormal_and_the_second_lies_near_the_edges(case):
    maps = case.refined(case.kspace, case.estimated)
    assert maps is not case.estimated
    norms = maps.norm(dim=1)
    assert torch.equal(norms[0] > 0, case.estimated[0].norm(dim=0) > 0)
    torch.testing.assert_close(norms[norms > 0], torch.ones(int((norms > 0).sum())))
    assert (maps[0].conj() * maps[1]).sum(0).abs().max() < 1e-4
    assert not norms[1][:, SIZE // 2 - SIZE // 4 : SIZE // 2 + SIZE // 4].any()
    assert norms[1][:, [0, -1]].gt(0).float().mean() > 0.9


def test_only_measured_samples_matter_and_again_gives_the_same(case):
    maps = case.refined(case.kspace, case.estimated)
    assert torch.equal(case.refined(case.kspace, case.estimated), maps)
    poisoned = torch.where(case.mask, case.kspace, 1e3)
    torch.testing.assert_close(case.refined(poisoned, case.estimated), maps, rtol=0, atol=1e-3)


def test_maps_that_predict_held_out_lines_worse_are_not_taken(case, monkeypatch):
    """Coils stiffer than these."""
    monkeypatch.setattr("mri_ambient.data_prep.coils.refine_sets.ROUGHNESS", 1e9)
    monkeypatch.setattr("mri_ambient.data_prep.coils.refine_sets.STAY", 0.0)
    assert case.refined(case.kspace, case.estimated) is case.estimated


def test_without_outer_lines_there_is_nothing_to_judge_by(case):
    alone = torch.zeros_like(case.mask)
    alone[:, SIZE // 2 - ACS // 2 : SIZE // 2 - ACS // 2 + ACS] = True
    kspace = torch.where(alone, case.kspace, 0)
    assert refine_sets(kspace, alone, case.estimated, NOISE, case.acs) is case.estimated
