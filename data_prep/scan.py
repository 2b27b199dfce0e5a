"""A raw scan, whatever format it came from."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, Complex
from torch import Tensor

from mri_ambient.data_prep.geometry import Geometry
from mri_ambient.physics.masks import measured_band


@dataclass(frozen=True)
class Scan:
    """Multi-coil Cartesian k-space as the scanner (or the file) gives it, in its own units.

    format: what the file was found to be. mask: what was measured, ``[y or 1, x]``: lines; a band of rows of each line,
    where readouts are padded or asymmetric; or scattered samples.
    acquired: the phase-encode columns that are not zero padding.
    recon_rows: the readout matrix to keep, smaller than y when the readout is oversampled; None if the file doesn't say.
    field_of_view: (y, x) in mm after readout oversampling is removed; None if the file doesn't say.
    noise: samples without signal, of the variance that the noise of one k-space sample has; None if the file has none.
    reference: lines of a separate reference scan, zero where none is: they calibrate the coils and are nothing else, for their
    contrast or gain may be another; None if the scan calibrates itself.
    sens_maps: the file's own sensitivity maps, if it has any. subject: a pseudonym of whose scan it is. geometry: where the
    slices lie; None if the file doesn't say.
    notes: what was odd and what was made of it, a sentence each.
    """

    path: Path
    format: str
    kspace: Complex[Tensor, "slice coil y x"]
    mask: Bool[Tensor, "#y x"]
    acquired: Bool[Tensor, " x"]
    recon_rows: int | None = None
    field_of_view: tuple[float, float] | None = None
    noise: Complex[Tensor, "coil n"] | None = None
    sens_maps: Complex[Tensor, "slice coil rows x"] | None = None
    reference: Complex[Tensor, "slice coil y x"] | None = None
    subject: str | None = None
    geometry: Geometry | None = None
    notes: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def fully_sampled(self) -> bool:
        """Whether every acquired column is measured, in all rows that any readout fills."""
        band = measured_band(self.mask)
        return band is not None and bool((self.mask | ~self.acquired)[band].all())
