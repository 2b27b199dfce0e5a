import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mri_ambient.devices import PRECISION
from mri_ambient.errors import UserError
from mri_ambient.images.denoiser import PixelArchitecture, build_pixel_denoiser
from mri_ambient.images.operators import everything
from mri_ambient.physics.sense import Sense, whole_image
from mri_ambient.priors.denoisers import Architecture, Denoiser, build_denoiser, preconditioning
from mri_ambient.priors.registry import DENOISERS
from tests.operators import random_complex

KINDS = tuple(DENOISERS)


def small(kind: str) -> Architecture:
    return Architecture(denoiser=kind, widths=(8, 8), iterations=3)


def inputs(shape: tuple[int, int], coils: int = 3) -> tuple[torch.Tensor, Sense, torch.Tensor]:
    maps = random_complex((2, coils, *shape), 0, torch.complex64)
    maps /= maps.abs().square().sum(1, keepdim=True).sqrt()
    maps[..., :3] = 0
    mask = torch.rand(2, 1, shape[1], generator=torch.Generator().manual_seed(1)) < 0.5
    sense = Sense(maps, mask)
    return sense(random_complex((2, *shape), 2, torch.complex64)), sense, torch.tensor([0.1, 0.5])


def awake(denoiser: Denoiser) -> Denoiser:
    """With random weights in all layers; untrained, those that a block or a U-Net ends with are 0."""
    generator = torch.Generator().manual_seed(1)
    for layer in denoiser.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
    return denoiser


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(16, 16), (18, 21), (13, 30)])
def test_any_matrix_and_zero_outside_the_coils(kind, shape, precision):
    torch.manual_seed(0)
    image = build_denoiser(small(kind))(*inputs(shape))
    assert image.shape == (2, *shape)
    assert torch.isfinite(image.real).all()
    assert (image[..., :3] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_slice_by_itself(kind, precision):
    """To the rounding of the precision: bfloat16 has 8 bits."""
    denoiser = awake(build_denoiser(small(kind)))
    together = inputs((16, 16))
    whole = denoiser(*together)
    for i in range(2):
        alone = denoiser(*(value[i : i + 1] for value in together))
        assert (alone[0] - whole[i]).norm() < (1e-5 if precision == "float32" else 0.01) * whole[i].norm()
    assert (whole[0] - whole[1]).norm() > 0.3 * whole[0].norm()


def test_a_silent_unet_is_the_linear_denoiser_of_a_white_gaussian(precision):
    """With its last layer at 0, D = c_skip x, which is exact for N(0, sigma_data^2)."""
    image = random_complex((2, 16, 16), 3, torch.complex64)
    sense = whole_image(image)
    sigma = torch.tensor([0.3, 1.0])
    denoiser = build_denoiser(small("unet"))
    nn.init.zeros_(denoiser.unet.leave.bias)
    found = denoiser(sense(image), sense, sigma)
    skip = 0.3**2 / (0.3**2 + sigma**2)
    torch.testing.assert_close(found, skip[:, None, None] * image, rtol=1e-4, atol=1e-5)


def test_silent_unets_solve_for_the_measured_data(precision):
    """With its U-Nets at 0 it is a chain of regularised least-squares solutions: at small sigma it fits the data."""
    kspace, sense, _ = inputs((16, 16))
    denoiser = build_denoiser(Architecture(denoiser="unrolled", widths=(8, 8), iterations=30))
    for unet in denoiser.unets:
        nn.init.zeros_(unet.leave.bias)
    image = denoiser(kspace, sense, torch.tensor([1e-3, 1e-3]))
    misfit = (sense(image) - kspace).norm() / kspace.norm()
    assert misfit < 0.02


def test_preconditioning_keeps_unit_variance():
    sigma = torch.tensor([0.01, 0.3, 5.0])
    skip, out, scale = preconditioning(sigma, 0.3)
    torch.testing.assert_close(scale**2 * (sigma**2 + 0.3**2), torch.ones(3))
    # the network's target (x - skip (x + n)) / out has unit variance
    torch.testing.assert_close((0.3**2 * (1 - skip) ** 2 + skip**2 * sigma**2) / out**2, torch.ones(3))


def test_the_precision_that_the_user_asks_for(precision, monkeypatch):
    """Of both kinds of denoiser, whatever the processor; a word that is none is refused."""
    networks: list[torch.dtype] = []
    image = torch.ones(1, 1, 16, 16)
    denoiser, pixels = build_denoiser(small("unet")), build_pixel_denoiser(PixelArchitecture(widths=(8, 8)))
    for network in (denoiser.unet, pixels.unet):
        network.register_forward_hook(lambda _module, _inputs, output: networks.append(output.dtype))
    denoiser(*inputs((16, 16)))
    pixels(image, everything(image), torch.ones(1))
    assert networks == [getattr(torch, precision)] * 2
    monkeypatch.setenv(PRECISION, "half")
    with pytest.raises(UserError, match="MRI_AMBIENT_PRECISION: is `half`; set it to float32 or bfloat16, or unset it"):
        denoiser(*inputs((16, 16)))


def test_a_program_brings_its_own(monkeypatch):
    class Adjoint(Denoiser):
        def estimate(self, sense, kspace, sigma):
            return sense.adjoint(kspace)

    with pytest.raises(ValidationError, match="adjoint is no denoiser; choose one of unrolled, unet"):
        small("adjoint")
    monkeypatch.setitem(DENOISERS, "adjoint", Adjoint)
    kspace, sense, sigma = inputs((16, 16))
    assert torch.equal(build_denoiser(small("adjoint"))(kspace, sense, sigma), sense.adjoint(kspace))
