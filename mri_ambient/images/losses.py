"""The rules for images, each with one function ``loss(denoiser, batch, sigma, noise) -> [batch]``.

sigma: [batch]; noise: N(0, 1), [batch, draw, channel, y, x].

With A = ``batch.operator`` and A~ = ``batch.shown``; x = ``batch.images``, of which only A x may be used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from mri_ambient.images.denoiser import PixelDenoiser
from mri_ambient.images.operators import Image, Operator, everything
from mri_ambient.training.losses.weights import edm_weight, masked_weight

CONSISTENCY = 1.0  # weight of the consistency term
CHAIN = 4  # steps from sigma_tn down to where consistency is asked for
LOWEST = 0.02  # sigma there, at the least


@dataclass(frozen=True)
class ImageBatch:
    """images: A^+ A x, what was measured. noisy: the images at the level ``noise_std`` (sigma_tn), each with its one noise for
    ever, all that the rules for noisy data read."""

    images: Image
    operator: Operator
    shown: Operator
    noisy: Image
    noise_std: Float[Tensor, " batch"]
    names: tuple[str, ...]

    def part(self, rank: int, count: int) -> "ImageBatch":
        """Every ``count``-th image, from ``rank`` on."""
        these = slice(rank, None, count)
        operators = (self.operator[these], self.shown[these])
        return ImageBatch(self.images[these], *operators, self.noisy[these], self.noise_std[these], self.names[these])

    def to(self, device: torch.device) -> "ImageBatch":
        operators = (self.operator.to(device), self.shown.to(device))
        return ImageBatch(
            self.images.to(device), *operators, self.noisy.to(device), self.noise_std.to(device), self.names
        )


@dataclass(frozen=True)
class Rule:
    """How a denoiser learns from corrupted images.

    Attributes:
        loss: ``(denoiser, batch, sigma, noise) -> [batch]``.
        of_missing: whether it is for images that lack something.
        of_noisy: whether it is for noisy images.
        noises: how many noise images it takes for each image.
        given_whole: whether it is given whole images.
        shows_less: whether the denoiser is shown A~ rather than all that A measures.
        blind: whether it takes what was measured for the whole image.
    """

    loss: Callable[[PixelDenoiser, ImageBatch, Tensor, Tensor], Float[Tensor, " batch"]]
    of_missing: bool = False
    of_noisy: bool = False
    noises: int = 1
    given_whole: bool = False
    shows_less: bool = False
    blind: bool = False


def ambient(denoiser: PixelDenoiser, batch: ImageBatch, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||A D(A~ (x + sigma z), A~) - A x||^2 (Ambient Diffusion: Daras et al., NeurIPS 2023).

    Its minimiser is E[x | A~ (x + sigma z), A~] where E[A^T A | A~] has full rank; w is flat where the error has a floor.
    """
    noisy = batch.shown.project(batch.images + _level(sigma) * noise[:, 0])
    error = batch.operator(denoiser(noisy, batch.shown, sigma) - batch.images)
    weight = masked_weight(sigma, denoiser.architecture.sigma_data)
    return weight * error.square().flatten(1).sum(1) / batch.images[0].numel()


