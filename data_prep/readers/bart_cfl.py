"""BART's pair of files: a text header, and a raw .cfl beside it."""

import math
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.readers.bart_array import scan_of
from mri_ambient.data_prep.readers.format import Format, starts_with
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError


def read_cfl(header: Path) -> Scan:
    """``header`` is the .hdr; its .cfl lies beside it. Raises UserError."""
    data = header.with_suffix(".cfl")
    if not data.is_file():
        raise UserError(f"{header}: its data, {data.name}, is not beside it; copy both files")
    try:
        lines = header.read_text().splitlines()
        dimensions = [int(n) for n in lines[1].split()]
    except (ValueError, IndexError) as error:
        raise UserError(f"{header}: its dimensions can't be read ({error}); export the scan with BART again") from error
    size = data.stat().st_size
    if size != 8 * math.prod(dimensions):
        raise UserError(
            f"{data}: has {size} bytes where its header asks for {8 * math.prod(dimensions)}; copy or export it again"
        )
    return scan_of(header, "BART cfl", dimensions, np.fromfile(data, np.dtype("<c8")))


def header_of(path: Path) -> Path:
    """BART's users name a scan by its .hdr, by its .cfl, or by neither."""
    header = path.with_suffix(".hdr") if path.suffix == ".cfl" else path.with_name(f"{path.name}.hdr")
    return header if header.is_file() and (path.suffix == ".cfl" or not path.exists()) else path


def both_files(header: Path) -> list[Path]:
    data = header.with_suffix(".cfl")
    return [header, data] if data.is_file() else [header]


CFL = Format(starts_with(b"# Dimensions"), read_cfl, (".hdr",), header_of, both_files)
