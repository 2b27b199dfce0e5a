"""The denoiser of `pixel` priors: real images of a few channels, corrupted in the image domain; no coils, no k-space."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mri_ambient.images.operators import Operator
from mri_ambient.priors.denoisers import half_precision, preconditioning
from mri_ambient.priors.unet import UNet


class PixelArchitecture(BaseModel):
    """What is needed to build a `pixel` prior's denoiser. channels: 1 for magnitudes, 2 for real and imaginary parts, 3 for
    colours. sigma_data: root mean square of the images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoiser: Literal["pixel"] = "pixel"
    channels: int = Field(default=1, ge=1, le=3)
    widths: tuple[int, ...] = (32, 48, 64)
    sigma_data: float = Field(default=0.5, gt=0)


class PixelDenoiser(nn.Module):
    """D(u, A, sigma): E[x | A, u], u = P (x + sigma z), P = A^+ A the projection on what A measures.

    D = P (c_skip u + c_out a) + (1 - P) sigma_data (a + b), (a, b) = U(c_in u, diag P; ln(sigma)/4): what is known is denoised,
    with EDM's preconditioning (Karras et al., 2022, table 1); what is not is filled in, as that would do at sigma = infinity,
    where c_skip = 0 and c_out = sigma_data. So a prior of whole images is a start for filling in. b is for A whose P is not
    diagonal, which the network is not told. Where everything is measured this is an ordinary EDM denoiser.
    """

    def __init__(self, architecture: PixelArchitecture):
        super().__init__()
        self.architecture = architecture
        self.unet = UNet(architecture.channels + 1, 2 * architecture.channels, architecture.widths, conditions=1)

    def forward(
        self, seen: Float[Tensor, "batch channel y x"], operator: Operator, sigma: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch channel y x"]:
        skip, out, scale = preconditioning(sigma[:, None, None, None], self.architecture.sigma_data)
        images = torch.cat([scale * seen, operator.coverage], 1)
        with half_precision(seen.device):
            known, unknown = self.unet(images, sigma.log()[:, None] / 4).float().chunk(2, 1)
        filled = self.architecture.sigma_data * (known + unknown)
        return filled + operator.project(skip * seen + out * known - filled)


def build_pixel_denoiser(architecture: PixelArchitecture) -> PixelDenoiser:
    """An untrained denoiser, its weights drawn from torch's global generator, in channels_last."""
    denoiser = PixelDenoiser(architecture)
    return denoiser.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
