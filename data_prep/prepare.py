"""Raw scan -> prepared volume: crop the readout, find the ACS, estimate maps and noise, normalise."""

import hashlib
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Complex
from rich.markup import escape
from torch import Tensor

from data_prep.maps import MAPS
from data_prep.readers import read_scan
from data_prep.scan import Scan
from mri_ambient import __version__
from mri_ambient.console import stderr
from mri_ambient.errors import UserError
from mri_ambient.files import writable_folder
from mri_ambient.physics.fourier import fftc, ifft2c, ifftc
from mri_ambient.physics.masks import acs_mask, slice_mask
from mri_ambient.processes import run_in_processes
from mri_ambient.store import PreparedVolume, read_provenance, write_volume

ACS_SHARE = 0.08
PERCENTILE = 0.99


@dataclass(frozen=True)
class PrepareSettings:
    """accel: undersample a fully sampled scan, keeping only the measured lines (None keeps the scan's own sampling).
    acs: how many central lines calibrate; None means 8 % of the columns if fully sampled, else what the mask has."""

    accel: float | None = None
    mask: str = "random"
    acs: int | None = None
    maps: str = "espirit"


def prepare(scan: Scan, settings: PrepareSettings) -> PreparedVolume:
    """Only measured samples reach the result: two scans that differ off the mask give the same volume.

    Raises UserError if the scan has no usable ACS, or fewer lines than ``accel`` asks for.
    """
    kspace = crop_readout(scan)
    slices, _, rows, columns = kspace.shape
    mask = scan.mask.expand(slices, *scan.mask.shape).clone()
    full = scan.fully_sampled
    acs = _acs(scan, full, settings.acs, rows)
    if settings.accel is not None:
        if not full:
            raise UserError(f"{scan.path}: is already undersampled; leave --accel out to use its own sampling")
        lines = [draw_mask(scan.path, i, settings, acs[1], scan.acquired) for i in range(slices)]
        mask = torch.stack(lines).unsqueeze(1)
    kspace = torch.where(mask.unsqueeze(1), kspace, 0)
    calibration = kspace * centre_mask(acs, rows, columns)
    scale = torch.stack([acs_scale(k) for k in calibration])
    if not (scale > 0).all():
        raise UserError(f"{scan.path}: slice {int(scale.argmin())} has no signal in its ACS; remove that slice")
    kspace = kspace / scale[:, None, None, None]
    estimate = MAPS[settings.maps]
    maps = torch.stack([estimate(k, acs) for k in kspace])
    return PreparedVolume(
        name=scan.path.stem,
        kspace=kspace,
        mask=mask,
        acquired=scan.acquired,
        sens_maps=maps.to(torch.complex64),
        scale=scale,
        noise_std=torch.stack([noise_level(k, m) for k, m in zip(kspace, mask, strict=True)]),
        acs=acs,
        provenance={
            "source": scan.path.name,
            "source_sha256": file_hash(scan.path),
            "settings": asdict(settings),
            "field_of_view_mm": scan.field_of_view,
            "simulated": scan.simulated,
            "version": __version__,
        },
    )


def complete(scan: Scan, volume: PreparedVolume) -> PreparedVolume:
    """All that the scan holds, behind the maps and the scale of its undersampled ``volume``: what errors are measured on."""
    kspace = crop_readout(scan) / volume.scale[:, None, None, None]
    mask = scan.mask.expand(len(kspace), *scan.mask.shape)
    return replace(volume, kspace=kspace, mask=mask)


def prepare_folder(
    folder: Path, out: Path, settings: PrepareSettings, workers: int = 1
) -> tuple[int, int, list[UserError]]:
    """Prepare every ``*.h5`` of ``folder`` into ``out``; returns how many were done, skipped as finished, and the errors.

    A finished file with the same source and settings is skipped. A bad file is reported and the rest go on.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder that holds the raw .h5 scans")
    paths = sorted(folder.glob("*.h5"))
    if not paths:
        raise UserError(f"{folder}: holds no .h5 file; give the folder that holds the raw scans")
    writable_folder(out)
    finished: list[bool] = []
    errors: list[UserError] = []

    def collect(job: Future) -> None:
        try:
            finished.append(not job.result())
        except UserError as error:
            stderr.print(f"[red]failed[/] {escape(str(error))}", highlight=False)
            errors.append(error)

    jobs = [(path, out / path.name, settings) for path in paths]
    run_in_processes(prepare_file, jobs, workers, "preparing", collect)
    return finished.count(False), finished.count(True), errors


def prepare_file(source: Path, target: Path, settings: PrepareSettings) -> bool:
    """Prepare one scan into ``target``; False if that is finished already."""
    if _finished(target, source, settings):
        return False
    write_volume(target, prepare(read_scan(source), settings))
    return True


def crop_readout(scan: Scan) -> Complex[Tensor, "slice coil y x"]:
    """Remove readout oversampling: the central ``recon_rows`` of the image's rows, back in k-space at unit noise gain."""
    rows = scan.kspace.shape[-2]
    if scan.recon_rows is None or scan.recon_rows == rows or scan.mask.shape[0] != 1:
        return scan.kspace
    top = rows // 2 - scan.recon_rows // 2
    image = ifftc(scan.kspace, (-2,))[..., top : top + scan.recon_rows, :]
    return fftc(image, (-2,)).contiguous()


