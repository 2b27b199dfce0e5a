"""Raw scan -> prepared volume: what was measured, whitened, compressed, normalised, with its coil maps."""

import hashlib
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from data_prep.calibration import box_of, find_acs, only_acs
from data_prep.coil_noise import covariance, noise_samples, noise_std, whitener
from data_prep.compression import compression_matrix
from data_prep.map_sets import WITH_TWO_SETS, needed_sets, two_sets
from data_prep.maps import ESTIMATORS
from data_prep.readout import crop_readout, kept_field_of_view, target_rows
from data_prep.scan import Scan
from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.physics.masks import slice_mask
from mri_ambient.store import PreparedVolume

PERCENTILE = 0.99
LARGEST_UNSEEN = 0.2  # share of the signal; masks drawn tightly around a head leave out less


@dataclass(frozen=True)
class PrepareSettings:
    """accel: undersample a fully sampled scan, keeping only the measured lines (None keeps the scan's own sampling).
    mask: the kind of that undersampling. acs: how many central lines calibrate; None means 8 % of the columns if fully
    sampled, else what the mask has. maps: espirit, sigpy, bart, file; None means the file's own if it has any, else espirit.
    coils: how many virtual coils remain, if there are more; None means as many as keep the signal.
    whiten: auto, noise-scan or none. map_sets: 1, 2 or auto."""

    accel: float | None = None
    mask: str = "random"
    acs: int | None = None
    maps: str | None = None
    coils: int | None = None
    whiten: str = "auto"
    map_sets: str = "auto"


def prepare(scan: Scan, settings: PrepareSettings) -> PreparedVolume:
    """Only measured samples reach the result: two scans that differ off the mask give the same volume.

    Per slice: k = C W y / scale, with W the prewhitener (of the noise scan, else of the readout's edge), C the compression.
    Raises UserError if the scan has no usable ACS, fewer lines than ``accel`` asks for, or not the maps that were asked for.
    """
    if settings.accel is not None and settings.mask == "poisson":
        scan = replace(scan, kspace=crop_readout(scan.kspace, scan), recon_rows=None)  # a 2-D mask is not croppable
    rows, columns = target_rows(scan), scan.kspace.shape[-1]
    acs = find_acs(scan, settings.acs, rows)
    mask, acs = draw_masks(scan, settings, acs, rows)
    measured = torch.where(mask.unsqueeze(1), scan.kspace, 0)
    noise = scan.noise if scan.noise is not None else noise_samples(measured, mask)
    noise_covariance = covariance(noise)
    # The noise becomes white, of the coils' mean variance: the file's units stay.
    level = noise_covariance.diagonal().real.mean().sqrt()
    if not level > 0:
        level, noise_covariance = torch.tensor(1.0), torch.eye(len(noise), dtype=torch.complex64)
    white = level * whitener(noise_covariance)
    alive = white.diagonal() != 0  # dead coils have no noise to take the level from
    residual_std = noise_std((white @ noise)[alive].flatten())

    count, coils = len(measured), min(settings.coils or 8, scan.kspace.shape[1])
    kspace = torch.empty(count, coils, rows, columns, dtype=torch.complex64)
    maps, scale = torch.empty_like(kspace), torch.empty(count)
    transform = torch.empty(count, coils, len(noise), dtype=torch.complex64)
    source = map_source(scan, settings)
    for index in range(count):
        whitened = crop_readout(torch.einsum("vc,cyx->vyx", white, measured[index]), scan)
        compression = compression_matrix(box_of(whitened, acs), coils)
        compressed = torch.einsum("vc,cyx->vyx", compression, whitened)
        scale[index] = acs_scale(only_acs(compressed, acs))
        if not scale[index] > 0:
            raise UserError(f"{scan.path}: slice {index} has no signal in its ACS; remove that slice")
        kspace[index] = compressed / scale[index]
        transform[index] = compression @ white / scale[index]
        if source == "file":
            maps[index] = transformed_maps(scan, index, compression @ white, rows)
            unseen = unseen_signal(only_acs(kspace[index], acs), maps[index])
            if unseen > LARGEST_UNSEEN:
                raise UserError(
                    f"{scan.path}: the `sens_maps` of slice {index} are 0 where {unseen:.0%} of the signal is; correct them, "
                    "or estimate maps with --maps espirit"
                )
        else:
            maps[index] = ESTIMATORS[source](kspace[index], acs)
    second = None
    if map_sets(scan, settings, source, kspace, acs, residual_std / scale) == 2:
        pairs = [two_sets(k, acs, source) for k in kspace]
        maps, second = (torch.stack(of_set) for of_set in zip(*pairs, strict=True))
    return PreparedVolume(
        name=scan.path.stem,
        kspace=kspace,
        mask=mask,
        acquired=scan.acquired,
        sens_maps=maps,
        scale=scale,
        noise_std=residual_std / scale,
        acs=acs,
        coil_transform=transform,
        second_maps=second,
        provenance={
            "source": scan.path.name,
            "format": scan.format,
            "measured_sha256": measured_hash(measured, mask),
            "settings": asdict(settings),
            "maps": source + ("" if second is None else ", two sets"),
            "noise_from": "readout edge" if scan.noise is None else "noise scan",
            "coils": [len(noise), coils],
            "subject": scan.subject,
            "field_of_view_mm": kept_field_of_view(scan),
            "simulated": scan.simulated,
            "version": __version__,
        },
    )


