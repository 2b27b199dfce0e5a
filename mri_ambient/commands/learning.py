"""Priors: train them, draw from them, look for copies of their training images."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mri_ambient.commands.options import (
    TRAIN_CHOICES,
    Force,
    PriorPath,
    Seed,
    check_choice,
    parse_accels,
    parse_widths,
)
from mri_ambient.errors import UserError

if TYPE_CHECKING:
    from mri_ambient.priors.card import Prior
    from mri_ambient.training.laps import EStep
    from mri_ambient.training.run_config import RunConfig


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
        Path | None,
        typer.Option(
            "--init", help="Start the stages of its kinds from the weights of this prior or run, or of `bundled`."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run that was stopped, or give it more --laps.")
    ] = False,
) -> None:
    """Learn a prior from the measured lines of prepared volumes. Several devices: torchrun -m mri_ambient train ..."""
    from mri_ambient.priors.runs import prior_folder

    options = {"mask": mask, "loss": loss, "denoiser": denoiser, "laps": laps, "images": images, "seed": seed}
    options |= {
        "data": data,
        "init": init and prior_folder(init),
        "accel": None if accel is None else parse_accels(accel),
    }
    given = {name: value for name, value in options.items() if value is not None}
    for name, choices in TRAIN_CHOICES.items():
        if name in given:
            check_choice(f"--{name}", given[name], choices)

    from mri_ambient.console import stderr, stdout
    from mri_ambient.training.report import read_rows, remark, table
    from mri_ambient.training.run import run
    from mri_ambient.training.run_config import default_config, override, read_config

    chosen = override(read_config(config), given) if config else default_config(**given)
    folder = out or Path("runs") / chosen.name
    prior = run(chosen, folder, resume, e_step_of(chosen))
    if rows := read_rows(folder):
        stdout.print(table(rows, prior.path.name))
        if text := remark(rows):
            stderr.print(text)
    stderr.print(f"prior ({prior.card.kind}) in {prior.path}")


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
    from mri_ambient.images.run import image_config, run_images
    from mri_ambient.priors.card import load_pixel_prior
    from mri_ambient.priors.runs import prior_folder

    chosen = rule or ("tweedie" if corruption == "noise" else "ambient")
    settings = {"corruption": corruption, "missing": missing, "further": further, "noise_std": noise}
    settings |= {"rule": chosen, "seed": seed, "images": images}
    start = load_pixel_prior(prior_folder(init)) if init else None
    config = image_config(file, settings, parse_widths(widths), start)
    prior = run_images(config, out or Path("runs") / f"{file.stem}-{corruption}-{chosen}", resume, start)
    stderr.print(f"prior ({prior.card.kind}) and samples.png in {prior.path}")


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
    from mri_ambient.files import refuse_existing

    if out.suffix != ".h5":
        raise UserError(f"--out {out}: is an HDF5 file; let its name end in .h5")
    refuse_existing(out, force)
    refuse_existing(out.with_suffix(".png"), force)
    chosen = prior_to_draw_from(prior)

    from mri_ambient.console import stderr
    from mri_ambient.priors.runs import place
    from mri_ambient.priors.sample_file import draw_grid, write_samples
    from mri_ambient.priors.sampling import sample_prior

    images = sample_prior(chosen, number, steps, redraw, data, seed).numpy()
    settings = {"prior_sha256": chosen.card.weights_sha256, "kind": chosen.card.kind, "steps": steps, "seed": seed}
    write_samples(out, images, settings | {"masks_redrawn": redraw})
    draw_grid(
        out.with_suffix(".png"), images, f"{number} samples, {chosen.card.kind} prior, {steps} levels, seed {seed}"
    )
    stderr.print(
        f"{number} samples of {place(chosen.path)} ({chosen.card.kind}) in {out} and {out.with_suffix('.png')}"
    )


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
    from mri_ambient.files import refuse_existing, writable_folder
    from mri_ambient.priors.runs import BUNDLED, prior_folder

    check_choice("--feature", feature, ("bandpass", "pixel"))
    files = [out / name for name in ("audit.json", "neighbours.csv", "audit.png")]
    for path in files:
        refuse_existing(path, force)
    for option, folder in (("--training", training), ("--held-out", held_out)):
        if folder is None and prior_folder(prior).is_relative_to(BUNDLED):
            raise UserError(f"bundled: comes without the scans of its training; pass {option} FOLDER of such scans")
    chosen = prior_to_draw_from(prior)

    from mri_ambient.audit import memorisation, report
    from mri_ambient.audit.images import held_out_images, training_images
    from mri_ambient.console import stdout
    from mri_ambient.priors.sample_file import read_samples
    from mri_ambient.priors.sampling import sample_prior

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


def prior_to_draw_from(path: Path | None) -> "Prior":
    """Of either kind; says which newer runs are passed over."""
    from mri_ambient.priors.runs import passed_over, prior_folder

    prior_folder(path)  # a refusal waits for no import

    from mri_ambient.console import stderr
    from mri_ambient.priors.find import find_prior

    for note in passed_over() if path is None else []:
        stderr.print(note, markup=False)
    return find_prior(("image", "masked"), path)


def e_step_of(config: "RunConfig") -> "EStep":
    """How a run reconstructs its training scans: reconstruction, with the run's settings."""
    from mri_ambient.recon.e_step import e_step
    from mri_ambient.recon.methods.samplers.mmps import MmpsSettings

    sampler = MmpsSettings(steps=config.e_step.steps, sigma_max=config.e_step.sigma_max)
    start = config.l1_wavelet
    if start is None:
        return partial(e_step, sampler=sampler)
    return partial(e_step, sampler=sampler, regularisation=start.regularisation, iterations=start.iterations)
