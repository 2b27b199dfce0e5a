"""ISMRMRD (MRD) HDF5: one readout a record, each with its counters and flags, in a matrix that an XML header describes.

Inati et al., ISMRM Raw Data Format, Magn Reson Med 77:411-421 (2017).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from data_prep.readers.checks import make_scan
from data_prep.readers.header import Header
from data_prep.readers.mrd_header import read_encoding
from data_prep.readers.mrd_lines import Lines, arrange
from data_prep.scan import Scan
from mri_ambient.errors import UserError

BLOCK = 256  # records read at once: a few tens of MB


def mrd_groups(file: h5py.File) -> list[str]:
    """The groups that hold an ISMRMRD dataset, mostly one named ``dataset``."""
    groups = {str(name): file.get(name) for name in file}
    return [name for name, group in groups.items() if isinstance(group, h5py.Group) and {"xml", "data"} <= set(group)]


def read_mrd(path: Path, file: h5py.File) -> Scan:
    """The 2-D Cartesian images of the first ISMRMRD dataset. Raises UserError in one sentence if it is not usable.

    Averages are averaged. What else is counted (contrasts, phases, sets, repetitions, slices) is stacked as slices.
    """
    name, *others = mrd_groups(file)
    try:
        records, xml = _datasets(path, file, name)
        heads = _heads(records)
    except (KeyError, ValueError, MemoryError) as error:  # as h5py tells of a file whose own tables are damaged
        raise UserError(f"{path}: is truncated or damaged ({error}); copy or convert it again") from error
    encoding = read_encoding(path, xml)
    lines = arrange(path, heads, encoding)
    notes = [f"its dataset `{name}` is read, not {', '.join(others)}"] if others else []
    header = _with_all_lines(encoding.header, lines, notes)

    kspace = np.zeros((len(lines.counts), lines.coils, encoding.rows, encoding.columns), np.complex64)
    with np.errstate(all="ignore"):  # what is not finite is told by make_scan
        for line, samples in _samples(path, records, heads, lines.records):
            ordered = samples[:, ::-1] if lines.reverse[line] else samples
            kspace[lines.image[line], :, lines.rows, lines.column[line]] += ordered
        if lines.counts.max() > 1:
            kspace /= np.maximum(lines.counts, 1).astype(np.float32)[:, None, None]
        gain = _noise_gain(heads["sample_time_us"], lines, encoding.noise_bandwidth)
        noise = [samples * gain[scan] for scan, samples in _samples(path, records, heads, lines.noise)]
    mask = np.zeros((encoding.rows, encoding.columns), bool)
    mask[lines.rows] = lines.counts.any(0)
    return make_scan(
        path,
        "ISMRMRD",
        kspace,
        mask=mask[:1] if mask.any(1).all() else mask,
        header=header,
        noise=np.concatenate(noise, axis=1) if noise else None,
        subject=encoding.subject,
        notes=(*notes, *lines.notes),
    )


def _datasets(path: Path, file: h5py.File, name: str) -> tuple[h5py.Dataset, bytes | str]:
    records, xml = file[f"{name}/data"], file[f"{name}/xml"]
    if (
        not isinstance(records, h5py.Dataset)
        or records.ndim != 1
        or not {"head", "data"} <= set(records.dtype.names or ())
        or not {"flags", "idx", "center_sample"} <= set(records.dtype["head"].names or ())
        or h5py.check_vlen_dtype(records.dtype["data"]) != np.float32
    ):
        raise UserError(f"{path}: `{name}/data` does not hold ISMRMRD acquisitions; convert the raw data again")
    text = np.ravel(xml[()]) if isinstance(xml, h5py.Dataset) else ()
    if len(text) != 1 or not isinstance(text[0], bytes | str):
        raise UserError(f"{path}: `{name}/xml` does not hold an XML header; convert the raw data again")
    return records, text[0]


def _with_all_lines(header: Header, lines: Lines, notes: list[str]) -> Header:
    """Lines beyond the limits were acquired all the same."""
    if header.limits is None:
        return header
    first, last = min(lines.column.min(), header.limits[0]), max(lines.column.max(), header.limits[1])
    if (first, last) != header.limits:
        notes.append(f"the header's phase encodes end before the lines do: those of columns {first} to {last} are kept")
    return replace(header, limits=(int(first), int(last)))


def _heads(records: h5py.Dataset) -> np.ndarray:
    heads = np.empty(len(records), records.dtype["head"])
    for first in range(0, len(records), BLOCK):
        # whole records: of a selection of fields HDF5 leaks those of variable length that are left out, here all samples
        heads[first : first + BLOCK] = records[first : first + BLOCK]["head"]
    return heads


def _samples(
    path: Path, records: h5py.Dataset, heads: np.ndarray, wanted: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """(position in ``wanted``, samples [coil, sample] without those to discard), read in blocks of records."""
    for first in range(0, len(records), BLOCK):
        start, stop = np.searchsorted(wanted, [first, first + BLOCK])
        if start == stop:
            continue
        block = records[first : first + BLOCK]["data"]
        for position in range(start, stop):
            record = wanted[position]
            head, values = heads[record], np.asarray(block[record - first], np.float32)
            coils, length = int(head["active_channels"]), int(head["number_of_samples"])
            if values.size != 2 * coils * length:
                raise UserError(
                    f"{path}: acquisition {record} is damaged: it holds {values.size} numbers where {coils} coils of "
                    f"{length} samples need {2 * coils * length}; copy or convert it again"
                )
            samples = values.view(np.complex64).reshape(coils, length)
            yield position, samples[:, head["discard_pre"] : length - head["discard_post"]]


def _noise_gain(dwell: np.ndarray, lines: Lines, bandwidth: float) -> np.ndarray:
    """From each noise scan to an imaging sample: variance grows with the bandwidth, one over the ``dwell`` time [record].

    Unknown dwell times count as equal. The mean of n averages has one nth of the variance.
    """
    imaging, noise = dwell[lines.records[0]], dwell[lines.noise]
    longer = np.where((imaging > 0) & (noise > 0), noise / imaging, 1)
    averaging = (1 / lines.counts[lines.counts > 0]).mean()
    return np.sqrt(longer / bandwidth * averaging).astype(np.float32)
