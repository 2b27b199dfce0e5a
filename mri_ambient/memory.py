"""Memory that does not suffice, told in one sentence; memory that is kept between steps."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

from mri_ambient.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
NEVER = -1

SIGNS = ("out of memory", "not enough memory", "allocate memory")  # of CUDA and MPS; Windows; Linux and macOS


@contextmanager
def out_of_memory_is_a_user_error(where: str, remedy: str) -> Iterator[None]:
    """PyTorch tells of it by a RuntimeError with one of several texts, NumPy by MemoryError; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS):
            raise UserError(f"{where}: there was not enough memory; {remedy}") from error
        raise


def keep_freed_memory() -> None:
    """From now on this process keeps the memory that it frees, for its own next use; with glibc alone, else nothing happens.

    A step of a training or of a sampler frees what the next one allocates. glibc gives large blocks back to the system, which
    has to clear every page of them anew: a tenth to a quarter of a training step's time on a CPU, half of a large sampling's.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
