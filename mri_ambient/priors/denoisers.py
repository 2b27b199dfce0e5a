"""The two denoisers behind one call ``D(kspace, sense, sigma) -> image``.

The noisy image is x + sigma z, z with unit variance in its real and in its imaginary part; ``kspace`` is A (x + sigma z)
for the operator A, ``sense``. Complex numbers become two real channels only inside this file; the Fourier
transforms and the conjugate gradients stay in float32, the U-Nets may run in bfloat16 (``autocast``).
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import torch
from jaxtyping import Complex, Float
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from mri_ambient.devices import fast_bfloat16
from mri_ambient.measurement import Measurement
from mri_ambient.physics.sense import Sense, apart
from mri_ambient.physics.solvers import regularised_solution
from mri_ambient.priors.registry import DENOISERS
from mri_ambient.priors.unet import UNet

SMALLEST_SIGMA = 0.01  # seldom seen in training below it


def known(denoiser: str) -> str:
    """The name of a denoiser. Raises PydanticCustomError if there is none of that name."""
    if denoiser not in DENOISERS:
        raise PydanticCustomError("denoiser", f"{denoiser} is no denoiser; choose one of {', '.join(DENOISERS)}")  # pyright: ignore[reportArgumentType]
    return denoiser


class Architecture(BaseModel):
    """What is needed to build a denoiser; stored in the prior's card. widths: the U-Net's channels, in groups of 8."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoiser: Annotated[str, AfterValidator(known)] = "unrolled"
    widths: tuple[Annotated[int, Field(gt=0, multiple_of=8)], ...] = Field(default=(32, 64, 96), min_length=1)
    sigma_data: float = Field(default=0.3, gt=0)
    rounds: int = Field(default=2, ge=1)
    iterations: int = Field(default=6, ge=1)


class Denoiser(nn.Module):
    """What both have in common: the call, and the U-Nets' precision."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture

    def forward(
        self, kspace: Complex[Tensor, "batch coil y x"], sense: Sense, sigma: Float[Tensor, " batch"]
    ) -> Complex[Tensor, "batch v x"]:
        """The estimate of E[x | kspace, mask, sigma], 0 where no coil sees. With two sets of maps (:class:`Sense`) the data
        are those of both, and the U-Nets see each set's image alone."""
        return torch.where(sense.support, self.estimate(sense, kspace, sigma), 0)

    def from_measurements(self, measurement: Measurement) -> Complex[Tensor, "slice v x"]:
        """E[x | y, M] of measured k-space: its own noise is the only noise, so sigma is its level."""
        return self(measurement.kspace, measurement.sense, measurement.noise_std.clamp_min(SMALLEST_SIGMA))

    def estimate(self, sense: Sense, kspace: Tensor, sigma: Tensor) -> Tensor:
        raise NotImplementedError

    def run(self, unet: UNet, images: Tensor, conditions: Tensor, sets: int) -> Tensor:
        """Of images [batch, channel, sets y, x], each set by itself."""
        if sets > 1:
            images = apart(images, sets).movedim(2, 1).flatten(0, 1)
            conditions = conditions.repeat_interleave(sets, 0)
        with half_precision(images.device):
            found = unet(images, conditions).float()
        return found if sets == 1 else found.unflatten(0, (-1, sets)).movedim(1, 2).flatten(2, 3)


class UNetDenoiser(Denoiser):
    """The published shape (Aali et al., 2024): the adjoint image and the mask in, EDM preconditioning around a U-Net.

    D = c_skip u + c_out U(c_in u, mask; ln(sigma)/4), u = A^H kspace (Karras et al., 2022, table 1). Where everything is
    measured, u is the whole noisy image and this is an ordinary EDM denoiser.
    """

    def __init__(self, architecture: Architecture):
        super().__init__(architecture)
        self.unet = UNet(3, 2, architecture.widths, conditions=1)

    def estimate(self, sense: Sense, kspace: Tensor, sigma: Tensor) -> Tensor:
        adjoint = sense.adjoint(kspace)
        skip, out, scale = preconditioning(sigma[:, None, None], self.architecture.sigma_data)
        mask = sense.repeated(sense.mask.expand(kspace[:, 0].shape)).float().unsqueeze(1)
        images = torch.cat([to_channels(scale * adjoint), mask], 1)
        return skip * adjoint + out * to_complex(self.run(self.unet, images, sigma.log()[:, None] / 4, sense.sets))


