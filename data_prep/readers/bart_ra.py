"""BART's one file: a raw array behind a binary header."""

import math
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.readers.bart_array import scan_of
from mri_ambient.data_prep.readers.format import Format, starts_with
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError


def read_ra(path: Path) -> Scan:
    """Raises UserError."""
    with path.open("rb") as file:
        fields = np.frombuffer(file.read(48), "<u8")
        if len(fields) < 6:
            raise UserError(f"{path}: is truncated; copy or export it again")
        _, flags, kind, width, _, axes = (int(field) for field in fields)
        if flags & 1 or (kind, width) != (4, 8):
            raise UserError(f"{path}: is not little-endian complex64; export the scan with BART again")
        dimensions = [int(n) for n in np.frombuffer(file.read(8 * min(axes, 64)), "<u8")]
        if 48 + 8 * axes + 8 * math.prod(dimensions) != path.stat().st_size:
            raise UserError(f"{path}: its size does not fit its dimensions {dimensions}; copy or export it again")
        return scan_of(path, "BART ra", dimensions, np.frombuffer(file.read(), "<c8"))


RA = Format(starts_with(b"rawarray"), read_ra, (".ra",))
