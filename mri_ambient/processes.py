"""Independent jobs spread over processes, with a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import torch

from mri_ambient.console import track


def run_in_processes(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    description: str,
    collect: Callable[[Future], object],
) -> None:
    """Call ``function(*job)`` for every job and ``collect`` each future as it is done; one thread a process.

    What ``collect`` raises (``Future.result`` raises what the job did), and Ctrl-C, end the rest at once.
    """
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = [pool.submit(function, *job) for job in jobs]
        try:
            for future in track(as_completed(futures), description, len(futures)):
                collect(future)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
