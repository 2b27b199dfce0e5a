"""Train priors on the measured lines of prepared volumes."""

from pathlib import Path
from typing import Annotated

import typer

from mri_ambient.commands.options import Device, one_of
from mri_ambient.lists import as_accels
from mri_ambient.physics.mask_kinds.registry import TRAINABLE
from mri_ambient.priors.registry import DENOISERS
from mri_ambient.training.losses.registry import LOSSES


def train(
    data: Annotated[Path | None, typer.Option("--data", help="Prepared volumes (default: prepared).")] = None,
    accel: Annotated[str | None, typer.Option("--accel", help="R, or several: 2,4,6,8 (default: 4).")] = None,
    mask: Annotated[str | None, one_of("--mask", TRAINABLE, "Default: random.")] = None,
    loss: Annotated[
        str | None, one_of("--loss", LOSSES, "Default: weighted; l1-edm is a control without an ambient stage.")
    ] = None,
    denoiser: Annotated[str | None, one_of("--denoiser", DENOISERS, "Default: unrolled.")] = None,
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
    device: Device = "auto",
) -> None:
    """Learn a prior from the measured lines of prepared volumes. Several devices: torchrun -m mri_ambient train ..."""
    from mri_ambient.priors.runs import prior_folder

    accels = None if accel is None else as_accels(accel)
    start = init and prior_folder(init)  # a refusal waits for no import

    from mri_ambient.console import stderr, stdout
    from mri_ambient.training.report import read_rows, remark, table
    from mri_ambient.training.run_config import RunOptions
    from mri_ambient.workflows.learning import train_run

    options = RunOptions(data, accels, mask, loss, denoiser, laps, images, seed, start)
    prior, folder = train_run(options, config, out, resume, device)
    if rows := read_rows(folder):
        stdout.print(table(rows, prior.path.name))
        if text := remark(rows):
            stderr.print(text)
    stderr.print(f"prior ({prior.card.kind}) in {prior.path}")
