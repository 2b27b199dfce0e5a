"""Learning from images that are corrupted in the image domain: the task that `mri-ambient train-images` gives to the loop."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mri_ambient.images.config import ImageConfig
from mri_ambient.images.data import Images
from mri_ambient.images.denoiser import PixelDenoiser, build_pixel_denoiser
from mri_ambient.images.losses import ImageBatch
from mri_ambient.images.operators import Operator, everything, stack
from mri_ambient.images.registry import CORRUPTIONS, RULES
from mri_ambient.physics.seeds import seed_of


@dataclass(frozen=True)
class DrawnImages:
    """What one step trains on."""

    batch: ImageBatch
    sigma: Float[Tensor, " batch"]
    noise: Float[Tensor, "batch draw channel y x"]

    @property
    def names(self) -> tuple[str, ...]:
        return self.batch.names

    def __len__(self) -> int:
        return len(self.sigma)

    def part(self, rank: int, count: int) -> "DrawnImages":
        """Every ``count``-th image, from ``rank`` on."""
        return DrawnImages(self.batch.part(rank, count), self.sigma[rank::count], self.noise[rank::count])

    def to(self, device: torch.device) -> "DrawnImages":
        return DrawnImages(self.batch.to(device), self.sigma.to(device), self.noise.to(device))


@dataclass(frozen=True)
class ImageTask:
    """Images, each behind its one corruption, and a rule of `images.losses`."""

    data: Images
    config: ImageConfig

    def build(self) -> PixelDenoiser:
        return build_pixel_denoiser(self.config.architecture)

    def draw(self, step: int) -> DrawnImages:
        """What step number ``step`` trains on."""
        config = self.config
        generator = Generator().manual_seed(config.seed * 1_000_003 + step)
        indices = torch.randint(len(self.data.pixels), (config.batch,), generator=generator)
        batch = draw_batch(self.data, indices.tolist(), config, generator)
        mean, spread = config.log_sigma
        sigma = torch.exp(mean + spread * torch.randn(len(indices), generator=generator))
        count, (_, *shape) = RULES[config.rule].noises, batch.images.shape
        return DrawnImages(batch, sigma, torch.randn(len(indices), count, *shape, generator=generator))

    def losses(self, denoiser: PixelDenoiser, drawn: DrawnImages) -> Float[Tensor, " batch"]:
        return RULES[self.config.rule].loss(denoiser, drawn.batch, drawn.sigma, drawn.noise)

    @torch.no_grad()
    def picture(self, denoiser: PixelDenoiser, drawn: DrawnImages, count: int = 8) -> Float[Tensor, "1 y x"]:
        """Of a few images of a batch, the magnitude of what is shown, above what comes out."""
        some = drawn.part(0, max(1, len(drawn) // count))
        batch, sigma, noise = some.batch, some.sigma, some.noise[:, 0]
        source = batch.noisy if CORRUPTIONS[self.config.corruption].noisy else batch.images
        noisy = batch.shown.project(source + sigma[:, None, None, None] * noise)
        rows = (noisy.norm(dim=1), denoiser(noisy, batch.shown, sigma).norm(dim=1))
        return torch.cat([torch.cat(list(row), -1) for row in rows], -2)[None].clamp(0, 1).cpu()


def draw_batch(data: Images, indices: list[int], config: ImageConfig, generator: Generator) -> ImageBatch:
    """The images behind their corruptions; of these, A and the noise of ``noisy`` are those of the image, A~ is fresh.

    Nothing that A does not measure gets into the batch, unless the rule is given whole images.
    """
    corruption, rule = CORRUPTIONS[config.corruption], RULES[config.rule]
    images = data.pixels[indices]
    noise_std = config.noise_std if corruption.noisy else 0.0
    noisy = images + noise_std * torch.stack([_own_noise(data, index) for index in indices]) if noise_std else images
    operator = shown = everything(images)
    if corruption.noisy:
        images = images if rule.given_whole else noisy
    elif not rule.given_whole:
        operator = stack([own_operator(data, index, config) for index in indices])
        images = noisy = operator.project(images)
    if rule.shows_less:
        ones = [operator[i : i + 1] for i in range(len(indices))]
        shown = stack([corruption.lessen(one, config.missing, config.further, generator) for one in ones])
    if rule.blind:
        operator = shown
    names = tuple(f"{data.name} image {index}" for index in indices)
    return ImageBatch(images, operator, shown, noisy, torch.full((len(indices),), noise_std), names)


def own_operator(data: Images, index: int, config: ImageConfig) -> Operator:
    """A of one image, the same wherever and whenever it is drawn."""
    generator = Generator().manual_seed(seed_of(data.name, index, config.missing, config.corruption))
    rows, columns = data.pixels.shape[-2:]
    return CORRUPTIONS[config.corruption].draw(config.missing, (rows, columns), generator)


def _own_noise(data: Images, index: int) -> Float[Tensor, "channel y x"]:
    generator = Generator().manual_seed(seed_of(data.name, index, 0, "noise"))
    return torch.randn(data.pixels.shape[1:], generator=generator)
