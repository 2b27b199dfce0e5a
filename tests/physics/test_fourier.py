import fastmri
import numpy as np
import pytest
import sigpy
import torch

from mri_ambient.physics.fourier import fft2c, ifft2c
from tests.operators import check_adjoint, random_complex

SHAPES = [(8, 8), (7, 9), (6, 11), (640, 368)]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_fastmri_and_sigpy(shape):
    image = random_complex((2, *shape), 0, torch.complex64)
    ours = fft2c(image)
    theirs = torch.view_as_complex(fastmri.fft2c(torch.view_as_real(image)))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6 * ours.abs().max().item())
    reference = sigpy.fft(image.numpy(), axes=(-2, -1))
    np.testing.assert_allclose(ours.numpy(), reference, rtol=1e-6, atol=1e-6 * np.abs(reference).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_inverse_is_adjoint(shape):
    image, kspace = random_complex(shape, 1), random_complex(shape, 2)
    torch.testing.assert_close(ifft2c(fft2c(image)), image)
    check_adjoint(fft2c, ifft2c, image, kspace)
