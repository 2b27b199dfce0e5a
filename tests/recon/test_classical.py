from dataclasses import replace

import numpy as np
import pytest
import torch
from sigpy.mri.app import SenseRecon

from data_prep.prepare import PrepareSettings, complete, prepare
from data_prep.readers import read_scan
from recon.classical import cg_sense, l1_wavelet, zero_filled
from recon.metrics import nrmse
from recon.problem import Problem, problem_of
from recon.reconstruct import reference_image


@pytest.fixture(scope="module")
def problem(undersampled) -> Problem:
    return problem_of(undersampled, slice(2, 3))


def test_cg_sense_equals_sigpy(problem):
    mask = problem.sense.mask[0].expand(problem.matrix).float().numpy()
    app = SenseRecon(
        problem.kspace[0].numpy(), problem.sense.maps[0].numpy(), lamda=0.01, weights=mask, max_iter=60, show_pbar=False
    )
    ours, theirs = cg_sense(problem, 0.01, 60)[0], app.run()
    assert np.linalg.norm(ours.numpy() - theirs) < 1e-3 * np.linalg.norm(theirs)


@pytest.mark.parametrize("accel", [2, 3, 4])
def test_better_than_zero_filled(accel, scans):
    scan = read_scan(scans / "subject_1.h5")
    volume = prepare(scan, PrepareSettings(accel=accel, acs=8))
    reference = (reference_image(complete(scan, volume)) / volume.scale[:, None, None]).abs().numpy()
    problem = problem_of(volume, slice(2, 3))

    def error(image: torch.Tensor) -> float:
        return nrmse(reference[2:3], image.abs().numpy())

    zero = error(zero_filled(problem))
    assert error(cg_sense(problem)) < zero
    assert error(l1_wavelet(problem)) < zero


def test_unmeasured_nan_does_not_matter(problem):
    hidden = torch.where(problem.sense.mask, problem.kspace, torch.nan)
    poisoned = replace(problem, kspace=hidden)
    assert torch.equal(zero_filled(poisoned), zero_filled(problem))
    assert torch.equal(cg_sense(poisoned), cg_sense(problem))
