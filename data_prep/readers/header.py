"""What an ISMRMRD XML header says of the array beside it, as far as the array agrees."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from mri_ambient.errors import UserError


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


def pseudonym(patient: object) -> str | None:
    """Of a patient's number, which fastMRI has made a random string already: a hash, which only tells scans of one subject."""
    return None if patient is None else hashlib.sha256(str(patient).encode()).hexdigest()[:12]


def read_header(path: Path, xml: bytes | str, shape: tuple[int, ...]) -> Header:
    """For fastMRI's ``ismrmrd_header`` beside k-space of ``shape`` (slice, coil, y, x): the header's x is the array's y.

    Nothing else of the header (it may hold who was scanned, where and when) is kept.
    """
    from fastmri.data.mri_data import et_query

    def number(*names: str) -> float:
        return float(et_query(root, names))

    try:
        root = ElementTree.fromstring(xml)
        rows, columns = shape[-2:]
        encoded = int(number("encoding", "encodedSpace", "matrixSize", "x"))
        lines = int(number("encoding", "encodedSpace", "matrixSize", "y"))
        swapped = rows != columns and (encoded, lines) == (columns, rows)
        if swapped:
            rows, columns = columns, rows
        recon_rows = int(number("encoding", "reconSpace", "matrixSize", "x"))
        limits = ("encoding", "encodingLimits", "kspace_encoding_step_1")
        first = columns // 2 - int(number(*limits, "center"))
        last = first + int(number(*limits, "maximum"))
        readout_fov = number("encoding", "encodedSpace", "fieldOfView_mm", "x")
        phase_fov = number("encoding", "encodedSpace", "fieldOfView_mm", "y")
    except (ElementTree.ParseError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{path}: `ismrmrd_header` can't be read ({error}); repair it, or remove it to use the array alone"
        ) from error
    notes = ["the array's axes are swapped against its header: it is turned"] if swapped else []
    if encoded != rows:
        notes.append(f"the header's readout has {encoded} samples, the array's {rows}: the array is followed")
    if recon_rows > rows:  # seen in fastMRI brain FLAIR files
        notes.append(f"the header's image has {recon_rows} rows, more than k-space has ({rows}): nothing is cropped")
    try:
        slices = int(number("encoding", "encodingLimits", "slice", "maximum")) + 1
    except (RuntimeError, ValueError):
        slices = shape[0]
    if slices != shape[0]:
        notes.append(f"the header tells of {slices} slices, the array has {shape[0]}: the array is followed")
    if first < 0 or columns <= last:
        notes.append(
            f"the header's phase encodes ({first} to {last}) do not fit {columns} columns: the data tell what is padding"
        )
    crop = recon_rows < rows
    return Header(
        rows=recon_rows if crop else None,
        limits=None if first < 0 or columns <= last else (first, last),
        field_of_view=(readout_fov * recon_rows / rows if crop else readout_fov, phase_fov),
        notes=tuple(notes),
        swapped=swapped,
    )
