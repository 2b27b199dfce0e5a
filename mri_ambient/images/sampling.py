"""Samples of `pixel` priors, and a picture of them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from mri_ambient.console import progress_bar
from mri_ambient.files import atomic_write
from mri_ambient.images.card import PixelPrior
from mri_ambient.images.operators import Operator, everything, stack
from mri_ambient.images.registry import CORRUPTIONS, RULES
from mri_ambient.physics.seeds import seed_of
from mri_ambient.priors.sampling import RHO, SIGMA_MAX, SIGMA_MIN, Denoise, device_of_module, heun
from mri_ambient.priors.schedule import edm_schedule

Samples = Float[Tensor, "n channel y x"]


def sample_pixels(
    prior: PixelPrior,
    count: int,
    steps: int,
    seed: int,
    lowest: float = SIGMA_MIN,
    redrawn: bool = False,
    batch: int = 128,
) -> Samples:
    """``count`` images by Heun's method, on the prior's device; the same for the same seed, whatever the batch.

    A prior of the rule `ambient` is shown each through an A~ drawn as in training, once for the whole trajectory, as published
    (Daras et al., 2023: for pixels the survival is (1 - missing) (1 - further)), so that what A~ hides ends as its mean; or
    ``redrawn`` at every call, so that in time all is seen. lowest: the level from which the denoiser's answer is returned,
    sigma_tn for the `truncated` samples of a prior that never learned what is below (Daras et al., 2404.10177).
    """
    shape = (prior.denoiser.architecture.channels, *prior.card.matrix)
    sigmas = edm_schedule(steps, SIGMA_MAX, lowest, RHO)
    images = []
    with progress_bar() as bar:
        task = bar.add_task("sampling", total=steps * -(-count // batch))
        for first in range(0, count, batch):
            numbers = range(first, min(first + batch, count))
            generators = [Generator().manual_seed(seed_of("sample", number, seed, "noise")) for number in numbers]
            noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
            denoise = _denoiser(prior, generators, redrawn)
            start = noise.to(device_of_module(prior.denoiser))
            images.append(heun(denoise, start, sigmas, lambda *_: bar.advance(task)).cpu())
    return torch.cat(images)


def _denoiser(prior: PixelPrior, generators: Sequence[Generator], redrawn: bool) -> Denoise:
    training, matrix, device = prior.card.training, prior.card.matrix, device_of_module(prior.denoiser)
    corruption = CORRUPTIONS[training.corruption]

    def draw() -> Operator:
        if not RULES[training.rule].shows_less:
            return everything(torch.empty(len(generators), 1, *matrix)).to(device)
        drawn = [(corruption.draw(training.missing, matrix, g), g) for g in generators]
        lessened = [corruption.lessen(operator, training.missing, training.further, g) for operator, g in drawn]
        return stack(lessened).to(device)

    fixed = draw()

    def denoise(images: Tensor, sigma: float) -> Tensor:
        operator = draw() if redrawn else fixed
        return prior.denoiser(
            operator.project(images), operator, torch.full((len(images),), sigma, device=images.device)
        )

    return denoise


def draw_pixels(path: Path, images: Samples, title: str) -> None:
    """A PNG of the images side by side: grey for one channel, the magnitude of two, the colours of three."""
    from matplotlib.figure import Figure

    shown = images.movedim(1, -1).numpy() if images.shape[1] == 3 else images.norm(dim=1).numpy()
    if images.shape[1] == 1:
        shown = images[:, 0].numpy()
    low, high = (float(np.quantile(shown, share)) for share in (0.005, 0.995))
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(columns, rows + 0.4), dpi=110, layout="constrained", facecolor="black")
    for axis, image in zip(figure.subplots(rows, columns, squeeze=False).flat, shown, strict=False):
        axis.imshow(((image - low) / max(high - low, 1e-9)).clip(0, 1), cmap="gray", vmin=0, vmax=1)
    for axis in figure.axes:
        axis.set_axis_off()
    figure.suptitle(title, color="white", fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
