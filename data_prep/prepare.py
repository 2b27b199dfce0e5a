"""Raw scan -> prepared volume: what was measured, whitened, compressed, normalised, with its coil maps."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from data_prep.calibration import box_of, find_acs, find_reference, gain_of_reference, measured_centre, only_acs
from data_prep.coil_noise import coil_weights, noise_samples, unweighted
from data_prep.compression import compression_matrix, kept_energy, virtual_coils
from data_prep.map_sets import WITH_TWO_SETS, needed_sets, two_sets
from data_prep.maps import ESTIMATORS
from data_prep.readout import crop_mask, crop_readout, kept_field_of_view, measured_rows, target_rows
from data_prep.refine import refine_maps
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
    sampled, else what the mask has. maps: joint, espirit, sigpy, bart, file; None means the file's own if it has any, else
    joint, or espirit where the volume keeps lines that training is to hide.
    coils: how many virtual coils remain, if there are more; None means as many as keep the signal.
    whiten: auto, noise-scan or none, see :func:`coil_weights`. map_sets: 1, 2 or auto."""

    accel: float | None = None
    mask: str = "random"
    acs: int | None = None
    maps: str | None = None
    coils: int | None = None
    whiten: str = "auto"
    map_sets: str = "auto"


def prepare(scan: Scan, settings: PrepareSettings) -> PreparedVolume:
    """Only measured samples reach the result: two scans that differ off the mask give the same volume.

    Per slice: k = C W y / scale, with W of :func:`coil_weights` and C the compression.
    Raises UserError if the scan has no usable ACS, fewer lines than ``accel`` asks for, or not the maps or the noise scan that
    were asked for.
    """
    if settings.whiten == "noise-scan" and scan.noise is None:
        raise UserError(
            f"{scan.path}: holds no noise scan; leave out --whiten noise-scan, and each coil is only scaled"
        )
    if settings.accel is not None and settings.mask == "poisson":
        scan = replace(scan, kspace=crop_readout(scan.kspace, scan), recon_rows=None)  # a 2-D mask is not croppable
    rows, columns = target_rows(scan), scan.kspace.shape[-1]
    own = scan.reference is None or scan.fully_sampled  # whether its own lines calibrate the coils
    acs = find_acs(scan, settings.acs, rows) if own else find_reference(scan, settings.acs)
    mask, acs = draw_masks(scan, settings, acs, rows)
    measured = torch.where(mask.unsqueeze(1), scan.kspace, 0)
    noise = scan.noise if scan.noise is not None else noise_samples(measured, mask)
    white, residual_std, whitened_by = coil_weights(noise, scan.noise is not None, settings.whiten)

    def behind(weights: Complex[Tensor, "virtual coil"], kspace: Complex[Tensor, "coil y x"]) -> Tensor:
        return crop_readout(torch.einsum("vc,cyx->vyx", weights, kspace), scan)

    calibrating = measured if own else scan.reference
    assert calibrating is not None
    boxes = [box_of(behind(white, box_of(k, (k.shape[-2], acs[1]))), acs) for k in calibrating]
    coils = settings.coils or virtual_coils(boxes)
    count, coils = len(measured), min(coils, scan.kspace.shape[1])
    kspace = torch.empty(count, coils, rows, columns, dtype=torch.complex64)
    maps, scale, kept = torch.empty_like(kspace), torch.empty(count), torch.empty(count)
    transform, gains = torch.empty(count, coils, len(noise), dtype=torch.complex64), torch.empty(count)
    source, behind_band = map_source(scan, settings), crop_mask(mask, scan)
    back, received = torch.empty_like(transform.mT), unweighted(white)
    for index in range(count):
        compression = compression_matrix(boxes[index], coils)
        kept[index] = kept_energy(boxes[index], compression)
        weights = compression @ white
        compressed = behind(weights, measured[index])
        calibration = only_acs(compressed if own else behind(weights, calibrating[index]), acs)
        gain = 1.0 if own else gain_of_reference(scan.path, index, compressed, calibration)
        scale[index] = acs_scale(calibration) * gain
        if not scale[index] > 0:
            raise UserError(f"{scan.path}: slice {index} has no signal in its ACS; remove that slice")
        kspace[index] = torch.where(behind_band[index], compressed / scale[index], 0)
        calibration = calibration * (gain / scale[index])
        transform[index] = weights / scale[index]
        back[index] = received @ compression.mH * scale[index]
        if source == "file":
            maps[index] = transformed_maps(scan, index, weights, rows)
            unseen = unseen_signal(calibration, maps[index])
            if unseen > LARGEST_UNSEEN:
                raise UserError(
                    f"{scan.path}: the `sens_maps` of slice {index} are 0 where {unseen:.0%} of the signal is; correct them, "
                    "or estimate maps with --maps espirit"
                )
        else:
            maps[index] = ESTIMATORS[source](calibration, acs, float(residual_std * gain / scale[index]))
        gains[index] = gain
    better: list[int] = []
    second, levels = None, (residual_std * gains / scale).tolist()

    def calibrations() -> Iterator[Tensor]:
        for index, weights in enumerate(transform):
            yield only_acs(kspace[index] if own else gains[index] * behind(weights, calibrating[index]), acs)

    if map_sets(scan, settings, source, calibrations(), acs, levels) == 2:
        pairs = [two_sets(k, acs, source, level) for k, level in zip(calibrations(), levels, strict=True)]
        maps, second = (torch.stack(of_set) for of_set in zip(*pairs, strict=True))
    elif source == "joint":
        of_slices = zip(kspace, behind_band, maps, levels, strict=True)
        refined = [refine_maps(k, m, found, level, acs) for k, m, found, level in of_slices]
        better = [
            index for index, (new, old) in enumerate(zip(refined, maps, strict=True)) if not torch.equal(new, old)
        ]
        maps = torch.stack(refined)
    return PreparedVolume(
        name=scan.path.stem,
        kspace=kspace,
        mask=behind_band,
        acquired=scan.acquired,
        sens_maps=maps,
        scale=scale,
        noise_std=residual_std / scale,
        acs=acs if own else measured_centre(behind_band[0].expand(rows, -1)),
        coil_transform=transform,
        coil_return=back,
        second_maps=second,
        provenance={
            "source": scan.path.name,
            "format": scan.format,
            "measured_sha256": measured_hash(measured, mask),
            "settings": asdict(settings),
            "maps": source if second is None else f"{'bart' if source == 'bart' else 'espirit'}, two sets",
            "refined_slices": better,
            "calibrated_on": list(acs) if own else f"{acs[0]}x{acs[1]} reference lines of a scan of their own",
            "noise_from": "noise scan" if scan.noise is not None else "where signal is weak (an upper bound)",
            "whitening": whitened_by,
            "coils": [len(noise), coils],
            "coil_energy_kept": round(float(kept.min()), 6),
            "notes": [*scan.notes, *coil_notes(scan, coils, float(kept.min()), settings)],
            "subject": scan.subject,
            "field_of_view_mm": kept_field_of_view(scan),
            "simulated": scan.simulated,
            "geometry": None if scan.geometry is None else scan.geometry.as_json(),
            "version": __version__,
        },
    )


