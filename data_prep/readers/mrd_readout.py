"""How the samples of ISMRMRD readouts lie along the readout, and where lines have been placed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Integer

from mri_ambient.data_prep.readers.mrd_flags import flagged
from mri_ambient.errors import UserError


@dataclass(frozen=True)
class Placed:
    """records, image, column, reverse: a number or flag per line. rows: where the samples of a readout go."""

    records: Integer[np.ndarray, " line"]
    image: Integer[np.ndarray, " line"]
    column: Integer[np.ndarray, " line"]
    reverse: Bool[np.ndarray, " line"]
    rows: slice


def rows_of(path: Path, heads: np.ndarray, rows: int, notes: list[str]) -> slice:
    """Where a readout goes, its sample at the centre of k-space to rows // 2."""
    reverse = flagged(heads, "IS_REVERSE")
    before = heads["discard_pre"].astype(int)
    samples = heads["number_of_samples"] - before - heads["discard_post"]
    centre = heads["center_sample"] - before
    centre = np.where(reverse, samples - 1 - centre, centre)
    length = one_of(path, "samples", samples)
    # a readout that fills the matrix has one place only; some writers leave center_sample at 0, or count it after the flip
    echo = rows // 2 if length == rows else one_of(path, "samples before the echo", centre)
    first = rows // 2 - echo
    if length < 1 or first < 0 or first + length > rows:
        raise UserError(
            f"{path}: readouts of {length} samples, the echo at sample {echo}, do not fit a matrix of {rows} rows; "
            "correct the header's encodedSpace or the center_sample"
        )
    if length < rows:
        notes.append(
            f"readouts fill rows {first} to {first + length - 1} of {rows} (an asymmetric echo): the rest is unmeasured"
        )
    elif (centre[~reverse] != rows // 2).any():
        notes.append(f"readouts fill the matrix though their center_sample is not {rows // 2}: that is not followed")
    return slice(first, first + length)


def one_of(path: Path, what: str, values: np.ndarray) -> int:
    found = np.unique(values)
    if len(found) > 1:
        raise UserError(
            f"{path}: acquisitions differ in their number of {what} ({found[0]} and {found[-1]}); "
            "export only those that are alike"
        )
    return int(found[0])
