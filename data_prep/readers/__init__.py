"""A file becomes a Scan. Which format it has is told from its content, never from its name."""

from pathlib import Path

from mri_ambient.data_prep.readers.format import Format
from mri_ambient.data_prep.readers.hdf5 import is_ours
from mri_ambient.data_prep.readers.registry import FORMATS
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from mri_ambient.files import as_path

ZIP = b"PK\x03\x04"


def read_scan(path: str | Path) -> Scan:
    """Read and check a raw scan.

    Args:
        path: a file of any format of :data:`FORMATS`, whatever its name; of several files (BART), any of them.

    Raises:
        UserError: the file is not usable; one sentence says what is wrong and what to do.

    Example:
        >>> read_scan("absent.h5")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        mri_ambient.errors.UserError: absent.h5: no such file; give the path of a raw scan ...
    """
    path = _main_file(as_path(path))
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give one scan of it, or prepare them all with `mri-ambient prep`")
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a raw scan ({formats()})")
    try:
        format = _format_of(path)
        if format is not None:
            return format.read(path)
        with path.open("rb") as file:
            is_archive = file.read(len(ZIP)) == ZIP
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{path}: is truncated or damaged, or may not be read ({error}); copy or download it again"
        ) from error
    if is_archive:
        raise UserError(f"{path}: is an archive (.npz or .zip); save the one array of k-space with numpy.save")
    raise UserError(f"{path}: is not a scan in a known format; give {formats()}")


def scan_files(folder: Path) -> tuple[list[Path], int]:
    """The scans of a folder, known by their content or claiming to be one by their names, and how many files are none.

    What this package wrote, reconstructions beside their scans for one, is none.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    files = [path for path in files if _main_file(path) == path]
    scans = [p for p in files if (p.suffix.lower() in suffixes() or _is_known(p)) and not _is_ours(p)]
    return scans, len(files) - len(scans)


def files_of(path: Path) -> list[Path]:
    """The files that make up a scan: one, a BART header and its data, or HDF5 that takes data sets from its neighbours."""
    path = _main_file(path)
    try:
        format = _format_of(path)
        return [path] if format is None else format.files(path)
    except (OSError, RuntimeError, UserError):  # told when it is read
        return [path]


def formats() -> str:
    """The known formats, for a sentence."""
    *others, last = FORMATS
    return f"{', '.join(others)} or {last}"


def suffixes() -> tuple[str, ...]:
    """Of files that claim to be scans."""
    return tuple(suffix for format in FORMATS.values() for suffix in format.suffixes)


def _format_of(path: Path) -> Format | None:
    return next((format for format in reversed(list(FORMATS.values())) if format.sniff(path)), None)


def _main_file(path: Path) -> Path:
    if path.is_dir():
        return path
    return next((main for format in FORMATS.values() if (main := format.main_file(path)) != path), path)


def _is_known(path: Path) -> bool:
    try:
        return _format_of(path) is not None
    except OSError:
        return False


def _is_ours(path: Path) -> bool:
    try:
        return is_ours(path)
    except OSError:
        return False
