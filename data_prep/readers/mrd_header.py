"""What the XML header of an ISMRMRD file says of the matrix that its readouts fill."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.readers.header import SAME, Header, field_of_view_of, limits_of, plausible_field_of_view
from mri_ambient.data_prep.readers.xml_header import EncodingText, Limits, XmlHeader
from mri_ambient.errors import UserError


@dataclass(frozen=True)
class Encoding:
    """rows, columns: the encoded matrix. first_column: where line 0 goes; negative if the centre's number is above the middle.
    stated: whether the header says so (else it is where the lines fit). limits: of the lines' numbers. calibration: how
    reference lines were acquired, if it is told. header: what a Scan keeps."""

    rows: int
    columns: int
    first_column: int
    stated: bool
    limits: Limits | None
    calibration: str | None
    header: Header

    def moved(self, columns: int) -> "Encoding":
        """All lines that many columns further."""
        return replace(self, first_column=self.first_column + columns)

    def with_limits(self) -> Header:
        """``header`` with the first and last acquired column."""
        if self.limits is None:
            return self.header
        ends = self.first_column + self.limits.minimum, self.first_column + self.limits.maximum
        limits, odd = limits_of(*ends, self.columns)
        return replace(self.header, limits=limits, notes=self.header.notes + odd)


def encoding_of(path: Path, xml: XmlHeader, heads: np.ndarray, imaging: np.ndarray) -> Encoding:
    """Of the ``imaging`` among the acquisition headers. Raises UserError if it is not 2-D Cartesian, or no line fits it."""
    told = _told(xml, int(heads["encoding_space_ref"][imaging][0]))
    notes = []
    if told.trajectory is None and not heads["trajectory_dimensions"][imaging].any():
        notes.append("the header names no trajectory, and the readouts bring none: they are taken for Cartesian")
    elif told.trajectory != "cartesian":
        raise UserError(
            f"{path}: is a scan of trajectory `{told.trajectory or 'unknown'}`, and only Cartesian lines can be read; "
            "grid it to a Cartesian matrix first"
        )
    _refuse_partitions(path, told, heads["idx"]["kspace_encode_step_2"][imaging], notes)
    rows, columns, _ = told.encoded.matrix
    header = field_of_view_of(told, rows)
    if _oversampling_is_gone(told, heads[imaging]):
        rows = told.recon.matrix[0]
        view, _ = plausible_field_of_view(told.recon.field_of_view, told.recon.matrix[:2])
        header = replace(
            header, rows=None, field_of_view=header.field_of_view and view and (view[0], header.field_of_view[1])
        )
        notes.append(f"readouts have the {rows} samples of the header's image: their oversampling was removed before")
    first, stated = _first_column(path, told, heads["idx"]["kspace_encode_step_1"][imaging].astype(int), notes)
    return Encoding(
        rows=rows,
        columns=columns,
        first_column=first,
        stated=stated,
        limits=told.lines,
        calibration=told.calibration,
        header=replace(header, notes=(*notes, *header.notes)),
    )


def reference_column(xml: XmlHeader, space: int, encoding: Encoding, used: int) -> int | None:
    """The column of line 0 of another encoding space; None if its samples do not lie on the grid of the images' space.

    k-space steps are one over the field of view, so that the same field of view is the same grid whatever the matrix.
    """
    if space >= len(xml.encodings):
        return None
    ours, theirs = xml.encodings[used], xml.encodings[space]
    if ours.encoded.field_of_view is None or theirs.encoded.field_of_view is None or theirs.lines is None:
        return None
    if not np.allclose(ours.encoded.field_of_view, theirs.encoded.field_of_view, rtol=0.01):
        return None
    return None if theirs.lines.center is None else encoding.columns // 2 - theirs.lines.center


def space_of(xml: XmlHeader, number: int) -> int:
    """Which of the header's encodings a line refers to; some writers count from one."""
    return min(number, len(xml.encodings) - 1)


def _told(xml: XmlHeader, number: int) -> EncodingText:
    return xml.encodings[space_of(xml, number)]


def _refuse_partitions(path: Path, told: EncodingText, partitions: np.ndarray, notes: list[str]) -> None:
    depth = told.encoded.matrix[2]
    if partitions.any():
        raise UserError(f"{path}: is a 3-D scan (it encodes partitions); transform along the partitions first")
    if depth > 1:
        if told.partitions is None or told.partitions.maximum > 0:
            raise UserError(f"{path}: is a 3-D scan of {depth} partitions; transform along the partitions first")
        notes.append(
            f"the header's matrix has {depth} partitions, but neither its limits nor any line do: it is read as 2-D"
        )


def _oversampling_is_gone(told: EncodingText, heads: np.ndarray) -> bool:
    """Readouts as long as the image's matrix, whose field of view is smaller in proportion, with the echo in their middle or
    where it was before."""
    (encoded, *_), (recon, *_) = told.encoded.matrix, told.recon.matrix
    length = heads["number_of_samples"].astype(int) - heads["discard_pre"] - heads["discard_post"]
    centre = heads["center_sample"].astype(int) - heads["discard_pre"]
    if recon >= encoded or (length != recon).any() or told.encoded.field_of_view is None:
        return False
    share = (told.recon.field_of_view or told.encoded.field_of_view)[0] / told.encoded.field_of_view[0]
    in_the_middle = abs(centre - length // 2) <= length // 8
    return bool(SAME < share * encoded / recon < 1 / SAME and (in_the_middle | (centre >= length)).all())


def _first_column(path: Path, told: EncodingText, lines: np.ndarray, notes: list[str]) -> tuple[int, bool]:
    """Where line 0 goes, and whether that is the header's word. Raises UserError if the lines fit nowhere."""
    columns = told.encoded.matrix[1]
    if told.lines is None:
        first, why = 0, None
    elif told.lines.center is None:
        first, why = columns // 2 - (told.lines.minimum + told.lines.maximum + 1) // 2, "the header names no centre"
    else:
        first, why = columns // 2 - told.lines.center, f"the header's centre is line {told.lines.center}"
    outside = (lines + first < 0) | (lines + first >= columns)
    if not outside.any():
        return first, True
    if lines.max() - lines.min() >= columns or why is None:
        raise UserError(
            f"{path}: line {lines[outside][0]} falls outside the matrix of {columns} columns; "
            "correct the header's encodedSpace and encodingLimits"
        )
    notes.append(f"{why}, around which the lines {lines.min()} to {lines.max()} do not fit {columns} columns")
    return -int(lines.min()) if lines.max() >= columns else 0, False
