"""Memory that does not suffice, told in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from mri_ambient.errors import UserError

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
