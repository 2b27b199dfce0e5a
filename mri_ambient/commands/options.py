"""What the commands' options share: their types, their choices, and how their texts are read."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.models import OptionInfo

from mri_ambient.errors import UserError
from mri_ambient.physics.mask_kinds.registry import MASK_KINDS
from mri_ambient.recon.methods.registry import METHODS


def check_choice(option: str, value: str, choices: Iterable[str]) -> str:
    """The value. Raises UserError if it is not one of the choices."""
    if value not in choices:
        raise UserError(f"{option} {value}: is not one of {', '.join(choices)}; choose one of them")
    return value


def one_of(option: str, choices: Iterable[str], about: str = "") -> OptionInfo:
    """An option that takes one of some names, which its help lists; names of a registry cost no import."""
    text = f"{', '.join(choices)}. {about}".strip()
    return typer.Option(option, help=text, parser=partial(check_choice, option, choices=choices), metavar="NAME")


Accel = Annotated[
    float | None, typer.Option("--accel", min=1, help="Acceleration R: acquired lines per measured line.")
]
Mask = Annotated[str, one_of("--mask", MASK_KINDS, "Of lines, poisson in two dimensions.")]
Method = Annotated[str, one_of("--method", METHODS, "Those of BART need it installed.")]
Acs = Annotated[
    int | None, typer.Option("--acs", min=4, help="Central lines to keep and calibrate with (default: 8 %).")
]
Maps = Annotated[
    str | None,
    one_of(
        "--maps",
        ("joint", "espirit", "sigpy", "bart", "file"),
        "Default: the file's own, else joint: ESPIRiT refined from all lines.",
    ),
]
Coils = Annotated[
    int | None,
    typer.Option("--coils", min=1, help="Virtual coils to compress to (default: as many as keep the signal, 8 to 16)."),
]
Whiten = Annotated[
    str,
    one_of(
        "--whiten",
        ("auto", "noise-scan", "none"),
        "auto: by the noise scan; without one each coil is only scaled.",
    ),
]
MapSets = Annotated[
    str, one_of("--map-sets", ("auto", "1", "2"), "Maps a pixel; 2 where the object wraps around the field of view.")
]
Reference = Annotated[
    Literal["mvue", "rss"],
    one_of(
        "--reference",
        ("mvue", "rss"),
        "Magnitudes, and what errors are measured against: coil-combined, or, as fastMRI's, the root sum of squares over the "
        "receive coils.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random number.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
PriorPath = Annotated[
    Path | None,
    typer.Option(
        "--prior",
        help="A prior's or a run's folder, or `bundled` (default: newest finished run, else the bundled one).",
    ),
]
Priors = Annotated[
    str,
    typer.Option(
        "--prior",
        help="A prior's or a run's folder, `bundled`, or several (default: newest finished run, else the bundled one).",
    ),
]
Slices = Annotated[
    int | None, typer.Option("--slices", min=1, help="Only so many slices of each scan, the middle ones.")
]
TunedPath = Annotated[
    Path | None, typer.Option("--tuned", help="Settings found by `tune` (default: tuned.json beside the prior).")
]
ForceModel = Annotated[
    bool, typer.Option("--force-model", help="Reconstruct even if the coil maps are far from explaining the scan.")
]
Dask = Annotated[str | None, typer.Option("--dask", help="A Dask scheduler, tcp://host:8786.")]
Device = Annotated[str, typer.Option("--device", help="auto (the accelerator, if there is one), cpu, cuda or mps.")]
Samples = Annotated[int, typer.Option("--samples", min=1, help="Posterior samples K.")]


def parse_methods(text: str) -> list[str]:
    """The methods of a list; none if it is empty. Raises UserError if one is unknown."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    return [check_choice("--methods", name, METHODS) for name in names]


def parse_widths(text: str) -> tuple[int, ...]:
    widths = tuple(int(part) if part.isdecimal() else 0 for part in text.split(","))
    if not all(width > 0 and width % 8 == 0 for width in widths):
        raise UserError(f"--widths {text}: is not a list of multiples of 8; write 32,48,64")
    return widths


def check_mask(mask: str, accel: float | None, neither: str) -> None:
    """Raises UserError if the kind says how to undersample where nothing is. neither: what is done then."""
    if accel is None and mask != "random":
        raise UserError(f"--mask {mask}: says how --accel undersamples; give both, or neither to {neither}")
