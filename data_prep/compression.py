"""Coil compression: a few virtual coils that keep nearly all of the calibration region's energy."""

import torch
from jaxtyping import Complex
from torch import Tensor


def compression_matrix(calibration: Complex[Tensor, "coil r c"], coils: int) -> Complex[Tensor, "virtual coil"]:
    """The first ``coils`` left singular vectors of the calibration data [coil, sample] (Buehrer et al., MRM 57:1131, 2007).

    Orthonormal rows: white noise stays white. With no more coils than that already, the identity: nothing is mixed.
    """
    present = len(calibration)
    if present <= coils:
        return torch.eye(present, dtype=calibration.dtype)
    signals = calibration.flatten(1)
    return torch.linalg.eigh(signals @ signals.mH).eigenvectors[:, -coils:].flip(1).mH


def kept_energy(calibration: Complex[Tensor, "coil r c"], matrix: Complex[Tensor, "virtual coil"]) -> float:
    """The share of the calibration region's energy that the virtual coils keep."""
    compressed = matrix @ calibration.flatten(1)
    return float(compressed.abs().square().sum() / calibration.abs().square().sum())
