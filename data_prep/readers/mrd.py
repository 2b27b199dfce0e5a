"""ISMRMRD (MRD) HDF5: one readout a record, each with its counters and flags, in a matrix that an XML header describes.

Inati et al., ISMRM Raw Data Format, Magn Reson Med 77:411-421 (2017).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Complex

from mri_ambient.data_prep.readers.checks import Acquired, make_scan
from mri_ambient.data_prep.readers.format import Format
from mri_ambient.data_prep.readers.header import Header
from mri_ambient.data_prep.readers.mrd_centre import shifts_to_centre
from mri_ambient.data_prep.readers.mrd_flags import flagged, sort_by_flags
from mri_ambient.data_prep.readers.mrd_header import encoding_of, reference_column, space_of
from mri_ambient.data_prep.readers.mrd_lines import Lines, arrange
from mri_ambient.data_prep.readers.mrd_readout import Placed
from mri_ambient.data_prep.readers.sources import link_out, stored
from mri_ambient.data_prep.readers.subject import pseudonym
from mri_ambient.data_prep.readers.xml_header import XmlHeader, header_text, read_xml
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError

BLOCK = 256  # records read at once: a few tens of MB
LARGEST = 2**31  # bytes of k-space that a header may ask for, if they are also far more than the file has
SWELL = 64


@dataclass(frozen=True)
class Dataset:
    """One of a file's data sets: acquisitions, their headers and the XML header."""

    name: str
    records: h5py.Dataset
    heads: np.ndarray
    xml: XmlHeader

    @property
    def holds_images(self) -> bool:
        noise = flagged(self.heads, "IS_NOISE_MEASUREMENT")
        return not self.xml.adjustment and bool((~noise).any())


def mrd_groups(file: h5py.File) -> list[str]:
    """The groups that hold an ISMRMRD dataset, mostly one named ``dataset``."""
    groups = {str(name): file.get(name) for name in file if link_out(file, str(name)) is None}
    return [name for name, group in groups.items() if isinstance(group, h5py.Group) and {"xml", "data"} <= set(group)]


def is_mrd(path: Path) -> bool:
    """HDF5 with such a group and no ``kspace``; False of a damaged file, of which reading tells more."""
    try:
        with h5py.File(path, "r") as file:
            return "kspace" not in list(file) and bool(mrd_groups(file))
    except (OSError, RuntimeError):
        return False


def read_mrd(path: Path) -> Scan:
    """The 2-D Cartesian images of the first ISMRMRD dataset that has any. Raises UserError in one sentence if it is not usable.

    Averages are averaged. What else is counted (contrasts, phases, sets, repetitions, slices) is stacked as slices. Noise is
    that dataset's own, or another's of as many coils.
    """
    if find_spec("ismrmrd") is None:
        raise UserError(
            f"{path}: is an ISMRMRD file, and reading those needs the `ismrmrd` package; pip install 'mri-ambient[raw]'"
        )
    with h5py.File(path, "r") as file:
        return make_scan(_acquired(path, file))


def _acquired(path: Path, file: h5py.File) -> Acquired:
    datasets = [_dataset(path, file, name) for name in mrd_groups(file)]
    chosen = next((dataset for dataset in datasets if dataset.holds_images), datasets[0])
    others = [dataset for dataset in datasets if dataset is not chosen]
    records, heads, xml = chosen.records, chosen.heads, chosen.xml
    read = partial(_stack, path, records, heads)
    try:
        kinds = sort_by_flags(path, heads)
    except UserError as error:
        raise _with_names(error, datasets) if others else error from error
    encoding = encoding_of(path, xml, heads, kinds.imaging)
    used = space_of(xml, int(heads["encoding_space_ref"][kinds.imaging][0]))
    spaces = {int(space) for space in heads["encoding_space_ref"][kinds.elsewhere]}
    columns = {space: reference_column(xml, space, encoding, used) for space in spaces}
    lines = arrange(path, heads, kinds, encoding, {k: v for k, v in columns.items() if v is not None}, read)
    notes = [f"its dataset `{chosen.name}` is read, not {', '.join(other.name for other in others)}"] if others else []

    shape = (len(lines.counts), lines.coils, encoding.rows, encoding.columns)
    _refuse_swelling(path, shape)
    kspace = np.zeros(shape, np.complex64)
    with np.errstate(all="ignore"):  # what is not finite is told by make_scan
        _fill(kspace, lines.placed, path, records, heads)
        if lines.counts.max() > 1:
            kspace /= np.maximum(lines.counts, 1).astype(np.float32)[:, None, None]
        reference = None if lines.reference is None else _reference(lines, shape, path, records, heads)
        noise = _noise(path, chosen, others, lines, notes)
    mask = np.zeros((encoding.rows, encoding.columns), bool)
    mask[lines.placed.rows] = lines.counts.any(0)
    down, right = shifts_to_centre(path, kspace, lines.placed.rows, encoding, notes)
    if down or right:
        kspace, mask = np.roll(kspace, (down, right), (-2, -1)), np.roll(mask, (down, right), (-2, -1))
        reference = None if reference is None else np.roll(reference, (down, right), (-2, -1))
        encoding = encoding.moved(right)
    told = lines.geometry.positions.any() or lines.geometry.slice_dir.any()
    return Acquired(
        source=path,
        format="ISMRMRD",
        kspace=kspace,
        mask=mask[:1] if mask.any(1).all() else mask,
        header=_with_all_lines(encoding.with_limits(), np.flatnonzero(mask.any(0)), notes),
        noise=noise,
        reference=reference,
        subject=pseudonym(xml.patient),
        geometry=lines.geometry if told else None,
        notes=(*notes, *lines.notes),
    )


