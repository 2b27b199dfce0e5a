"""A denoiser of the caller's own as a prior."""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Card, Prior, PriorModule, Training
from mri_ambient.priors.denoisers import Architecture, Denoiser

OwnDenoiser = Callable[[Tensor, Tensor], Tensor]
"""``(images, sigma) -> images``: complex64 [n, y, x] and float32 [n, 1, 1], the noise level of each part of each image."""


def own_prior(denoise: OwnDenoiser, matrix: tuple[int, int], pixel_mm: tuple[float, float] | None = None) -> Prior:
    """An `image` prior of any callable, which stays on its own device and in its own mode.

    Args:
        denoise: ``(images, sigma) -> images``, complex64 [n, y, x] and float32 [n, 1, 1]: E[x | x + sigma z], in units of the
            normalised image.
        matrix: (y, x) at which it is called if ``pixel_mm`` or the scan's field of view is not known.
        pixel_mm: (y, x), the pixel at which it was trained.

    Raises:
        UserError: it is no callable.
    """
    if isinstance(denoise, PriorModule):
        return denoise.prior
    if not callable(denoise):
        raise UserError(
            f"prior: is a {type(denoise).__name__}; pass a prior's folder, `bundled`, or a function (images, sigma)"
        )
    name = getattr(denoise, "__name__", type(denoise).__name__)
    card = Card(
        kind="image",
        architecture=Architecture(),
        matrix=matrix,
        pixel_mm=pixel_mm,
        images_seen=0,
        training=Training(),
        data="unknown data",
    )
    return Prior(_Own(denoise, name), card, Path(name))


class _Own(Denoiser):
    def __init__(self, denoise: OwnDenoiser, name: str):
        super().__init__(Architecture())
        self._call = (denoise, name)  # in a tuple: a module in here would be frozen and moved with this one

    def estimate(self, sense: Sense, kspace: Tensor, sigma: Float[Tensor, " batch"]) -> Complex[Tensor, "batch v x"]:
        denoise, name = self._call
        images = sense.adjoint(kspace)
        try:
            found = denoise(images, sigma[:, None, None])
        except RuntimeError as error:
            if "device" in str(error):
                raise UserError(
                    f"prior {name}: failed on {images.device} ({error}); move it there, or pass device"
                ) from error
            raise
        if not isinstance(found, Tensor) or found.shape != images.shape or not found.is_complex():
            what = f"{found.dtype} of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise UserError(
                f"prior {name}: returned {what} for complex images of shape {tuple(images.shape)}; return images like its input"
            )
        if found.device != images.device:
            raise UserError(
                f"prior {name}: returned images on {found.device}, not on {images.device}; return them there"
            )
        if not torch.view_as_real(found.detach()).isfinite().all():
            raise UserError(
                f"prior {name}: returned NaN or infinite numbers at sigma {float(sigma.max()):.3g}; mend it"
            )
        return found.to(images.dtype)
