"""Where each acquisition of an ISMRMRD file goes in k-space, by its counters, and which image it belongs to."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from mri_ambient.data_prep.geometry import Geometry, order_in_space
from mri_ambient.data_prep.readers.mrd_flags import Kinds, Records, flagged
from mri_ambient.data_prep.readers.mrd_header import Encoding
from mri_ambient.data_prep.readers.mrd_readout import Placed, one_of, rows_of
from mri_ambient.data_prep.readers.mrd_reference import SEPARATE, STACK, Read, filling_of, not_the_images, reference_of
from mri_ambient.data_prep.readers.same_scan import agree
from mri_ambient.errors import UserError

DIRECTIONS = ("position", "read_dir", "phase_dir", "slice_dir")


@dataclass(frozen=True)
class Lines:
    """counts: how often each line was measured. noise: the records without signal. reference: the lines that only calibrate,
    their ``image`` that of each of ``slices``. slices: the number of each image's slice among those that there are."""

    placed: Placed
    counts: Integer[np.ndarray, "image column"]
    noise: Integer[np.ndarray, " record"]
    coils: int
    reference: Placed | None
    slices: Integer[np.ndarray, " image"]
    geometry: Geometry
    notes: list[str]


def arrange(
    path: Path, heads: np.ndarray, kinds: Kinds, encoding: Encoding, elsewhere: dict[int, int], read: Read
) -> Lines:
    """``heads``: the acquisition headers [record]. elsewhere: where line 0 of a further encoding space goes, if on this grid.

    Raises UserError if lines are missing, doubled, unlike or outside.
    """
    columns = heads["idx"]["kspace_encode_step_1"].astype(int) + encoding.first_column
    notes: list[str] = []
    alike = _alike(heads, kinds.imaging) & (columns >= 0) & (columns < encoding.columns)
    corrections = _unique_corrections(heads, kinds, alike, read, notes)
    imaging = kinds.imaging | corrections
    images, image = _images(path, heads, imaging, notes)
    counts = np.zeros((len(images), encoding.columns), int)
    np.add.at(counts, (image[imaging], columns[imaging]), 1)

    candidates = kinds.calibration & ~kinds.elsewhere & alike & (image >= 0)
    filling, why = filling_of(candidates, (image, columns), counts), None
    told = encoding.calibration or ("embedded" if kinds.embedded else None)
    if filling.any() or told in SEPARATE:
        why = not_the_images(candidates, (image, columns), counts, imaging, told, read)
    elif (counts[image[candidates], columns[candidates]] == 0).any():
        why = "not every image has them"
    filling &= why is None
    np.add.at(counts, (image[filling], columns[filling]), 1)
    if filling.any():
        notes.append(f"{filling.sum()} readouts flagged as calibration alone are used where imaging has no line")
    reference, slices = None, np.unique(images[:, -1], return_inverse=True)[1].reshape(-1)
    others = kinds.calibration & kinds.elsewhere & np.isin(heads["encoding_space_ref"], list(elsewhere))
    separate = others if why is None else others | (kinds.calibration & ~kinds.elsewhere)
    if separate.any():
        reference = reference_of(path, heads, separate, np.unique(images[:, -1]), encoding, elsewhere)
    used = np.zeros_like(imaging)
    if reference is not None:
        used[reference.records] = True
        notes.append(
            f"{used.sum()} reference readouts calibrate the coils and nothing else: {why or 'they are a scan apart'}"
        )
    unused = kinds.calibration & ~kinds.elsewhere & ~filling & ~used
    if unused.any():
        notes.append(f"{unused.sum()} readouts flagged as calibration alone are left out{f': {why}' if why else ''}")
    left_out = {**kinds.aside, "surface-coil correction readouts": kinds.corrections & ~corrections}
    notes[:0] = [
        _left_out(what, these, alike, (image, columns), counts) for what, these in left_out.items() if these.any()
    ]
    if (kinds.elsewhere & ~used).any():
        notes.insert(
            sum(bool(these.any()) for these in left_out.values()),
            f"{(kinds.elsewhere & ~used).sum()} readouts of further encoding spaces are left out",
        )
    _check_complete(path, heads, images, (image, columns), counts, imaging | filling, encoding)
    _tell_averages(counts, notes)

    records = np.flatnonzero(imaging | filling)
    reverse = flagged(heads[records], "IS_REVERSE")
    if reverse.any():
        every = ", as all are; if they already had been, the image is upside down" if reverse.all() else ""
        notes.append(f"{reverse.sum()} readouts were acquired backwards: they are flipped{every}")
    rows = rows_of(path, heads[records], encoding.rows, notes)
    coils = one_of(path, "coils", heads["active_channels"][records])
    noise = kinds.noise & (heads["active_channels"] == coils)
    if noise.sum() < kinds.noise.sum():
        notes.append(f"{(kinds.noise & ~noise).sum()} noise readouts of other coils are left out")
    geometry = _geometry(heads, image, imaging)
    order = order_in_space(geometry, images, notes)
    place = np.argsort(order)
    return Lines(
        placed=Placed(records, place[image[records]], columns[records], reverse, rows),
        counts=counts[order],
        noise=np.flatnonzero(noise),
        coils=coils,
        reference=reference,
        slices=slices[order],
        geometry=Geometry(*(getattr(geometry, name)[order] for name in geometry.__dataclass_fields__)),
        notes=[*kinds.notes, *notes],
    )


