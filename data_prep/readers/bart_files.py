"""BART's files: a text header with a raw .cfl beside it, or one .ra; column-major complex64, dimensions in BART's order."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.readers.checks import make_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError

HEADER_START = b"# Dimensions"
RA_MAGIC = b"rawarray"
READ, PHASE, PARTITION, COIL, SLICE = 0, 1, 2, 3, 13
NAMES = (
    *("read", "phase", "partition", "coil", "maps", "echo", "coeff", "coeff2"),
    *("iter", "cshift", "time", "time2", "level", "slice", "average", "batch"),
)


def read_cfl(header: Path) -> Scan:
    """``header`` is the .hdr; its .cfl lies beside it. Raises UserError."""
    data = header.with_suffix(".cfl")
    if not data.is_file():
        raise UserError(f"{header}: its data, {data.name}, is not beside it; copy both files")
    try:
        lines = header.read_text().splitlines()
        dimensions = [int(n) for n in lines[1].split()]
    except (ValueError, IndexError) as error:
        raise UserError(f"{header}: its dimensions can't be read ({error}); export the scan with BART again") from error
    size = data.stat().st_size
    if size != 8 * math.prod(dimensions):
        raise UserError(
            f"{data}: has {size} bytes where its header asks for {8 * math.prod(dimensions)}; copy or export it again"
        )
    return _scan(header, "BART cfl", dimensions, np.fromfile(data, np.dtype("<c8")))


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
        return _scan(path, "BART ra", dimensions, np.frombuffer(file.read(), "<c8"))


def _scan(path: Path, format: str, dimensions: Sequence[int], samples: np.ndarray) -> Scan:
    """(read, phase, 1, coil, ..., slice) or, with the read-out transformed away, (1, phase, partition, coil, ..., slice)."""
    shape = [*dimensions, *[1] * (len(NAMES) - len(dimensions))]
    array = samples.reshape(shape, order="F")
    plane = (PHASE, PARTITION) if shape[READ] == 1 and shape[PARTITION] > 1 else (READ, PHASE)
    other = [axis for axis, n in enumerate(shape) if n > 1 and axis not in (*plane, COIL, SLICE)]
    if other:
        names = ", ".join(f"{shape[axis]} along {NAMES[axis] if axis < len(NAMES) else axis}" for axis in other)
        raise UserError(
            f"{path}: has {names}; extract one 2-D multi-coil, multi-slice array (`bart slice`, `bart fft`)"
        )
    kept = (SLICE, COIL, *plane)
    rest = [axis for axis in range(len(shape)) if axis not in kept]
    notes = ("two phase-encode axes: the partitions are taken for columns",) if plane[0] == PHASE else ()
    return make_scan(path, format, array.transpose(*kept, *rest).reshape([shape[axis] for axis in kept]), notes=notes)
