"""Conjugate gradients for a batch of images at once."""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from mri_ambient.physics.sense import Sense

Image = Complex[Tensor, "*batch y x"]


def conjugate_gradient(operator: Callable[[Tensor], Tensor], rhs: Image, start: Image, iterations: int) -> Image:
    """Solve ``operator(z) = rhs`` for a Hermitian positive definite operator; each image has its own step sizes.

    A fixed number of iterations (Hestenes & Stiefel, 1952), differentiable; a solved system stays solved.
    """
    tiny = torch.finfo(rhs.dtype).tiny
    solution, residual = start, rhs - operator(start)
    direction, energy = residual, _inner(residual, residual)
    for _ in range(iterations):
        image = operator(direction)
        curvature = _inner(direction, image)
        step = torch.where(curvature > 0, energy / curvature.clamp_min(tiny), 0)
        solution = solution + step * direction
        residual = residual - step * image
        previous, energy = energy, _inner(residual, residual)
        direction = residual + energy / previous.clamp_min(tiny) * direction
    return solution


def data_consistency(
    sense: Sense,
    kspace: Complex[Tensor, "*batch coil y x"],
    anchor: Image,
    weight: float | Shaped[Tensor, "..."],
    iterations: int,
) -> Image:
    """argmin_z ||A z - k||^2 + weight ||z - anchor||^2, started from the anchor.

    ``weight`` is one number, or one an image (``[*batch, 1, 1]``). An anchor of 0 gives Tikhonov-regularised CG-SENSE.
    """
    return regularised_solution(sense, sense.adjoint(kspace), anchor, weight, iterations)


def regularised_solution(
    sense: Sense, adjoint: Image, anchor: Image, weight: float | Shaped[Tensor, "..."], iterations: int
) -> Image:
    """The same from A^H k: z with (A^H A + weight) z = A^H k + weight anchor, for those who solve it more than once."""
    rhs = adjoint + weight * anchor
    return conjugate_gradient(lambda z: sense.normal(z) + weight * z, rhs, anchor, iterations)


def _inner(left: Image, right: Image) -> Float[Tensor, "*batch 1 1"]:
    """Re <left, right> of each image."""
    products = torch.view_as_real(left) * torch.view_as_real(right)
    return products.sum((-3, -2, -1))[..., None, None]