def draw_mask(
    path: Path, index: int, settings: PrepareSettings, acs: int, acquired: Bool[Tensor, " x"]
) -> Bool[Tensor, " x"]:
    """The slice's mask. Raises UserError if ``accel`` asks for fewer lines than the ACS has."""
    assert settings.accel is not None
    try:
        return slice_mask(path.stem, index, settings.mask, settings.accel, acs, acquired)
    except ValueError as error:
        raise UserError(f"{path}: {error}; ask for a smaller --accel or fewer --acs lines") from error


def centre_mask(acs: tuple[int, int], rows: int, columns: int) -> Bool[Tensor, "y x"]:
    return acs_mask(rows, acs[0])[:, None] & acs_mask(columns, acs[1])


def acs_scale(calibration: Complex[Tensor, "coil y x"]) -> Tensor:
    """The one normalisation: the 99th percentile of the root-sum-of-squares image of the ACS alone."""
    rss = ifft2c(calibration).abs().square().sum(0).sqrt()
    return torch.quantile(rss.flatten(), PERCENTILE)


def noise_level(kspace: Complex[Tensor, "coil y x"], mask: Bool[Tensor, "#y x"]) -> Tensor:
    """Standard deviation of a real component, from the measured samples furthest from the centre of k-space.

    The median absolute deviation over the outermost tenth of the measured samples; an upper bound where the object still
    has signal there.
    """
    rows, columns = kspace.shape[-2:]
    y = (torch.arange(rows) - rows // 2).abs() / rows
    x = (torch.arange(columns) - columns // 2).abs() / columns
    distance = torch.where(mask, torch.hypot(y[:, None], x[None]), -1.0)
    far = distance >= torch.quantile(distance[distance >= 0], 0.9)
    return torch.view_as_real(kspace[:, far]).abs().median() * 1.4826


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _acs(scan: Scan, full: bool, wanted: int | None, rows: int) -> tuple[int, int]:
    """Rows and columns of the fully sampled centre."""
    columns = scan.mask.shape[-1]
    if full:
        available = (rows, int(scan.acquired.sum()))
        width = wanted if wanted is not None else round(ACS_SHARE * columns)
    else:
        available = _measured_centre(scan.mask.expand(rows, -1))
        width = wanted if wanted is not None else available[1]
    if not 4 <= width <= available[1]:
        raise UserError(
            f"{scan.path}: has {available[1]} fully sampled central lines where {max(width, 4)} are needed to calibrate "
            "the coils; choose --acs accordingly, or acquire more central lines"
        )
    return min(available[0], rows), width


def _measured_centre(mask: Bool[Tensor, "y x"]) -> tuple[int, int]:
    """The largest centred rectangle without a hole: grown evenly first, then along each axis."""
    rows, columns = mask.shape

    def whole(height: int, width: int) -> bool:
        box = mask[centre_mask((height, width), rows, columns)]
        return height <= rows and width <= columns and bool(box.all())

    size = 0
    while size < min(rows, columns) and whole(size + 1, size + 1):
        size += 1
    height = width = size
    while size and height < rows and whole(height + 1, width):
        height += 1
    while size and width < columns and whole(height, width + 1):
        width += 1
    return height, width


def _finished(target: Path, source: Path, settings: PrepareSettings) -> bool:
    provenance = read_provenance(target)
    return (
        provenance is not None
        and provenance["version"] == __version__
        and provenance["settings"] == asdict(settings)
        and provenance["source_sha256"] == file_hash(source)
    )
