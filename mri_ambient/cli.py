"""The ``mri-ambient`` command: composes the stages. Everything heavy is imported inside a command, so --help is instant."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mri_ambient import __version__
from mri_ambient.errors import UserError

if TYPE_CHECKING:
    from mri_ambient.training.laps import EStep
    from mri_ambient.training.run_config import RunConfig
    from recon.compare_rows import Source

app = typer.Typer(
    name="mri-ambient",
    help="Diffusion priors from undersampled MRI scans, and reconstructions that say how sure they are. "
    "Research use, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Accel = Annotated[
    float | None, typer.Option("--accel", min=1, help="Acceleration R: acquired lines per measured line.")
]
Mask = Annotated[str, typer.Option("--mask", help="random, equispaced, gaussian (lines) or poisson (2-D).")]
Acs = Annotated[
    int | None, typer.Option("--acs", min=4, help="Central lines to keep and calibrate with (default: 8 %).")
]
Maps = Annotated[
    str | None,
    typer.Option("--maps", help="espirit, sigpy, bart or file (default: the file's own, else espirit)."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random number.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
PriorPath = Annotated[
    Path | None,
    typer.Option("--prior", help="A prior's or a run's folder (default: newest run, else the bundled one)."),
]
Priors = Annotated[
    str,
    typer.Option(
        "--prior", help="A prior's or a run's folder, or several (default: newest run, else the bundled one)."
    ),
]
Slices = Annotated[
    int | None, typer.Option("--slices", min=1, help="Only so many slices of each scan, the middle ones.")
]
TunedPath = Annotated[
    Path | None, typer.Option("--tuned", help="Settings found by `tune` (default: tuned.json beside the prior).")
]
Dask = Annotated[str | None, typer.Option("--dask", help="A Dask scheduler, tcp://host:8786.")]
Samples = Annotated[int, typer.Option("--samples", min=1, help="Posterior samples K.")]


def main() -> None:
    """Run the command; a UserError becomes one sentence and exit code 2, unless --debug asks for the traceback."""
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        app(arguments)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"mri-ambient: {error}", err=True)
        sys.exit(2)


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the scan, the reconstruction and the panel.")] = Path(
        "demo"
    ),
    seed: Seed = 2026,
    force: Force = False,
) -> None:
    """Simulate an unseen scan, undersample it at R=4, reconstruct, compare. Minutes, no network."""
    from data_prep.simulate import SimulateSettings, simulate_folder

    (scan,) = simulate_folder(out, 1, SimulateSettings(slices=DEMO_SLICES, seed=seed), force)
    methods = ["zero-filled", "cg-sense", "l1-wavelet", "aos", "dds", "adps"]
    run_methods(scan, 4.0, "random", methods, "dds", BUNDLED_PRIOR, 8, seed, scan.with_name("demo_recon.h5"), True)


@app.command()
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
    seed: Seed = 0,
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Write simulated multi-coil scans in fastMRI's layout; nothing is downloaded."""
    from data_prep.simulate import SimulateSettings, simulate_folder

    chosen = tuple(dict.fromkeys(word.strip() for word in contrasts.split(",") if word.strip()))
    source = None if anatomy is None else str(anatomy)
    settings = SimulateSettings(matrix, slices, coils, snr, seed, source, chosen, off_resonance)
    paths = simulate_folder(folder, subjects, settings, force, workers)
    typer.echo(f"{len(paths)} simulated scans in {folder}")


