"""What an ISMRMRD XML header says of the array that it describes, as far as the array agrees."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.readers.xml_header import EncodingText, XmlHeader
from mri_ambient.errors import UserError

SMALLEST_PIXEL, LARGEST_PIXEL = 0.05, 30.0  # mm
WIDEST = 2000.0  # mm
SAME = 0.95  # fields of view that differ by less are the same
LEAST_KEPT = 0.2  # nobody oversamples a readout by more than five
TINY = 1e-6  # of the peak: below, a sample was not measured


@dataclass(frozen=True)
class Header:
    """rows: the readout matrix without oversampling. limits: first and last acquired phase-encode column.
    field_of_view: (y, x) in mm, readout oversampling removed. Each is None where the header doesn't say.
    swapped: the array's last two axes are (x, y): turn it before anything else here is used."""

    rows: int | None = None
    limits: tuple[int, int] | None = None
    field_of_view: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    swapped: bool = False


def plausible_field_of_view(
    view: tuple[float, float] | None, matrix: tuple[int, int]
) -> tuple[tuple[float, float] | None, str | None]:
    """``view`` in mm of ``matrix`` pixels, axes in the same order, and what is odd about it, a sentence.

    Metres become millimetres. Of one that no scan has, nothing is kept: beyond 2 m, not positive, not a number, or with pixels
    beyond 30 mm or below 0.05 mm.
    """
    if view is None or _plausible(view, matrix):
        return view, None
    said = " x ".join(f"{side:g}" for side in view)
    in_mm = view[0] * 1000, view[1] * 1000
    if _plausible(in_mm, matrix):
        return in_mm, f"the header's field of view, {said}, is in metres: it is taken as {in_mm[0]:g} x {in_mm[1]:g} mm"
    return None, f"the header's field of view, {said} mm of {matrix[0]} x {matrix[1]} pixels, can't be: it is ignored"


def _plausible(view: tuple[float, float], matrix: tuple[int, int]) -> bool:
    return all(
        math.isfinite(side) and 0 < side <= WIDEST and SMALLEST_PIXEL <= side / size <= LARGEST_PIXEL
        for side, size in zip(view, matrix, strict=True)
    )


def field_of_view_of(told: EncodingText, rows: int) -> Header:
    """Of an array of ``rows``: its rows and field of view once the readout's oversampling is removed.

    Oversampled is what has a larger *field of view* than the image: a smaller matrix over the same field of view is resolution.
    """
    (encoded_rows, columns, _), (recon_rows, recon_columns, _) = told.encoded.matrix, told.recon.matrix
    view, note = plausible_field_of_view(told.encoded.field_of_view, (encoded_rows, columns))
    image, _ = plausible_field_of_view(told.recon.field_of_view, (recon_rows, recon_columns))
    notes = [note] if note else []
    if view is None or image is None:
        if recon_rows < rows:
            notes.append(
                f"the header's image has {recon_rows} rows of {rows}, and no field of view that tells whether the readout is "
                "oversampled: all rows are kept"
            )
        return Header(field_of_view=view and (view[0], view[1]) if encoded_rows == rows else None, notes=tuple(notes))
    if encoded_rows != rows:
        notes.append(f"the header's readout has {encoded_rows} samples, the array's {rows}: the array is followed")
        if rows != recon_rows:  # cut in k-space or in the image, who knows
            return Header(notes=tuple(notes))
        return Header(field_of_view=(image[0], view[1]), notes=tuple(notes))  # oversampling is removed already
    share = image[0] / view[0]
    if image[1] < SAME * view[1]:
        notes.append(
            f"the phase encodes are oversampled: {view[1]:.0f} mm are kept, though the header's image has {image[1]:.0f} mm"
        )
    if share >= SAME:
        return Header(field_of_view=view, notes=tuple(notes))
    if share < LEAST_KEPT:
        notes.append(
            f"the header's image has {image[0]:g} of {view[0]:g} mm along the readout, which can't be oversampling: "
            "all rows are kept"
        )
        return Header(field_of_view=view, notes=tuple(notes))
    kept = recon_rows if abs(recon_rows - share * rows) <= 1 else round(share * rows)
    return Header(rows=kept, field_of_view=(view[0] * kept / rows, view[1]), notes=tuple(notes))


def limits_of(first: int, last: int, columns: int) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    """The first and last acquired column, as far as they are columns at all, and a note if they aren't."""
    if 0 <= first <= last < columns:
        return (first, last), ()
    return None, (
        f"the header's phase encodes ({first} to {last}) do not fit {columns} columns: the data tell what is padding",
    )


def read_header(path: Path, xml: XmlHeader, shape: tuple[int, ...]) -> Header:
    """For fastMRI's ``ismrmrd_header`` beside k-space of ``shape`` (slice, coil, y, x): the header's x is the array's y.

    Raises UserError if the scan is not Cartesian.
    """
    told = xml.encodings[0]
    if told.trajectory not in (None, "cartesian"):
        raise UserError(
            f"{path}: is a scan of trajectory `{told.trajectory}` by its header, and only Cartesian lines can be read; "
            "grid it to a Cartesian matrix, and correct the header"
        )
    rows, columns = shape[-2:]
    encoded, lines, _ = told.encoded.matrix
    swapped = rows != columns and (encoded, lines) == (columns, rows)
    if swapped:
        rows, columns = columns, rows
    notes = ["the array's axes are swapped against its header: it is turned"] if swapped else []
    header = field_of_view_of(told, rows)
    recon_rows = told.recon.matrix[0]
    if recon_rows > rows:  # seen in fastMRI brain FLAIR files
        notes.append(f"the header's image has {recon_rows} rows, more than k-space has ({rows}): nothing is cropped")
    slices = shape[0] if told.slices is None else told.slices.maximum + 1
    if slices != shape[0]:
        notes.append(f"the header tells of {slices} slices, the array has {shape[0]}: the array is followed")
    limits, odd = None, ()
    if told.lines is not None:
        first = columns // 2 - (columns // 2 if told.lines.center is None else told.lines.center)
        limits, odd = limits_of(first + told.lines.minimum, first + told.lines.maximum, columns)
    return replace(header, limits=limits, notes=(*notes, *header.notes, *odd), swapped=swapped)


def with_measured_lines(header: Header, kspace: np.ndarray) -> Header:
    """``header`` without limits that leave out measured lines of ``kspace`` [slice, coil, y, x]: they are wrong."""
    if header.limits is None or kspace.dtype.kind != "c":
        return header
    peaks = np.zeros(kspace.shape[-1], np.float32)
    with np.errstate(all="ignore"):  # what is not finite is told by make_scan
        for image in kspace:
            peaks = np.maximum(peaks, np.abs(image).max((0, 1)))
    measured = np.flatnonzero(peaks > TINY * peaks.max())
    first, last = header.limits
    if not len(measured) or first <= measured[0] <= measured[-1] <= last:
        return header
    note = (
        f"the header's phase encodes ({first} to {last}) leave out measured lines ({measured[0]} to {measured[-1]}): "
        "the data tell what is padding"
    )
    return replace(header, limits=None, notes=(*header.notes, note))
