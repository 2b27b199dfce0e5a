"""Raw scan -> prepared volume: what was measured, whitened, compressed, normalised, with its coil maps."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.data_prep.acs import box_of, find_acs, find_reference, gain_of_reference, measured_centre, only_acs
from mri_ambient.data_prep.coils.calibration import ESPIRIT, EspiritSettings
from mri_ambient.data_prep.coils.compression import compression_matrix, kept_energy, virtual_coils
from mri_ambient.data_prep.coils.find_maps import Measured, choose_source, find_maps
from mri_ambient.data_prep.coils.whitening import coil_weights, noise_samples, unweighted
from mri_ambient.data_prep.readout import crop_mask, crop_readout, kept_field_of_view, measured_rows, target_rows
from mri_ambient.data_prep.scan import Scan
from mri_ambient.devices import device_of
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.physics.mask_kinds.registry import MASK_KINDS
from mri_ambient.physics.masks import slice_mask
from mri_ambient.store import PreparedVolume

PERCENTILE = 0.99


@dataclass(frozen=True)
class PrepareSettings:
    """What is kept of a scan, and how its coils are treated.

    Attributes:
        accel: undersample a fully sampled scan, keeping only the measured lines; None keeps the scan's own sampling.
        mask: the kind of that undersampling.
        acs: how many central lines calibrate; None means 8 % of the columns if fully sampled, else what the mask has.
        maps: joint, espirit, sigpy, bart, file; None means the file's own if it has any, else joint, or espirit where the
            volume keeps lines that training is to hide.
        coils: how many virtual coils remain, if there are more; None means as many as keep the signal.
        whiten: auto, noise-scan or none, see :func:`coil_weights`.
        map_sets: 1, 2 or auto.
        espirit: how maps are estimated.
    """

    accel: float | None = None
    mask: str = "random"
    acs: int | None = None
    maps: str | None = None
    coils: int | None = None
    whiten: str = "auto"
    map_sets: str = "auto"
    espirit: EspiritSettings = ESPIRIT


AS_IT_IS = PrepareSettings()


def prepare(scan: Scan, settings: PrepareSettings = AS_IT_IS, device: str = "auto") -> PreparedVolume:
    """What was measured, whitened, compressed, normalised, with its coil maps.

    Only measured samples reach the result: two scans that differ off the mask give the same volume. Per slice
    k = C W y / scale, with W of :func:`coil_weights` and C the compression.

    Args:
        scan: of :func:`read_scan` or :meth:`Scan.from_arrays`.
        settings: undersampling, calibration, coils and maps.
        device: where maps are estimated: auto, cpu, cuda; the volume is on the CPU.

    Raises:
        UserError: the scan has no usable ACS, fewer lines than ``accel`` asks for, or not the maps or the noise scan that were
            asked for; or there is no such device.

    Example:
        >>> from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate
        >>> scan = simulate(SimulateSettings(matrix=32, slices=1, coils=4))
        >>> volume = prepare(scan, PrepareSettings(accel=2, acs=8))
        >>> volume.kspace.shape, volume.acs, volume.accel
        (torch.Size([1, 4, 32, 32]), (32, 8), 2.0)
    """
    where = maps_device(device)
    if settings.whiten == "noise-scan" and scan.noise is None:
        raise UserError(
            f"{scan.source}: holds no noise scan; leave out --whiten noise-scan, and each coil is only scaled"
        )
    source = choose_source(scan, settings.maps, settings.map_sets, settings.accel)
    if settings.accel is not None and not MASK_KINDS[settings.mask].lines:
        cropped = crop_readout(scan.kspace, scan)  # a 2-D mask is not croppable
        scan = replace(scan, kspace=cropped, recon_rows=None, noiseless=None)
    rows, columns = target_rows(scan), scan.kspace.shape[-1]
    own = scan.reference is None or scan.fully_sampled  # whether its own lines calibrate the coils
    acs = find_acs(scan, settings.acs, rows) if own else find_reference(scan, settings.acs, rows)
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
    scale, kept, gains = torch.empty(count), torch.empty(count), torch.empty(count)
    transform = torch.empty(count, coils, len(noise), dtype=torch.complex64)
    back, received, behind_band = torch.empty_like(transform.mT), unweighted(white), crop_mask(mask, scan)
    for index in range(count):
        compression = compression_matrix(boxes[index], coils)
        kept[index] = kept_energy(boxes[index], compression)
        weights = compression @ white
        compressed = behind(weights, measured[index])
        calibration = only_acs(compressed if own else behind(weights, calibrating[index]), acs)
        gains[index] = 1 if own else gain_of_reference(scan.source, index, compressed, calibration)
        scale[index] = acs_scale(calibration) * gains[index]
        if not scale[index] > 0:
            raise UserError(f"{scan.source}: slice {index} has no signal in its ACS; remove that slice")
        kspace[index] = torch.where(behind_band[index], compressed / scale[index], 0)
        transform[index] = weights / scale[index]
        back[index] = received @ compression.mH * scale[index]

    def calibrations() -> Iterator[Complex[Tensor, "coil y x"]]:
        for index, weights in enumerate(transform):
            yield only_acs(kspace[index] if own else gains[index] * behind(weights, calibrating[index]), acs)

    known = Measured(kspace, behind_band, transform, acs, (residual_std * gains / scale).tolist(), calibrations)
    maps = find_maps(scan, source, settings.map_sets, known, settings.espirit, where)
    return PreparedVolume(
        name=scan.name,
        kspace=kspace,
        mask=behind_band,
        acquired=scan.acquired,
        sens_maps=maps.first,
        scale=scale,
        noise_std=residual_std / scale,
        acs=acs if own else measured_centre(behind_band[0].expand(rows, -1)),
        coil_transform=transform,
        coil_return=back,
        second_maps=maps.second,
        provenance={
            "source": scan.source.name if isinstance(scan.source, Path) else scan.source,
            "format": scan.format,
            "measured_sha256": measured_hash(measured, mask),
            "settings": asdict(settings),
            "maps": maps.source,
            "refined_slices": maps.refined,
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


def maps_device(name: str) -> torch.device:
    """The device of that name, for linear algebra: Apple's has no eigenvectors of complex matrices. Raises UserError."""
    device = device_of(name)
    return torch.device("cpu") if device.type == "mps" else device


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
    whole = _behind_coils(scan.kspace, scan, volume)
    kspace = torch.where(volume.mask.unsqueeze(1), volume.kspace, whole.kspace)  # to the last bit what was prepared
    return replace(whole, kspace=kspace)


