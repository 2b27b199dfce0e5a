"""BART's arrays, column-major complex64 with dimensions in BART's order, become k-space; the files are :mod:`.bart_cfl`'s and
:mod:`.bart_ra`'s."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.readers.checks import Acquired, make_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError

READ, PHASE, PARTITION, COIL, SLICE = 0, 1, 2, 3, 13
NAMES = (
    *("read", "phase", "partition", "coil", "maps", "echo", "coeff", "coeff2"),
    *("iter", "cshift", "time", "time2", "level", "slice", "average", "batch"),
)


def scan_of(path: Path, format: str, dimensions: Sequence[int], samples: np.ndarray) -> Scan:
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
    kspace = array.transpose(*kept, *rest).reshape([shape[axis] for axis in kept])
    return make_scan(Acquired(path, format, kspace, notes=notes))
