"""One scan, reconstructed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mri_ambient.commands.options import (
    BUNDLED_PRIOR,
    RECON_METHODS,
    Force,
    Mask,
    PriorPath,
    Samples,
    Seed,
    TunedPath,
    check_choice,
    check_mask,
)
from mri_ambient.errors import UserError

if TYPE_CHECKING:
    from mri_ambient.priors.card import Prior
    from mri_ambient.store import PreparedVolume
    from recon.tuning import Nearest

DEMO_SLICES = 3


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the scan, the reconstruction, its report.")] = Path(
        "demo"
    ),
    seed: Seed = 2026,
    force: Force = False,
) -> None:
    """Simulate an unseen scan, undersample it at R=4, reconstruct, compare. Minutes, no network."""
    from data_prep.simulate import SimulateSettings, simulate_folder

    (scan,) = simulate_folder(out, 1, SimulateSettings(slices=DEMO_SLICES, seed=seed), force)
    methods = ["zero-filled", "cg-sense", "l1-wavelet", "tv", "aos", "dds", "mmps", "adps"]
    run_methods(scan, 4.0, "random", methods, "mmps", BUNDLED_PRIOR, 8, seed, scan.with_name("demo_recon.h5"), True)


def recon(
    file: Annotated[Path, typer.Argument(help="A raw scan, of any format that prep takes.")],
    accel: Annotated[
        float | None, typer.Option("--accel", min=1, help="Undersample a fully sampled scan at R, and show the errors.")
    ] = None,
    mask: Mask = "random",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="zero-filled, cg-sense, l1-wavelet, tv; bart-l1-wavelet, bart-tv, bart-llr (BART installed); "
            "aos, dds, daps, mmps, aald or adps.",
        ),
    ] = "mmps",
    prior: PriorPath = None,
    samples: Samples = 8,
    tuned: TunedPath = None,
    seed: Seed = 0,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Also a figure for print, .pdf, .svg or .png (300 dpi).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write (default: SCAN_recon.h5 beside the scan).")
    ] = None,
    force: Force = False,
) -> None:
    """Reconstruct a scan: SCAN_recon.h5, a panel, SCAN_recon.png, and a page to look at it, SCAN_report.html."""
    check_mask(mask, accel, "use the scan's own sampling")
    check_choice("--method", method, RECON_METHODS)
    target = out or file.parent / f"{file.stem}_recon.h5"
    methods = list(dict.fromkeys(["zero-filled", "l1-wavelet", method]))
    run_methods(file, accel, mask, methods, method, prior, samples, seed, target, force, tuned, figure)


def report(
    file: Annotated[Path, typer.Argument(help="A reconstruction, SCAN_recon.h5.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write (default: SCAN_report.html beside it).")
    ] = None,
    force: Force = False,
) -> None:
    """The page of a reconstruction: its images in linked panes, in one HTML file that needs no network."""
    from mri_ambient.console import stdout
    from mri_ambient.files import refuse_existing
    from recon.report import report_path, write_report

    if file.is_dir():
        raise UserError(f"{file}: is a folder; give one reconstruction of it, SCAN_recon.h5")
    target = out or report_path(file)
    if target.suffix != ".html":
        raise UserError(f"--out {target}: is an HTML page; let its name end in .html")
    if target.resolve() == file.resolve():
        raise UserError(f"--out {target}: is the reconstruction itself, which is never replaced; choose another name")
    refuse_existing(target, force)
    for text in write_report(target, file):
        stdout.print(f"{target} leaves out {text}", markup=False)
    stdout.print(f"wrote {target}", markup=False)


def run_methods(
    file: Path,
    accel: float | None,
    mask: str,
    methods: list[str],
    kept: str,
    prior_path: Path | None,
    samples: int,
    seed: int,
    target: Path,
    force: bool,
    tuned: Path | None = None,
    figure: Path | None = None,
) -> None:
    """Reconstruct ``file`` by every method, write that of ``kept``, the panel, the report and the figure, print the table."""
    from data_prep.prepare import PrepareSettings, complete, prepare
    from data_prep.readers import read_scan
    from mri_ambient.console import stdout
    from mri_ambient.priors.find import find_prior
    from recon.determined import determined_share
    from recon.figure import draw_study
    from recon.methods import METHODS
    from recon.problem import problem_of
    from recon.recon_file import read_reconstruction, write_reconstruction
    from recon.reconstruct import reconstruct, reference_image
    from recon.report import write_report
    from recon.summary import draw, notes, table
    from recon.tuning import doubts

    panel, page = check_outputs(file, target, figure, force)
    scan = read_scan(file)
    priors = {name: find_prior(METHODS[name].kinds, prior_path) for name in methods if METHODS[name].kinds}
    volume = prepare(scan, PrepareSettings(accel, mask))
    reference = reference_image(complete(scan, volume)) if accel is not None else None
    chosen, origins = tuned_settings(tuned, volume, methods, priors, kept)
    results = {}
    for name in methods:
        settings = chosen[name].settings if name in chosen else None
        drawn = 1 if name == "adps" and name != kept else samples  # minutes each; beside others one is enough
        results[name] = reconstruct(volume, name, priors.get(name), drawn, seed, settings)
    share = determined_share(problem_of(volume), volume.name, seed)
    said = list(notes(volume, results, priors))
    if accel is None and volume.fully_sampled:
        said.append("the scan is complete, and nothing was left out; --accel R undersamples it and shows the errors")
    said += origins
    if kept in chosen:
        said += doubts(volume, results[kept], priors.get(kept), chosen[kept], seed)
    warmth = chosen[kept].temperature if kept in chosen else None
    write_reconstruction(target, volume, results, kept, share, reference, warmth, tuple(said))
    draw(panel, volume, results, kept, share, reference)
    left_out = write_report(page, target)
    stdout.print(table(volume, results, reference))
    for note in [*said, *(f"{page} leaves out {text}" for text in left_out)]:
        stdout.print(note, markup=False)
    stdout.print(f"wrote {target}, {panel} and {page}", markup=False)
    if figure is not None:
        draw_study(figure, read_reconstruction(target))
        stdout.print(f"wrote {figure}", markup=False)


def check_outputs(scan: Path, target: Path, figure: Path | None, force: bool) -> tuple[Path, Path]:
    """The panel's and the page's name. Raises UserError if something can't be written or, unless ``force``, exists."""
    from mri_ambient.files import refuse_existing, writable_folder
    from recon.figure import check_figure_path
    from recon.report import report_path

    if target.suffix != ".h5":
        raise UserError(f"--out {target}: is an HDF5 file; let its name end in .h5")
    if target.resolve() == scan.resolve():
        raise UserError(f"--out {target}: is the scan itself, which is never replaced; choose another name")
    panel, page = target.with_suffix(".png"), report_path(target)
    for path in (target, panel, page):
        refuse_existing(path, force)
    writable_folder(target.parent)
    if figure is not None:
        check_figure_path("--figure", figure, force)
        if figure.resolve() == panel.resolve():
            raise UserError(f"--figure {figure}: is the panel's name; choose another")
    return panel, page


def tuned_settings(
    tuned: Path | None, volume: "PreparedVolume", methods: list[str], priors: "dict[str, Prior]", kept: str
) -> "tuple[dict[str, Nearest], list[str]]":
    """What validation chose for each method at the nearest R, and sentences that say where it is from."""
    from mri_ambient.priors.find import place
    from recon.tuning import find_tuned, nearest

    found = find_tuned(tuned, [priors[kept]] if kept in priors else [])
    if not found:
        return {}, []
    ((path, study),) = found.items()
    hashes = {name: prior.card.weights_sha256 for name, prior in priors.items()}
    nearby = {name: nearest(study, name, volume.accel, hashes.get(name, "")) for name in methods}
    chosen = {name: choice for name, choice in nearby.items() if choice}
    kinds = " and ".join(sorted({scan.kind for scan in study.scans}))
    origin = f"on {kinds} scans ({place(path)})"
    return chosen, [f"{name}: settings tuned at R={choice.accel:g} {origin}" for name, choice in chosen.items()]
