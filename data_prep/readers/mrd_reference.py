"""What becomes of an ISMRMRD file's reference lines: part of the images, or what the coils alone are calibrated with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Complex

from mri_ambient.data_prep.readers.mrd_flags import Records, flagged
from mri_ambient.data_prep.readers.mrd_header import Encoding
from mri_ambient.data_prep.readers.mrd_readout import Placed, rows_of
from mri_ambient.data_prep.readers.same_scan import agree, consistent
from mri_ambient.errors import UserError

STACK = ("contrast", "phase", "set", "repetition", "slice")  # counters that number images, the last the fastest
SEPARATE = ("separate", "external")  # modes of calibration whose lines are another scan's

Read = Callable[[np.ndarray], Complex[np.ndarray, "record coil sample"]]  # of records alike in their size


def not_the_images(
    candidates: Records,
    places: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    imaging: Records,
    told: str | None,
    read: Read,
) -> str | None:
    """Why calibration lines must not be mixed into the images, or None if they are lines of the images' contrast and gain.

    told: how header or flags say that they were acquired, if they do. Where both measured a line, the two are compared; else
    that is believed; else both must make one k-space together. What can't be told is not mixed.
    """
    image, columns = places
    if told in SEPARATE:
        return f"the header calls them {told}"
    if not candidates.any():
        return None
    first = {(i, c): r for r, i, c in zip(np.flatnonzero(imaging), image[imaging], columns[imaging], strict=True)}
    these = np.flatnonzero(candidates)
    pairs = np.array([(first[at], r) for r in these if (at := (image[r], columns[r])) in first], int).reshape(-1, 2)
    if len(pairs):
        pairs = pairs[image[pairs[:, 1]] == image[pairs[0, 1]]]  # one image tells
        same = agree(read(pairs[:, 0]), read(pairs[:, 1]))
        return None if same else "they differ from the images' own lines, in contrast or gain"
    if told in ("embedded", "interleaved"):
        return None
    one = image[these[0]]
    records = np.flatnonzero((imaging | candidates) & (image == one))
    block = np.zeros((*read(records[:1]).shape[1:], counts.shape[1]), np.complex64)
    block[..., columns[records]] = np.moveaxis(read(records), 0, -1)
    theirs = np.zeros(counts.shape[1], bool)
    theirs[columns[these[image[these] == one]]] = True
    if consistent(block, (counts[one] > 0) | theirs, theirs):
        return None
    return (
        "nothing tells that they have the contrast and gain of the images' own lines (a header's calibrationMode could)"
    )


def filling_of(candidates: Records, places: tuple[np.ndarray, np.ndarray], counts: np.ndarray) -> Records:
    """Which candidates fill what imaging left open.

    One mask serves all images, so that a calibration line is of use only if every image has that line.
    """
    image, columns = places
    offered = np.zeros(counts.shape, bool)
    offered[image[candidates], columns[candidates]] = True
    wanted = offered & (counts == 0) & (offered | (counts > 0)).all(0)
    filling = np.zeros_like(candidates)
    filling[candidates] = wanted[image[candidates], columns[candidates]]
    return filling


def reference_of(
    path: Path, heads: np.ndarray, separate: Records, slices: np.ndarray, encoding: Encoding, elsewhere: dict[int, int]
) -> Placed | None:
    """The first volume of a reference scan, as far as every slice has it; None if it does not cover the centre of k-space."""
    counters = np.stack([heads["idx"][name] for name in STACK[:-1]], axis=1)
    spaces = heads["encoding_space_ref"]
    keys = np.concatenate([spaces[:, None], counters], axis=1)
    records = np.flatnonzero(separate & (keys == np.unique(keys[separate], axis=0)[0]).all(1))
    records = records[np.isin(heads["idx"]["slice"][records], slices)]
    first = np.array([elsewhere.get(int(space), encoding.first_column) for space in spaces[records]], int)
    columns = heads["idx"]["kspace_encode_step_1"][records].astype(int) + first
    inside = (columns >= 0) & (columns < encoding.columns)
    records, columns = records[inside], columns[inside]
    image = np.searchsorted(slices, heads["idx"]["slice"][records])
    lines = np.zeros((len(slices), encoding.columns), bool)
    lines[image, columns] = True
    shared = np.asarray(lines.all(axis=0))
    middle = encoding.columns // 2
    if not shared[middle - 2 : middle + 2].all():
        return None
    kept = shared[columns]
    try:
        rows = rows_of(path, heads[records[kept]], encoding.rows, [])
    except UserError:  # of another readout
        return None
    reverse = flagged(heads[records[kept]], "IS_REVERSE")
    return Placed(records[kept], image[kept], columns[kept], reverse, rows)
