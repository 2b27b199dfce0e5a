"""Lesions put into a complete scan's k-space."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d

from mri_ambient.measurement import measurement_of
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.seeds import seed_of
from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.store import PreparedVolume

WIDTHS = (2.0, 4.0, 8.0)  # full width at half maximum, in pixels
CONTRASTS = (0.3, 0.6)  # of the tissue around
BRIGHT = 0.25  # of the slice's brightest tissue: a lesion's place has at least that much signal, all around


@dataclass(frozen=True)
class Lesioned:
    """A scan with lesions.

    Attributes:
        volume: prepared as the one without.
        reference: its :func:`mri_ambient.recon.reconstruct.reference_image`.
        lesions: what was put in.
    """

    volume: PreparedVolume
    reference: Complex[Tensor, "slice v x"]
    lesions: tuple[Lesion, ...]


def place_lesions(complete: PreparedVolume, seed: int) -> tuple[Lesion, ...]:
    """One lesion of each width and contrast a slice, where there is signal, apart from each other; fewer if room is lacking.

    Args:
        complete: a fully sampled volume.
        seed: of the places.
    """
    placed = []
    rows = complete.kspace.shape[-2]
    for index, image in enumerate(measurement_of(complete).adjoint[:, :rows].abs()):
        generator = Generator().manual_seed(seed_of(complete.name, index, seed, "lesions"))
        smooth = avg_pool2d(image[None, None], 5, 1, 2)[0, 0]
        darkest = -avg_pool2d((smooth < BRIGHT * smooth.quantile(0.99)).float()[None, None], 9, 1, 4)[0, 0]
        places = (darkest == 0).nonzero()
        places = places[torch.randperm(len(places), generator=generator)]
        for width in sorted(WIDTHS, reverse=True):
            for contrast in CONTRASTS:
                free = torch.ones(len(places), dtype=torch.bool)
                for other in (lesion for lesion in placed if lesion.slice == index):
                    distance = (places - torch.tensor(other.centre)).square().sum(1).sqrt()
                    free &= distance > width + other.width
                if free.any():
                    y, x = places[free][0].tolist()
                    placed.append(Lesion(index, (y, x), width, contrast))
    return tuple(placed)


def lesion_kspace(
    complete: PreparedVolume, lesions: Sequence[Lesion], rows: int
) -> Complex[Tensor, "slice receive rows x"]:
    """F S b of the lesions, as the scan's own coils would have measured it, in the file's units; add it to the scan's k-space.

    Args:
        complete: b is :meth:`Lesion.blob` of its coil-combined image; its coils must not be compressed, so that the receive
            coils' maps are those of the volume taken back through its ``coil_transform``.
        lesions: of two sets of maps they are in the first one's image.
        rows: of the scan, more than the volume's if its readout is oversampled.
    """
    measurement = measurement_of(complete)
    images = measurement.adjoint[:, : measurement.matrix[0]]
    blobs = torch.zeros_like(images)
    for lesion in lesions:
        blobs[lesion.slice] += lesion.blob(images[lesion.slice])
    coil_images = torch.zeros(*measurement.kspace.shape[:2], rows, measurement.matrix[1], dtype=blobs.dtype)
    top = rows // 2 - measurement.matrix[0] // 2
    coil_images[..., top : top + measurement.matrix[0], :] = complete.sens_maps * blobs[:, None]
    return torch.einsum("srv,svyx->sryx", torch.linalg.pinv(complete.coil_transform), fft2c(coil_images))
