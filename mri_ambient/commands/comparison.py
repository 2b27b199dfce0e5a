"""Many scans: which settings, which method."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mri_ambient.commands.options import (
    Dask,
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
    parse_accels,
    parse_methods,
)
from mri_ambient.errors import UserError

if TYPE_CHECKING:
    from mri_ambient.recon.evaluate.compare_rows import Source


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
    out: Annotated[Path, typer.Option("--out", help="Folder of tables, figures and page.")] = Path("comparison"),
    workers: Workers = 1,
    dask: Dask = None,
    force: Force = False,
) -> None:
    """All methods at all R on fully sampled scans: tables, CSV, figures, a page. A rerun repeats nothing that is finished."""
    from dataclasses import replace
    from functools import partial

    from mri_ambient.console import stderr, stdout
    from mri_ambient.priors.runs import passed_over, place, prior_folder

    accels = parse_accels(accel)
    parse_methods(methods)
    folders = [Path(part.strip()) for part in prior.split(",") if part.strip()]
    for folder in folders:
        prior_folder(folder)

    from mri_ambient.processes import Spread
    from mri_ambient.recon.evaluate.compare import compare as compare_all
    from mri_ambient.recon.evaluate.compare import first_usable, write_outputs
    from mri_ambient.recon.evaluate.compare_plan import claim, misfits, named_methods, planned_runs, priors_for, untuned
    from mri_ambient.recon.evaluate.compare_rows import Plan
    from mri_ambient.recon.evaluate.tuning import find_tuned
    from mri_ambient.training.run_data import training_scans

    named = named_methods(methods)
    paths = raw_scans(path)
    opened = partial(open_source, mask=mask, slices=slices, lesions=lesions, seed=seed, magnitude=reference)
    priors = priors_for(named, folders)
    used = list({p.card.weights_sha256: p for _, p in priors if p}.values())
    studies = find_tuned(tuned, used)
    runs = planned_runs(priors, accels, studies.values())
    seen = tuple((s.sha256, s.scan, s.subject) for study in studies.values() for s in study.scans)
    learned = tuple(training_scans(*used))
    plan = Plan(runs, samples, seed, mask, slices, lesions, "", seen, learned, reference)
    plan = replace(plan, pictured=first_usable(path, paths, plan, opened))
    origins = [f"settings: {place(found)}" for found in studies]
    notes = origins or ["settings: each method's defaults, not tuned; see `mri-ambient tune`"]
    notes += untuned(runs) + misfits(runs, used) + (passed_over() if used and not folders else [])
    for note in notes:
        stderr.print(note)
    claim(out, plan, force)
    outcome = compare_all(paths, plan, out, opened, Spread(workers, dask))
    for table in write_outputs(outcome, plan, out, notes):
        stdout.print(table)
    stdout.print(f"tables, figures and comparison.html in {out}")
    if outcome.failed:
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
    from functools import partial

    from mri_ambient.console import stderr, stdout
    from mri_ambient.files import refuse_existing
    from mri_ambient.priors.runs import BUNDLED, TUNED, passed_over, prior_folder

    wanted = parse_accels(accel)
    parse_methods(methods)
    folder = prior_folder(prior)
    target = out or (Path() if folder == BUNDLED else folder) / TUNED
    refuse_existing(target, force)

    from mri_ambient.processes import Spread
    from mri_ambient.recon.evaluate.compare_plan import named_methods, priors_for
    from mri_ambient.recon.evaluate.compare_rows import Plan
    from mri_ambient.recon.evaluate.tuning import tune as tune_all
    from mri_ambient.recon.evaluate.tuning import tuning_table, write_tuned

    named = named_methods(methods)
    paths = raw_scans(path)
    opened = partial(open_source, mask=mask, slices=slices, lesions=False, seed=seed)
    truth = any(fully_sampled(p) for p in paths)
    accels = wanted if truth else (round(opened(paths[0]).own().accel, 1),)
    priors = priors_for(named, [prior] if prior else [])
    for note in passed_over() if prior is None and any(prior for _, prior in priors) else []:
        stderr.print(note)
    plan = Plan((), samples, seed, mask, slices, False)
    rows = target.with_name(f"{target.stem}_rows")
    tuned, failed = tune_all(paths, priors, accels, truth, plan, rows, opened, Spread(workers, dask))
    write_tuned(target, tuned)
    stdout.print(tuning_table(tuned))
    stdout.print(f"wrote {target}; `compare` and `recon` use it if it is beside the prior, or with --tuned {target}")
    if failed:
        raise typer.Exit(2)


def raw_scans(path: Path) -> list[Path]:
    """The raw scans of a folder, or the one scan. Raises UserError if there is none, or two of one name, which names rows."""
    from mri_ambient.data_prep.readers import scan_files

    if not path.is_dir():
        return [path]
    paths, _ = scan_files(path)
    if not paths:
        raise UserError(f"{path}: holds no scan; give a folder of raw scans (.h5, .mrd, .cfl, .ra, .npy)")
    for one, other in pairwise(sorted(paths, key=lambda p: p.stem)):
        if one.stem == other.stem:
            raise UserError(f"{other}: has the name of {one.name}, and a scan is known by it here; rename one of them")
    return paths


def fully_sampled(path: Path) -> bool:
    """False too if the file is no scan, which is reported when its turn comes."""
    from mri_ambient.data_prep.readers import read_scan

    try:
        return read_scan(path).fully_sampled
    except UserError:
        return False


def open_source(
    path: Path, *, mask: str, slices: int | None, lesions: bool, seed: int, magnitude: str = "mvue"
) -> "Source":
    """What `recon` may know of a raw scan and can't read itself."""
    from dataclasses import replace

    from mri_ambient.data_prep.prepare import PrepareSettings, complete, measured_hash, prepare
    from mri_ambient.data_prep.readers import read_scan
    from mri_ambient.data_prep.readout import crop_readout
    from mri_ambient.recon.evaluate.compare_rows import Case, Source
    from mri_ambient.recon.evaluate.lesions import Lesioned, lesion_kspace, place_lesions
    from mri_ambient.recon.reference import reference_of

    scan = read_scan(path)
    digest = measured_hash(scan.kspace, scan.mask.expand(len(scan.kspace), *scan.mask.shape))
    if slices is not None:
        first = max(0, (len(scan.kspace) - slices) // 2)
        middle = slice(first, first + slices)
        scan = replace(
            scan, kspace=scan.kspace[middle], sens_maps=None if scan.sens_maps is None else scan.sens_maps[middle]
        )

    def case(accel: float) -> Case:
        # with lesions the maps are the ACS's alone: those of all lines would take a little of a lesion for a coil's
        settings = PrepareSettings(accel, mask, maps="espirit" if lesions and scan.sens_maps is None else None)
        volume = prepare(scan, settings)
        reference = reference_of(complete(scan, volume), magnitude, crop_readout(scan.kspace, scan))
        if not lesions:
            return Case(volume, reference)
        whole = prepare(scan, PrepareSettings(coils=scan.kspace.shape[1]))
        placed = place_lesions(whole, seed)
        added = scan.kspace + scan.mask * lesion_kspace(whole, placed, scan.kspace.shape[-2])
        ill = replace(scan, kspace=added)
        volume_ill = prepare(ill, settings)
        reference_ill = reference_of(complete(ill, volume_ill), magnitude, crop_readout(ill.kspace, ill))
        return Case(volume, reference, Lesioned(volume_ill, reference_ill, placed))

    return Source(
        name=path.stem,
        subject=scan.subject or path.stem,
        simulated=scan.simulated,
        fully_sampled=scan.fully_sampled,
        sha256=digest,
        case=case,
        own=lambda: prepare(scan, PrepareSettings()),
    )