def coil_notes(scan: Scan, coils: int, kept: float, settings: PrepareSettings) -> Iterator[str]:
    """What compression lost, and what was made of noise that nobody measured."""
    present = scan.kspace.shape[1]
    if coils < present:
        yield f"{present} coils became {coils} virtual ones, which keep {kept:.2%} of the ACS's energy in every slice"
    if settings.whiten == "none":
        yield "coils were not whitened (--whiten none)"
    elif scan.noise is None and present > 1:
        yield (
            "no noise scan: each coil is scaled to the noise seen where signal is weak, an upper bound; magnitudes are shaded "
            "by it, and --reference rss undoes that"
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
    mask = crop_mask(scan.mask.expand(len(kspace), *scan.mask.shape), scan)
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
    if settings.mask == "poisson" and len(scan.mask) > 1:
        raise UserError(f"{scan.path}: has rows that no readout fills; leave out --mask poisson")
    if settings.mask == "poisson":
        acs = (min(acs[1], rows), acs[1])
    kind, accel = settings.mask, settings.accel
    try:
        masks = [slice_mask(scan.path.stem, i, kind, accel, acs, scan.acquired, rows) for i in range(slices)]
    except ValueError as error:
        raise UserError(f"{scan.path}: {error}; ask for a smaller --accel") from error
    band = measured_rows(scan)
    drawn = torch.stack(masks)
    return drawn if band is None or band.all() else drawn & band[:, None], acs


def acs_scale(calibration: Complex[Tensor, "coil y x"]) -> Tensor:
    """The one normalisation: the 99th percentile of the root-sum-of-squares image of the ACS alone."""
    rss = ifft2c(calibration).abs().square().sum(0).sqrt()
    return torch.quantile(rss.flatten(), PERCENTILE)


def map_source(scan: Scan, settings: PrepareSettings) -> str:
    if settings.maps == "file" and scan.sens_maps is None:
        raise UserError(f"{scan.path}: holds no `sens_maps`; leave out --maps file to estimate them")
    if settings.maps:
        return settings.maps
    if scan.sens_maps is not None:
        return "file"
    hides_lines = settings.accel is None and scan.fully_sampled  # `train --accel` does: maps must not know of them
    return "espirit" if hides_lines or scan.reference is not None else "joint"


def map_sets(
    scan: Scan,
    settings: PrepareSettings,
    source: str,
    calibrations: Iterable[Complex[Tensor, "coil y x"]],
    acs: tuple[int, int],
    noise_std: Sequence[float],
) -> int:
    """How many maps a pixel gets. Raises UserError if two are wanted of those who make one."""
    if settings.map_sets == "2" and source not in WITH_TWO_SETS:
        raise UserError(
            f"{scan.path}: --maps {source} has one set of maps; leave out --map-sets 2, or estimate maps with --maps espirit"
        )
    if settings.map_sets == "auto" and source in WITH_TWO_SETS:
        return needed_sets(calibrations, acs, noise_std)
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
