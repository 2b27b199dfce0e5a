"""An ISMRMRD XML header, read leniently: what the reconstruction needs, as it is written there, and nothing of the patient.

Namespaces and the order of elements, on which converters differ, play no role; what is there must be of its type.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import h5py
import numpy as np

from mri_ambient.errors import UserError

LONGEST = 10_000_000  # characters; a vendor's whole protocol takes a few hundred thousand
LARGEST = 2**16 - 1  # counters have 16 bits


@dataclass(frozen=True)
class Space:
    """matrix: (x, y, z). field_of_view: (x, y) in mm as it is written, None if it isn't."""

    matrix: tuple[int, int, int]
    field_of_view: tuple[float, float] | None


@dataclass(frozen=True)
class Limits:
    minimum: int
    maximum: int
    center: int | None


@dataclass(frozen=True)
class EncodingText:
    """x is the readout, y the phase encode. lines, partitions, slices: limits of their counters. trajectory, calibration:
    in lower case, None where the header doesn't say; calibration: how reference lines were acquired."""

    encoded: Space
    recon: Space
    lines: Limits | None
    partitions: Limits | None
    slices: Limits | None
    trajectory: str | None
    calibration: str | None


@dataclass(frozen=True)
class XmlHeader:
    """encodings: at least one. noise_bandwidth: the receiver's effective over its nominal bandwidth. patient: the number,
    to be hashed and forgotten. adjustment: whether the protocol is a scanner's own adjustment."""

    encodings: tuple[EncodingText, ...]
    noise_bandwidth: float
    patient: str | None
    adjustment: bool

    def __repr__(self) -> str:
        return f"XmlHeader({len(self.encodings)} encodings)"  # no traceback tells of a patient


def header_text(path: Path, dataset: object, name: str) -> bytes | str:
    """Raises UserError if ``dataset`` does not hold one text of a bearable length."""
    measurement = f"{path}: `{name}` does not hold an XML header; convert the raw data again"
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1:
        raise UserError(measurement)
    if dataset.dtype.itemsize > LONGEST:
        raise UserError(f"{path}: `{name}` is longer than {LONGEST} characters; convert the raw data again")
    (text,) = np.ravel(np.asarray(dataset[()], object))
    if not isinstance(text, bytes | str):
        raise UserError(measurement)
    return text


def read_xml(path: Path, xml: bytes | str, what: str) -> XmlHeader:
    """``what`` names the header in messages. Raises UserError in one sentence that quotes only numbers of an encoding."""
    try:
        text = xml.strip(b"\0 \r\n\t") if isinstance(xml, bytes) else xml.strip("\0 \r\n\t\ufeff")
        if len(text) > LONGEST:
            raise ValueError(f"it is longer than {LONGEST} characters")
        if "<!ENTITY" in (text.decode("latin-1") if isinstance(text, bytes) else text):
            raise ValueError("it defines entities, which no header needs")
        root = ElementTree.fromstring(text)
        encodings = tuple(_encoding(element) for element in root.findall("{*}encoding"))
        if not encodings:
            raise ValueError("it has no `encoding`")
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: {what} can't be read ({reason}); repair it, or convert the raw data again") from error
    bandwidth = _optional_number(root, "acquisitionSystemInformation", "relativeReceiverNoiseBandwidth")
    protocol = _text(root, "measurementInformation", "protocolName") or ""
    return XmlHeader(
        encodings=encodings,
        noise_bandwidth=bandwidth if bandwidth is not None and 0 < bandwidth < math.inf else 1.0,
        patient=_text(root, "subjectInformation", "patientID"),
        adjustment=re.match(r"adj", protocol, re.IGNORECASE) is not None,
    )


def _encoding(element: Element) -> EncodingText:
    encoded = _space(element, "encodedSpace")
    recon = _space(element, "reconSpace") if element.find("{*}reconSpace/{*}matrixSize") is not None else encoded
    trajectory = _text(element, "trajectory")
    calibration = _text(element, "parallelImaging", "calibrationMode")
    return EncodingText(
        encoded=encoded,
        recon=recon,
        lines=_limits(element, "kspace_encoding_step_1"),
        partitions=_limits(element, "kspace_encoding_step_2"),
        slices=_limits(element, "slice"),
        trajectory=trajectory and trajectory.lower(),
        calibration=calibration and calibration.lower(),
    )


def _space(element: Element, name: str) -> Space:
    matrix = [_whole(element, name, "matrixSize", axis) for axis in "xyz"]
    for axis, size in zip("xyz", matrix, strict=True):
        if size is None and axis != "z":
            raise ValueError(f"its {name} has no matrixSize/{axis}")
        if size is not None and not 1 <= size <= LARGEST and (axis != "z" or size):
            raise ValueError(f"its {name}/matrixSize/{axis} is {size}")
    view = [_optional_number(element, name, "fieldOfView_mm", axis) for axis in "xy"]
    return Space(
        (matrix[0] or 1, matrix[1] or 1, matrix[2] or 1),
        None if view[0] is None or view[1] is None else (view[0], view[1]),
    )


def _limits(element: Element, name: str) -> Limits | None:
    ends = [_whole(element, "encodingLimits", name, end) for end in ("minimum", "maximum", "center")]
    return None if ends[1] is None else Limits(ends[0] or 0, ends[1], ends[2])


def _text(element: Element, *names: str) -> str | None:
    """Stripped; None if it isn't there or is empty."""
    return (element.findtext("/".join(f"{{*}}{name}" for name in names)) or "").strip() or None


def _whole(element: Element, *names: str) -> int | None:
    text = _text(element, *names)
    try:
        value = None if text is None else float(text)
    except ValueError:
        value = math.nan
    if value is not None and not (math.isfinite(value) and value == int(value)):
        raise ValueError(f"its {'/'.join(names)} is `{(text or '')[:20]}`, not a whole number")
    return None if value is None else int(value)


def _optional_number(element: Element, *names: str) -> float | None:
    """NaN where it is no number."""
    text = _text(element, *names)
    try:
        return None if text is None else float(text)
    except ValueError:
        return math.nan
