"""Which of an ISMRMRD file's acquisitions make up the images, and where each goes in k-space: counters and flags alone."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from data_prep.readers.mrd_header import Encoding
from mri_ambient.errors import UserError

STACK = ("contrast", "phase", "set", "repetition", "slice")  # counters that number images, the last the fastest
ASIDE = {
    "PHASECORR_DATA": "phase-correction",
    "NAVIGATION_DATA": "navigator",
    "HPFEEDBACK_DATA": "feedback",
    "RTFEEDBACK_DATA": "real-time feedback",
    "DUMMYSCAN_DATA": "dummy",
    "SURFACECOILCORRECTIONSCAN_DATA": "surface-coil correction",
    "PHASE_STABILIZATION_REFERENCE": "phase stabilisation reference",
    "PHASE_STABILIZATION": "phase stabilisation",
}


@dataclass(frozen=True)
class Lines:
    """records, image, column, reverse: a number or flag per line to use. noise: the records without signal.
    rows: where the samples of a readout go. counts: how often each line was measured, ``[image, column]``."""

    records: np.ndarray
    image: np.ndarray
    column: np.ndarray
    reverse: np.ndarray
    noise: np.ndarray
    rows: slice
    coils: int
    counts: np.ndarray
    notes: list[str]


def arrange(path: Path, heads: np.ndarray, encoding: Encoding) -> Lines:
    """``heads``: the acquisition headers [record]. Raises UserError if lines are missing, doubled, unlike or outside."""
    imaging, calibration, noise, notes = _sort(path, heads)
    columns = _columns(path, heads, imaging | calibration, encoding)
    images, image = _images(path, heads, imaging, notes)
    filling, counts = _fill_in(imaging, calibration, image, columns, (len(images), encoding.columns), notes)
    lacking = ((counts > 0).any(0) & (counts == 0)).sum(1)
    if lacking.any():
        first = np.flatnonzero(lacking)[0]
        raise UserError(
            f"{path}: acquisitions are missing: {_label(images, images[first])} lacks {lacking[first]} lines that others have; "
            "export the scan again, or images of different sampling one a file"
        )
    records = np.flatnonzero(imaging | filling)
    keys = np.stack([image, columns, heads["idx"]["average"]], axis=1)[records]
    unique, times = np.unique(keys, axis=0, return_counts=True)
    if (times > 1).any():
        number, column, _ = unique[times > 1][0]
        raise UserError(
            f"{path}: acquisitions are doubled: line {column - encoding.first_column} of {_label(images, images[number])} "
            "is there twice with the same counters; number its averages or repetitions"
        )
    fewest, most = counts[counts > 0].min(), counts.max()
    if fewest != most:
        notes.append(f"lines have {fewest} to {most} averages: their noise differs")
    elif most > 1:
        notes.append(f"each line is the mean of {most} averages")
    reverse = _flagged(heads[records], "IS_REVERSE")
    if reverse.any():
        notes.append(f"{reverse.sum()} readouts were acquired backwards: they are flipped")
    return Lines(
        records=records,
        image=image[records],
        column=columns[records],
        reverse=reverse,
        noise=np.flatnonzero(noise),
        rows=_rows(path, heads[records], reverse, encoding.rows, notes),
        coils=_one(path, "coils", heads["active_channels"][imaging | filling | noise]),
        counts=counts,
        notes=notes,
    )


def _flagged(heads: np.ndarray, name: str) -> np.ndarray:
    import ismrmrd  # optional: whoever read the header has it

    bit = getattr(ismrmrd, f"ACQ_{name}") - 1  # the constants count from one
    return (heads["flags"] >> np.uint64(bit)) & np.uint64(1) == 1


def _sort(path: Path, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Whether each record is imaging, calibration alone, or noise; the rest is left out, as the notes say."""
    if (
        _flagged(heads, "IS_PHASECORR_DATA").any() and _flagged(heads, "IS_REVERSE").any()
    ):  # turbo spin echo has no reversed
        raise UserError(
            f"{path}: holds phase-correction and reversed readouts, and echo-planar phase correction is not applied here; "
            "correct the data and export them again"
        )
    noise = _flagged(heads, "IS_NOISE_MEASUREMENT")
    rest = ~noise
    others = {f"{what} readouts": _flagged(heads, f"IS_{flag}") for flag, what in ASIDE.items()}
    others["readouts of further encoding spaces"] = heads["encoding_space_ref"] != 0
    notes = []
    for what, these in others.items():
        if (rest & these).any():
            notes.append(f"{(rest & these).sum()} {what} are left out")
        rest = rest & ~these
    calibration = rest & _flagged(heads, "IS_PARALLEL_CALIBRATION")
    calibration &= ~_flagged(heads, "IS_PARALLEL_CALIBRATION_AND_IMAGING")
    imaging = rest & ~calibration
    if not imaging.any():
        raise UserError(f"{path}: has no imaging acquisitions among its {len(heads)}; export the scan with its images")
    if heads["idx"]["kspace_encode_step_2"][imaging].any():
        raise UserError(f"{path}: is a 3-D scan (it encodes partitions); transform along the partitions first")
    return imaging, calibration, noise, notes


