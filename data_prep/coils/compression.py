"""Coil compression: a few virtual coils that keep nearly all of the calibration region's energy."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex
from torch import Tensor

KEPT = 0.999  # of the calibration region's energy
FEWEST, MOST = 8, 16


def virtual_coils(calibrations: Sequence[Complex[Tensor, "coil r c"]]) -> int:
    """How many virtual coils a scan gets: as many as keep KEPT of the energy of every slice, between FEWEST and MOST."""
    present = len(calibrations[0])
    if present <= FEWEST:
        return present
    needed = 0
    for calibration in calibrations:
        energy = _energies(calibration)[0].flip(0).clamp_min(0).cumsum(0)
        needed = max(needed, int((energy < KEPT * energy[-1]).sum()) + 1)
    return min(max(needed, FEWEST), MOST, present)


def compression_matrix(calibration: Complex[Tensor, "coil r c"], coils: int) -> Complex[Tensor, "virtual coil"]:
    """The first ``coils`` left singular vectors of the calibration data [coil, sample] (Buehrer et al., MRM 57:1131, 2007).

    Orthonormal rows: white noise stays white. With no more coils than that already, the identity: nothing is mixed.
    """
    present = len(calibration)
    if present <= coils:
        return torch.eye(present, dtype=calibration.dtype)
    return _energies(calibration)[1][:, -coils:].flip(1).mH


def kept_energy(calibration: Complex[Tensor, "coil r c"], matrix: Complex[Tensor, "virtual coil"]) -> float:
    """The share of the calibration region's energy that the virtual coils keep."""
    compressed = matrix @ calibration.flatten(1)
    return float(compressed.abs().square().sum() / calibration.abs().square().sum())


def _energies(calibration: Complex[Tensor, "coil r c"]) -> tuple[Tensor, Tensor]:
    """Of the virtual coils, ascending, and the coils themselves as columns."""
    signals = calibration.flatten(1)
    values, vectors = torch.linalg.eigh(signals @ signals.mH)
    return values, vectors
