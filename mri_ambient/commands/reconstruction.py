"""Scans, reconstructed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mri_ambient.commands.options import (
    Acs,
    Coils,
    Dask,
    Device,
    Force,
    ForceModel,
    Maps,
    MapSets,
    Mask,
    Method,
    PriorPath,
    Reference,
    Samples,
    Seed,
    TunedPath,
    Whiten,
    Workers,
    check_mask,
)
from mri_ambient.errors import UserError

if TYPE_CHECKING:
    from mri_ambient.data_prep.prepare import PrepareSettings
    from mri_ambient.processes import Spread
    from mri_ambient.recon.choices import Choices
    from mri_ambient.recon.outputs import Outputs

DEMO_SLICES = 3
DEMO_METHODS = ("zero-filled", "cg-sense", "l1-wavelet", "tv", "aos", "dds", "mmps", "adps")


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the scan, the reconstruction, its report.")] = Path(
        "demo"
    ),
    seed: Seed = 2026,
    force: Force = False,
) -> None:
    """Simulate an unseen scan, undersample it at R=4, reconstruct, compare. Minutes, no network."""
    from mri_ambient.data_prep.prepare import PrepareSettings
    from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
    from mri_ambient.priors.runs import BUNDLED
    from mri_ambient.recon.choices import Choices
    from mri_ambient.recon.outputs import Outputs

    (scan,) = simulate_folder(out, 1, SimulateSettings(slices=DEMO_SLICES, seed=seed), force)
    choices = Choices(DEMO_METHODS, "mmps", BUNDLED, seed=seed)
    reconstruct_one(scan, PrepareSettings(4.0), choices, Outputs(scan.with_name("demo_recon.h5")), force=True)


def recon(
    file: Annotated[
        Path, typer.Argument(help="A raw scan, of any format that prep takes, a prepared volume, or a folder of them.")
    ],
    accel: Annotated[
        float | None, typer.Option("--accel", min=1, help="Undersample a fully sampled scan at R, and show the errors.")
    ] = None,
    mask: Mask = "random",
    method: Method = "mmps",
    quick: Annotated[
        bool, typer.Option("--quick", help="As --method quick: a look in seconds, somewhat less accurate.")
    ] = False,
    prior: PriorPath = None,
    samples: Samples = 8,
    tuned: TunedPath = None,
    acs: Acs = None,
    maps: Maps = None,
    coils: Coils = None,
    whiten: Whiten = "auto",
    map_sets: MapSets = "auto",
    reference: Reference = "mvue",
    seed: Seed = 0,
    device: Device = "auto",
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Also a figure for print, .pdf, .svg or .png (300 dpi).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write (default: SCAN_recon.h5 in this folder, or a name that is free); of many scans the folder.",
        ),
    ] = None,
    workers: Workers = 1,
    dask: Dask = None,
    force: Force = False,
    force_model: ForceModel = False,
) -> None:
    """Reconstruct a scan: SCAN_recon.h5, a panel, SCAN_recon.png, and a page to look at it, SCAN_report.html.

    Of a folder every scan, and a table of all; a rerun skips what is finished.
    """
    from mri_ambient.console import stderr
    from mri_ambient.priors.runs import passed_over, prior_folder
    from mri_ambient.recon.choices import Choices, beside_others
    from mri_ambient.recon.outputs import Outputs, check_outputs, free, names

    if quick:
        if method not in ("mmps", "quick"):
            raise UserError(f"--quick: is a method of its own; leave out --method {method}, or --quick")
        method = "quick"
    check_mask(mask, accel, "use the scan's own sampling")
    if tuned is not None and not tuned.is_file():
        raise UserError(f"{tuned}: can't be read (no such file); make it with `mri-ambient tune`")
    if not file.exists() and not file.with_name(f"{file.name}.hdr").exists():  # BART's scans go by neither suffix
        raise UserError(f"{file}: no such file; give a raw scan, a prepared volume, or a folder of them")
    folder = prior_folder(prior)
    many = file.is_dir()
    if many and figure is not None:
        raise UserError("--figure: is of one scan; make figures of many with `mri-ambient export --to figure`")
    if many and out is not None and (out.suffix == ".h5" or out.is_file()):
        raise UserError(f"--out {out}: is a file, and {file} holds many scans; give a folder")
    candidates = names(Path(), file.stem, accel, method)
    outputs = Outputs(out or (next(candidates) if force else free(candidates)).file, figure)
    if not many:
        check_outputs(outputs, file, force)
    for note in passed_over() if prior is None else []:
        stderr.print(note, markup=False)

    from mri_ambient.data_prep.prepare import PrepareSettings

    settings = PrepareSettings(accel, mask, acs, maps, coils, whiten, map_sets)
    choices = Choices(beside_others(method), method, folder, samples, tuned, seed, reference, force_model, device)
    if many:
        from mri_ambient.processes import Spread

        reconstruct_many(file, out or Path(), settings, choices, Spread(workers, dask), force)
    else:
        reconstruct_one(file, settings, choices, outputs, force)


def report(
    file: Annotated[Path, typer.Argument(help="A reconstruction, SCAN_recon.h5.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write (default: SCAN_report.html beside it).")
    ] = None,
    force: Force = False,
) -> None:
    """The page of a reconstruction: its images in linked panes, in one HTML file that needs no network."""
    from mri_ambient.files import refuse_existing
    from mri_ambient.recon.outputs import report_path

    if file.is_dir():
        raise UserError(f"{file}: is a folder; give one reconstruction of it, SCAN_recon.h5")
    target = out or report_path(file)
    if target.suffix != ".html":
        raise UserError(f"--out {target}: is an HTML page; let its name end in .html")
    if target.resolve() == file.resolve():
        raise UserError(f"--out {target}: is the reconstruction itself, which is never replaced; choose another name")
    refuse_existing(target, force)

    from mri_ambient.console import stdout
    from mri_ambient.recon.result import read_result

    for text in read_result(file).report(target, force):
        stdout.print(f"{target} leaves out {text}", markup=False)
    stdout.print(f"wrote {target}", markup=False)


def reconstruct_one(
    file: Path, settings: "PrepareSettings", choices: "Choices", outputs: "Outputs", force: bool
) -> None:
    """Reconstruct, write, and print the table and the notes."""
    from mri_ambient.console import stderr, stdout
    from mri_ambient.workflows.opening import read, remarks

    found = read(file, settings)  # what is no scan is refused before the rest is imported
    for remark in remarks(found, settings):
        stderr.print(f"{file}: {remark}", markup=False, highlight=False)

    from mri_ambient.api import reconstruct
    from mri_ambient.recon.outputs import names
    from mri_ambient.recon.run_methods import write_all
    from mri_ambient.recon.show.summary import table

    result = reconstruct(
        found,
        choices.kept,
        choices.prior,
        choices.samples,
        settings.accel,
        choices.device,
        choices.seed,
        beside=choices.methods,
        tuned=choices.tuned,
        reference=choices.magnitude,
        force_model=choices.force_model,
        mask=settings.mask,
        acs=settings.acs,
        maps=settings.maps,
        coils=settings.coils,
        whiten=settings.whiten,
        map_sets=settings.map_sets,
    )
    stem = outputs.file.stem.removesuffix("_recon")
    otherwise = names(outputs.file.parent, stem, settings.accel, choices.kept)
    outputs, left_out = write_all(result, outputs, force, otherwise)
    stdout.print(table(result))
    for note in [*result.notes, *left_out]:
        stdout.print(note, markup=False)
    stdout.print(f"wrote {outputs.file}, {outputs.panel} and {outputs.page}", markup=False)
    if outputs.figure is not None:
        stdout.print(f"wrote {outputs.figure}", markup=False)


def reconstruct_many(
    folder: Path, out: Path, settings: "PrepareSettings", choices: "Choices", spread: "Spread", force: bool
) -> None:
    """The same of a folder, and a table of all; exit code 2 if a scan failed."""
    from mri_ambient.console import stdout
    from mri_ambient.recon.show.folder_summary import scans_table
    from mri_ambient.workflows.many_scans import CSV, reconstruct_folder

    batch = reconstruct_folder(folder, out, settings, choices, spread, force)
    if batch.rows:
        stdout.print(scans_table(batch.rows))
        stdout.print(f"wrote {out / CSV}, and of each scan its file, panel and page beside it", markup=False)
    done = len({row.file for row in batch.rows})
    counts = f"{done - batch.skipped} reconstructed, {batch.skipped} finished before, {len(batch.failed)} failed"
    stdout.print(f"{folder}: {counts}", markup=False)
    if batch.failed:
        raise typer.Exit(2)
