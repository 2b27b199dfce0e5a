"""How well a method predicts measured lines that it is not shown: a test that needs no truth."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.physics.masks import mask_seed, remove_samples
from mri_ambient.physics.poisson_disc import centre_box
from mri_ambient.priors.card import Prior
from mri_ambient.store import PreparedVolume
from recon.reconstruct import reconstruct

SHARE = 0.3  # of the measured outer lines (or samples) that are hidden


def hide(volume: PreparedVolume, seed: int) -> tuple[PreparedVolume, Bool[Tensor, "slice #y x"]]:
    """The volume without SHARE of its outer lines, and which those are; the ACS, and with it the coil maps, stay.

    Raises UserError if there are no outer lines to hide.
    """
    height, width = volume.acs
    rows, columns = volume.mask.shape[-2:]
    centre = centre_box((min(height, rows), width), rows, columns)
    shown = []
    for index, mask in enumerate(volume.mask):
        outer = int((mask & ~centre).sum())
        if not outer:
            raise UserError(
                f"{volume.name}: has no measured lines outside its ACS that could be held out; acquire some"
            )
        generator = Generator().manual_seed(mask_seed(volume.name, index, seed, "held out"))
        shown.append(remove_samples(mask, centre, max(1, round(SHARE * outer)), generator))
    mask = torch.stack(shown)
    kspace = torch.where(mask[:, None], volume.kspace, 0)
    return replace(volume, kspace=kspace, mask=mask), volume.mask & ~mask


def unusual(
    volume: PreparedVolume, method: str, prior: Prior | None, settings: Any, limit: float, seed: int
) -> str | None:
    """A warning if one sample of ``method`` predicts lines held out from this scan worse than ``limit``, on average over its
    slices; None if not, or if it has no lines to hold out. limit: of validation slices, see :mod:`recon.tuning`."""
    try:
        shown, hidden = hide(volume, seed)
    except UserError:
        return None
    found = reconstruct(shown, method, prior, 1, seed, settings)
    error = float(held_out_error(volume, hidden, found.mean_of_sets).mean())
    if error <= limit:
        return None
    return (
        f"warning: {method} predicts lines held out from this scan with an error of {error:.2f}, above {limit:.2f}, which 95 % "
        "of validation slices stay below: the scan may be unlike those that the prior and the settings were made for"
    )


def held_out_error(
    volume: PreparedVolume, hidden: Bool[Tensor, "slice #y x"], images: Complex[Tensor, "slice v x"]
) -> Float[Tensor, " slice"]:
    """||M' (F S x - y)|| / ||M' y|| for each slice, M' the ``hidden`` lines; their noise is part of it.

    images: x of all sets of maps, in the units of the file, reconstructed from the volume that :func:`hide` returned.
    """
    sense = volume.sense.seeing(hidden)
    measured = sense.keep(volume.kspace)
    wrong = (sense(images / volume.scale[:, None, None]) - measured).abs().square().sum((-3, -2, -1))
    return (wrong / measured.abs().square().sum((-3, -2, -1)).clamp_min(1e-30)).sqrt()
