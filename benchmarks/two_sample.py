"""How far apart two sets of images are, as samples of two distributions: 0 in the limit of many if these are the same."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

Flat = Float[Tensor, "_ pixels"]


def sliced_wasserstein(first: Flat, second: Flat, generator: Generator, directions: int = 512) -> float:
    """sqrt of the mean over random unit directions t of W_2(t.x, t.y)^2 (Bonneel et al., 2015), times sqrt(pixels): in the
    units of the images' norms. Sets of unequal sizes are compared at the quantiles of the smaller."""
    axes = torch.randn(first.shape[1], directions, generator=generator, dtype=first.dtype)
    axes /= axes.norm(dim=0)
    levels = (torch.arange(min(len(first), len(second)), dtype=first.dtype) + 0.5) / min(len(first), len(second))
    ours, theirs = (torch.quantile(images @ axes, levels, dim=0) for images in (first, second))
    return float(((ours - theirs).square().mean() * first.shape[1]).sqrt())


def mmd(first: Flat, second: Flat) -> float:
    """The unbiased squared maximum mean discrepancy (Gretton et al., JMLR 13:723, 2012) of the kernel exp(-d^2 / 2 h^2), h the
    median distance between images of the two sets together; about 0, also below it, for two samples of one distribution."""
    both = torch.cat([first, second])
    distances = torch.cdist(both, both)
    kernel = torch.exp(-0.5 * (distances / distances[distances > 0].median()).square())
    n, m = len(first), len(second)
    within = [
        (block.sum() - block.diagonal().sum()) / (k * (k - 1))
        for block, k in ((kernel[:n, :n], n), (kernel[n:, n:], m))
    ]
    return float(within[0] + within[1] - 2 * kernel[:n, n:].mean())
