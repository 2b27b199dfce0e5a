"""Draw from priors, and look for copies of their training images among what is drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mri_ambient.commands.options import Device, Force, PriorPath, Seed, one_of
from mri_ambient.errors import UserError

if TYPE_CHECKING:
    from mri_ambient.priors.card import Prior


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
    device: Device = "auto",
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
    chosen = prior_to_draw_from(prior, device)

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
    feature: Annotated[str, one_of("--feature", ("bandpass", "pixel"), "The space to compare images in.")] = "bandpass",
    data: Annotated[Path, typer.Option("--data", help="Prepared volumes whose coils a masked prior sees.")] = Path(
        "prepared"
    ),
    device: Device = "auto",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("audit"),
    force: Force = False,
) -> None:
    """Does a prior copy its training images? How near its samples come to them, and how near other subjects do."""
    from mri_ambient.files import refuse_existing, writable_folder
    from mri_ambient.priors.runs import BUNDLED, prior_folder

    files = [out / name for name in ("audit.json", "neighbours.csv", "audit.png")]
    for path in files:
        refuse_existing(path, force)
    for option, folder in (("--training", training), ("--held-out", held_out)):
        if folder is None and prior_folder(prior).is_relative_to(BUNDLED):
            raise UserError(f"bundled: comes without the scans of its training; pass {option} FOLDER of such scans")
    chosen = prior_to_draw_from(prior, device)

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


def prior_to_draw_from(path: Path | None, device: str) -> "Prior":
    """Of either kind, on that device; says which newer runs are passed over."""
    from mri_ambient.priors.runs import passed_over, prior_folder

    prior_folder(path)  # a refusal waits for no import

    from mri_ambient.console import stderr
    from mri_ambient.devices import device_of
    from mri_ambient.priors.find import find_prior

    for note in passed_over() if path is None else []:
        stderr.print(note, markup=False)
    return find_prior(("image", "masked"), path).to(device_of(device))
