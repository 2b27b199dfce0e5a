"""The ``mri-ambient`` command, made of `mri_ambient.commands`; --help imports nothing heavy."""

import sys
from typing import Annotated

import typer

from mri_ambient import __version__
from mri_ambient.commands.comparison import compare, tune
from mri_ambient.commands.drawing import audit, sample
from mri_ambient.commands.exporting import export
from mri_ambient.commands.images import train_images
from mri_ambient.commands.learning import train
from mri_ambient.commands.reconstruction import demo, recon, report
from mri_ambient.commands.scans import info, prep, simulate
from mri_ambient.errors import UserError
from mri_ambient.memory import keep_freed_memory

app = typer.Typer(
    name="mri-ambient",
    help="Diffusion priors from undersampled MRI scans, and reconstructions that say how sure they are. "
    "Research use, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, simulate, prep, info, train, train_images, sample, audit, recon, report, export, compare, tune):
    app.command()(command)


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command; a UserError becomes one sentence and exit code 2, unless --debug asks for the traceback."""
    keep_freed_memory()  # what one step of a training or a sampler frees, the next one takes
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        app(arguments)
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"mri-ambient: {error}", err=True)
        sys.exit(2)
