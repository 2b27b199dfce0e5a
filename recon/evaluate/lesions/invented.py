"""A lesion that isn't there, put into a finished reconstruction: do the measured samples object?"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from mri_ambient.measurement import measurement_of, project
from mri_ambient.recon.evaluate.determined import SPREAD
from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.recon.reconstruct import residual
from mri_ambient.store import PreparedVolume

ITERATIONS = 50
ALONE = 9  # pixels around a lesion's centre that have to be tissue


@dataclass(frozen=True)
class Invented:
    """One slice with the lesion as drawn, and with what is left of it once the measured samples have been heard.

    Attributes:
        lesion: what was drawn.
        drawn: the image with it, complex, in the units of the file.
        corrected: the image with what is left of it.
        left: sum w (corrected - without) / sum w (drawn - without), w the lesion's profile: 1 if the data know nothing of it.
        misfits: root mean square misfit on the measured samples over the noise level, without lesion, as drawn, corrected.
    """

    lesion: Lesion
    drawn: Complex[Tensor, "y x"]
    corrected: Complex[Tensor, "y x"]
    left: float
    misfits: tuple[float, float, float]


def invent(volume: PreparedVolume, images: Complex[Tensor, "slice v x"], lesion: Lesion) -> Invented:
    """Draw ``lesion`` into its slice of ``images``, then take from it what the measured samples determine.

    b -> argmin_z ||A z||^2 / noise^2 + ||z - b||^2 / SPREAD^2. Of one pixel 1 -
    :func:`mri_ambient.recon.evaluate.determined.determined_share` is left.

    Args:
        volume: as measured.
        images: of all sets of maps, ``Reconstruction.mean_of_sets``, in the units of the file; the lesion is in the first's.
        lesion: to draw.
    """
    these = slice(lesion.slice, lesion.slice + 1)
    measurement, scale = measurement_of(volume, these), volume.scale[lesion.slice]
    image = images[these] / scale
    rows = measurement.matrix[0]
    added, profile = torch.zeros_like(image), torch.zeros(measurement.image_shape)
    added[:, :rows], profile[:rows] = lesion.blob(image[0, :rows]), lesion.profile(measurement.matrix)
    unmeasured = replace(measurement, kspace=torch.zeros_like(measurement.kspace))
    remaining = project(unmeasured, added[None], SPREAD, ITERATIONS)[0]
    shown = [image, image + added, image + remaining]
    changes = [(profile * (changed.abs() - image.abs())).sum() for changed in shown[1:]]
    without, drawn, corrected = (residual(measurement, one).item() for one in shown)
    return Invented(
        lesion=lesion,
        drawn=shown[1][0, :rows] * scale,
        corrected=shown[2][0, :rows] * scale,
        left=float(changes[1] / changes[0]),
        misfits=(without, drawn, corrected),
    )


def least_and_most_determined(
    share: Float[Tensor, "y x"], tissue: Bool[Tensor, "y x"]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two places (y, x) well inside the ``tissue``.

    Args:
        share: how much of each pixel the data determine.
        tissue: where there is some.
    """
    inside = avg_pool2d(tissue.float()[None, None], ALONE, 1, ALONE // 2)[0, 0] > 0.999
    smooth = avg_pool2d(share[None, None], 3, 1, 1)[0, 0]
    columns = share.shape[1]
    lowest = int(torch.where(inside, smooth, torch.inf).argmin())
    highest = int(torch.where(inside, smooth, -torch.inf).argmax())
    return (lowest // columns, lowest % columns), (highest // columns, highest % columns)
