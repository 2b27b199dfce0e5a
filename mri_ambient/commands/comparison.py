"""Many scans: which settings, which method."""

from pathlib import Path
from typing import Annotated

import typer

from mri_ambient.commands.options import (
    Dask,
    Device,
    Force,
    Mask,
    PriorPath,
    Priors,
    Reference,
    Samples,
    Seed,
    Slices,
    TunedPath,
    Workers,
    parse_methods,
)
from mri_ambient.lists import as_accels


def compare(
    path: Annotated[Path, typer.Argument(help="A folder of fully sampled raw scans, or one scan.")],
    accel: Annotated[str, typer.Option("--accel", help="R, or several.")] = "2,4,6,8",
    methods: Annotated[str, typer.Option("--methods", help="Names, separated by commas (default: all).")] = "",
    prior: Priors = "",
    samples: Samples = 8,
    slices: Slices = None,
    mask: Mask = "random",
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Also insert lesions: does their contrast return?")
    ] = False,
    tuned: TunedPath = None,
    reference: Reference = "mvue",
    seed: Seed = 0,
    device: Device = "auto",
    out: Annotated[Path, typer.Option("--out", help="Folder of tables, figures and page.")] = Path("comparison"),
    workers: Workers = 1,
    dask: Dask = None,
    force: Force = False,
) -> None:
    """All methods at all R on fully sampled scans: tables, CSV, figures, a page. A rerun repeats nothing that is finished."""
    from mri_ambient.console import stdout
    from mri_ambient.priors.runs import prior_folder

    accels = as_accels(accel)
    named = tuple(parse_methods(methods))
    folders = tuple(Path(part.strip()) for part in prior.split(",") if part.strip())
    for folder in folders:
        prior_folder(folder)

    from mri_ambient.processes import Spread
    from mri_ambient.recon.show.comparison import terminal_tables
    from mri_ambient.workflows.comparing import CompareSettings, compare_scans

    settings = CompareSettings(
        accels=accels,
        methods=named,
        priors=folders,
        samples=samples,
        slices=slices,
        mask=mask,
        lesions=lesions,
        tuned=tuned,
        magnitude=reference,
        seed=seed,
        device=device,
        spread=Spread(workers, dask),
        force=force,
    )
    comparison = compare_scans(path, out, settings)
    for table in terminal_tables(comparison):
        stdout.print(table)
    stdout.print(f"tables, figures and comparison.html in {out}")
    if comparison.failed:
        raise typer.Exit(2)


def tune(
    path: Annotated[
        Path, typer.Argument(help="A folder of validation scans, or one: raw, none of them to be tested on.")
    ],
    accel: Annotated[str, typer.Option("--accel", help="R, or several, for fully sampled scans.")] = "4,8",
    methods: Annotated[str, typer.Option("--methods", help="Names, separated by commas (default: all).")] = "",
    prior: PriorPath = None,
    samples: Samples = 4,
    slices: Slices = None,
    mask: Mask = "random",
    seed: Seed = 0,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write (default: tuned.json beside the prior).")
    ] = None,
    workers: Workers = 1,
    dask: Dask = None,
    force: Force = False,
) -> None:
    """Choose every method's settings on validation scans, the same number of tries each, for `compare` and `recon`.

    By the NRMSE of the mean if the scans are fully sampled, else by the error on measured lines that are held out.
    """
    from mri_ambient.console import stdout
    from mri_ambient.files import refuse_existing
    from mri_ambient.priors.runs import tuning_target

    wanted = as_accels(accel)
    named = tuple(parse_methods(methods))
    refuse_existing(tuning_target(out, prior), force)

    from mri_ambient.processes import Spread
    from mri_ambient.recon.show.tuning_table import tuning_table
    from mri_ambient.workflows.comparing import TuneSettings, tune_methods

    settings = TuneSettings(
        accels=wanted,
        methods=named,
        prior=prior,
        samples=samples,
        slices=slices,
        mask=mask,
        seed=seed,
        device=device,
        spread=Spread(workers, dask),
        force=force,
    )
    found = tune_methods(path, out, settings)
    stdout.print(tuning_table(found.tuned))
    stdout.print(
        f"wrote {found.path}; `compare` and `recon` use it if it is beside the prior, or with --tuned {found.path}"
    )
    if found.failed:
        raise typer.Exit(2)
