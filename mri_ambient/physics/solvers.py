"""Conjugate gradients for a batch of images at once."""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from mri_ambient.physics.sense import Sense

Image = Complex[Tensor, "*batch y x"]
ROUNDING = 1e-3  # of a curvature, in single precision


def conjugate_gradient(
    operator: Callable[[Tensor], Tensor],
    rhs: Image,
    start: Image,
    iterations: int,
    least: float | Float[Tensor, "*#batch 1 1"] = 0.0,
) -> Image:
    """Solve ``operator(z) = rhs`` for a Hermitian positive definite operator; each image has its own step sizes.

    A fixed number of iterations (Hestenes & Stiefel, 1952), differentiable; a solved system stays solved. least: what the
    operator's eigenvalues can't be below; an image along whose direction they seem to be is left as it is from then on, since
    the operator is none of those (as Steihaug, SIAM J. Numer. Anal. 20:626, 1983, ends at negative curvature).
    """
    tiny = torch.finfo(rhs.dtype).tiny
    solution, residual = start, rhs - operator(start)
    direction, energy = residual, _inner(residual, residual)
    goes_on = torch.ones_like(energy, dtype=torch.bool)
    for _ in range(iterations):
        image = operator(direction)
        curvature = _inner(direction, image)
        goes_on = goes_on & (curvature > least * _inner(direction, direction) * (1 - ROUNDING))
        step = torch.where(goes_on, energy / curvature.clamp_min(tiny), 0)
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
