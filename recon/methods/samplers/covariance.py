"""The covariance of x given x + sigma e, as a denoiser's own answers tell it, and exact Gaussian draws by it."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.measurement import Images, Measurement
from mri_ambient.physics.sense import apart
from mri_ambient.physics.solvers import conjugate_gradient
from mri_ambient.recon.methods.denoising import Denoise, Sigma
from mri_ambient.recon.methods.method import Generators
from mri_ambient.recon.methods.samplers.annealing import complex_noise

EDGES = (0.03, 0.08, 0.18)  # between bands, in cycles a pixel
BLURS = (6.0, 3.0, 2.0, 1.5)  # of each band's energy, in pixels
NUDGE = 0.1  # of sigma: how far the probe looks; far enough for bfloat16
SMALLEST_SHARE = 1e-4  # of sigma^2 that a band is left with
FLOOR = 0.02  # of the mean energy, so that no place is certain
TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class LocalCovariance:
    """C = L L^H with L w = F^H sum_b h_b F (v_b w): stationary within a band b and within some pixels.

    Attributes:
        bands: h_b >= 0 with sum_b h_b^2 = 1, float32 [band, y, x], DC first.
        stds: v_b, the std that band b would have at each place if it were all there is, of the real and of the imaginary part,
            float32 [band, k, slice, set, y, x].
    """

    bands: Float[Tensor, "band y x"]
    stds: Float[Tensor, "band k slice set y x"]

    def scaled(self, inflation: float) -> "LocalCovariance":
        """The same times a number."""
        return replace(self, stds=inflation**0.5 * self.stds)

    def root(self, white: Images) -> Images:
        """L w: of white noise, a draw from N(0, C)."""
        images = apart(white, self.stds.shape[-3])
        spectrum = sum(band * torch.fft.fft2(std * images) for band, std in zip(self.bands, self.stds, strict=True))
        assert isinstance(spectrum, Tensor)
        return torch.fft.ifft2(spectrum).flatten(-3, -2)

    def root_adjoint(self, images: Images) -> Images:
        """L^H z."""
        spectrum = torch.fft.fft2(apart(images, self.stds.shape[-3]))
        white = sum(std * torch.fft.ifft2(band * spectrum) for band, std in zip(self.bands, self.stds, strict=True))
        assert isinstance(white, Tensor)
        return white.flatten(-3, -2)

    @property
    def spectrum(self) -> Float[Tensor, "k slice set y x"]:
        """The mean variance at each frequency, DC first."""
        mean = self.stds.square().mean((-2, -1), keepdim=True)
        return (self.bands[:, None, None, None].square() * mean).sum(0)


def local_covariance(
    denoise: Denoise, images: Images, denoised: Images, sigma: Sigma, measurement: Measurement, generators: Generators
) -> LocalCovariance:
    """What is open in the ``denoised`` images D(x) of ``images`` x.

    By Tweedie the covariance is sigma^2 J, J = dD/dx. A random probe u tells the mean of J over each band,
    l_b = <h_b F u, h_b F J u> / ||h_b F u||^2 (Hutchinson, Commun. Stat. Simul. 19:433, 1990): one probe a slice, of its first
    sample, so that it does not depend on K. Where in the image a band's share lies the denoised image tells, for what is
    uncertain are edges and texture: v_b^2 = sigma^2 l_b f_b, f_b the root of the local energy of D, half of it the band's, of
    mean 1.

    Args:
        denoise: the prior, as the sampler calls it.
        images: complex64 [k, slice, v, x], noisy.
        denoised: of them.
        sigma: float32 [slice, 1, 1].
        measurement: whose image shape they have.
        generators: one a slice.
    """
    sets, (rows, columns) = measurement.sets, measurement.image_shape
    probe, step = complex_noise(1, measurement, generators), NUDGE * sigma
    pushed = (denoise(images[:1] + step * probe, sigma) - denoised[:1]) / step
    sent, back, spectrum = (torch.fft.fft2(apart(each, sets)) for each in (probe, pushed, denoised))
    energy = of_mean_one(apart(denoised, sets).abs().square())
    bands, stds = bands_of((rows // sets, columns)).to(images.device), []
    for band, blur in zip(bands, BLURS, strict=True):
        power = band.square()
        share = total(power * (sent.conj() * back).real) / total(power * sent.abs().square())
        of_band = of_mean_one(torch.fft.ifft2(band * spectrum).abs().square())
        place = of_mean_one((blurred((of_band + energy) / 2, blur).clamp_min(0) + FLOOR).sqrt())
        variance = (share.clamp(SMALLEST_SHARE, 1) * place).clamp_max(1)
        stds.append(sigma.unsqueeze(-3) * variance.sqrt())
    return LocalCovariance(bands, torch.stack(stds))


def gaussian_draw(
    measurement: Measurement,
    covariance: LocalCovariance,
    pull: Images,
    iterations: int,
    samples: int,
    generators: Generators,
) -> Images:
    """z ~ N(m, (A^H A / noise^2 + C^-1)^-1), m the solution of (A^H A / noise^2 + C^-1) m = ``pull`` / noise^2.

    By perturbing and solving (Papandreou & Yuille, NIPS 2010): e ~ N(0, C), z = e + L w with
    (1 + L^H A^H A L / noise^2) w = L^H (pull + noise A^H n - A^H A e) / noise^2. However few the iterations, what the solve has
    not reached keeps the spread of the prior.

    Args:
        measurement: A and the noise level.
        covariance: C.
        pull: complex64 [k, slice, v, x], A^H (y - A d) of images d to which z is to be added.
        iterations: of preconditioned conjugate gradients.
        samples: K.
        generators: one a slice.
    """
    operator, precision = measurement.operator, measurement.noise**-2
    start = covariance.root(complex_noise(samples, measurement, generators))
    noise = measurement.noise * operator.adjoint(coil_noise(samples, measurement, generators))
    right = covariance.root_adjoint(pull + noise - operator.gram(start)) * precision
    sampled = operator.measured.float().mean((-2, -1))[:, None, None, None]
    damping = 1 / (1 + covariance.spectrum * sampled * precision.unsqueeze(-3))

    def system(white: Images) -> Images:
        return white + covariance.root_adjoint(operator.gram(covariance.root(white))) * precision

    def precondition(white: Images) -> Images:
        """The inverse of what the system would be if any sampling were even and the covariance the same everywhere."""
        spectrum = torch.fft.fft2(apart(white, damping.shape[-3]))
        return torch.fft.ifft2(damping * spectrum).flatten(-3, -2)

    white = conjugate_gradient(system, right, torch.zeros_like(right), iterations, precondition)
    return torch.where(operator.support, start + covariance.root(white), 0)


def coil_noise(samples: int, measurement: Measurement, generators: Generators) -> Complex[Tensor, "k slice coil y x"]:
    """Of unit variance in both parts, of the shape of the data."""
    return complex_noise(samples, measurement, generators, tuple(measurement.kspace.shape[1:]))


def bands_of(matrix: tuple[int, int]) -> Float[Tensor, "band y x"]:
    """Differences of Gaussians of the radius in k-space, DC first, whose squares sum to 1."""
    rows, columns = (torch.fft.fftfreq(count) for count in matrix)
    radius = rows[:, None].square() + columns.square()
    below = [torch.zeros(matrix), *(torch.exp(-radius / edge**2) for edge in EDGES), torch.ones(matrix)]
    return torch.stack([(high - low).clamp_min(0).sqrt() for low, high in pairwise(below)])


def blurred(images: Float[Tensor, "*batch y x"], width: float) -> Float[Tensor, "*batch y x"]:
    """By a Gaussian of std ``width`` pixels, the edges joined."""
    rows, columns = (torch.fft.fftfreq(count, device=images.device) for count in images.shape[-2:])
    gain = torch.exp(-2 * (math.pi * width) ** 2 * (rows[:, None].square() + columns.square()))
    return torch.fft.ifft2(gain * torch.fft.fft2(images)).real


def of_mean_one(images: Float[Tensor, "*batch set y x"]) -> Float[Tensor, "*batch set y x"]:
    """Over all sets together; an empty image stays empty."""
    return images / images.mean((-3, -2, -1), keepdim=True).clamp_min(TINY)


def total(images: Float[Tensor, "*batch set y x"]) -> Float[Tensor, "*batch 1 1 1"]:
    return images.sum((-3, -2, -1), keepdim=True)