def without_noise(scan: Scan, volume: PreparedVolume) -> PreparedVolume | None:
    """The same of a simulation's k-space before noise came to it, which is the truth; None if the scan has none."""
    return None if scan.noiseless is None else _behind_coils(scan.noiseless, scan, volume)


def _behind_coils(kspace: Complex[Tensor, "slice coil y x"], scan: Scan, volume: PreparedVolume) -> PreparedVolume:
    coils = [
        torch.einsum("vc,cyx->vyx", transform, crop_readout(of_slice, scan))
        for transform, of_slice in zip(volume.coil_transform, kspace, strict=True)
    ]
    return replace(
        volume, kspace=torch.stack(coils), mask=crop_mask(scan.mask.expand(len(coils), *scan.mask.shape), scan)
    )


def draw_masks(
    scan: Scan, settings: PrepareSettings, acs: tuple[int, int], rows: int
) -> tuple[Bool[Tensor, "slice #y x"], tuple[int, int]]:
    """Every slice's mask and the ACS behind it. Raises UserError if ``accel`` can't be had from this scan."""
    slices = len(scan.kspace)
    if settings.accel is None:
        return scan.mask.expand(slices, *scan.mask.shape).clone(), acs
    if not scan.fully_sampled:
        raise UserError(f"{scan.source}: is already undersampled; leave --accel out to use its own sampling")
    if not MASK_KINDS[settings.mask].lines and len(scan.mask) > 1:
        raise UserError(f"{scan.source}: has rows that no readout fills; leave out --mask {settings.mask}")
    if not MASK_KINDS[settings.mask].lines:
        acs = (min(acs[1], rows), acs[1])
    kind, accel = settings.mask, settings.accel
    try:
        masks = [slice_mask(scan.name, i, kind, accel, acs, scan.acquired, rows) for i in range(slices)]
    except ValueError as error:
        raise UserError(f"{scan.source}: {error}; ask for a smaller --accel") from error
    band = measured_rows(scan)
    drawn = torch.stack(masks)
    return drawn if band is None or band.all() else drawn & band[:, None], acs


def acs_scale(calibration: Complex[Tensor, "coil y x"]) -> Tensor:
    """The one normalisation: the 99th percentile of the root-sum-of-squares image of the ACS alone."""
    rss = ifft2c(calibration).abs().square().sum(0).sqrt()
    return torch.quantile(rss.flatten(), PERCENTILE)


def measured_hash(measured: Complex[Tensor, "slice coil y x"], mask: Bool[Tensor, "slice #y x"]) -> str:
    """SHA-256 of what was measured and where: the same for files that differ in nothing else."""
    digest = hashlib.sha256(mask.numpy().tobytes())
    for kspace in measured:
        digest.update(kspace.contiguous().numpy().data)
    return digest.hexdigest()
