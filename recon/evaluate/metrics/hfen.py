"""The error of edges and fine detail."""

import numpy as np
from scipy.ndimage import gaussian_laplace

from mri_ambient.recon.evaluate.metrics.metric import Metric, Volume
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse


def hfen(reference: Volume, estimate: Volume) -> float:
    """||L reference - L estimate|| / ||L reference||, L the Laplacian of a Gaussian of 1.5 pixels, 15x15, slice by slice
    (Ravishankar & Bresler, IEEE TMI 30:1028, 2011).

    Args:
        reference: magnitudes, float, in any units.
        estimate: of the same shape and units.

    Example:
        >>> hfen(np.eye(8)[None], np.eye(8)[None]) == 0
        True
    """
    fine, found = (
        np.stack([gaussian_laplace(image, 1.5, truncate=7 / 1.5) for image in volume])
        for volume in (reference, estimate)
    )
    return nrmse(fine, found)


HFEN = Metric(hfen, "lower", "HFEN")
