"""Readout oversampling: which rows of the image remain, and how k-space is brought to them."""

from jaxtyping import Complex
from torch import Tensor

from data_prep.scan import Scan
from mri_ambient.physics.fourier import fftc, ifftc


def target_rows(scan: Scan) -> int:
    """The matrix along the readout once oversampling is removed; samples scattered along it can't be cropped."""
    rows = scan.kspace.shape[-2]
    return rows if scan.recon_rows is None or scan.mask.shape[0] != 1 else scan.recon_rows


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
