import torch

from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import conjugate_gradient, data_consistency
from tests.operators import random_complex


def problem() -> tuple[Sense, torch.Tensor]:
    maps = random_complex((3, 4, 6, 7), 0)
    maps /= maps.abs().square().sum(-3, keepdim=True).sqrt()
    mask = torch.rand(3, 1, 7, generator=torch.Generator().manual_seed(1)) < 0.5
    sense = Sense(maps, mask)
    return sense, sense.keep(random_complex((3, 4, 6, 7), 2))


def dense(sense: Sense, index: int) -> torch.Tensor:
    """A^H A of one slice as a matrix."""
    one = Sense(sense.maps[index], sense.mask[index])
    basis = torch.eye(42, dtype=torch.complex128).reshape(42, 6, 7)
    return torch.stack([one.normal(e).flatten() for e in basis], 1)


def test_data_consistency_is_the_direct_solution_for_each_slice():
    sense, kspace = problem()
    anchor = random_complex((3, 6, 7), 3)
    weight = torch.tensor([0.3, 0.05, 1.0], dtype=torch.float64)[:, None, None]
    found = data_consistency(sense, kspace, anchor, weight, 60)
    for i in range(3):
        matrix = dense(sense, i) + weight[i] * torch.eye(42)
        rhs = sense.adjoint(kspace)[i] + weight[i] * anchor[i]
        direct = torch.linalg.solve(matrix, rhs.flatten()).reshape(6, 7)
        torch.testing.assert_close(found[i], direct, rtol=1e-8, atol=1e-8)


def test_a_solved_system_stays_solved():
    sense, _ = problem()
    zero = torch.zeros(3, 6, 7, dtype=torch.complex128)
    assert torch.equal(conjugate_gradient(sense.normal, zero, zero, 5), zero)


def test_a_direction_without_curvature_does_no_harm():
    """An operator that is not positive definite, as a network's Jacobian may be: finite, and solved where it is."""
    scale = torch.tensor([[1.0, -1.0], [2.0, 0.5]])
    rhs = torch.tensor([[[0, 1], [0, 0]], [[3, 0], [2, 1]]], dtype=torch.complex64)
    found = conjugate_gradient(lambda z: scale * z, rhs, torch.zeros_like(rhs), 4)
    assert found.real.isfinite().all()
    torch.testing.assert_close(found[1], rhs[1] / scale)
