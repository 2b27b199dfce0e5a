"""Reconstruction without learning: zero-filled, CG-SENSE, L1-wavelet (sigpy). One image a slice."""

import contextlib

import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.physics.solvers import data_consistency
from recon.problem import Problem

Slices = Complex[Tensor, "slice y x"]


def zero_filled(problem: Problem) -> Slices:
    """A^H y: what was not measured counts as 0."""
    return problem.adjoint


def cg_sense(problem: Problem, regularisation: float = 1e-2, iterations: int = 30) -> Slices:
    """argmin_x ||A x - y||^2 + regularisation ||x||^2 (Pruessmann et al., MRM 46:638, 2001)."""
    start = torch.zeros_like(problem.kspace[:, 0])
    return data_consistency(problem.sense, problem.kspace, start, regularisation, iterations)


def l1_wavelet(problem: Problem, regularisation: float = 3e-3, iterations: int = 100) -> Slices:
    """argmin_x 1/2 ||A x - y||^2 + regularisation ||W x||_1, W Daubechies-4 (Lustig et al., MRM 58:1182, 2007).

    FISTA by ``sigpy.mri.app.L1WaveletRecon``, slice by slice; the mask is given explicitly, never guessed from zeros. Where no
    coil sees, the data say nothing and wavelets leak: 0, as for every method.
    """
    from sigpy.mri.app import L1WaveletRecon

    images = []
    for kspace, maps, mask in zip(problem.kspace, problem.sense.maps, problem.sense.mask, strict=True):
        app = L1WaveletRecon(
            kspace.numpy(),
            maps.numpy(),
            regularisation,
            weights=mask.expand(problem.matrix).float().numpy(),
            max_iter=iterations,
            alpha=1,  # the step size: ||A|| <= 1; sigpy's own estimate is drawn at random
            show_pbar=False,
        )
        with contextlib.redirect_stdout(None):
            images.append(torch.from_numpy(app.run()).to(kspace.dtype))
    return torch.where(problem.sense.support, torch.stack(images), 0)
