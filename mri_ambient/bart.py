"""Calling the BART toolbox (mrirecon.github.io/bart), for people who have it, through its own wrapper `mrbart`.

The wrapper prints what went wrong and returns None; here a failure is an error, the output is kept, and nothing stays behind.
"""

import contextlib
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mri_ambient.errors import UserError

INSTALL = "install it (Debian and Ubuntu: apt-get install bart; conda: conda install -c conda-forge bart)"
_one_at_a_time = threading.Lock()  # the wrapper keeps its state in attributes, and we set the environment


class BartError(UserError):
    """A BART command failed; the message has its last words."""


def require() -> None:
    """Raises UserError if the program or its wrapper is not installed."""
    _program()
    _wrapper()


def installed() -> bool:
    """Whether the program and its wrapper are both there."""
    try:
        require()
    except UserError:
        return False
    return True


def bart(
    command: str,
    *arrays: np.ndarray,
    outputs: int = 1,
    threads: int | None = None,
    files: Mapping[str, np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Run e.g. ``bart("ecalib -m 1", kspace)``: arrays in BART's order of dimensions in, a list of ``outputs`` arrays out.

    threads: of this command; None leaves the choice to OpenMP. files: arrays for options that take a file, by the option's
    name, ``{"p": pattern}``. Raises UserError if BART is not installed, BartError if the command fails.
    """
    folder = _program().parent
    run = _wrapper()
    said = io.StringIO()
    with _one_at_a_time, tempfile.TemporaryDirectory(prefix="mri-ambient-bart-") as scratch:
        settings = {"BART_TOOLBOX_PATH": str(folder)}
        if threads is not None:
            settings["OMP_NUM_THREADS"] = str(threads)
        with _environment(settings), _temporary_files_in(scratch), contextlib.redirect_stdout(said):
            found = run(outputs, command, *arrays, **(files or {}))
        failed = bool(run.ERR)
    if failed:
        raise BartError(f"bart {command}: failed ({_last_words(said.getvalue())}); check its input")
    if outputs == 0:
        return []
    return [np.asarray(array) for array in ([found] if outputs == 1 else found or [])]


def _program() -> Path:
    wanted = os.environ.get("BART_TOOLBOX_PATH")
    found = shutil.which("bart", path=wanted) if wanted else shutil.which("bart")
    if found is None:
        where = f"in BART_TOOLBOX_PATH ({wanted})" if wanted else "on the PATH"
        raise UserError(f"bart: the program is not {where}; {INSTALL}, or choose a method that doesn't need it")
    return Path(found)


def _wrapper() -> Any:
    try:
        from bart import bart as run
    except ImportError as error:
        raise UserError("bart: its Python wrapper is missing; pip install 'mri-ambient[bart]'") from error
    return run


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip() and "exited with" not in line]
    return lines[-1] if lines else "without a word"


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before
