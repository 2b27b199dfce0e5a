"""A run on images.

runs/NAME/            prior.json (kind `pixel`), prior.safetensors, checkpoint, run.json, tensorboard/, samples.png
"""

import hashlib
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Generator

from mri_ambient.console import stderr
from mri_ambient.errors import UserError
from mri_ambient.images.card import PixelCard, PixelPrior, load_pixel_prior
from mri_ambient.images.config import ImageConfig
from mri_ambient.images.data import Images, read_images
from mri_ambient.images.denoiser import PixelArchitecture, PixelDenoiser
from mri_ambient.images.operators import everything
from mri_ambient.images.registry import RULES, fitting_rules
from mri_ambient.images.sampling import draw_pixels, sample_pixels
from mri_ambient.images.task import ImageTask, draw_batch
from mri_ambient.priors.card import first_problem, save_prior
from mri_ambient.priors.runs import steps_done
from mri_ambient.store import Json
from mri_ambient.training.loop import train
from mri_ambient.training.ranks import current_ranks
from mri_ambient.training.run import claim

GRID, STEPS = 64, 32
PASSES = 50


class ImageRunConfig(BaseModel):
    """images: the file that they are read from. sha256: of the images. init: of the weights to start from, empty without."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Path
    sha256: str
    init: str = ""
    training: ImageConfig


def image_config(path: Path, settings: Json, widths: tuple[int, ...], init: PixelPrior | None = None) -> ImageRunConfig:
    """The run on the images of a file.

    Args:
        path: npy or npz, see :func:`mri_ambient.images.data.read_images`.
        settings: of an :class:`mri_ambient.images.config.ImageConfig`; without ``images``, or with None, PASSES passes over
            them; without ``rule`` the first that fits the corruption.
        widths: channels of the network's levels.
        init: the prior to start from, whose architecture is taken over.

    Raises:
        UserError: a setting is wrong, or the images don't fit ``init``.
    """
    data = read_images(path)
    settings = {name: value for name, value in settings.items() if value is not None}
    defaults = {
        "images": PASSES * len(data.pixels),
        "rule": fitting_rules(str(settings.get("corruption", "random-pixels")))[0],
    }
    settings = defaults | settings
    try:
        config = ImageConfig.model_validate(settings)
    except ValidationError as error:
        raise UserError(f"{path}: can't be trained on so: {first_problem(error)}; correct that option") from error
    architecture = init.denoiser.architecture if init else architecture_for(data, config, widths)
    if architecture.channels != data.pixels.shape[1]:
        raise UserError(
            f"{path}: has images of {data.pixels.shape[1]} channels, the prior to start from {architecture.channels}; give "
            "--init another one"
        )
    return described(path, data, config.model_copy(update={"architecture": architecture}), init)


def described(path: Path, data: Images, config: ImageConfig, init: PixelPrior | None = None) -> ImageRunConfig:
    """The run with ``config`` on ``data``, which was read from ``path``, from the weights of ``init``."""
    start = init.card.weights_sha256 if init else ""
    return ImageRunConfig(images=path.resolve(), sha256=digest_of(data), init=start, training=config)


def digest_of(data: Images) -> str:
    return hashlib.sha256(data.pixels.numpy().tobytes()).hexdigest()


def architecture_for(data: Images, config: ImageConfig, widths: tuple[int, ...]) -> PixelArchitecture:
    """With the channels of the images, and for sigma_data the root mean square of what is measured of up to 256 of them."""
    batch = draw_batch(data, list(range(min(256, len(data.pixels)))), config, Generator().manual_seed(0))
    coverage = everything(batch.images).coverage if RULES[config.rule].blind else batch.operator.coverage
    power = batch.images.square().sum() / (coverage.sum() * batch.images.shape[1])
    if not torch.isfinite(power) or power == 0:
        raise UserError(f"{data.name}: holds no finite image that is not 0 everywhere; correct the images")
    return PixelArchitecture(channels=batch.images.shape[1], widths=widths, sigma_data=round(power.item() ** 0.5, 3))


def run_images(
    config: ImageRunConfig, folder: Path, resume: bool, init: PixelPrior | None = None, device: str = "auto"
) -> PixelPrior:
    """Train, save the prior with every checkpoint, draw samples. A finished run is not repeated.

    Args:
        config: all settings.
        folder: of the run.
        resume: continue the run there.
        init: the prior whose weights it starts from.
        device: that trains and samples, as of :func:`mri_ambient.devices.device_of`.

    Raises:
        UserError: ``folder`` holds a run and ``resume`` is False, or another run than ``config``; or ``init`` is of another
            architecture; or the device is not here.
    """
    settings, ranks = config.training, current_ranks(device)
    if init is not None and init.denoiser.architecture != settings.architecture:
        raise UserError(
            f"{init.path}: has the architecture {init.denoiser.architecture}, the run {settings.architecture}; give --init a "
            "prior of the same"
        )
    data = read_images(config.images)
    if digest_of(data) != config.sha256:
        raise UserError(
            f"{config.images}: has other images than when the run was set up; train a new one with another --out"
        )
    if ranks.first:
        claim(folder, config, resume)
    ranks.wait()
    rows, columns = data.pixels.shape[-2:]
    origin = f"; from the weights of prior {config.init[:8]}" if config.init else ""

    def save(denoiser: PixelDenoiser, seen: int) -> None:
        card = PixelCard(
            kind="pixel",
            architecture=settings.architecture,
            matrix=(rows, columns),
            pixel_mm=None,
            images_seen=seen,
            training=settings,
            data=f"{len(data.pixels)} images of {config.images.name}{origin}",
        )
        save_prior(folder, denoiser, card)

    if steps_done(folder) >= settings.steps:
        stderr.print(f"{folder}: finished already")
    else:
        train(ImageTask(data, settings), settings, folder, save, init.denoiser if init else None, ranks=ranks)
    prior = load_pixel_prior(folder, ranks.device)
    if ranks.first:
        images = sample_pixels(prior, GRID, STEPS, settings.seed)
        draw_pixels(folder / "samples.png", images, f"{GRID} samples: {settings.corruption}, {settings.rule}")
    return prior
