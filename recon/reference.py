"""What a magnitude is: that of the coil-combined image (MVUE), or the root sum of squares over the receive coils (RSS).

The MVUE is x = S^H F^H y behind whitened virtual coils, sum_c |S_c|^2 = 1. Most published images and numbers, fastMRI's
`reconstruction_rss` among them, are RSS of the coils as they were received. Both show the same anatomy under another shading:
the receive coils' images of x are R S x, R the way back from the virtual coils, so that RSS = |x| ||R S||_2.
"""

from dataclasses import replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import magnitude
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.physics.sense import apart, stacked
from mri_ambient.recon.reconstruct import Reconstruction, reference_image
from mri_ambient.store import PreparedVolume

MVUE, RSS = "mvue", "rss"
NAMES = {MVUE: "the coil-combined image (MVUE)", RSS: "the root sum of squares over the receive coils (RSS)"}


def way_back(volume: PreparedVolume) -> Complex[Tensor, "slice receive coil"]:
    """Raises UserError if the volume doesn't have it."""
    if volume.coil_return is None:
        raise UserError(
            f"{volume.name}: was prepared by an earlier version, which did not keep what leads back to the receive coils; "
            "prepare it again, or leave out --reference rss"
        )
    return volume.coil_return


def as_rss(images: Complex[Tensor, "slice k v x"], volume: PreparedVolume) -> Complex[Tensor, "slice k v x"]:
    """Images x of ``volume``, in the file's units, such that their magnitudes are the RSS of the receive coils, without noise.

    With one set of maps x is multiplied by ||R S||_2, 0 where the maps are. With two the coils have R S_1 x_1 + R S_2 x_2: by
    R S_1 = g u, R S_2 = c u + w with |u| = 1 and w orthogonal to u, the images become g x_1 + c x_2 and |w| x_2. What
    compression took away is not in them. Raises UserError as :func:`way_back`.
    """
    back = way_back(volume) / volume.scale[:, None, None]
    found = []
    for index, image in enumerate(images):
        first = torch.einsum("rv,vyx->ryx", back[index], volume.sens_maps[index])
        gain = first.norm(dim=0)
        if volume.second_maps is None:
            found.append(gain * image)
            continue
        second = torch.einsum("rv,vyx->ryx", back[index], volume.second_maps[index])
        unit = first / torch.where(gain > 0, gain, 1)
        shared = (unit.conj() * second).sum(0)
        one, two = apart(image, 2).unbind(-3)
        found.append(stacked(gain * one + shared * two, (second - shared * unit).norm(dim=0) * two))
    return torch.stack(found)


def scaled(found: Reconstruction, volume: PreparedVolume) -> Reconstruction:
    """Every sample by :func:`as_rss`, so the mean and the std too; residuals stay as they were."""
    images, rows = as_rss(found.samples_of_sets, volume), found.samples.shape[-2]
    second = None if found.second is None else images[..., rows:, :]
    return replace(found, samples=images[..., :rows, :], second=second)


def rss_of(kspace: Complex[Tensor, "slice coil y x"]) -> Float[Tensor, "slice y x"]:
    """The root sum of squares of the coils' images."""
    return torch.stack([ifft2c(coils).norm(dim=0) for coils in kspace])


def reference_of(
    volume: PreparedVolume, wanted: str, received: Complex[Tensor, "slice receive y x"] | None = None
) -> Complex[Tensor, "slice v x"]:
    """The image that errors are measured against, of a complete volume, in the file's units: the MVUE, or an image of its phase
    whose magnitude is the RSS of the receive coils, with their noise.

    received: their complete k-space, readout cropped; None takes what the virtual coils kept of it.
    """
    mvue = reference_image(volume)
    if wanted == MVUE:
        return mvue
    if received is None:
        received = torch.einsum("srv,svyx->sryx", way_back(volume), volume.kspace)
    truth, images = rss_of(received), as_rss(mvue[:, None], volume)[:, 0]
    rows = truth.shape[-2]
    seen = magnitude(images, rows)
    ratio = truth / torch.where(seen > 0, seen, 1)
    images = images * stacked(ratio, *[ratio] * (volume.sets - 1))
    images[:, :rows] += torch.where(seen > 0, 0, truth)  # where no map sees
    return images


def explained(volume: PreparedVolume) -> str:
    """A sentence about RSS."""
    kept = volume.provenance.get("coil_energy_kept", 1.0)
    missing = f"; compression to {volume.kspace.shape[1]} virtual coils left out {1 - kept:.2%} of the ACS's energy"
    return f"magnitudes: {NAMES[RSS]}, without noise{missing if kept < 1 else ''}"
