"""Files that are whole or absent: written under a temporary name beside the target, then renamed."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mri_ambient.errors import UserError

PARTIAL = ".partial"
LEFTOVER = 3600
FULL = 2**16  # bytes: a disk with less left is full


def as_path(given: str | os.PathLike[str]) -> Path:
    """Raises UserError if it is no path."""
    if not isinstance(given, str | os.PathLike):
        raise UserError(f"path {given!r}: is a {type(given).__name__}; pass a text or a Path")
    return Path(given)


@contextmanager
def atomic_write(path: Path, exclusive: bool = False) -> Iterator[Path]:
    """Yield a temporary name in ``path``'s folder; on success it becomes ``path``, on failure it is removed.

    Raises UserError if the folder can't be made or written, or the disk is full; and FileExistsError, if it is to be
    ``exclusive``, where another process has made ``path`` meanwhile.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}")
    writable_folder(path.parent)
    try:
        with full_disk_is_a_user_error(path.parent):
            yield temporary
            if exclusive:
                _take_name(temporary, path)
            else:
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _take_name(temporary: Path, path: Path) -> None:
    """A hard link fails where the name is taken, also if two processes ask at once. Raises FileExistsError."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        temporary.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """As :func:`atomic_write`, for a folder: yields an empty one, which on success replaces ``path`` and all that is in it."""
    path = path.resolve()
    temporary, replaced = (path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}") for _ in range(2))
    writable_folder(path.parent)
    try:
        with full_disk_is_a_user_error(path.parent):
            temporary.mkdir()
            yield temporary
            if path.exists():
                path.rename(replaced)
            try:
                temporary.rename(path)
            except BaseException:
                if replaced.exists() and not path.exists():
                    replaced.rename(path)  # the old one stays
                raise
    finally:
        for folder in (temporary, replaced):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def full_disk_is_a_user_error(folder: Path) -> Iterator[None]:
    """HDF5 tells of a full disk in many ways; the disk itself is asked."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.ENOSPC or shutil.disk_usage(folder).free < FULL:
            raise UserError(f"{folder}: the disk is full; free some space, or write elsewhere with --out") from error
        raise


def writable_folder(folder: Path) -> Path:
    """Make the folder if need be. Raises UserError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{secrets.token_hex(4)}{PARTIAL}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{folder}: can't write there ({error.strerror}); choose another folder with --out or change its permissions"
        ) from error
    return folder


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left half written: temporary files that nobody has touched for LEFTOVER seconds."""
    for path in folder.glob(f"*{PARTIAL}"):
        with suppress(OSError):  # another run may be quicker
            if time.time() - path.stat().st_mtime > LEFTOVER:
                path.unlink()


def refuse_existing(path: Path, force: bool) -> None:
    """Raises UserError if ``path`` exists and ``force`` was not asked for."""
    if path.exists() and not force:
        raise UserError(f"{path}: already exists; pass --force to replace it, or --out to write elsewhere")


def refuse_foreign(path: Path) -> None:
    """What is to be replaced by HDF5 has to be HDF5 of ours: a scan may never be lost by a slip of the pen.

    Raises UserError if ``path`` is anything else.
    """
    import h5py

    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    if not path.is_file():
        return
    try:
        with h5py.File(path, "r") as file:
            if str(file.attrs.get("format", "")).startswith("mri-ambient"):
                return
    except OSError:
        pass
    raise UserError(f"{path}: was not written by mri-ambient and is not replaced; choose another name")
