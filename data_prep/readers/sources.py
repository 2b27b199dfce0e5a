"""What of an HDF5 file is its own: data that lie elsewhere, are missing or can't be decoded are told before they are read."""

import os
from importlib import import_module
from pathlib import Path

import h5py
from h5py.h5l import TYPE_EXTERNAL as EXTERNAL
from h5py.h5l import TYPE_HARD as HARD

from mri_ambient.errors import UserError

DEEPEST = 8  # data sets that point at data sets that point ...
SZIP = 4  # HDF5's own, but built without its decoder in places; no plugin brings it
FILTERS = {
    **{
        SZIP: "szip",
        305: "LZO",
        307: "bzip2",
        32000: "LZF",
        32001: "Blosc",
        32002: "MAFISC",
        32003: "Snappy",
        32004: "LZ4",
    },
    **{32008: "bitshuffle", 32012: "JPEG-LS", 32013: "ZFP", 32015: "Zstandard", 32017: "SZ", 32018: "FCIDECOMP"},
    **{32019: "JPEG", 32022: "BitGroom", 32023: "Granular BitRound", 32024: "SZ3", 32026: "Blosc2", 32028: "SPERR"},
}


def stored(path: Path, file: h5py.File, name: str) -> h5py.Dataset | None:
    """The data set ``name`` of the scan ``path``, or None if it has none. Raises UserError if it can't be trusted to be read:

    if its samples are outside of the scan's folder or are missing (HDF5 reads those as 0), or packed in a way unknown here.
    """
    found = file.get(name) if _files(path, file, name) else None
    return found if isinstance(found, h5py.Dataset) else None


def other_files(path: Path, file: h5py.File, name: str) -> list[Path]:
    """The files beside ``path`` that hold its ``name``, if it is put together from such. Raises UserError as above."""
    return sorted(_files(path, file, name) - {path.resolve()})


def _files(path: Path, file: h5py.File, name: str, depth: int = 0) -> set[Path]:
    """All that hold samples of ``name``; none if it is no data set. ``file`` is the scan's, or one that it points at."""
    if depth > DEEPEST:
        raise UserError(f"{path}: `{name}` points from file to file without an end; store its samples in one file")
    link = link_out(file, name)
    if link is not None:
        return _elsewhere(path, file, name, link, depth)
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        return set()
    if dataset.external:
        raise UserError(
            f"{path}: the samples of `{name}` are in another file ({dataset.external[0][0]}), which is not opened; "
            "store them in the scan's own file"
        )
    _check_filters(path, name, dataset)
    files = {Path(file.filename).resolve()}
    for other, inner in sorted({(each.file_name, each.dset_name) for each in _sources(dataset)}):
        files |= _elsewhere(path, file, name, (other, inner), depth)
    return files


def _sources(dataset: h5py.Dataset) -> list:
    return dataset.virtual_sources() if dataset.is_virtual else []


def _elsewhere(path: Path, file: h5py.File, name: str, source: tuple[str, str], depth: int) -> set[Path]:
    """The files behind ``source``, a file and a data set in it. Raises UserError if there is none in the scan's folder."""
    other, inner = source
    target = Path(file.filename) if other == "." else Path(file.filename).parent / other
    if target.resolve().parent not in (path.parent.resolve(), path.resolve().parent):
        raise UserError(
            f"{path}: `{name}` lies in {other}, outside of the scan's folder, and is not followed there; "
            "store its samples in the scan's own file"
        )
    if target.is_file() and h5py.is_hdf5(target):
        with h5py.File(target, "r") as opened:
            files = _files(path, opened, inner, depth + 1)
        if files:
            return files
    raise UserError(
        f"{path}: `{name}` lies in {other} (`{inner}`), which is missing and would be read as 0; "
        "copy it into the scan's folder"
    )


def link_out(file: h5py.File, name: str, depth: int = 0) -> tuple[str, str] | None:
    """The other file that the way to ``name`` leads to, and the path there; nothing is opened."""
    parts = [part for part in name.split("/") if part]
    for length in range(1, len(parts) + 1):
        way = "/".join(parts[:length]).encode()
        try:
            kind = file.id.links.get_info(way).type
        except (KeyError, RuntimeError):  # not there
            return None
        if kind == HARD:
            continue
        target = file.id.links.get_val(way)
        if kind == EXTERNAL:
            other, inner = (os.fsdecode(part) for part in target)
            return other, "/".join([inner, *parts[length:]])
        inner = os.fsdecode(target)
        start = [] if inner.startswith("/") else parts[: length - 1]
        return link_out(file, "/".join([*start, inner, *parts[length:]]), depth + 1) if depth < DEEPEST else None
    return None


def _check_filters(path: Path, name: str, dataset: h5py.Dataset) -> None:
    pipeline = dataset.id.get_create_plist()
    for number in range(pipeline.get_nfilters()):
        code, _, _, own_name = pipeline.get_filter(number)
        if h5py.h5z.filter_avail(code) or _plugin_has(code):
            continue
        title = FILTERS.get(code) or own_name.decode("ascii", "ignore").strip() or "a name unknown here"
        plugin = "" if code == SZIP else "pip install hdf5plugin, or "
        raise UserError(
            f"{path}: `{name}` is compressed by HDF5 filter {code} ({title}), which is not installed; "
            f"{plugin}store the scan again with gzip"
        )


def _plugin_has(code: int) -> bool:
    """hdf5plugin registers its filters once it is imported."""
    try:
        import_module("hdf5plugin")
    except ImportError:
        return False
    return h5py.h5z.filter_avail(code)
