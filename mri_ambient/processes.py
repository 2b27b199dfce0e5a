"""Independent jobs spread over processes of this machine, or over a Dask cluster, with a progress bar."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from typing import NoReturn, TypeVar

import torch

from mri_ambient.console import progress_bar
from mri_ambient.errors import UserError
from mri_ambient.memory import keep_freed_memory

T = TypeVar("T")
Job = TypeVar("Job", bound=tuple[object, ...])
Result = Callable[[], T]
"""Returns what the job's function returned, or raises what it raised, or WorkerDied."""
Collect = Callable[[Job, Result[T]], object]


class WorkerDied(UserError):
    """The process that had the job in hand is gone."""


@dataclass(frozen=True)
class Spread:
    """Where jobs run.

    Attributes:
        workers: processes of this machine; 0: this one, so that a script needs no guard against being imported by them.
        dask: the cluster whose scheduler listens there, tcp://host:8786.
    """

    workers: int = 1
    dask: str | None = None


def run_jobs(
    function: Callable[..., T], jobs: Sequence[Job], spread: Spread, description: str, collect: Collect[Job, T]
) -> None:
    """``collect(job, result)`` for every job as it is done.

    What ``collect`` raises, and Ctrl-C, end the rest at once.
    """
    with progress_bar() as bar:
        task = bar.add_task(description, total=len(jobs))

        def collected(job: Job, result: Result[T]) -> None:
            collect(job, result)
            bar.advance(task)

        if spread.dask is not None:
            _run_on_dask(function, jobs, spread.dask, collected)
        elif spread.workers == 0:
            for job in jobs:
                collected(job, partial(function, *job))
        else:
            _run_in_processes(function, jobs, spread.workers, collected)


@contextmanager
def others_go_on(job: tuple[object, ...], fail: Callable[[str], object]) -> Iterator[None]:
    """Around a job's result: what it raises becomes a sentence for ``fail``; a defect of ours met by one job is no reason to
    leave the others undone."""
    try:
        yield
    except UserError as error:
        fail(str(error))
    except Exception as error:
        fail(f"{job[0]}: unexpected {type(error).__name__} ({error}); the others went on, please report it")


def _run_in_processes(function: Callable[..., T], jobs: Sequence[Job], workers: int, collect: Collect[Job, T]) -> None:
    """A dying worker takes the whole pool with it. It had one of the oldest unfinished jobs in hand: each of those gets a
    process of its own, which tells the culprit, and a new pool takes the rest."""
    waiting = list(jobs)
    while waiting:
        lost = _run_pool(function, waiting, workers, collect)
        for job in lost[:workers]:
            if _run_pool(function, [job], 1, collect):
                collect(job, partial(_died, job))
        waiting = lost[workers:]


def _run_pool(function: Callable[..., T], jobs: Sequence[Job], workers: int, collect: Collect[Job, T]) -> list[Job]:
    """Returns the jobs that a dying worker left undone, in order."""
    threads = max(1, torch.get_num_threads() // workers)  # which OMP_NUM_THREADS and the process's own cores bound
    lost: list[int] = []
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (threads,)) as pool:
        futures = {pool.submit(function, *job): index for index, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append(futures[future])
                else:
                    collect(jobs[futures[future]], future.result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [jobs[index] for index in sorted(lost)]


def _start_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait, or work, for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_on_dask(function: Callable[..., T], jobs: Sequence[Job], address: str, collect: Collect[Job, T]) -> None:
    """The workers need this package and the same files under the same paths."""
    try:
        from distributed import Client, KilledWorker
        from distributed import as_completed as completed
    except ImportError as error:
        raise UserError("--dask: needs dask.distributed; pip install 'mri-ambient[cluster]'") from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise UserError(f"--dask {address}: no Dask scheduler answers there; start one, or use --workers") from error
    with client:
        futures = {client.submit(function, *job, pure=False): job for job in jobs}
        for future in completed(futures):
            job = futures[future]
            collect(job, partial(_died, job) if isinstance(future.exception(), KilledWorker) else future.result)


def _died(job: tuple[object, ...]) -> NoReturn:
    raise WorkerDied(f"{job[0]}: the process at work on it died (out of memory?); run again, with fewer --workers")
