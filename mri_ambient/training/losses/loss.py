"""What a loss is: an object that holds its rule and says what it needs.

The denoiser is shown k-space behind M~ (``shown``), to which noise was added in image space or in k-space; a rule compares its
answer with what was measured behind M.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.priors.denoisers import Denoiser


@dataclass(frozen=True)
class Shown:
    """The lines the denoiser is shown.

    Attributes:
        mask: M~, one row, or all where readouts fill only a band of them.
        q: P(line in M | M~).
    """

    mask: Bool[Tensor, "slice #y x"]
    q: Float[Tensor, "slice 1 x"]

    def __getitem__(self, slices: slice) -> "Shown":
        """Of some slices."""
        return Shown(self.mask[slices], self.q[slices])

    def to(self, device: torch.device | str) -> "Shown":
        """The same on another device."""
        return Shown(self.mask.to(device), self.q.to(device))


@runtime_checkable
class Rule(Protocol):
    """``rule(denoiser, measurement, shown, sigma, noise) -> [slice]``, differentiable.

    sigma: of the added noise. noise: complex64, unit variance in each part, [slice, v, x], or [slice, coil, y, x] where it is
    added in k-space.
    """

    def __call__(
        self,
        denoiser: Denoiser,
        measurement: Measurement,
        shown: Shown,
        sigma: Float[Tensor, " slice"],
        noise: Complex[Tensor, "slice ..."],
        /,
    ) -> Float[Tensor, " slice"]: ...


@dataclass(frozen=True)
class Loss:
    """A way to learn.

    Attributes:
        rule: what is minimised.
        noise_domain: where the noise is added that the denoiser takes away.
        needs_noise_level: whether each scan has to state its noise.
        needs_complete: whether it reads all of complete scans, and hides lines of them afresh at every step.
        from_reconstructions: whether it has no ambient stage, and learns from the scans as L1-wavelet reconstructs them.
    """

    rule: Rule
    noise_domain: Literal["image", "kspace"] = "image"
    needs_noise_level: bool = False
    needs_complete: bool = False
    from_reconstructions: bool = False


def denoise(
    denoiser: Denoiser,
    measurement: Measurement,
    shown: Shown,
    sigma: Float[Tensor, " slice"],
    noise: Complex[Tensor, "slice ..."],
) -> Complex[Tensor, "slice v x"]:
    """D(M~ y + A~ sigma z), or for noise in k-space D(M~ (y + sigma e)): made from measured samples and noise alone."""
    sense = measurement.sense.with_mask(shown.mask)
    if noise.ndim == measurement.kspace.ndim:
        noisy = sense.apply_mask(measurement.kspace + sigma[:, None, None, None] * noise)
        return denoiser(noisy, sense, total_noise(measurement, sigma))
    noisy = sense.apply_mask(measurement.kspace) + sense(sigma[:, None, None] * noise)
    return denoiser(noisy, sense, sigma)


def total_noise(measurement: Measurement, sigma: Float[Tensor, " slice"]) -> Float[Tensor, " slice"]:
    """Of the scan's own and the added noise together."""
    return (measurement.noise_std**2 + sigma**2).sqrt()


def squared(error: Complex[Tensor, "..."]) -> Float[Tensor, "..."]:
    """|error|^2, without the square root of ``abs``."""
    return torch.view_as_real(error).square().sum(-1)


def mean_of_lines(
    error: Complex[Tensor, "slice coil y x"], weight: Tensor, level: Float[Tensor, " slice"]
) -> Float[Tensor, " slice"]:
    """The weighted sum of |error|^2 over coils and k-space, for each pixel of a coil, times the weight of the noise level."""
    pixels = error.shape[-2] * error.shape[-1]
    return level * (weight * squared(error)).sum((1, 2, 3)) / pixels