def complete(scan: Scan, volume: PreparedVolume) -> PreparedVolume:
    """All that the scan holds, behind the coils and the scale of its undersampled ``volume``: what errors are measured on."""
    kspace = torch.stack(
        [
            torch.einsum("vc,cyx->vyx", transform, crop_readout(measured, scan))
            for transform, measured in zip(volume.coil_transform, scan.kspace, strict=True)
        ]
    )
    kspace = torch.where(volume.mask.unsqueeze(1), volume.kspace, kspace)  # to the last bit what was prepared
    mask = scan.mask.expand(len(kspace), *scan.mask.shape)
    return replace(volume, kspace=kspace, mask=mask)


def draw_masks(
    scan: Scan, settings: PrepareSettings, acs: tuple[int, int], rows: int
) -> tuple[Bool[Tensor, "slice #y x"], tuple[int, int]]:
    """Every slice's mask and the ACS behind it. Raises UserError if ``accel`` can't be had from this scan."""
    slices = len(scan.kspace)
    if settings.accel is None:
        return scan.mask.expand(slices, *scan.mask.shape).clone(), acs
    if not scan.fully_sampled:
        raise UserError(f"{scan.path}: is already undersampled; leave --accel out to use its own sampling")
    if settings.mask == "poisson":
        acs = (min(acs[1], rows), acs[1])
    kind, accel = settings.mask, settings.accel
    try:
        masks = [slice_mask(scan.path.stem, i, kind, accel, acs, scan.acquired, rows) for i in range(slices)]
    except ValueError as error:
        raise UserError(f"{scan.path}: {error}; ask for a smaller --accel") from error
    return torch.stack(masks), acs


def acs_scale(calibration: Complex[Tensor, "coil y x"]) -> Tensor:
    """The one normalisation: the 99th percentile of the root-sum-of-squares image of the ACS alone."""
    rss = ifft2c(calibration).abs().square().sum(0).sqrt()
    return torch.quantile(rss.flatten(), PERCENTILE)


def map_source(scan: Scan, settings: PrepareSettings) -> str:
    if settings.maps == "file" and scan.sens_maps is None:
        raise UserError(f"{scan.path}: holds no `sens_maps`; leave out --maps file to estimate them")
    return settings.maps or ("espirit" if scan.sens_maps is None else "file")


def map_sets(
    scan: Scan,
    settings: PrepareSettings,
    source: str,
    kspace: Complex[Tensor, "slice coil y x"],
    acs: tuple[int, int],
    noise_std: Float[Tensor, " slice"],
) -> int:
    """How many maps a pixel gets. Raises UserError if two are wanted of those who make one."""
    if settings.map_sets == "2" and source not in WITH_TWO_SETS:
        raise UserError(
            f"{scan.path}: --maps {source} has one set of maps; leave out --map-sets 2, or estimate maps with --maps espirit"
        )
    if settings.map_sets == "auto" and source in WITH_TWO_SETS:
        return needed_sets(kspace, acs, noise_std.tolist())
    return 2 if settings.map_sets == "2" else 1


def transformed_maps(
    scan: Scan, index: int, transform: Complex[Tensor, "virtual coil"], rows: int
) -> Complex[Tensor, "virtual y x"]:
    """The file's own maps behind the same coils as the data, of unit norm where they are not 0."""
    assert scan.sens_maps is not None
    own = scan.sens_maps[index]
    top = own.shape[-2] // 2 - rows // 2
    maps = torch.einsum("vc,cyx->vyx", transform, own[:, top : top + rows])
    norm = maps.abs().square().sum(0).sqrt()
    return torch.where(norm > 1e-6 * norm.max(), maps / norm.clamp_min(1e-30), 0)


def unseen_signal(calibration: Complex[Tensor, "coil y x"], maps: Complex[Tensor, "coil y x"]) -> float:
    """The share of the ACS image's energy at pixels where the maps vanish."""
    energy = ifft2c(calibration).abs().square().sum(0)
    return float(energy[(maps == 0).all(0)].sum() / energy.sum())


def measured_hash(measured: Complex[Tensor, "slice coil y x"], mask: Bool[Tensor, "slice #y x"]) -> str:
    """SHA-256 of what was measured and where: the same for files that differ in nothing else."""
    digest = hashlib.sha256(mask.numpy().tobytes())
    for kspace in measured:
        digest.update(kspace.contiguous().numpy().data)
    return digest.hexdigest()