class UnrolledDenoiser(Denoiser):
    """Data consistency inside the denoiser, in the manner of MoDL (Aggarwal et al., IEEE TMI 38:394, 2019).

    z_0 = argmin_z ||A z - k||^2 + lambda_0 ||z||^2, then in each round k
    r_k = z_k + U_k(z_k, A^H k),  z_{k+1} = argmin_z ||A z - k||^2 + lambda_k ||z - r_k||^2;  the last r is the answer.
    lambda_k = softplus(a_k) sigma^2 / tau_k^2 + a floor: noise over the variance of what the anchor gets wrong, a learned.
    """

    FLOORS = (1e-3, 5e-3)
    SHARES = (1.0, 0.1)  # of the data's variance that the anchors 0 and r_k leave unexplained

    def __init__(self, architecture: Architecture):
        super().__init__(architecture)
        self.unets = nn.ModuleList(UNet(4, 2, architecture.widths, conditions=2) for _ in range(architecture.rounds))
        self.strength = nn.Parameter(torch.full((architecture.rounds,), 0.54))  # softplus(0.54) = 1

    def estimate(self, sense: Sense, kspace: Tensor, sigma: Tensor) -> Tensor:
        sigma_data = self.architecture.sigma_data
        adjoint = sense.adjoint(kspace)
        density = sense.mask.expand(kspace[:, 0].shape).float().mean((-2, -1))
        conditions = torch.stack([sigma.log() / 4, density], 1)
        scaled_adjoint = to_channels(adjoint / (sigma_data + sigma[:, None, None]))
        anchor = None
        for k, unet in enumerate(self.unets):
            assert isinstance(unet, UNet)
            share, floor = self.SHARES[min(k, 1)], self.FLOORS[min(k, 1)]
            weight = nn.functional.softplus(self.strength[k]) * sigma**2 / (share * sigma_data**2) + floor
            solution = regularised_solution(sense, adjoint, anchor, weight[:, None, None], self.architecture.iterations)
            images = torch.cat([to_channels(solution / sigma_data), scaled_adjoint], 1)
            anchor = solution + sigma_data * to_complex(self.run(unet, images, conditions, sense.sets))
        assert anchor is not None
        return anchor


def build_denoiser(architecture: Architecture) -> Denoiser:
    """An untrained denoiser, its weights drawn from torch's global generator, in channels_last."""
    denoiser = DENOISERS[architecture.denoiser](architecture)
    return denoiser.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def half_precision(device: torch.device) -> AbstractContextManager:
    """Calls in here run in bfloat16 where that is fast."""
    return torch.autocast(device.type, torch.bfloat16) if fast_bfloat16(device) else nullcontext()


def preconditioning(sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor, Tensor]:
    """c_skip, c_out, c_in of EDM (Karras et al., 2022, table 1)."""
    total = sigma**2 + sigma_data**2
    return sigma_data**2 / total, sigma * sigma_data / total.sqrt(), 1 / total.sqrt()


def to_channels(image: Complex[Tensor, "batch y x"]) -> Float[Tensor, "batch 2 y x"]:
    return torch.view_as_real(image).movedim(-1, 1)


def to_complex(channels: Float[Tensor, "batch 2 y x"]) -> Complex[Tensor, "batch y x"]:
    return torch.view_as_complex(channels.movedim(1, -1).contiguous())
