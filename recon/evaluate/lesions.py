"""Small smooth blobs put into a complete scan's k-space, which no prior can know: how much of their contrast comes back?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d

from mri_ambient.measurement import measurement_of
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.seeds import seed_of
from mri_ambient.recon.evaluate.std_calibration import half_width
from mri_ambient.recon.reconstruct import Reconstruction
from mri_ambient.store import PreparedVolume

WIDTHS = (2.0, 4.0, 8.0)  # full width at half maximum, in pixels
CONTRASTS = (0.3, 0.6)  # of the tissue around
BRIGHT = 0.25  # of the slice's brightest tissue: a lesion's place has at least that much signal, all around
INTERVAL = 0.9


@dataclass(frozen=True)
class Lesion:
    """centre: (y, x). width: full width at half maximum, in pixels. contrast: of its centre, over the tissue there."""

    slice: int
    centre: tuple[int, int]
    width: float
    contrast: float

    def profile(self, matrix: tuple[int, int]) -> Float[Tensor, "y x"]:
        """exp(-4 ln 2 r^2 / width^2), 1 at the centre."""
        y, x = (torch.arange(n) - c for n, c in zip(matrix, self.centre, strict=True))
        return torch.exp2(-4 * (y[:, None] ** 2 + x**2) / self.width**2)


@dataclass(frozen=True)
class Lesioned:
    """A scan with lesions, prepared as the one without. reference: its
    :func:`mri_ambient.recon.reconstruct.reference_image`."""

    volume: PreparedVolume
    reference: Complex[Tensor, "slice v x"]
    lesions: tuple[Lesion, ...]


def place_lesions(complete: PreparedVolume, seed: int) -> tuple[Lesion, ...]:
    """One lesion of each width and contrast a slice, where there is signal, apart from each other; fewer if room is lacking."""
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

    b = contrast x (local magnitude) x profile x (local phase), of the coil-combined ``complete`` volume; its coils must not be
    compressed, so that the receive coils' maps are those of the volume taken back through its ``coil_transform``.
    rows: of the scan, more than the volume's if its readout is oversampled. Of two sets of maps they are in the first one's
    image.
    """
    measurement = measurement_of(complete)
    images = measurement.adjoint[:, : measurement.matrix[0]]
    blobs = torch.zeros_like(images)
    for lesion in lesions:
        image, profile = images[lesion.slice], lesion.profile(measurement.matrix)
        tissue = (profile * image.abs()).sum() / profile.sum()
        blobs[lesion.slice] += lesion.contrast * tissue * profile * torch.polar(torch.ones(()), image.angle())
    coil_images = torch.zeros(*measurement.kspace.shape[:2], rows, measurement.matrix[1], dtype=blobs.dtype)
    top = rows // 2 - measurement.matrix[0] // 2
    coil_images[..., top : top + measurement.matrix[0], :] = complete.sens_maps * blobs[:, None]
    return torch.einsum("srv,svyx->sryx", torch.linalg.pinv(complete.coil_transform), fft2c(coil_images))


def contrast_recovery(
    lesioned: Lesioned,
    with_lesions: Reconstruction,
    without: Reconstruction,
    reference: Complex[Tensor, "slice v x"],
) -> list[dict[str, Any]]:
    """For each lesion, of profile w: sum w (|mean with| - |mean without|) / sum w (|reference with| - |reference without|).

    1: all of it came back; 0: the method ignores it. with_lesions, without: by the same method, settings and seed. low, high:
    a 90 % interval from the spread of sum w |sample with| over the K samples, Student's t, None where K is 1. Magnitudes,
    because coil maps of the two scans may differ in phase. Of two sets of maps all is the first one's.
    """
    rows = []
    reference, with_truth = (images[:, : without.samples.shape[-2]] for images in (reference, lesioned.reference))
    for lesion in lesioned.lesions:
        index = lesion.slice
        profile = lesion.profile((reference.shape[-2], reference.shape[-1]))
        true = (profile * (with_truth[index].abs() - reference[index].abs())).sum()
        mean = (profile * (with_lesions.mean[index].abs() - without.mean[index].abs())).sum() / true
        amplitudes = (profile * with_lesions.samples[index].abs()).sum((-2, -1)) / true
        count, half = len(amplitudes), None
        if count > 1:
            half = half_width(INTERVAL, count - 1) * (1 + 1 / count) ** 0.5 * float(amplitudes.std())
        rows.append(
            {
                "slice": index,
                "width": lesion.width,
                "contrast": lesion.contrast,
                "recovery": float(mean),
                "low": None if half is None else float(mean) - half,
                "high": None if half is None else float(mean) + half,
            }
        )
    return rows
