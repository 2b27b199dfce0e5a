"""Moment matching: the data correct the denoised image by the covariance that the denoiser's Jacobian gives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mri_ambient.physics.solvers import conjugate_gradient
from recon.denoising import Denoise, Sigma
from recon.problem import Images, Problem
from recon.samplers.annealing import Annealing, Callback, Generators, descend, noise_levels, warm_start


@dataclass(frozen=True)
class MmpsSettings(Annealing):
    """eta, order: see :func:`recon.samplers.annealing.descend`. iterations: of conjugate gradients, a product with the Jacobian
    each, and one more."""

    steps: int = 12
    sigma_max: float = 1.0
    sigma_min: float = 0.04
    rho: float = 5.0
    eta: float = 1.0
    order: int = 2
    iterations: int = 3


def mmps(
    denoise: Denoise,
    problem: Problem,
    samples: int,
    settings: MmpsSettings,
    generators: Generators,
    callback: Callback | None = None,
) -> Images:
    """Moment matching posterior sampling (Rozet et al., 2405.13712).

    z = D + s^2 J^T A^H v with (noise^2 + s^2 A J A^H) v = y - A D, J = dD/dx_i, s = sigma_i; v by conjugate gradients with
    vector-Jacobian products. s^2 J is the covariance of x given x_i (Tweedie), so that for a Gaussian prior z is exactly
    E[x | x_i, y]. A network's J need not be symmetric and non-negative, so that the system may have small or negative
    eigenvalues, along which v would explode: conjugate gradients end where they find any below noise^2. Then a step of
    :func:`descend`.
    """
    sense = problem.sense

    def matched(images: Images, sigma: Sigma) -> Images:
        with torch.enable_grad():
            state = images.detach().requires_grad_()
            denoised = denoise(state, sigma)

        def pull_back(image: Images) -> Images:
            return torch.autograd.grad(denoised, state, image, retain_graph=True)[0]

        def operator(stacked: Tensor) -> Tensor:
            kspace = stacked.unflatten(-2, (-1, rows))
            return (variance * kspace + spread * sense(pull_back(sense.adjoint(kspace)))).flatten(-3, -2)

        rows = problem.matrix[0]
        variance, spread = (problem.noise**2).unsqueeze(-3), (sigma**2).unsqueeze(-3)
        # Coils below each other: one vector a slice.
        residual = (problem.kspace - sense(denoised.detach())).flatten(-3, -2)
        start = torch.zeros_like(residual)
        solved = conjugate_gradient(operator, residual, start, settings.iterations, problem.noise**2)
        return denoised.detach() + sigma**2 * pull_back(sense.adjoint(solved.unflatten(-2, (-1, rows))))

    sigmas = noise_levels(settings, problem)
    start = warm_start(problem, sigmas[0], samples, generators)
    return descend("mmps", matched, start, sigmas, settings.eta, settings.order, problem, generators, callback)
