"""All methods on all scans at all R: jobs, their rows, and what is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Generic

from rich.markup import escape

from mri_ambient.console import stderr
from mri_ambient.errors import UserError
from mri_ambient.files import remove_leftovers, writable_folder
from mri_ambient.processes import Result, Spread, run_jobs
from mri_ambient.recon.evaluate.compare_rows import compare_scan
from mri_ambient.recon.evaluate.compare_summary import Summary, summarise
from mri_ambient.recon.evaluate.plan import Plan, Source
from mri_ambient.recon.evaluate.rows import ComparedScan, R, RowsAndFailures

OpenSource = Callable[[Path], Source]


@dataclass(frozen=True)
class Scans:
    """Which scans, and where their rows are kept.

    Attributes:
        paths: of raw scans.
        open: reads one; has to be a function that another process can import.
        folder: has ``rows``; what is there already is not done again.
        spread: over which processes.
    """

    paths: Sequence[Path]
    open: OpenSource
    folder: Path
    spread: Spread


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What was done.

    Attributes:
        rows: of all that could be done, in order.
        failed: a sentence for each scan, or method on a scan, that could not.
    """

    rows: list[R]
    failed: list[str]


@dataclass(frozen=True)
class Part:
    """What was found on scans of one kind, raw or simulated: they are never in one table.

    Attributes:
        kind: raw or simulated.
        rows: a scan, R and method each.
        seed: of the bootstrap.
    """

    kind: str
    rows: list[ComparedScan]
    seed: int

    @cached_property
    def summaries(self) -> list[Summary]:
        return summarise(self.rows, self.seed)


@dataclass(frozen=True)
class Comparison:
    """A whole comparison, from which its tables, figures and page are made.

    Attributes:
        rows: of all that could be done, a scan, R and method each.
        failed: a sentence for each scan, or method on a scan, that could not.
        plan: what was compared.
        notes: sentences: where settings are from, what is unfair.
    """

    rows: list[ComparedScan]
    failed: list[str]
    plan: Plan
    notes: tuple[str, ...] = ()

    @cached_property
    def parts(self) -> list[Part]:
        of_kind = {kind: [row for row in self.rows if row.kind == kind] for kind in ("raw", "simulated")}
        return [Part(kind, rows, self.plan.seed) for kind, rows in of_kind.items() if rows]


def compare(scans: Scans, plan: Plan) -> Outcome[ComparedScan]:
    """A row for each scan, R and method. A scan that can't be used, or a method that fails on one, is reported and the rest go
    on.

    Args:
        scans: which, and where their rows are kept.
        plan: what to compare.

    Raises:
        UserError: none can be used.
    """
    return spread_over_scans(compare_file, scans, plan)


def first_usable(folder: Path, scans: Scans, plan: Plan) -> str:
    """The name of the first scan that can be compared on. Raises UserError if there is none."""
    refusal = UserError(
        f"{folder}: holds no fully sampled scan, so that nothing can be compared; give a folder that does"
    )
    for path in scans.paths:
        try:
            source = scans.open(path)
        except UserError:  # reported when its turn comes
            continue
        if source.fully_sampled:
            try:
                require_unseen(source, path, plan)
                return source.name
            except UserError as error:
                refusal = error
    raise refusal


def spread_over_scans(function: Callable[..., RowsAndFailures[R]], scans: Scans, plan: Plan) -> Outcome[R]:
    """``function(path, accel, plan, rows, open)`` for every scan at every R of the plan. Raises UserError if none could be
    done."""
    folder = writable_folder(scans.folder / "rows")
    remove_leftovers(folder)
    accels = list(dict.fromkeys(run.accel for run in plan.runs))
    jobs = [
        (path.absolute(), accel, plan, folder.absolute(), scans.open) for path, accel in product(scans.paths, accels)
    ]
    rows: dict[tuple[Path, float], list[R]] = {}
    failed: list[str] = []

    def collect(job: tuple[Path, float, Plan, Path, OpenSource], result: Result[RowsAndFailures[R]]) -> None:
        try:
            rows[job[0], job[1]], said = result()
        except UserError as error:
            said = [str(error)]
        for sentence in said:
            if sentence not in failed:
                stderr.print(f"[red]failed[/] {escape(sentence)}", highlight=False)
                failed.append(sentence)

    run_jobs(function, jobs, scans.spread, "comparing", collect)
    if not any(rows.values()):
        raise UserError(failed[0])
    return Outcome([row for job in jobs for row in rows.get((job[0], job[1]), [])], failed)


def compare_file(
    path: Path, accel: float, plan: Plan, folder: Path, open_source: OpenSource
) -> RowsAndFailures[ComparedScan]:
    """One job: a scan at one R."""
    source = open_source(path)
    if not source.fully_sampled:
        raise UserError(f"{path}: is already undersampled, so that there is nothing to compare with; leave it out")
    require_unseen(source, path, plan)
    return compare_scan(source, accel, plan, folder)


def require_unseen(source: Source, path: Path, plan: Plan) -> None:
    """Raises UserError if settings were chosen on this scan, or a prior trained with it: on its very k-space, or, if it is raw,
    on one of the same name and subject. Simulated scans of different seeds share names."""
    for scans, why, remedy in (
        (plan.tuning_scans, "on which the methods were tuned, which flatters them", "--tuned"),
        (plan.training_scans, "with which a prior was trained, which flatters it", "--prior"),
    ):
        for digest, name, subject in scans:
            alike = not source.simulated and (name, subject) == (source.name, source.subject)
            if digest == source.sha256 or alike:
                raise UserError(f"{path}: is one of the scans {why}; compare on others, or pass another {remedy}")
