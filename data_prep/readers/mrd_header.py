"""What the XML header of an ISMRMRD file says of the matrix that its readouts fill."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from data_prep.readers.header import Header, pseudonym
from mri_ambient.errors import UserError

KEPT = ("experimentalConditions", "acquisitionSystemInformation", "encoding")  # the schema insists on the first


@dataclass(frozen=True)
class Encoding:
    """rows, columns: the encoded matrix. first_column: where line 0 goes; negative if the centre's number is above the middle.
    noise_bandwidth: the receiver's effective over its nominal bandwidth. header: what a Scan keeps. subject: a pseudonym."""

    rows: int
    columns: int
    first_column: int
    noise_bandwidth: float
    header: Header
    subject: str | None


def read_encoding(path: Path, xml: bytes | str) -> Encoding:
    """The first encoding space. Raises UserError if it can't be parsed or is not 2-D Cartesian, or if `ismrmrd` is missing.

    Who was scanned, where and when is cut out before anything is parsed into values, so that no message can quote it; of the
    patient's number a hash stays.
    """
    try:
        from ismrmrd import xsd
    except ImportError as error:
        raise UserError(
            f"{path}: is an ISMRMRD file, and reading those needs the `ismrmrd` package; pip install 'mri-ambient[raw]'"
        ) from error
    try:
        root = ElementTree.fromstring(xml)
        patient = root.findtext("{*}subjectInformation/{*}patientID")
        for element in list(root):
            if element.tag.rpartition("}")[2] not in KEPT:
                root.remove(element)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a value of the wrong type is a mere warning there
            header = xsd.CreateFromDocument(ElementTree.tostring(root))
        encoding = header.encoding[0]
    except (ElementTree.ParseError, ValueError, TypeError, IndexError, Warning) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: its XML header can't be read ({reason}); repair it, or convert the raw data again"
        ) from error
    trajectory = encoding.trajectory.value
    if trajectory != "cartesian":
        raise UserError(
            f"{path}: is a scan of trajectory `{trajectory}`, and only Cartesian lines can be read; "
            "grid it to a Cartesian matrix first"
        )
    matrix = encoding.encodedSpace.matrixSize
    if matrix.z > 1:
        raise UserError(f"{path}: is a 3-D scan of {matrix.z} partitions; transform along the partitions first")
    limits = encoding.encodingLimits.kspace_encoding_step_1
    first_column = 0 if limits is None else matrix.y // 2 - limits.center
    system = header.acquisitionSystemInformation
    return Encoding(
        rows=matrix.x,
        columns=matrix.y,
        first_column=first_column,
        noise_bandwidth=(system and system.relativeReceiverNoiseBandwidth) or 1.0,
        header=_geometry(encoding, limits and (first_column + limits.minimum, first_column + limits.maximum)),
        subject=pseudonym(patient or None),
    )


def _geometry(encoding, limits: tuple[int, int] | None) -> Header:
    rows, columns = encoding.encodedSpace.matrixSize.x, encoding.encodedSpace.matrixSize.y
    recon_rows = min(encoding.reconSpace.matrixSize.x, rows)
    view = encoding.encodedSpace.fieldOfView_mm
    notes = ()
    if limits and not 0 <= limits[0] <= limits[1] < columns:
        notes = (
            f"the header's phase encodes ({limits[0]} to {limits[1]}) do not fit {columns} columns: "
            "the data tell what is padding",
        )
        limits = None
    return Header(
        rows=recon_rows if recon_rows < rows else None,
        limits=limits,
        field_of_view=(view.x * recon_rows / rows, view.y) if view.x > 0 and view.y > 0 else None,
        notes=notes,
    )
