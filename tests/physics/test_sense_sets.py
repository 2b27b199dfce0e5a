"""Two sets of maps: the operator is the sum of two, and all that must hold of one holds of it."""

import pytest
import torch
from sigpy.linop import Hstack
from sigpy.mri.linop import Sense as SigpySense

from mri_ambient.physics.sense import Sense, apart, stacked
from mri_ambient.physics.solvers import regularised_solution
from tests.operators import check_adjoint, check_gradient_is_adjoint, random_complex


def orthonormal(batch: tuple[int, ...], shape: tuple[int, int], coils: int = 4) -> torch.Tensor:
    """Maps [*batch, coil, 2 y, x] of two sets; the second vanishes in half of the image."""
    vectors = torch.linalg.qr(random_complex((*batch, *shape, coils, 2), 0)).Q.movedim((-2, -1), (-3, -4))
    vectors[..., 1, :, :, : shape[1] // 2] = 0
    return stacked(vectors[..., 0, :, :, :], vectors[..., 1, :, :, :])


def two_sets(batch: tuple[int, ...], shape: tuple[int, int], rows: int | None = 1) -> Sense:
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand((*batch, rows or shape[0], shape[1]), generator=generator) < 0.5
    return Sense(orthonormal(batch, shape), mask, 2)


@pytest.mark.parametrize("shape", [(8, 10), (7, 9)])
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("rows", [1, None])
def test_adjoint_normal_and_gradient(batch, shape, rows):
    operator = two_sets(batch, shape, rows)
    image, kspace = random_complex((*batch, 2 * shape[0], shape[1]), 2), random_complex((*batch, 4, *shape), 3)
    check_adjoint(operator, operator.adjoint, image, kspace)
    check_adjoint(operator.gram, operator.gram, image, random_complex(image.shape, 4))
    check_gradient_is_adjoint(operator, operator.adjoint, image, kspace)
    torch.testing.assert_close(operator.gram(image), operator.adjoint(operator(image)), rtol=1e-12, atol=1e-12)


def test_it_is_the_sum_of_two():
    operator = two_sets((), (7, 10))
    mask = operator.mask.expand(7, -1).double().numpy()
    first, second = (SigpySense(maps.numpy(), weights=mask) for maps in apart(operator.maps, 2).unbind(1))
    image, kspace = random_complex((14, 10), 2), random_complex((4, 7, 10), 3)
    theirs = Hstack([first, second], axis=0)
    torch.testing.assert_close(operator(image), torch.from_numpy(theirs(image.numpy())), atol=1e-12, rtol=0)
    torch.testing.assert_close(operator.adjoint(kspace), torch.from_numpy(theirs.H(kspace.numpy())), atol=1e-12, rtol=0)


def test_all_of_an_orthonormal_pair_is_seen_when_everything_is_measured():
    operator = two_sets((2,), (8, 10)).with_mask(torch.ones(10, dtype=torch.bool))
    image = torch.where(operator.support, random_complex((2, 16, 10), 2), 0)
    torch.testing.assert_close(operator.gram(image), image, rtol=0, atol=1e-12)


def test_the_solver_finds_the_minimum_over_both_images():
    operator = two_sets((2,), (8, 10))
    adjoint = operator.adjoint(operator(random_complex((2, 16, 10), 2)))
    found = regularised_solution(operator, adjoint, None, 1e-2, 60)
    torch.testing.assert_close(operator.gram(found) + 1e-2 * found, adjoint, rtol=0, atol=1e-6)
