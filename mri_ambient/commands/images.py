"""Train priors in the image domain."""

from pathlib import Path
from typing import Annotated

import typer

from mri_ambient.commands.options import Device, Seed, parse_widths
from mri_ambient.images.registry import CORRUPTIONS, RULES


def train_images(
    file: Annotated[Path, typer.Argument(help="npy, or npz with images: [n, y, x], or with 1 to 3 channels.")],
    corruption: Annotated[str, typer.Option("--corruption", help=f"{', '.join(CORRUPTIONS)}.")] = "random-pixels",
    missing: Annotated[float, typer.Option("--missing", help="Share of each image that is missing.")] = 0.5,
    further: Annotated[float, typer.Option("--further", help="Share of what is left that `ambient` hides.")] = 0.1,
    noise: Annotated[float, typer.Option("--noise", help="Standard deviation of the corruption `noise`.")] = 0.2,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            help=f"{', '.join(RULES)} (default: the first that fits: ambient, of noise tweedie).",
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
    device: Device = "auto",
) -> None:
    """Learn a prior of images whose pixels are missing or noisy: the image domain's corruptions, no coils."""
    from mri_ambient.console import stderr
    from mri_ambient.images.card import load_pixel_prior
    from mri_ambient.images.run import image_config, run_images
    from mri_ambient.priors.runs import prior_folder

    settings = {"corruption": corruption, "missing": missing, "further": further, "noise_std": noise}
    settings |= {"rule": rule, "seed": seed, "images": images}
    start = load_pixel_prior(prior_folder(init)) if init else None
    config = image_config(file, settings, parse_widths(widths), start)
    folder = out or Path("runs") / f"{file.stem}-{corruption}-{config.training.rule}"
    prior = run_images(config, folder, resume, start, device)
    stderr.print(f"prior ({prior.card.kind}) and samples.png in {prior.path}")