@app.command()
def prep(
    folder: Annotated[Path, typer.Argument(help="Folder of raw scans.")],
    out: Annotated[Path, typer.Option("--out")] = Path("prepared"),
    accel: Accel = None,
    mask: Mask = "random",
    acs: Acs = None,
    coils: Annotated[int, typer.Option("--coils", min=1, help="Virtual coils to compress to.")] = 8,
    maps: Maps = None,
    workers: Workers = 1,
    force: Force = False,
    dask: Dask = None,
) -> None:
    """Raw scans -> prepared volumes: whitening, coil compression, coil maps from the ACS, normalisation.

    With --accel only the measured samples are kept. A rerun skips what is finished.
    """
    from data_prep.folder import prepare_folder, summary_tables
    from data_prep.prepare import PrepareSettings
    from mri_ambient.console import stdout
    from mri_ambient.processes import Spread

    check_choice("--mask", mask, MASK_KINDS)
    if accel is None and mask != "random":
        raise UserError(
            f"--mask {mask}: says how --accel undersamples; give both, or neither to keep all that was measured"
        )
    if maps is not None:
        check_choice("--maps", maps, ("espirit", "sigpy", "bart", "file"))
    settings = PrepareSettings(accel, mask, acs, maps, coils)
    summary = prepare_folder(folder, out, settings, Spread(workers, dask), force)
    for table in summary_tables(summary):
        stdout.print(table)
    counts = f"{len(summary.done)} prepared, {len(summary.skipped)} finished before, {len(summary.failed)} failed"
    typer.echo(f"{out}: {counts}" + f", {summary.ignored} other files passed over" * bool(summary.ignored))
    if summary.failed:
        raise typer.Exit(2)


@app.command()
def info(file: Annotated[Path, typer.Argument(help="A raw scan, or a prepared volume.")]) -> None:
    """What a file holds: shape, coils, sampling, ACS, noise, and what is missing."""
    from data_prep.info import describe
    from mri_ambient.console import stdout

    stdout.print(describe(file))


