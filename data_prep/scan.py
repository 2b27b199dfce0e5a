"""A raw scan, whatever it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Complex
from torch import Tensor

from mri_ambient.data_prep.geometry import Geometry
from mri_ambient.physics.masks import measured_band

Source = Path | str  # a file, or the name of arrays in memory
Array = np.ndarray | Tensor


@dataclass(frozen=True)
class Scan:
    """Multi-coil Cartesian k-space as the scanner (or the file) gives it, in its own units.

    Attributes:
        source: the file, or the name of arrays in memory.
        format: what the file was found to be.
        kspace: complex64.
        mask: what was measured, ``[y or 1, x]``: lines; a band of rows of each line, where readouts are padded or asymmetric;
            or scattered samples.
        acquired: the phase-encode columns that are not zero padding.
        recon_rows: the readout matrix to keep, smaller than y when the readout is oversampled; None if the file doesn't say.
        field_of_view: (y, x) in mm after readout oversampling is removed; None if the file doesn't say.
        noise: samples without signal, of the variance that the noise of one k-space sample has; None if the file has none.
        sens_maps: the file's own sensitivity maps, if it has any.
        reference: lines of a separate reference scan, zero where none is: they calibrate the coils and are nothing else, for
            their contrast or gain may be another; None if the scan calibrates itself.
        subject: a pseudonym of whose scan it is.
        geometry: where the slices lie; None if the file doesn't say.
        notes: what was odd and what was made of it, a sentence each.
        simulated: whether no scanner measured it.
        noiseless: k-space of a simulation without its noise: the truth; None of scanners' files, and where it isn't kept.
    """

    source: Source
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
    noiseless: Complex[Tensor, "..."] | None = None

    def __getitem__(self, slices: slice) -> "Scan":
        """Some slices, with all that belongs to them."""
        keys = ("kspace", "sens_maps", "reference", "noiseless")
        there = {key: array[slices] for key in keys if (array := getattr(self, key)) is not None}
        return replace(self, **there)

    def __repr__(self) -> str:
        """One line, not all of the arrays."""
        slices, coils, rows, columns = self.kspace.shape
        lines = "complete" if self.fully_sampled else "undersampled"
        return f"Scan({self.name}, {self.format}: {slices} slices of {rows}x{columns}, {coils} coils, {lines})"

    @classmethod
    def from_arrays(
        cls,
        kspace: Array,
        mask: Array | None = None,
        maps: Array | None = None,
        noise: Array | None = None,
        fov_mm: float | Sequence[float] | None = None,
        *,
        name: str = "array",
    ) -> "Scan":
        """A scan of arrays in memory, looked at and checked as a file is; nothing is shared with them.

        Args:
            kspace: complex, ``[coil, y, x]`` or ``[slice, coil, y, x]``, y the readout, DC at N // 2, of any scale; numpy or
                torch, and so are the others.
            mask: what was measured, True or 1, ``[x]`` or ``[y, x]``; None means what is not exactly 0.
            maps: complex coil sensitivities of k-space's shape; None means that they are to be estimated.
            noise: complex samples without signal, ``[coil, sample]``, in k-space's units.
            fov_mm: the field of view in mm, (y, x) or one number for both.
            name: what the scan is called, in messages and in what is made of it; random masks follow from it.

        Raises:
            UserError: what was given can't be a scan, or does not fit together.

        Example:
            >>> import torch
            >>> kspace = torch.randn(4, 32, 24, dtype=torch.complex64)
            >>> scan = Scan.from_arrays(kspace, fov_mm=(240, 180))
            >>> scan.kspace.shape, scan.fully_sampled
            (torch.Size([1, 4, 32, 24]), True)
        """
        from mri_ambient.data_prep.readers.arrays import read_arrays  # readers make scans

        return read_arrays(name, kspace, mask, maps, noise, fov_mm)

    @property
    def name(self) -> str:
        """Names what is made of it, and seeds its random masks: the file's without its suffix."""
        return self.source.stem if isinstance(self.source, Path) else self.source

    @property
    def fully_sampled(self) -> bool:
        """Whether every acquired column is measured, in all rows that any readout fills."""
        band = measured_band(self.mask)
        return band is not None and bool((self.mask | ~self.acquired)[band].all())
