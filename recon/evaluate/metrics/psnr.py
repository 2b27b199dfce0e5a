"""The peak over the error, in dB."""

from skimage.metrics import peak_signal_noise_ratio

from mri_ambient.recon.evaluate.metrics.metric import Metric, Volume


def psnr(reference: Volume, estimate: Volume) -> float:
    """20 log10(max(reference) / root mean square error) of the whole volume, as fastMRI's.

    Args:
        reference: magnitudes, float, in any units; the volume's maximum is the data range.
        estimate: of the same shape and units.

    Example:
        >>> import numpy as np
        >>> round(psnr(np.full((1, 8, 8), 2.0), np.full((1, 8, 8), 1.8)), 6)
        20.0
    """
    return float(peak_signal_noise_ratio(reference, estimate, data_range=reference.max()))


PSNR = Metric(psnr, "higher", "PSNR", digits=1)
