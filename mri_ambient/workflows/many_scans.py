"""A folder of scans, each reconstructed by a job of its own."""

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from rich.markup import escape

from mri_ambient.console import stderr
from mri_ambient.data_prep.manifest import files_hash
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.readers import files_of
from mri_ambient.errors import UserError
from mri_ambient.files import writable_folder
from mri_ambient.processes import Result, Spread, others_go_on, run_jobs
from mri_ambient.recon.choices import Choices
from mri_ambient.recon.outputs import free, names
from mri_ambient.recon.result_file import read_data, read_made_from
from mri_ambient.recon.run_methods import identity, run_methods, tools_for, write_all
from mri_ambient.recon.show.comparison import write_csv
from mri_ambient.recon.show.folder_summary import Row, rows_of
from mri_ambient.store import Json
from mri_ambient.workflows.opening import made_ready, read, scans_of

CSV = "recon_summary.csv"
Found = tuple[list[Row], list[str], bool]
"""A scan's rows and warnings, and False if it was finished before."""


@dataclass
class Batch:
    """rows: of all scans that have a reconstruction now, in the files' order. failed: a sentence each. skipped: how many
    were finished before."""

    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: int = 0


def reconstruct_folder(
    folder: Path, out: Path, settings: PrepareSettings, choices: Choices, spread: Spread, force: bool
) -> Batch:
    """Reconstruct every scan of ``folder`` into ``out``, and write a table of all of them there, CSV.

    A scan whose reconstruction is there, of the same file, settings, prior and version, is skipped unless ``force``; one made
    otherwise is not replaced, the new one gets another name. A scan that fails is reported and the rest go on. Raises
    UserError if there is nothing to do or nowhere to write.
    """
    paths = scans_of(folder)
    tools_for(choices)  # what would fail for each fails at once
    writable_folder(out)
    batch, rows = Batch(), {}

    def fail(sentence: str) -> None:
        stderr.print(f"[red]failed[/] {escape(sentence)}", highlight=False)
        batch.failed.append(sentence)

    def collect(job: tuple[Path, Path, PrepareSettings, Choices, bool], result: Result[Found]) -> None:
        with others_go_on(job, fail):
            rows[job[0]], warnings, made = result()
            batch.skipped += not made
            for warning in warnings:
                stderr.print(f"{job[0].stem}: {warning}", markup=False, highlight=False)

    first: dict[str, Path] = {}
    for path in paths:
        if first.setdefault(path.stem, path) != path:
            fail(f"{path}: would become {path.stem}_recon.h5, as {first[path.stem].name} does; rename one of the two")
    jobs = [(path, out, settings, choices, force) for path in first.values()]
    if spread.dask is not None:  # its workers have working directories of their own
        there = replace(
            choices,
            prior=choices.prior and choices.prior.absolute(),
            tuned=choices.tuned and choices.tuned.absolute(),
        )
        jobs = [(path.absolute(), out.absolute(), settings, there, force) for path in first.values()]
    run_jobs(reconstruct_file, jobs, spread, "reconstructing", collect)
    batch.rows = [row for job in jobs for row in rows.get(job[0], [])]
    if batch.rows:
        write_csv(out / CSV, [row.line() for row in batch.rows])
    return batch


def reconstruct_file(path: Path, out: Path, settings: PrepareSettings, choices: Choices, force: bool) -> Found:
    """One job."""
    tools = cached_tools(choices)
    try:
        made_from: Json = {"source_sha256": files_hash(files_of(path)), "settings": asdict(settings)}
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); check its permissions") from error
    made_from |= identity(choices, tools)
    outputs = next(names(out, path.stem, settings.accel, choices.kept))
    if not force:
        for taken in names(out, path.stem, settings.accel, choices.kept):
            if not taken.file.exists():
                break
            if read_made_from(taken.file) == made_from and all(output.exists() for output in taken.all):
                return [*rows_of(read_data(taken.file), taken.file)], [], False
        outputs = free(names(out, path.stem, settings.accel, choices.kept))
    result = run_methods(*made_ready(read(path, settings), settings, choices.magnitude, choices.device), choices, tools)
    otherwise = names(out, path.stem, settings.accel, choices.kept)
    outputs, _ = write_all(replace(result, made_from=made_from), outputs, force, otherwise)
    warnings = [note for note in result.notes if note.startswith("warning")]
    return [*rows_of(result, outputs.file)], warnings, True


cached_tools = lru_cache(maxsize=1)(tools_for)
