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
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.store import PreparedVolume
from recon.reconstruct import Reconstruction, reference_image

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


def rss_gain(volume: PreparedVolume) -> Float[Tensor, "slice y x"]:
    """||R S||_2 of every pixel, in the file's units: |x| times it is the RSS of the receive coils, without their noise; 0 where
    the maps are. What compression took away is not in it. Raises UserError as :func:`way_back`."""
    back = way_back(volume) / volume.scale[:, None, None]
    return torch.stack(
        [torch.einsum("rv,vyx->ryx", r, s).norm(dim=0) for r, s in zip(back, volume.sens_maps, strict=True)]
    )


def scaled(found: Reconstruction, gain: Float[Tensor, "slice y x"]) -> Reconstruction:
    """Every sample, so the mean and the std too, times the gain of its pixel; residuals stay as they were."""
    return replace(found, samples=found.samples * gain[:, None])


def rss_of(kspace: Complex[Tensor, "slice coil y x"]) -> Float[Tensor, "slice y x"]:
    """The root sum of squares of the coils' images."""
    return torch.stack([ifft2c(coils).norm(dim=0) for coils in kspace])


def reference_of(
    volume: PreparedVolume, magnitude: str, received: Complex[Tensor, "slice receive y x"] | None = None
) -> Complex[Tensor, "slice y x"]:
    """The image that errors are measured against, of a complete volume, in the file's units: the MVUE, or an image of its phase
    whose magnitude is the RSS of the receive coils.

    received: their complete k-space, readout cropped; None takes what the virtual coils kept of it.
    """
    mvue = reference_image(volume)
    if magnitude == MVUE:
        return mvue
    if received is None:
        received = torch.einsum("srv,svyx->sryx", way_back(volume), volume.kspace)
    return torch.polar(rss_of(received), mvue.angle())


def explained(volume: PreparedVolume) -> str:
    """A sentence about RSS."""
    kept = volume.provenance.get("coil_energy_kept", 1.0)
    missing = f"; compression to {volume.kspace.shape[1]} virtual coils left out {1 - kept:.2%} of the ACS's energy"
    return f"magnitudes: {NAMES[RSS]}, without noise{missing if kept < 1 else ''}"