def _columns(path: Path, heads: np.ndarray, used: np.ndarray, encoding: Encoding) -> np.ndarray:
    """The column of each record, meaningless where it is not ``used``."""
    lines = heads["idx"]["kspace_encode_step_1"]
    columns = lines.astype(int) + encoding.first_column
    outside = used & ((columns < 0) | (columns >= encoding.columns))
    if outside.any():
        raise UserError(
            f"{path}: line {lines[outside][0]} falls outside the matrix of {encoding.columns} columns; "
            "correct the header's encodedSpace and encodingLimits"
        )
    return columns


def _images(path: Path, heads: np.ndarray, imaging: np.ndarray, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The counters of each image [image, counter], and each record's image (-1: none of them)."""
    counters = np.stack([heads["idx"][name] for name in STACK], axis=1)
    images = np.unique(counters[imaging], axis=0)
    sizes = [len(np.unique(counter)) for counter in images.T]
    named = zip(STACK, sizes, strict=True)
    parts = [f"{size} {name}{'s' * (size > 1)}" for name, size in named if size > 1 or name == "slice"]
    whole = " of ".join(parts)
    if len(images) < prod(sizes):
        raise UserError(
            f"{path}: acquisitions are missing: {whole} make {prod(sizes)} images, and {len(images)} are there; "
            "export the scan again"
        )
    if len(parts) > 1:
        notes.append(f"{whole} follow each other: {len(images)} images")
    numbers = {tuple(image): number for number, image in enumerate(images)}
    return images, np.array([numbers.get(tuple(counter), -1) for counter in counters])


def _label(images: np.ndarray, image: np.ndarray) -> str:
    """Such as ``repetition 1, slice 3``: the counters that tell this image from the others."""
    named = zip(STACK, (images != images[0]).any(0), image, strict=True)
    return ", ".join(f"{name} {value}" for name, differs, value in named if differs or name == "slice")


def _fill_in(
    imaging: np.ndarray,
    calibration: np.ndarray,
    image: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, int],
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Which calibration records fill what imaging left open, and how often each line [image, column] is measured in all.

    One mask serves all images, so that a calibration line is of use only if every image has that line.
    """
    counts = np.zeros(shape, int)
    np.add.at(counts, (image[imaging], columns[imaging]), 1)
    candidates = np.flatnonzero(calibration & (image >= 0))
    places = image[candidates], columns[candidates]
    offered = np.zeros(shape, bool)
    offered[places] = True
    wanted = offered & (counts == 0) & (offered | (counts > 0)).all(0)
    filling = np.zeros_like(calibration)
    filling[candidates] = wanted[places]
    np.add.at(counts, (image[filling], columns[filling]), 1)
    if filling.any():
        notes.append(f"{filling.sum()} readouts flagged as calibration alone are used where imaging has no line")
    if (calibration & ~filling).any():
        notes.append(f"{(calibration & ~filling).sum()} readouts flagged as calibration alone are left out")
    return filling, counts


def _rows(path: Path, heads: np.ndarray, reverse: np.ndarray, rows: int, notes: list[str]) -> slice:
    """Where a readout goes, its sample at the centre of k-space to rows // 2."""
    before = heads["discard_pre"].astype(int)
    samples = heads["number_of_samples"] - before - heads["discard_post"]
    centre = heads["center_sample"] - before
    centre = np.where(reverse, samples - 1 - centre, centre)
    length = _one(path, "samples", samples)
    # a readout that fills the matrix has one place only; some writers leave center_sample at 0, or count it after the flip
    echo = rows // 2 if length == rows else _one(path, "samples before the echo", centre)
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


def _one(path: Path, what: str, values: np.ndarray) -> int:
    found = np.unique(values)
    if len(found) > 1:
        raise UserError(
            f"{path}: acquisitions differ in their number of {what} ({found[0]} and {found[-1]}); "
            "export only those that are alike"
        )
    return int(found[0])
