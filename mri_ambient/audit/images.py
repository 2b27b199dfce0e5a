"""Which images an audit compares: those a prior was trained on, and the same of subjects it was not trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.console import track
from mri_ambient.errors import UserError
from mri_ambient.measurement import measurement_of
from mri_ambient.priors.card import Prior, load_prior
from mri_ambient.priors.find import beside
from mri_ambient.priors.runs import CARD
from mri_ambient.store import dataset, is_prepared, read_sampling, read_volume
from mri_ambient.training.data import split, volumes_in
from mri_ambient.training.run import RUN
from mri_ambient.training.run_config import read_config
from mri_ambient.training.run_data import changed_volumes

LAP_IMAGES = "images"
BATCH = 16


@dataclass(frozen=True)
class ImageSet:
    """Magnitudes; of each image its file and its place there, and whose it is."""

    magnitudes: Float[Tensor, "n y x"]
    places: tuple[str, ...]
    subjects: tuple[str, ...]


def training_images(prior: Prior, matrix: tuple[int, int], folder: Path | None = None) -> ImageSet:
    """Those in ``folder``, else an `image` prior's lap's images, else (`masked`) the volumes its run was trained on.

    Raises UserError if there are none of ``matrix``.
    """
    if folder is None and prior.card.kind == "image":
        folder = prior.path / LAP_IMAGES
    paths = run_volumes(prior, "--training") if folder is None else files_in(folder, "--training")
    return read_images(paths, matrix, prior, "--training")


def held_out_images(prior: Prior, matrix: tuple[int, int], folder: Path | None = None) -> ImageSet:
    """Those in ``folder``, else of the subjects that the prior's run held out.

    Raises UserError if there are none of ``matrix``.
    """
    paths = run_volumes(prior, "--held-out") if folder is None else files_in(folder, "--held-out")
    return read_images(paths, matrix, prior, "--held-out")


def files_in(folder: Path, option: str) -> list[Path]:
    paths = volumes_in(folder)
    if not paths:
        raise UserError(f"{folder}: holds no images and no prepared volumes; pass {option} FOLDER")
    return paths


def run_volumes(prior: Prior, option: str) -> list[Path]:
    """The prepared volumes that the prior's run was trained on, or (`--held-out`) held out. Raises UserError without any."""
    path = beside(prior, RUN)
    if path is None:
        raise UserError(f"{prior.path}: has no {RUN} that says which scans it was trained on; pass {option} FOLDER")
    run, config = path.parent, read_config(path)
    volumes = {volume: read_sampling(volume) for volume in volumes_in(config.data)}
    other = changed_volumes(run, volumes)
    if other:
        raise UserError(f"{config.data}: {other} came, went or changed since {run} was trained; pass {option} FOLDER")
    trained, held_out = (list(side) for side in split(volumes, config.hold_out))
    if not trained:
        raise UserError(f"{config.data}: holds no prepared volume, and {path} names it; pass {option} FOLDER")
    if option == "--training":
        return trained
    if not held_out:
        raise UserError(f"{run}: held no subject of {config.data} out of its training; pass {option} FOLDER")
    return held_out


def read_images(paths: Sequence[Path], matrix: tuple[int, int], prior: Prior, option: str) -> ImageSet:
    """All images of ``matrix``; those of other sizes have nothing to be compared with."""
    what = f"reading {'training' if option == '--training' else 'held-out'} images"
    found = [
        (*image, whose(path)) for path in track(paths, what, len(paths)) for image in images_of(path, prior, option)
    ]
    fitting = [entry for entry in found if entry[0].shape == matrix]
    if not fitting:
        rows, columns = matrix
        raise UserError(
            f"{paths[0].parent}: holds no image of {rows}x{columns}, the samples' size; pass {option} FOLDER"
        )
    magnitudes, places, subjects = zip(*fitting, strict=True)
    return ImageSet(torch.stack(magnitudes), places, subjects)


def images_of(path: Path, prior: Prior, option: str) -> Iterator[tuple[Float[Tensor, "y x"], str]]:
    """(magnitude, place) of the images in one file: a lap's `image` [slice, y, x] or [draw, slice, y, x], or a prepared volume.

    A fully sampled volume is coil-combined. One that isn't is reconstructed as the first E-step of the prior's run would have
    done: a fair baseline where training images were made so, and the only one if nobody was ever fully sampled. (Of full
    scans either has the same median S within 0.01 in the space of `bandpass`.)
    """
    if is_prepared(path):
        yield from ((image, f"{path.stem} slice {i}") for i, image in enumerate(combined(path, prior, option).abs()))
        return
    try:
        with h5py.File(path) as file:
            images = torch.from_numpy(np.asarray(dataset(file, "image")[:]))
    except (OSError, KeyError) as error:
        raise UserError(
            f"{path}: holds no images and is no prepared volume; pass {option} FOLDER of one of both"
        ) from error
    draws = images if images.ndim == 4 else images[None]
    for number, draw in enumerate(draws):
        name = f"{path.stem} draw {number}" if len(draws) > 1 else path.stem
        yield from ((image, f"{name} slice {i}") for i, image in enumerate(draw.abs()))


@torch.no_grad()
def combined(path: Path, prior: Prior, option: str) -> Complex[Tensor, "slice y x"]:
    """Of two sets of maps the first one's images."""
    slices, _, rows, _ = read_sampling(path).shape
    images = []
    for first in range(0, slices, BATCH):
        volume = read_volume(path, slice(first, first + BATCH))
        if volume.fully_sampled:
            images.append(volume.sense.adjoint(volume.kspace)[..., :rows, :])
            continue
        if prior.card.kind == "masked" or not (prior.path.parent / CARD).exists():
            raise UserError(
                f"{path}: is undersampled, and there is no image of it to compare; pass {option} FOLDER of full scans"
            )
        denoiser = load_prior(prior.path.parent).denoiser
        found = denoiser.from_measurements(measurement_of(volume))
        images.append(found[..., :rows, :])
    return torch.cat(images)


def whose(path: Path) -> str:
    return read_sampling(path).subject if is_prepared(path) else path.stem
