"""Raw scans: make some, prepare them, tell what they hold."""

from pathlib import Path
from typing import Annotated

import typer

from mri_ambient.commands.options import (
    Accel,
    Acs,
    Coils,
    Dask,
    Device,
    Force,
    Maps,
    MapSets,
    Mask,
    Seed,
    Whiten,
    Workers,
    check_mask,
)


def simulate(
    folder: Annotated[Path, typer.Argument(help="Where to write subject_0000.h5, ...")],
    subjects: Annotated[int, typer.Option("--subjects", min=1)],
    matrix: Annotated[int, typer.Option("--matrix", min=32)] = 128,
    slices: Annotated[int, typer.Option("--slices", min=1)] = 10,
    coils: Annotated[int, typer.Option("--coils", min=1)] = 8,
    snr: Annotated[float, typer.Option("--snr", min=0.1, help="Signal in the head over noise.")] = 30.0,
    anatomy: Annotated[
        Path | None,
        typer.Option("--anatomy", help="NIfTI, npz, or a folder of volumes or images; else the ICBM152 template."),
    ] = None,
    contrasts: Annotated[
        str, typer.Option("--contrasts", help="T1,T2,FLAIR,PD,T1-post, or words in the names of --anatomy's series.")
    ] = "",
    off_resonance: Annotated[bool, typer.Option("--off-resonance", help="Steep phase near an air cavity.")] = False,
    wrap: Annotated[
        float,
        typer.Option("--wrap", min=0, max=1, help="The head is so much wider than the field of view: 0.15 is 15 %."),
    ] = 0.0,
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Write simulated multi-coil scans in fastMRI's layout; nothing is downloaded."""
    from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder

    chosen = tuple(dict.fromkeys(word.strip() for word in contrasts.split(",") if word.strip()))
    source = None if anatomy is None else str(anatomy)
    settings = SimulateSettings(matrix, slices, coils, snr, seed, source, chosen, off_resonance, wrap)
    paths = simulate_folder(folder, subjects, settings, force, workers)
    typer.echo(f"{len(paths)} simulated scans in {folder}")


def prep(
    folder: Annotated[Path, typer.Argument(help="Folder of raw scans.")],
    out: Annotated[Path, typer.Option("--out")] = Path("prepared"),
    accel: Accel = None,
    mask: Mask = "random",
    acs: Acs = None,
    coils: Coils = None,
    maps: Maps = None,
    whiten: Whiten = "auto",
    map_sets: MapSets = "auto",
    workers: Workers = 1,
    force: Force = False,
    dask: Dask = None,
    device: Device = "auto",
) -> None:
    """Raw scans -> prepared volumes: whitening, coil compression, coil maps from the ACS, normalisation.

    With --accel only the measured samples are kept. A rerun skips what is finished.
    """
    check_mask(mask, accel, "keep all that was measured")

    from mri_ambient.console import stdout
    from mri_ambient.data_prep.folder import prepare_folder, summary_tables
    from mri_ambient.data_prep.prepare import PrepareSettings
    from mri_ambient.processes import Spread

    settings = PrepareSettings(accel, mask, acs, maps, coils, whiten, map_sets)
    summary = prepare_folder(folder, out, settings, Spread(workers, dask), force, device)
    for table in summary_tables(summary):
        stdout.print(table)
    counts = f"{len(summary.done)} prepared, {len(summary.skipped)} finished before, {len(summary.failed)} failed"
    typer.echo(f"{out}: {counts}" + f", {summary.ignored} other files passed over" * bool(summary.ignored))
    if summary.failed:
        raise typer.Exit(2)


def info(file: Annotated[Path, typer.Argument(help="A raw scan, or a prepared volume.")]) -> None:
    """What a file holds: shape, coils, sampling, ACS, noise, and what is missing."""
    from mri_ambient.console import stdout
    from mri_ambient.data_prep.info import describe

    stdout.print(describe(file))
