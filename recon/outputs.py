"""Where a reconstruction is written, and what is refused of that before any work: nothing heavy is imported."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mri_ambient.errors import UserError
from mri_ambient.files import refuse_existing, writable_folder

FIGURES = (".pdf", ".svg", ".png")


@dataclass(frozen=True)
class Outputs:
    """file: X_recon.h5, the reconstruction; beside it its panel and its page. figure: for print, None if not wanted."""

    file: Path
    figure: Path | None = None

    @property
    def panel(self) -> Path:
        return self.file.with_suffix(".png")

    @property
    def page(self) -> Path:
        return report_path(self.file)

    @property
    def all(self) -> tuple[Path, ...]:
        return self.file, self.panel, self.page


def report_path(reconstruction: Path) -> Path:
    """X_recon.h5 -> X_report.html."""
    return reconstruction.with_name(f"{reconstruction.stem.removesuffix('_recon')}_report.html")


def names(folder: Path, scan: str, accel: float | None, method: str) -> Iterator[Outputs]:
    """SCAN_recon.h5, then names that tell the retrospective R, if any, and the method: SCAN_R4_mmps_recon.h5, then numbers."""
    yield Outputs(folder / f"{scan}_recon.h5")
    told = f"{scan}_{method}" if accel is None else f"{scan}_R{accel:g}_{method}"
    yield Outputs(folder / f"{told}_recon.h5")
    for number in count(2):
        yield Outputs(folder / f"{told}_{number}_recon.h5")


def free(candidates: Iterator[Outputs]) -> Outputs:
    """The first of which nothing exists."""
    return next(outputs for outputs in candidates if not any(path.exists() for path in outputs.all))


def check_outputs(outputs: Outputs, scan: Path, force: bool) -> None:
    """Raises UserError if something can't be written or, unless ``force``, exists."""
    if outputs.file.suffix != ".h5":
        raise UserError(f"--out {outputs.file}: is an HDF5 file; let its name end in .h5")
    if outputs.file.resolve() == scan.resolve():
        raise UserError(f"--out {outputs.file}: is the scan itself, which is never replaced; choose another name")
    for path in outputs.all:
        refuse_existing(path, force)
    writable_folder(outputs.file.parent)
    if outputs.figure is not None:
        check_figure_path("--figure", outputs.figure, force)
        if outputs.figure.resolve() == outputs.panel.resolve():
            raise UserError(f"--figure {outputs.figure}: is the panel's name; choose another")


def check_figure_path(option: str, path: Path, force: bool) -> None:
    """Raises UserError if the file's ending is none that a figure can have, if it exists, unless ``force``, or if its folder
    can't be written."""
    if path.suffix not in FIGURES:
        raise UserError(f"{option} {path}: is not a figure's name; let it end in .pdf, .svg or .png")
    refuse_existing(path, force)
    writable_folder(path.parent)
