"""Conjugate gradients for a batch of images at once."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from mri_ambient.physics.operators import LinearOperator

Image = Complex[Tensor, "*batch v x"]
Operator = Callable[[Tensor], Tensor]
StepSizes = list[tuple[Tensor, Tensor]]


def conjugate_gradient(
    operator: Operator, rhs: Image, start: Image, iterations: int, precondition: Operator | None = None
) -> Image:
    """Solve ``operator(z) = rhs`` for a Hermitian positive definite operator; each image has its own step sizes.

    A fixed number of iterations (Hestenes & Stiefel, 1952), differentiable; a solved system stays solved. ``precondition`` is
    about the operator's inverse, Hermitian and positive definite too.
    """
    return start + _correction(operator, rhs - operator(start), iterations, precondition)[0]


def data_consistency(
    operator: LinearOperator,
    data: Complex[Tensor, "..."],
    anchor: Image | None,
    weight: float | Shaped[Tensor, "..."],
    iterations: int,
) -> Image:
    """argmin_z ||A z - d||^2 + weight ||z - anchor||^2, started from the anchor.

    ``weight`` is one number, or one an image (``[*batch, 1, 1]``). Without an anchor, Tikhonov-regularised CG-SENSE.
    """
    return regularised_solution(operator, operator.adjoint(data), anchor, weight, iterations)


def regularised_solution(
    operator: LinearOperator,
    adjoint: Complex[Tensor, "*#batch v x"],
    anchor: Complex[Tensor, "*#batch v x"] | None,
    weight: float | Shaped[Tensor, "..."],
    iterations: int,
) -> Image:
    """The same from A^H d, for those who solve it more than once: z with (A^H A + weight) z = A^H d + weight anchor.

    Differentiable at the cost of as many iterations again and of no memory: the step sizes, which depend on the images,
    count as constants, which makes what CG does a polynomial of a Hermitian operator, and so its own adjoint. (MoDL solves
    the system anew for the gradient, Aggarwal et al., IEEE TMI 38:394, 2019; that is right only where CG has converged.)
    """
    residual = adjoint if anchor is None else adjoint - operator.gram(anchor)
    correction = _Correction.apply(
        residual, torch.as_tensor(weight, dtype=adjoint.real.dtype).to(adjoint.device), operator, iterations
    )
    assert isinstance(correction, Tensor)
    return correction if anchor is None else anchor + correction


class _Correction(torch.autograd.Function):
    """d with (A^H A + weight) d = residual."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, weight: Tensor, of: LinearOperator, iterations: int) -> Tensor:
        ctx.operator = lambda z: of.gram(z) + weight * z
        found, ctx.sizes = _correction(ctx.operator, residual, iterations)
        ctx.save_for_backward(found, weight)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """That of the residual, and of the weight by d(H^-1 r) = -H^-1 dH H^-1 r."""
        found, weight = ctx.saved_tensors
        gradient = _correction_with(ctx.operator, gradients[0], ctx.sizes)
        return gradient, -_inner(gradient, found).sum_to_size(weight.shape), None, None


def _correction(
    operator: Operator, residual: Image, iterations: int, precondition: Operator | None = None
) -> tuple[Image, StepSizes]:
    """Conjugate gradients from 0, and what was chosen in each iteration: along the direction, and for the next direction."""
    tiny = torch.finfo(residual.dtype).tiny
    ahead = precondition(residual) if precondition else residual
    found, direction, energy, sizes = torch.zeros_like(residual), ahead, _inner(residual, ahead), []
    for _ in range(iterations):
        image = operator(direction)
        curvature = _inner(direction, image)
        step = torch.where(curvature > 0, energy / curvature.clamp_min(tiny), 0)
        found = found + step * direction
        residual = residual - step * image
        ahead = precondition(residual) if precondition else residual
        previous, energy = energy, _inner(residual, ahead)
        turn = energy / previous.clamp_min(tiny)
        direction = ahead + turn * direction
        sizes.append((step, turn))
    return found, sizes


def _correction_with(operator: Operator, residual: Image, sizes: StepSizes) -> Image:
    """The same with step sizes that are given: linear in the residual. The last direction needs no residual of its own."""
    *sizes, (last, _) = sizes
    found, direction = torch.zeros_like(residual), residual
    for step, turn in sizes:
        found = found + step * direction
        residual = residual - step * operator(direction)
        direction = residual + turn * direction
    return found + last * direction


def _inner(left: Image, right: Image) -> Float[Tensor, "*batch 1 1"]:
    """Re <left, right> of each image."""
    products = torch.view_as_real(left) * torch.view_as_real(right)
    return products.sum((-3, -2, -1))[..., None, None]
