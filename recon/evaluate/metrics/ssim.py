"""How alike structures are."""

import numpy as np
from skimage.metrics import structural_similarity

from mri_ambient.recon.evaluate.metrics.metric import Metric, Volume


def ssim(reference: Volume, estimate: Volume) -> float:
    """Mean over slices of the structural similarity with a 7x7 uniform window (Wang et al., IEEE TIP 13:600, 2004), as
    fastMRI's.

    Args:
        reference: magnitudes, float, in any units; the volume's maximum is the data range of every slice.
        estimate: of the same shape and units.

    Example:
        >>> ssim(np.eye(8)[None], np.eye(8)[None])
        1.0
    """
    peak = reference.max()
    return float(
        np.mean([structural_similarity(r, e, data_range=peak) for r, e in zip(reference, estimate, strict=True)])
    )


SSIM = Metric(ssim, "higher", "SSIM", plotted=True)
