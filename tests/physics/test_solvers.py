from collections.abc import Callable

import torch

from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import conjugate_gradient, data_consistency, regularised_solution
from tests.operators import random_complex


def measurement() -> tuple[Sense, torch.Tensor]:
    maps = random_complex((3, 4, 6, 7), 0)
    maps /= maps.abs().square().sum(-3, keepdim=True).sqrt()
    mask = torch.rand(3, 1, 7, generator=torch.Generator().manual_seed(1)) < 0.5
    sense = Sense(maps, mask)
    return sense, sense.apply_mask(random_complex((3, 4, 6, 7), 2))


def dense(sense: Sense, index: int) -> torch.Tensor:
    """A^H A of one slice as a matrix."""
    one = Sense(sense.maps[index], sense.mask[index])
    basis = torch.eye(42, dtype=torch.complex128).reshape(42, 6, 7)
    return torch.stack([one.gram(e).flatten() for e in basis], 1)


def test_data_consistency_is_the_direct_solution_for_each_slice():
    sense, kspace = measurement()
    anchor = random_complex((3, 6, 7), 3)
    weight = torch.tensor([0.3, 0.05, 1.0], dtype=torch.float64)[:, None, None]
    found = data_consistency(sense, kspace, anchor, weight, 60)
    for i in range(3):
        matrix = dense(sense, i) + weight[i] * torch.eye(42)
        rhs = sense.adjoint(kspace)[i] + weight[i] * anchor[i]
        direct = torch.linalg.solve(matrix, rhs.flatten()).reshape(6, 7)
        torch.testing.assert_close(found[i], direct, rtol=1e-8, atol=1e-8)


def test_a_solved_system_stays_solved():
    sense, _ = measurement()
    zero = torch.zeros(3, 6, 7, dtype=torch.complex128)
    assert torch.equal(conjugate_gradient(sense.gram, zero, zero, 5), zero)


def test_a_direction_without_curvature_does_no_harm():
    """An operator that is not positive definite, as a network's Jacobian may be: finite, and solved where it is."""
    scale = torch.tensor([[1.0, -1.0], [2.0, 0.5]])
    rhs = torch.tensor([[[0, 1], [0, 0]], [[3, 0], [2, 1]]], dtype=torch.complex64)
    found = conjugate_gradient(lambda z: scale * z, rhs, torch.zeros_like(rhs), 4)
    assert found.real.isfinite().all()
    torch.testing.assert_close(found[1], rhs[1] / scale)


def test_a_solutions_gradient_is_that_of_its_iterations():
    """By autograd through every iteration: the same once CG has converged, and for the images also long before."""
    sense, kspace = measurement()
    adjoint, weight = sense.adjoint(kspace), torch.tensor([0.3, 0.05, 1.0], dtype=torch.float64)[:, None, None]
    anchor, direction = random_complex((3, 6, 7), 3), random_complex((3, 6, 7), 4)

    def gradients(solve: Callable[..., torch.Tensor], iterations: int) -> tuple[torch.Tensor, ...]:
        inputs = [leaf.clone().requires_grad_() for leaf in (adjoint, anchor, weight)]
        found = solve(*inputs, iterations)
        return torch.autograd.grad((found * direction.conj()).real.sum(), inputs)

    def ours(adjoint: torch.Tensor, anchor: torch.Tensor, weight: torch.Tensor, iterations: int) -> torch.Tensor:
        return regularised_solution(sense, adjoint, anchor, weight, iterations)

    def unrolled(adjoint: torch.Tensor, anchor: torch.Tensor, weight: torch.Tensor, iterations: int) -> torch.Tensor:
        rhs = adjoint + weight * anchor
        return conjugate_gradient(lambda z: sense.gram(z) + weight * z, rhs, anchor, iterations)

    for found, expected in zip(gradients(ours, 60), gradients(unrolled, 60), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    for found, expected in list(zip(gradients(ours, 3), gradients(unrolled, 3), strict=True))[:2]:
        assert (found - expected).norm() < 0.05 * expected.norm()


def test_an_anchor_that_is_left_out_is_0():
    sense, kspace = measurement()
    zero = torch.zeros(3, 6, 7, dtype=torch.complex128)
    assert torch.equal(data_consistency(sense, kspace, None, 0.1, 4), data_consistency(sense, kspace, zero, 0.1, 4))
