"""A file, a raw scan or a prepared volume, as methods take it; and what is said of it before any work."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

from jaxtyping import Complex
from torch import Tensor

from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare, without_noise
from mri_ambient.data_prep.readers import read_scan, scan_files
from mri_ambient.data_prep.readout import crop_readout
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.undersample import undersample
from mri_ambient.errors import UserError
from mri_ambient.store import PreparedVolume, is_prepared, read_volume

Opened = Scan | PreparedVolume
OF_MASKS = ("accel", "mask")  # the settings that a prepared volume can still be given


def read(path: Path, settings: PrepareSettings) -> Opened:
    """Raises UserError if the file is neither, or not one for which the settings make sense."""
    return fitting(read_volume(path) if is_prepared(path) else read_scan(path), settings, path)


def fitting(found: Opened, settings: PrepareSettings, name: Path | str) -> Opened:
    """Raises UserError if the settings make no sense for the scan."""
    given = [f for f in fields(settings) if f.name not in OF_MASKS and getattr(settings, f.name) != f.default]
    if isinstance(found, PreparedVolume) and given:
        option = f"--{given[0].name.replace('_', '-')}"
        raise UserError(f"{name}: is prepared already, and {option} is for raw scans; give it to `mri-ambient prep`")
    if settings.accel is not None and not found.fully_sampled:
        raise UserError(f"{name}: is already undersampled; leave --accel out to use its own sampling")
    return found


def remarks(found: Opened, settings: PrepareSettings) -> Iterator[str]:
    """What a user should know before waiting."""
    yield from found.notes if isinstance(found, Scan) else ()  # of a prepared volume `prep` has said it
    if found.fully_sampled and settings.accel is None:
        yield (
            "the scan is complete and is reconstructed from all of its lines: nothing is left out, and no error can be shown; "
            "--accel 4 undersamples it and shows the errors"
        )


def truth_of(
    scan: Scan, volume: PreparedVolume, magnitude: Literal["mvue", "rss"]
) -> tuple[Complex[Tensor, "slice v x"], Complex[Tensor, "slice v x"] | None]:
    """What errors of a complete ``scan`` are measured against: the noiseless truth of a simulation, beside the complete scan's
    image, which has its noise; or that alone, and None.

    Args:
        scan: complete.
        volume: prepared from it, undersampled.
        magnitude: see :mod:`mri_ambient.recon.reference`.
    """
    from mri_ambient.recon.reference import reference_of

    noisy = reference_of(complete(scan, volume), magnitude, crop_readout(scan.kspace, scan))
    clean = without_noise(scan, volume)
    if clean is None or scan.noiseless is None:
        return noisy, None
    return reference_of(clean, magnitude, crop_readout(scan.noiseless, scan)), noisy


def made_ready(
    found: Opened,
    settings: PrepareSettings,
    magnitude: Literal["mvue", "rss"] = "mvue",
    device: str = "auto",
) -> tuple[PreparedVolume, Complex[Tensor, "slice v x"] | None]:
    """The volume, and of a complete scan that was undersampled the image that errors are measured against."""
    from mri_ambient.recon.reference import reference_of

    if isinstance(found, Scan):
        volume = prepare(found, settings, device)
        if settings.accel is None:
            return volume, None
        truth, noisy = truth_of(found, volume, magnitude)
        if noisy is None:
            return volume, truth
        notes = [*volume.provenance["notes"], "errors are measured against the simulation's truth, which has no noise"]
        return replace(volume, provenance={**volume.provenance, "notes": notes}), truth
    if settings.accel is None:
        return found, None
    return undersample(found, settings.accel, settings.mask), reference_of(found, magnitude)


def scans_of(folder: Path) -> list[Path]:
    """The raw scans and the prepared volumes of a folder. Raises UserError if it holds none."""
    prepared = [path for path in folder.iterdir() if path.is_file() and is_prepared(path)]
    paths = sorted([*scan_files(folder)[0], *prepared])
    if not paths:
        raise UserError(f"{folder}: holds no scan; give a scan, or the folder that holds raw scans or prepared volumes")
    return paths
