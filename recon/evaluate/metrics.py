"""Errors of magnitude volumes, as fastMRI reports them: SSIM and PSNR with the volume's maximum as data range."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_laplace
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


def hfen(reference: Volume, estimate: Volume) -> float:
    """||L reference - L estimate|| / ||L reference||, L the Laplacian of a Gaussian of 1.5 pixels, 15x15, slice by slice: the
    error of edges and fine detail (Ravishankar & Bresler, IEEE TMI 30:1028, 2011)."""
    fine, found = (
        np.stack([gaussian_laplace(image, 1.5, truncate=7 / 1.5) for image in volume])
        for volume in (reference, estimate)
    )
    return nrmse(fine, found)


METRICS = {"NRMSE": nrmse, "PSNR": psnr, "SSIM": ssim, "HFEN": hfen}
