import numpy as np
import pytest
import sigpy
import torch
from sigpy.mri.linop import Sense as SigpySense

from mri_ambient.physics.sense import Sense, whole_image
from tests.operators import check_adjoint, check_gradient_is_adjoint, random_complex


def sense(batch: tuple[int, ...], shape: tuple[int, int], per_slice: bool) -> Sense:
    maps = random_complex((*batch, 3, *shape), 0)
    maps /= maps.abs().square().sum(-3, keepdim=True).sqrt()
    generator = torch.Generator().manual_seed(1)
    size = (*batch, 1, shape[1]) if per_slice else (shape[1],)
    return Sense(maps, torch.rand(size, generator=generator) < 0.4)


@pytest.mark.parametrize("shape", [(8, 10), (7, 9)])
@pytest.mark.parametrize(("batch", "per_slice"), [((), False), ((4,), False), ((4,), True)])
def test_adjoint_and_gradient(batch, shape, per_slice):
    operator = sense(batch, shape, per_slice)
    x, y = random_complex((*batch, *shape), 2), random_complex((*batch, 3, *shape), 3)
    check_adjoint(operator, operator.adjoint, x, y)
    check_adjoint(operator.gram, operator.gram, x, random_complex(x.shape, 4))
    check_gradient_is_adjoint(operator, operator.adjoint, x, y)


@pytest.mark.parametrize("shape", [(8, 10), (7, 9)])
@pytest.mark.parametrize("rows", [1, None])
def test_the_normal_operator_is_the_adjoint_of_the_operator(shape, rows):
    """Which it does not call: lines and scattered samples, even and odd sizes."""
    operator = sense((2,), shape, True)
    if rows is None:
        generator = torch.Generator().manual_seed(3)
        operator = operator.with_mask(torch.rand((2, *shape), generator=generator) < 0.4)
    image = random_complex((2, *shape), 2)
    torch.testing.assert_close(operator.gram(image), operator.adjoint(operator(image)), rtol=1e-12, atol=1e-12)


def test_equals_sigpy():
    operator = sense((), (7, 10), False)
    mask = operator.mask.expand(7, -1).double().numpy()
    theirs = SigpySense(operator.maps.numpy(), weights=mask)
    x, y = random_complex((7, 10), 2), random_complex((3, 7, 10), 3)
    np.testing.assert_allclose(operator(x), theirs(x.numpy()), atol=1e-12)
    np.testing.assert_allclose(operator.adjoint(y), theirs.H(y.numpy()), atol=1e-12)
    assert isinstance(theirs, sigpy.linop.Linop)


def test_unmeasured_nan_does_not_matter():
    operator = sense((2,), (8, 8), True)
    kspace = random_complex((2, 3, 8, 8), 5)
    poisoned = torch.where(operator.mask.unsqueeze(-3), kspace, torch.nan)
    assert torch.equal(operator.adjoint(poisoned), operator.adjoint(kspace))


def test_unit_coil_sees_the_whole_image():
    image = random_complex((3, 8, 9), 6)
    operator = whole_image(image)
    torch.testing.assert_close(operator.gram(image), image)
