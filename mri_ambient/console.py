"""What long work shows while it runs: one progress bar with an ETA, on standard error."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")
# In notebooks too as in a terminal: rich's own bars there are widgets, redrawn from a thread, which can stall a kernel.
stdout = Console(soft_wrap=True, force_jupyter=False)
stderr = Console(stderr=True, soft_wrap=True, force_jupyter=False)


@contextmanager
def progress_bar(*columns: TextColumn) -> Iterator[Progress]:
    """A bar with count, elapsed and remaining time, followed by the given extra columns.

    Not in a worker process, whose bar would cross its parent's.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        *columns,
        console=stderr,
        disable=parent_process() is not None,
    )
    with bar:
        yield bar


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield ``items`` while a bar with ``total`` steps advances."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)
        for item in items:
            yield item
            bar.advance(task)
