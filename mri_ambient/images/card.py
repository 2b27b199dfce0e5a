"""Priors of the image domain on disk: the folder and file names of every prior, with a card type and a loader of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mri_ambient.errors import UserError
from mri_ambient.images.config import ImageConfig
from mri_ambient.images.denoiser import PixelArchitecture, PixelDenoiser, build_pixel_denoiser
from mri_ambient.priors.card import CardOf, load_weights, parse_card
from mri_ambient.priors.runs import PIXEL, kind_of


class PixelCard(CardOf[Literal["pixel"], PixelArchitecture, ImageConfig]):
    """What a `pixel` prior is and how it was made: one of real images, which knows no coils, so that reconstruction of scans
    can't use it."""


@dataclass(frozen=True)
class PixelPrior:
    """A denoiser of real images ready to be called, and its card.

    Attributes:
        denoiser: D(u, A, sigma), in evaluation mode, without gradients for its weights.
        card: what it is and how it was made.
        path: its folder.
    """

    denoiser: PixelDenoiser
    card: PixelCard
    path: Path


def load_pixel_prior(folder: Path, device: torch.device | str = "cpu") -> PixelPrior:
    """The `pixel` prior of a folder.

    Args:
        folder: where ``prior.json`` and ``prior.safetensors`` lie.
        device: where the denoiser is to be.

    Raises:
        UserError: a file is missing, the weights are not those of the card, or the prior is not a `pixel` one.
    """
    kind = kind_of(folder)
    if kind is not None and kind != PIXEL:
        raise UserError(f"{folder}: is a prior of kind `{kind}`, not `pixel`; choose one of `mri-ambient train-images`")
    card = parse_card(folder, PixelCard)
    denoiser = load_weights(folder, card.weights_sha256, build_pixel_denoiser(card.architecture))
    return PixelPrior(denoiser.to(device).eval().requires_grad_(False), card, folder)
