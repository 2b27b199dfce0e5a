"""Readout oversampling: which rows of the image remain, and how k-space is brought to them."""

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from mri_ambient.data_prep.scan import Scan
from mri_ambient.physics.fourier import fftc, ifftc
from mri_ambient.physics.masks import measured_band


def target_rows(scan: Scan) -> int:
    """The matrix along the readout once oversampling is removed; samples scattered along it can't be cropped."""
    rows = scan.kspace.shape[-2]
    return rows if scan.recon_rows is None or measured_rows(scan) is None else scan.recon_rows


def measured_rows(scan: Scan) -> Bool[Tensor, " y"] | None:
    """The rows that every measured line fills, all or a band of them; None if samples are scattered."""
    band = measured_band(scan.mask)
    return None if band is None else band.expand(scan.kspace.shape[-2])


def crop_mask(mask: Bool[Tensor, "*batch #y x"], scan: Scan) -> Bool[Tensor, "*batch #rows x"]:
    """What is measured once :func:`crop_readout` has removed the oversampling: of a band, the rows whose neighbourhood, as wide
    as the oversampling, is inside of it."""
    rows, wanted = scan.kspace.shape[-2], target_rows(scan)
    if mask.shape[-2] == 1 or wanted == rows:
        return mask
    place = (torch.arange(wanted) - wanted // 2) * (rows / wanted) + rows // 2
    reach = (rows / wanted - 1) / 2
    low, high = (place - reach).floor().long().clamp_min(0), (place + reach).ceil().long().clamp_max(rows - 1)
    return mask[..., low, :] & mask[..., high, :]


def kept_field_of_view(scan: Scan) -> tuple[float, float] | None:
    """(y, x) in mm of the prepared rows: the scan's own, unless its oversampling had to stay."""
    if scan.field_of_view is None or scan.recon_rows is None:
        return scan.field_of_view
    return scan.field_of_view[0] * target_rows(scan) / scan.recon_rows, scan.field_of_view[1]


def crop_readout(kspace: Complex[Tensor, "*batch y x"], scan: Scan) -> Complex[Tensor, "*batch rows x"]:
    """Remove readout oversampling: the central rows of the image, back in k-space at unit noise gain."""
    rows, wanted = kspace.shape[-2], target_rows(scan)
    if wanted == rows:
        return kspace
    top = rows // 2 - wanted // 2
    image = ifftc(kspace, (-2,))[..., top : top + wanted, :]
    return fftc(image, (-2,)).contiguous()
