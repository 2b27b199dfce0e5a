"""Checks that any linear operator must pass; double precision, so that a bound of 1e-10 means exactness."""

from collections.abc import Callable

import torch
from torch import Tensor


def random_complex(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.complex128) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def check_adjoint(forward: Callable, adjoint: Callable, x: Tensor, y: Tensor) -> None:
    """<A x, y> = <x, A^H y>."""
    left = torch.vdot(forward(x).flatten(), y.flatten())
    right = torch.vdot(x.flatten(), adjoint(y).flatten())
    assert abs(left - right) <= 1e-10 * abs(left)


def check_gradient_is_adjoint(forward: Callable, adjoint: Callable, x: Tensor, y: Tensor) -> None:
    """The gradient of 1/2 ||A x - y||^2 is A^H (A x - y)."""
    x = x.clone().requires_grad_()
    (0.5 * (forward(x) - y).abs().square().sum()).backward()
    torch.testing.assert_close(x.grad, adjoint(forward(x.detach()) - y), rtol=1e-10, atol=1e-10)