def _dataset(path: Path, file: h5py.File, name: str) -> Dataset:
    try:
        records, xml = stored(path, file, f"{name}/data"), stored(path, file, f"{name}/xml")
        if (
            records is None
            or records.ndim != 1
            or not {"head", "data"} <= set(records.dtype.names or ())
            or not {"flags", "idx", "center_sample"} <= set(records.dtype["head"].names or ())
            or h5py.check_vlen_dtype(records.dtype["data"]) != np.float32
        ):
            raise UserError(f"{path}: `{name}/data` does not hold ISMRMRD acquisitions; convert the raw data again")
        text = header_text(path, xml, f"{name}/xml")
        heads = _heads(records)
    except (KeyError, ValueError, MemoryError) as error:  # as h5py tells of a file whose own tables are damaged
        raise UserError(f"{path}: is truncated or damaged ({error}); copy or convert it again") from error
    return Dataset(name, records, heads, read_xml(path, text, "its XML header"))


def _with_names(error: UserError, datasets: list[Dataset]) -> UserError:
    return UserError(f"{error} (its datasets: {', '.join(dataset.name for dataset in datasets)})")


def _refuse_swelling(path: Path, shape: tuple[int, ...]) -> None:
    wanted = 8 * int(np.prod(shape, dtype=float))
    if wanted > max(LARGEST, SWELL * path.stat().st_size):
        raise UserError(
            f"{path}: its header asks for k-space of {'x'.join(map(str, shape))} (slice, coil, y, x), {wanted / 2**30:.0f} GB, "
            "far more than the file holds; correct the header's encodedSpace"
        )


def _with_all_lines(header: Header, columns: np.ndarray, notes: list[str]) -> Header:
    """Lines beyond the limits were acquired all the same."""
    if header.limits is None:
        return header
    first, last = min(columns[0], header.limits[0]), max(columns[-1], header.limits[1])
    if (first, last) != header.limits:
        notes.append(f"the header's phase encodes end before the lines do: those of columns {first} to {last} are kept")
    return replace(header, limits=(int(first), int(last)))


def _heads(records: h5py.Dataset) -> np.ndarray:
    heads = np.empty(len(records), records.dtype["head"])
    for first in range(0, len(records), BLOCK):
        # whole records: of a selection of fields HDF5 leaks those of variable length that are left out, here all samples
        heads[first : first + BLOCK] = records[first : first + BLOCK]["head"]
    return heads


def _fill(kspace: np.ndarray, placed: Placed, path: Path, records: h5py.Dataset, heads: np.ndarray) -> None:
    for line, samples in _samples(path, records, heads, placed.records):
        ordered = samples[:, ::-1] if placed.reverse[line] else samples
        kspace[placed.image[line], :, placed.rows, placed.column[line]] += ordered


def _reference(
    lines: Lines, shape: tuple[int, ...], path: Path, records: h5py.Dataset, heads: np.ndarray
) -> Complex[np.ndarray, "slice coil y x"]:
    """Of every image: that of its slice, averages averaged."""
    placed = lines.reference
    assert placed is not None
    reference = np.zeros((int(lines.slices.max()) + 1, *shape[1:]), np.complex64)
    _fill(reference, placed, path, records, heads)
    counts = np.zeros((len(reference), shape[-1]), np.float32)
    np.add.at(counts, (placed.image, placed.column), 1)
    return (reference / np.maximum(counts, 1)[:, None, None])[lines.slices]


def _stack(
    path: Path, records: h5py.Dataset, heads: np.ndarray, wanted: np.ndarray
) -> Complex[np.ndarray, "record coil sample"]:
    """The samples of records that are alike, in any order, flipped where their flags say so."""
    unique, back = np.unique(wanted, return_inverse=True)
    flip = flagged(heads[unique], "IS_REVERSE")
    found = [s[:, ::-1] if flip[line] else s for line, s in _samples(path, records, heads, unique)]
    return np.stack(found)[back.reshape(-1)]


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


def _noise(
    path: Path, chosen: Dataset, others: list[Dataset], lines: Lines, notes: list[str]
) -> Complex[np.ndarray, "coil n"] | None:
    """Of the chosen dataset, else of the first other that has noise of as many coils."""
    found = lines.noise
    dwell = float(chosen.heads["sample_time_us"][lines.placed.records[0]])
    for dataset in [chosen, *others]:
        if dataset is not chosen:
            heads = dataset.heads
            found = np.flatnonzero(flagged(heads, "IS_NOISE_MEASUREMENT") & (heads["active_channels"] == lines.coils))
        if len(found):
            gain = _noise_gain(dataset.heads["sample_time_us"][found], dwell, lines, dataset.xml.noise_bandwidth)
            samples = _samples(path, dataset.records, dataset.heads, found)
            if dataset is not chosen:
                notes.append(f"the noise is that of its dataset `{dataset.name}`")
            return np.concatenate([one * gain[scan] for scan, one in samples], axis=1)
    return None


def _noise_gain(noise: np.ndarray, imaging: float, lines: Lines, bandwidth: float) -> np.ndarray:
    """From each noise scan to an imaging sample: variance grows with the bandwidth, one over the dwell time in us.

    Unknown dwell times count as equal. The mean of n averages has one nth of the variance.
    """
    longer = np.where((imaging > 0) & (noise > 0), noise / imaging if imaging > 0 else 1, 1)
    averaging = (1 / lines.counts[lines.counts > 0]).mean()
    return np.sqrt(longer / bandwidth * averaging).astype(np.float32)


MRD = Format(is_mrd, read_mrd, (".mrd",))