def edm(denoiser: PixelDenoiser, batch: ImageBatch, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(sigma) ||D(x + sigma z) - x||^2 (Karras et al., 2022): takes ``batch.images`` for the truth. Of whole images it is the
    ceiling (`clean`), of corrupted ones the control (`naive`)."""
    images = batch.images
    return _edm_error(denoiser, images + _level(sigma) * noise[:, 0], sigma, torch.zeros_like(sigma), images)


def tweedie(denoiser: PixelDenoiser, batch: ImageBatch, sigma: Tensor, noise: Tensor) -> Tensor:
    """w(s) ||(1 - s_tn^2 / s^2) D(x_s) + (s_tn^2 / s^2) x_s - x_tn||^2 for x_s = x_tn + sigma z, s^2 = s_tn^2 + sigma^2.

    Ambient Tweedie (Daras et al., 2404.10177), from images at the level s_tn alone: the minimiser is E[x | x_s] at any s above
    s_tn; below, nothing is learned. (As published s is clamped up to s_tn, where the factor of D is 0; here noise is added.)
    """
    total = (batch.noise_std**2 + sigma**2).sqrt()
    return _edm_error(denoiser, batch.noisy + _level(sigma) * noise[:, 0], total, batch.noise_std, batch.noisy)


def tweedie_consistent(denoiser: PixelDenoiser, batch: ImageBatch, sigma: Tensor, noise: Tensor) -> Tensor:
    """`tweedie`, and below s_tn E[D(x_s', s') | x_tn] = D(x_tn, s_tn) (consistency: Daras et al., NeurIPS 2023).

    x_s' comes from x_tn by CHAIN steps of the denoiser's own reverse diffusion, twice; the product of the two residuals is an
    unbiased estimate of the squared mean one. D at s_tn teaches those below it and is not changed by them. For every
    fourth image, as each asks for ten calls of the denoiser.
    """
    losses = tweedie(denoiser, batch, sigma, noise)
    start, top = batch.noisy[::4], batch.noise_std[::4]
    # s' is uniform in its logarithm between LOWEST and s_tn: a number in [0, 1) from the noise that there is
    share = torch.special.ndtr(noise[::4, -1].flatten(1)[:, 0])
    lower = LOWEST * (top / LOWEST) ** share
    with torch.no_grad():
        upper = denoiser(start, everything(start), top)
        ends = [_reverse(denoiser, start, top, lower, noise[::4, 1 + i * CHAIN :][:, :CHAIN]) for i in range(2)]
    first, second = (denoiser(end, everything(end), lower) - upper for end in ends)
    term = torch.zeros_like(losses)
    term[::4] = (first * second).flatten(1).mean(1) / denoiser.architecture.sigma_data**2
    return losses + len(losses) / len(start) * CONSISTENCY * term  # on average 1 an image, of few images too


def creative(denoiser: PixelDenoiser, batch: ImageBatch, sigma: Tensor, noise: Tensor) -> Tensor:
    """Below s_tn `edm` on the whole images, from s_tn up `tweedie` on one noisy realisation of each ("Does Generation Require
    Memorization?", ICML 2025): the levels that decide what an image shows never see the image itself."""
    low = sigma < batch.noise_std
    nature = torch.where(low, 0, batch.noise_std)
    source = torch.where(low[:, None, None, None], batch.images, batch.noisy)
    added = (sigma**2 - nature**2).sqrt()
    return _edm_error(denoiser, source + _level(added) * noise[:, 0], sigma, nature, source)


AMBIENT = Rule(ambient, of_missing=True, shows_less=True)
TWEEDIE = Rule(tweedie, of_noisy=True)
TWEEDIE_CONSISTENT = Rule(tweedie_consistent, of_noisy=True, noises=2 * CHAIN + 2)
CREATIVE = Rule(creative, of_noisy=True, given_whole=True)
NAIVE = Rule(edm, of_missing=True, of_noisy=True, blind=True)
CLEAN = Rule(edm, of_missing=True, of_noisy=True, given_whole=True)


def _edm_error(denoiser: PixelDenoiser, noisy: Tensor, sigma: Tensor, nature: Tensor, target: Tensor) -> Tensor:
    """w(sigma) ||(1 - r) D(noisy) + r noisy - target||^2, r = nature^2 / sigma^2, for a target at the level ``nature``."""
    ratio = _level(nature**2 / sigma**2)
    error = (1 - ratio) * denoiser(noisy, everything(noisy), sigma) + ratio * noisy - target
    return edm_weight(sigma, denoiser.architecture.sigma_data) * error.square().flatten(1).mean(1)


def _reverse(denoiser: PixelDenoiser, images: Tensor, top: Tensor, lower: Tensor, noise: Tensor) -> Tensor:
    """Ancestral steps x_s = D + (s/t)^2 (x_t - D) + s sqrt(1 - (s/t)^2) z along t = top ... s = lower, evenly in ln sigma."""
    levels = [top * (lower / top) ** (i / CHAIN) for i in range(CHAIN + 1)]
    for step, (here, there) in enumerate(pairwise(levels)):
        clean = denoiser(images, everything(images), here)
        ratio = _level(there**2 / here**2)
        images = clean + ratio * (images - clean) + _level(there) * (1 - ratio).sqrt() * noise[:, step]
    return images


def _level(sigma: Float[Tensor, " batch"]) -> Float[Tensor, "batch 1 1 1"]:
    return sigma[:, None, None, None]
