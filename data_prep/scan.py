"""A raw scan, whatever format it came from."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, Complex
from torch import Tensor


@dataclass(frozen=True)
class Scan:
    """Multi-coil Cartesian k-space as the scanner (or the file) gives it, in its own units.

    mask: what was measured, ``[y or 1, x]``. acquired: the phase-encode columns that are not zero padding.
    recon_rows: the readout matrix to keep, smaller than y when the readout is oversampled; None if the file doesn't say.
    field_of_view: (y, x) in mm after readout oversampling is removed; None if the file doesn't say.
    """

    path: Path
    kspace: Complex[Tensor, "slice coil y x"]
    mask: Bool[Tensor, "#y x"]
    acquired: Bool[Tensor, " x"]
    recon_rows: int | None
    field_of_view: tuple[float, float] | None
    simulated: bool