@app.command()
def train(
    data: Annotated[Path | None, typer.Option("--data", help="Prepared volumes (default: prepared).")] = None,
    accel: Annotated[str | None, typer.Option("--accel", help="R, or several: 2,4,6,8 (default: 4).")] = None,
    mask: Annotated[str | None, typer.Option("--mask", help="random (default), equispaced or gaussian.")] = None,
    loss: Annotated[
        str | None,
        typer.Option("--loss", help="weighted (default), noise-aware, published, supervised or l1-edm (a control)."),
    ] = None,
    denoiser: Annotated[str | None, typer.Option("--denoiser", help="unrolled (default) or unet.")] = None,
    laps: Annotated[
        int | None, typer.Option("--laps", min=0, help="At most so many laps of whole-image priors (default: 1).")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option("--images", min=1, help="Slices seen by each stage (default: 20 passes over the data)."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of every random number (default: 0).")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="All settings in YAML, as in a run's run.json; options override it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder (default: runs/LOSS-DENOISER-rR).")] = None,
    init: Annotated[
        Path | None, typer.Option("--init", help="Start the stage of its kind from this prior's weights.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
) -> None:
    """Learn a prior from the measured lines of prepared volumes. Several devices: torchrun -m mri_ambient train ..."""
    options = {"mask": mask, "loss": loss, "denoiser": denoiser, "laps": laps, "images": images, "seed": seed}
    options |= {"data": data, "init": init, "accel": None if accel is None else parse_accels(accel)}
    given = {name: value for name, value in options.items() if value is not None}
    for name, choices in TRAIN_CHOICES.items():
        if name in given:
            check_choice(f"--{name}", given[name], choices)

    from mri_ambient.console import stderr, stdout
    from mri_ambient.training.report import read_rows, table
    from mri_ambient.training.run import run
    from mri_ambient.training.run_config import default_config, override, read_config

    chosen = override(read_config(config), given) if config else default_config(**given)
    folder = out or Path("runs") / chosen.name
    prior = run(chosen, folder, resume, e_step_of(chosen))
    if rows := read_rows(folder):
        stdout.print(table(rows, prior.path.name))
    stderr.print(f"prior ({prior.card.kind}) in {prior.path}")


@app.command()
def train_images(
    file: Annotated[Path, typer.Argument(help="npy, or npz with images: [n, y, x], or with 1 to 3 channels.")],
    corruption: Annotated[
        str, typer.Option("--corruption", help="random-pixels, random-box, fixed-box, keep-patch, gaussian or noise.")
    ] = "random-pixels",
    missing: Annotated[float, typer.Option("--missing", help="Share of each image that is missing.")] = 0.5,
    further: Annotated[float, typer.Option("--further", help="Share of what is left that `ambient` hides.")] = 0.1,
    noise: Annotated[float, typer.Option("--noise", help="Standard deviation of the corruption `noise`.")] = 0.2,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            help="ambient (default), naive, clean; of noise tweedie (default), tweedie-consistent, creative, naive, clean.",
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="Images seen in all (default: 50 passes over the data).")
    ] = None,
    widths: Annotated[
        str, typer.Option("--widths", help="Channels of the U-Net's levels, multiples of 8.")
    ] = "32,48,64",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder (default: runs/FILE-CORRUPTION-RULE).")] = None,
    init: Annotated[
        Path | None, typer.Option("--init", help="Fine-tune this `pixel` prior; its architecture is taken over.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
) -> None:
    """Learn a prior of images whose pixels are missing or noisy: the image domain's corruptions, no coils."""
    from mri_ambient.console import stderr
    from mri_ambient.priors.card import load_pixel_prior
    from mri_ambient.training.image_run import image_config, run_images

    chosen = rule or ("tweedie" if corruption == "noise" else "ambient")
    settings = {"corruption": corruption, "missing": missing, "further": further, "noise_std": noise}
    settings |= {"rule": chosen, "seed": seed, "images": images}
    start = load_pixel_prior(init) if init else None
    config = image_config(file, settings, parse_widths(widths), start)
    prior = run_images(config, out or Path("runs") / f"{file.stem}-{corruption}-{chosen}", resume, start)
    stderr.print(f"prior ({prior.card.kind}) and samples.png in {prior.path}")


@app.command()
def sample(
    prior: PriorPath = None,
    number: Annotated[int, typer.Option("--number", min=1, help="How many images.")] = 16,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Noise levels of Heun's method.")] = 32,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="A masked prior sees another mask at every call, not one throughout.")
    ] = False,
    data: Annotated[Path, typer.Option("--data", help="Prepared volumes whose coils a masked prior sees.")] = Path(
        "prepared"
    ),
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", help="File to write; a .png beside it.")] = Path("samples.h5"),
    force: Force = False,
) -> None:
    """Draw unconditional samples of a prior: what it takes for a typical image."""
    from mri_ambient.console import stderr
    from mri_ambient.files import refuse_existing
    from mri_ambient.priors.find import find_prior
    from mri_ambient.priors.sample_file import draw_grid, write_samples
    from mri_ambient.priors.sampling import sample_prior

    if out.suffix != ".h5":
        raise UserError(f"--out {out}: is an HDF5 file; let its name end in .h5")
    refuse_existing(out, force)
    refuse_existing(out.with_suffix(".png"), force)
    chosen = find_prior(("image", "masked"), prior)
    images = sample_prior(chosen, number, steps, redraw, data, seed).numpy()
    settings = {"prior_sha256": chosen.card.weights_sha256, "kind": chosen.card.kind, "steps": steps, "seed": seed}
    write_samples(out, images, settings | {"masks_redrawn": redraw})
    draw_grid(
        out.with_suffix(".png"), images, f"{number} samples, {chosen.card.kind} prior, {steps} levels, seed {seed}"
    )
    stderr.print(f"{number} samples of {chosen.path} ({chosen.card.kind}) in {out} and {out.with_suffix('.png')}")


@app.command()
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
    ] = "dds",
    prior: PriorPath = None,
    samples: Samples = 8,
    tuned: TunedPath = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write (default: SCAN_recon.h5 beside the scan).")
    ] = None,
    force: Force = False,
) -> None:
    """Reconstruct a scan: SCAN_recon.h5 and a panel, SCAN_recon.png."""
    check_choice("--mask", mask, MASK_KINDS)
    check_choice("--method", method, RECON_METHODS)
    target = out or file.with_name(f"{file.stem}_recon.h5")
    methods = list(dict.fromkeys(["zero-filled", "l1-wavelet", method]))
    run_methods(file, accel, mask, methods, method, prior, samples, seed, target, force, tuned)