def _alike(heads: np.ndarray, imaging: Records) -> Records:
    """Records of the coils and samples that most of ``imaging`` have."""
    kept = heads["number_of_samples"].astype(int) - heads["discard_pre"] - heads["discard_post"]
    sizes = np.stack([heads["active_channels"], kept], axis=1)
    found, times = np.unique(sizes[imaging], axis=0, return_counts=True)
    return (sizes == found[times.argmax()]).all(1)


def _unique_corrections(heads: np.ndarray, kinds: Kinds, alike: Records, read: Read, notes: list[str]) -> Records:
    """Readouts flagged for surface-coil correction that are lines of the images: no other copy exists, or copies agree."""
    counters = np.stack([heads["idx"][name] for name in STACK], axis=1)
    places = np.concatenate([counters, heads["idx"]["kspace_encode_step_1"][:, None]], axis=1)
    first = {
        tuple(place): record for record, place in zip(np.flatnonzero(kinds.imaging), places[kinds.imaging], strict=True)
    }
    volumes = {place[:-1] for place in first}
    ours = np.flatnonzero(kinds.corrections & alike)
    ours = np.array([record for record in ours if tuple(counters[record]) in volumes], int)
    pairs = np.array([(first[place], r) for r in ours if (place := tuple(places[r])) in first], int).reshape(-1, 2)
    if len(pairs) and not agree(read(pairs[:, 0]), read(pairs[:, 1])):
        ours = ours[:0]
    used = np.zeros_like(kinds.imaging)
    used[np.setdiff1d(ours, pairs[:, 1])] = True
    if used.any():
        notes.append(
            f"{used.sum()} readouts flagged for surface-coil correction are used: their lines have no other copy"
        )
    return used


def _images(path: Path, heads: np.ndarray, imaging: Records, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The counters of each image [image, counter], and each record's image (-1: none of them)."""
    counters = np.stack([heads["idx"][name] for name in STACK], axis=1).astype(int)
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


def _left_out(
    what: str, these: Records, alike: Records, places: tuple[np.ndarray, np.ndarray], counts: np.ndarray
) -> str:
    image, columns = places
    lines = these & alike & (image >= 0)
    holes = (counts[image[lines], columns[lines]] == 0).sum()
    return f"{these.sum()} {what} are left out" + (
        f", of which {holes} have no other copy: those lines count as unmeasured" if holes else ""
    )


def _check_complete(
    path: Path,
    heads: np.ndarray,
    images: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    used: Records,
    encoding: Encoding,
) -> None:
    image, columns = places
    lacking = ((counts > 0).any(0) & (counts == 0)).sum(1)
    if lacking.any():
        first = np.flatnonzero(lacking)[0]
        raise UserError(
            f"{path}: acquisitions are missing: {_label(images, images[first])} lacks {lacking[first]} lines that others have; "
            "export the scan again, or images of different sampling one a file"
        )
    keys = np.stack([image, columns, heads["idx"]["average"]], axis=1)[used]
    unique, times = np.unique(keys, axis=0, return_counts=True)
    if (times > 1).any():
        number, column, _ = unique[times > 1][0]
        raise UserError(
            f"{path}: acquisitions are doubled: line {column - encoding.first_column} of {_label(images, images[number])} "
            "is there twice with the same counters; number its averages or repetitions"
        )


def _label(images: np.ndarray, image: np.ndarray) -> str:
    """Such as ``repetition 1, slice 3``: the counters that tell this image from the others."""
    named = zip(STACK, (images != images[0]).any(0), image, strict=True)
    return ", ".join(f"{name} {value}" for name, differs, value in named if differs or name == "slice")


def _tell_averages(counts: np.ndarray, notes: list[str]) -> None:
    fewest, most = counts[counts > 0].min(), counts.max()
    if fewest != most:
        notes.append(f"lines have {fewest} to {most} averages: their noise differs")
    elif most > 1:
        notes.append(f"each line is the mean of {most} averages")


def _geometry(heads: np.ndarray, image: np.ndarray, imaging: Records) -> Geometry:
    """Of the first line of each image."""
    records = np.flatnonzero(imaging)
    firsts = records[np.unique(image[records], return_index=True)[1]]
    return Geometry(*(heads[name][firsts].astype(float) for name in DIRECTIONS))
