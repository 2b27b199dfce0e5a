"""The error's norm over the reference's."""

from skimage.metrics import normalized_root_mse

from mri_ambient.recon.evaluate.metrics.metric import Metric, Volume


def nrmse(reference: Volume, estimate: Volume) -> float:
    """||reference - estimate|| / ||reference|| of the whole volume; fastMRI's NMSE is its square.

    Args:
        reference: magnitudes, float, in any units.
        estimate: of the same shape and units.

    Example:
        >>> import numpy as np
        >>> round(nrmse(np.full((1, 8, 8), 2.0), np.full((1, 8, 8), 1.0)), 6)
        0.5
    """
    return float(normalized_root_mse(reference, estimate, normalization="euclidean"))


NRMSE = Metric(nrmse, "lower", "NRMSE", plotted=True)