@app.command()
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
    from mri_ambient.processes import Spread
    from recon.compare import compare as compare_all
    from recon.compare import first_usable, write_outputs
    from recon.compare_plan import claim, misfits, named_methods, planned_runs, priors_for
    from recon.compare_rows import Plan
    from recon.tuning import find_tuned

    check_choice("--mask", mask, MASK_KINDS)
    named = named_methods(methods)
    paths = raw_scans(path)
    opened = partial(open_source, mask=mask, slices=slices, lesions=lesions, seed=seed)
    priors = priors_for(named, [Path(part.strip()) for part in prior.split(",") if part.strip()])
    used = list({p.card.weights_sha256: p for _, p in priors if p}.values())
    found = find_tuned(tuned, used)
    runs = planned_runs(priors, parse_accels(accel), found[1] if found else None)
    seen = tuple((s.sha256, s.scan, s.subject) for s in found[1].scans) if found else ()
    plan = Plan(runs, samples, seed, mask, slices, lesions, tuning_scans=seen)
    plan = replace(plan, pictured=first_usable(path, paths, plan, opened))
    notes = [
        f"settings: {found[0]}" if found else "settings: each method's defaults, not tuned; see `mri-ambient tune`"
    ]
    notes += misfits(runs, used)
    for note in notes:
        stderr.print(note)
    claim(out, plan, force)
    outcome = compare_all(paths, plan, out, opened, Spread(workers, dask))
    for table in write_outputs(outcome, plan, out, notes):
        stdout.print(table)
    stdout.print(f"tables, figures and comparison.html in {out}")
    if outcome.failed:
        raise typer.Exit(2)


@app.command()
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

    from mri_ambient.console import stdout
    from mri_ambient.files import refuse_existing
    from mri_ambient.priors.find import RUNS, newest_run
    from mri_ambient.processes import Spread
    from recon.compare_plan import named_methods, priors_for
    from recon.compare_rows import Plan
    from recon.tuning import NAME, tuning_table, write_tuned
    from recon.tuning import tune as tune_all

    check_choice("--mask", mask, MASK_KINDS)
    named = named_methods(methods)
    target = out or (prior or newest_run(RUNS) or Path()) / NAME
    refuse_existing(target, force)
    paths = raw_scans(path)
    opened = partial(open_source, mask=mask, slices=slices, lesions=False, seed=seed)
    truth = any(fully_sampled(p) for p in paths)
    accels = parse_accels(accel) if truth else (round(opened(paths[0]).own().accel, 1),)
    priors = priors_for(named, [prior] if prior else [])
    plan = Plan((), samples, seed, mask, slices, False)
    rows = target.with_name(f"{target.stem}_rows")
    tuned = tune_all(paths, priors, accels, truth, plan, rows, opened, Spread(workers, dask))
    write_tuned(target, tuned)
    stdout.print(tuning_table(tuned))
    stdout.print(f"wrote {target}; `compare` and `recon` use it if it is beside the prior, or with --tuned {target}")


@app.command()
def audit(
    prior: PriorPath = None,
    number: Annotated[int, typer.Option("--number", min=8, help="How many samples to draw.")] = 128,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Noise levels of Heun's method.")] = 32,
    samples: Annotated[
        Path | None, typer.Option("--samples", help="A file that `sample` wrote, instead of drawing some.")
    ] = None,
    training: Annotated[
        Path | None,
        typer.Option("--training", help="Folder of the training images (default: as the prior's run says)."),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option("--held-out", help="Folder of prepared volumes of others (default: whom the run held out)."),
    ] = None,
    feature: Annotated[
        str, typer.Option("--feature", help="bandpass or pixel: the space to compare images in.")
    ] = "bandpass",
    data: Annotated[Path, typer.Option("--data", help="Prepared volumes whose coils a masked prior sees.")] = Path(
        "prepared"
    ),
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("audit"),
    force: Force = False,
) -> None:
    """Does a prior copy its training images? How near its samples come to them, and how near other subjects do."""
    check_choice("--feature", feature, ("bandpass", "pixel"))
    from mri_ambient.console import stdout
    from mri_ambient.files import refuse_existing, writable_folder
    from mri_ambient.priors.find import find_prior
    from mri_ambient.priors.sample_file import read_samples
    from mri_ambient.priors.sampling import sample_prior
    from mri_ambient.training import audit_report as report
    from mri_ambient.training import memorisation
    from mri_ambient.training.audit_images import held_out_images, training_images

    files = [out / name for name in ("audit.json", "neighbours.csv", "audit.png")]
    for path in files:
        refuse_existing(path, force)
    chosen = find_prior(("image", "masked"), prior)
    given = None if samples is None else read_samples(samples)
    matrix = chosen.card.matrix if given is None else (given.shape[-2], given.shape[-1])
    trained = training_images(chosen, matrix, training)
    others = held_out_images(chosen, matrix, held_out)
    writable_folder(out)
    drawn = (sample_prior(chosen, number, steps, False, data, seed) if given is None else given).abs()
    features = memorisation.FEATURES[feature]
    found = memorisation.audit(drawn, trained.magnitudes, others.magnitudes, features, others.subjects, seed)
    settings = {"prior_sha256": chosen.card.weights_sha256, "kind": chosen.card.kind, "feature": feature, "seed": seed}
    settings |= {"steps": steps} if samples is None else {"samples_file": str(samples)}
    counts = {"training_images": len(trained.places), "held_out_subjects": len(set(others.subjects))}
    report.write_neighbours(files[1], found, trained.places, others.places)
    report.draw_audit(
        files[2],
        found,
        drawn,
        trained.magnitudes,
        others.magnitudes,
        f"{chosen.card.kind} prior, {len(trained.places)} training images, {feature} features",
    )
    report.write_summary(files[0], found, settings | counts)
    stdout.print(report.table(found))
    for note in report.notes(found, counts["held_out_subjects"]):
        stdout.print(note)
    stdout.print(f"wrote {files[0]}, {files[1].name} and {files[2].name}: look at the pairs")


