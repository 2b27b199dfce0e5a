"""A complete prepared volume, undersampled as its scan would be."""

from dataclasses import replace

import torch

from mri_ambient.data_prep.prepare import measured_hash
from mri_ambient.errors import UserError
from mri_ambient.physics.mask_kinds.registry import MASK_KINDS
from mri_ambient.physics.masks import slice_mask
from mri_ambient.store import PreparedVolume


def undersample(volume: PreparedVolume, accel: float, kind: str) -> PreparedVolume:
    """The masks that the raw scan of the same name would get; coils, maps and scale, which are of the ACS alone, stay.

    Raises UserError if the volume is not complete, or has not as many lines as ``accel`` asks for.
    """
    if not volume.fully_sampled:
        raise UserError(f"{volume.name}: is already undersampled; leave --accel out to use its own sampling")
    rows, acs = volume.kspace.shape[-2], volume.acs
    if not MASK_KINDS[kind].lines:
        acs = (min(acs[1], rows), acs[1])
    try:
        masks = [slice_mask(volume.name, i, kind, accel, acs, volume.acquired, rows) for i in range(len(volume.mask))]
    except ValueError as error:
        raise UserError(f"{volume.name}: {error}; ask for a smaller --accel") from error
    mask = torch.stack(masks)
    kspace = torch.where(mask.unsqueeze(1), volume.kspace, 0)
    settings = volume.provenance["settings"] | {"accel": accel, "mask": kind}
    provenance = volume.provenance | {"settings": settings, "measured_sha256": measured_hash(kspace, mask)}
    return replace(volume, kspace=kspace, mask=mask, acs=acs, provenance=provenance)
