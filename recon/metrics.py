"""Errors of magnitude volumes, as fastMRI reports them: SSIM and PSNR with the volume's maximum as data range."""

import numpy as np
from jaxtyping import Float
from skimage.metrics import structural_similarity

Volume = Float[np.ndarray, "slice y x"]


def nrmse(reference: Volume, estimate: Volume) -> float:
    """||reference - estimate|| / ||reference||; fastMRI's NMSE is its square."""
    return float(np.linalg.norm(reference - estimate) / np.linalg.norm(reference))


def psnr(reference: Volume, estimate: Volume) -> float:
    """20 log10(max(reference) / root mean square error), in dB."""
    error = np.sqrt(np.mean(np.square(reference - estimate, dtype=np.float64)))
    return float(20 * np.log10(reference.max() / error))


def ssim(reference: Volume, estimate: Volume) -> float:
    """Mean over slices of the structural similarity with a 7x7 uniform window (Wang et al., 2004)."""
    peak = reference.max()
    return float(
        np.mean([structural_similarity(r, e, data_range=peak) for r, e in zip(reference, estimate, strict=True)])
    )


METRICS = {"NRMSE": nrmse, "PSNR": psnr, "SSIM": ssim}