LINE_KINDS = ("random", "equispaced", "gaussian")
MASK_KINDS = (*LINE_KINDS, "poisson")
CLASSICAL_METHODS = ("zero-filled", "cg-sense", "l1-wavelet", "tv", "bart-l1-wavelet", "bart-tv", "bart-llr")
RECON_METHODS = (*CLASSICAL_METHODS, "aos", "dds", "daps", "mmps", "aald", "adps")
TRAIN_CHOICES = {
    "mask": LINE_KINDS,
    "loss": ("weighted", "noise-aware", "published", "supervised", "l1-edm"),
    "denoiser": ("unrolled", "unet"),
}
BUNDLED_PRIOR = Path(__file__).parent / "priors" / "bundled"
DEMO_SLICES = 3


def e_step_of(config: "RunConfig") -> "EStep":
    """How a run reconstructs its training scans: reconstruction, with the run's settings."""
    from recon.e_step import e_step
    from recon.samplers.dds import DdsSettings

    sampler = DdsSettings(steps=config.e_step.steps, sigma_max=config.e_step.sigma_max)
    start = config.l1_wavelet
    if start is None:
        return partial(e_step, sampler=sampler)
    return partial(e_step, sampler=sampler, regularisation=start.regularisation, iterations=start.iterations)


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
) -> None:
    """Reconstruct ``file`` by every method, write that of ``kept`` and the panel, print the table."""
    from data_prep.prepare import PrepareSettings, complete, prepare
    from data_prep.readers import read_scan
    from mri_ambient.console import stdout
    from mri_ambient.files import refuse_existing, writable_folder
    from mri_ambient.priors.find import find_prior
    from recon.determined import determined_share
    from recon.methods import METHODS
    from recon.problem import problem_of
    from recon.recon_file import write_reconstruction
    from recon.reconstruct import reconstruct, reference_image
    from recon.summary import draw, notes, table
    from recon.tuning import doubts, find_tuned, nearest

    if target.suffix != ".h5":
        raise UserError(f"--out {target}: is an HDF5 file; let its name end in .h5")
    if target.resolve() == file.resolve():
        raise UserError(f"--out {target}: is the scan itself, which is never replaced; choose another name")
    refuse_existing(target, force)
    refuse_existing(target.with_suffix(".png"), force)
    writable_folder(target.parent)
    scan = read_scan(file)
    priors = {name: find_prior(METHODS[name].kinds, prior_path) for name in methods if METHODS[name].kinds}
    volume = prepare(scan, PrepareSettings(accel, mask))
    reference = reference_image(complete(scan, volume)) if accel is not None else None
    found = find_tuned(tuned, [priors[kept]] if kept in priors else [])
    chosen = {}
    if found:
        hashes = {name: prior.card.weights_sha256 for name, prior in priors.items()}
        chosen = {name: nearest(found[1], name, volume.accel, hashes.get(name, "")) for name in methods}
        chosen = {name: choice for name, choice in chosen.items() if choice}
    results = {}
    for name in methods:
        settings = chosen[name].settings if name in chosen else None
        results[name] = reconstruct(volume, name, priors.get(name), 1 if name == "adps" else samples, seed, settings)
    share = determined_share(problem_of(volume), volume.name, seed)
    provenance = volume.provenance | {"realised_accel": volume.accel}
    if kept in chosen:
        provenance |= {"tuned_at": chosen[kept].accel, "temperature": chosen[kept].temperature}
    write_reconstruction(target, results[kept], share, provenance)
    draw(target.with_suffix(".png"), volume, results, kept, share, reference)
    stdout.print(table(volume, results, reference))
    for note in notes(volume, results, priors):
        stdout.print(note)
    for name, choice in chosen.items():
        stdout.print(f"{name}: settings tuned at R={choice.accel:g}" + (f" ({found[0]})" if found else ""))
    if kept in chosen:
        for note in doubts(volume, results[kept], priors.get(kept), chosen[kept], seed):
            stdout.print(note)
    stdout.print(f"wrote {target} and {target.with_suffix('.png')}")


