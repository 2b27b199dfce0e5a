"""How much of inserted lesions' contrast a reconstruction gives back."""

from dataclasses import dataclass

from jaxtyping import Complex
from torch import Tensor

from mri_ambient.recon.evaluate.lesions.insert import Lesioned
from mri_ambient.recon.evaluate.std_calibration import half_width
from mri_ambient.recon.reconstruct import Reconstruction

INTERVAL = 0.9


@dataclass(frozen=True)
class Recovered:
    """What came back of one lesion; the fields are the columns of ``lesions.csv``.

    Attributes:
        slice: of the volume.
        width: of the lesion, full width at half maximum, in pixels.
        contrast: of the lesion, over the tissue there.
        recovery: the share of its contrast that came back: 1 is all of it, 0 is a method that ignores it.
        low: where the interval of INTERVAL begins; None of a single image.
        high: where it ends; None where ``low`` is.
    """

    slice: int
    width: float
    contrast: float
    recovery: float
    low: float | None
    high: float | None


def contrast_recovery(
    lesioned: Lesioned,
    with_lesions: Reconstruction,
    without: Reconstruction,
    reference: Complex[Tensor, "slice v x"],
) -> list[Recovered]:
    """For each lesion, of profile w: sum w (|mean with| - |mean without|) / sum w (|reference with| - |reference without|).

    Magnitudes, because coil maps of the two scans may differ in phase. The interval is from the spread of sum w |sample with|
    over the K samples, Student's t. Of two sets of maps all is the first one's.

    Args:
        lesioned: the scan with lesions.
        with_lesions: its reconstruction.
        without: of the scan without lesions, by the same method, settings and seed.
        reference: of the scan without lesions, in the units of its file.
    """
    rows = []
    reference, with_truth = (images[:, : without.samples.shape[-2]] for images in (reference, lesioned.reference))
    for lesion in lesioned.lesions:
        index = lesion.slice
        profile = lesion.profile((reference.shape[-2], reference.shape[-1]))
        true = (profile * (with_truth[index].abs() - reference[index].abs())).sum()
        mean = float((profile * (with_lesions.mean[index].abs() - without.mean[index].abs())).sum() / true)
        amplitudes = (profile * with_lesions.samples[index].abs()).sum((-2, -1)) / true
        count, low, high = len(amplitudes), None, None
        if count > 1:
            half = half_width(INTERVAL, count - 1) * (1 + 1 / count) ** 0.5 * float(amplitudes.std())
            low, high = mean - half, mean + half
        rows.append(Recovered(index, lesion.width, lesion.contrast, mean, low, high))
    return rows
