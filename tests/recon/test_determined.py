import torch

from mri_ambient.physics.sense import Sense
from recon import determined
from recon.determined import SPREAD, determined_share
from recon.problem import Problem, problem_of
from tests.recon.gaussian import ACCELS, SIZE, gaussian_case


def test_the_diagonal_of_the_posterior(monkeypatch):
    """1 - posterior variance / prior variance of a white Gaussian prior, from the matrices."""
    problem = gaussian_case(correlated=False).problem
    basis = torch.eye(SIZE**2, dtype=torch.complex64).reshape(-1, 1, SIZE, SIZE)
    normal = problem.sense.normal(basis.expand(-1, len(ACCELS), -1, -1)).flatten(2).permute(1, 2, 0)
    weight = float(problem.noise[0] / SPREAD) ** 2
    inverse = torch.linalg.inv(normal.to(torch.complex128) + weight * torch.eye(SIZE**2))
    exact = (1 - weight * inverse.diagonal(dim1=1, dim2=2).real).reshape(len(ACCELS), SIZE, SIZE).float()
    few = determined_share(problem, "a", 0)
    assert (few - exact).abs().mean() < 0.1
    monkeypatch.setattr(determined, "PROBES", 2000)
    many = determined_share(problem, "a", 0)
    assert (many - exact).abs().max() < 0.05
    by_accel = many.mean((-2, -1))
    assert by_accel[0] > by_accel[1] > by_accel[2]


def test_all_measured_is_all_determined_and_air_is_not(undersampled):
    part = problem_of(undersampled, slice(0, 1))
    maps = torch.where(torch.arange(48) < 10, 0, part.sense.maps)
    whole = Problem(part.kspace, Sense(maps, torch.ones(1, 1, 48, dtype=torch.bool)), part.noise_std, part.acs)
    share = determined_share(whole, "a", 0)
    assert (share[..., :10] == 0).all()
    assert share[whole.sense.support].min() > 0.98
    assert torch.equal(share, determined_share(whole, "a", 0))