def raw_scans(path: Path) -> list[Path]:
    """The raw scans of a folder, or the one scan."""
    from data_prep.readers import scan_files

    if not path.is_dir():
        return [path]
    paths, _ = scan_files(path)
    if not paths:
        raise UserError(f"{path}: holds no scan; give a folder of raw scans (.h5, .mrd, .cfl, .ra, .npy)")
    return paths


def fully_sampled(path: Path) -> bool:
    """False too if the file is no scan, which is reported when its turn comes."""
    from data_prep.readers import read_scan

    try:
        return read_scan(path).fully_sampled
    except UserError:
        return False


def open_source(path: Path, *, mask: str, slices: int | None, lesions: bool, seed: int) -> "Source":
    """What `recon` may know of a raw scan and can't read itself."""
    from dataclasses import replace

    from data_prep.prepare import PrepareSettings, complete, measured_hash, prepare
    from data_prep.readers import read_scan
    from recon.compare_rows import Case, Source
    from recon.lesions import Lesioned, lesion_kspace, place_lesions
    from recon.reconstruct import reference_image

    scan = read_scan(path)
    digest = measured_hash(scan.kspace, scan.mask.expand(len(scan.kspace), *scan.mask.shape))
    if slices is not None:
        first = max(0, (len(scan.kspace) - slices) // 2)
        middle = slice(first, first + slices)
        scan = replace(
            scan, kspace=scan.kspace[middle], sens_maps=None if scan.sens_maps is None else scan.sens_maps[middle]
        )

    def case(accel: float) -> Case:
        settings = PrepareSettings(accel, mask)
        volume = prepare(scan, settings)
        reference = reference_image(complete(scan, volume))
        if not lesions:
            return Case(volume, reference)
        whole = prepare(scan, PrepareSettings(coils=scan.kspace.shape[1]))
        placed = place_lesions(whole, seed)
        added = scan.kspace + scan.mask[:, None] * lesion_kspace(whole, placed, scan.kspace.shape[-2])
        ill = replace(scan, kspace=added)
        volume_ill = prepare(ill, settings)
        return Case(volume, reference, Lesioned(volume_ill, reference_image(complete(ill, volume_ill)), placed))

    return Source(
        name=path.stem,
        subject=scan.subject or path.stem,
        simulated=scan.simulated,
        fully_sampled=scan.fully_sampled,
        sha256=digest,
        case=case,
        own=lambda: prepare(scan, PrepareSettings()),
    )


def parse_accels(text: str) -> tuple[float, ...]:
    try:
        accels = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--accel {text}: is not a number or a list of numbers; write 4 or 2,4,6,8") from error
    if not all(1 <= accel < float("inf") for accel in accels):
        raise UserError(f"--accel {text}: an acceleration is at least 1; write 4 or 2,4,6,8")
    return accels


def parse_widths(text: str) -> tuple[int, ...]:
    widths = tuple(int(part) if part.isdecimal() else 0 for part in text.split(","))
    if not all(width > 0 and width % 8 == 0 for width in widths):
        raise UserError(f"--widths {text}: is not a list of multiples of 8; write 32,48,64")
    return widths


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"{option} {value}: is not one of {', '.join(choices)}; choose one of them")
