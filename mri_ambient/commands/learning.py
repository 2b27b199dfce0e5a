"""Train priors on the measured lines of prepared volumes."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mri_ambient.commands.options import TRAIN_CHOICES, check_choice, parse_accels

if TYPE_CHECKING:
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


def e_step_of(config: "RunConfig") -> "EStep":
    """How a run reconstructs its training scans: reconstruction, with the run's settings."""
    from mri_ambient.recon.e_step import e_step
    from mri_ambient.recon.methods.samplers.mmps import MmpsSettings

    sampler = MmpsSettings(steps=config.e_step.steps, sigma_max=config.e_step.sigma_max)
    start = config.l1_wavelet
    if start is None:
        return partial(e_step, sampler=sampler)
    return partial(e_step, sampler=sampler, regularisation=start.regularisation, iterations=start.iterations)
