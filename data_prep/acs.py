"""The fully sampled centre of k-space (ACS) of a scan."""

import torch
from jaxtyping import Bool
from torch import Tensor

from mri_ambient.data_prep.readout import crop_mask
from mri_ambient.data_prep.scan import Scan, Source
from mri_ambient.errors import UserError
from mri_ambient.physics.acs import centre_box

DEFAULT_SHARE = 0.08  # of the columns, where the scan is fully sampled and nobody says
FEWEST = 4


def find_acs(scan: Scan, wanted: int | None, rows: int) -> tuple[int, int]:
    """Rows and columns of the ACS; ``rows`` is the matrix after the readout's oversampling is removed.

    wanted: how many central lines to use; None means 8 % of the columns of a fully sampled scan, else all there are.
    Raises UserError if there are fewer than that, or fewer than 4.
    """
    columns = scan.mask.shape[-1]
    mask = crop_mask(scan.mask, scan)
    height, available = measured_centre(mask.expand(rows if len(mask) == 1 else -1, -1))
    width = wanted if wanted is not None else available
    if wanted is None and scan.fully_sampled:
        width = min(available, max(FEWEST, round(DEFAULT_SHARE * columns)))
    if min(available, height) < FEWEST:
        raise UserError(
            f"{scan.source}: has {min(available, height)} fully sampled central lines where {FEWEST} are needed to calibrate "
            "the coils; acquire more of them"
        )
    if not FEWEST <= width <= available:
        raise UserError(
            f"{scan.source}: has {available} fully sampled central lines; ask for {FEWEST} to {available} --acs lines"
        )
    return height, width


def measured_centre(mask: Bool[Tensor, "y x"]) -> tuple[int, int]:
    """The largest centred rectangle without a hole: grown evenly first, then along each axis."""
    rows, columns = mask.shape

    def whole(height: int, width: int) -> bool:
        inside = centre_box((height, width), rows, columns)
        return height <= rows and width <= columns and bool(mask[inside].all())

    size = 0
    while size < min(rows, columns) and whole(size + 1, size + 1):
        size += 1
    height = width = size
    while size and height < rows and whole(height + 1, width):
        height += 1
    while size and width < columns and whole(height, width + 1):
        width += 1
    return height, width


def find_reference(scan: Scan, wanted: int | None, rows: int) -> tuple[int, int]:
    """Rows and columns of the reference scan's fully sampled centre, at most ``wanted`` columns; ``rows`` as in
    :func:`find_acs`, which raises UserError alike."""
    assert scan.reference is not None
    height, width = measured_centre(scan.reference.abs().amax((0, 1)) > 0)
    if min(height, width) < FEWEST or (wanted is not None and not FEWEST <= wanted <= width):
        raise UserError(
            f"{scan.source}: its reference scan has {width} fully sampled central lines; at least {FEWEST} are needed, and "
            f"--acs takes {FEWEST} to so many"
        )
    return height * rows // scan.kspace.shape[-2], wanted or width


def gain_of_reference(source: Source, index: int, kspace: Tensor, reference: Tensor) -> float:
    """How much stronger the image's lines are than those of its reference scan, on the samples that both measured."""
    both = (kspace.abs().amax(0) > 0) & (reference.abs().amax(0) > 0)
    if not both.any():
        raise UserError(
            f"{source}: slice {index} of its reference scan has no line in common with the image; export the scan without it"
        )
    return float(kspace[:, both].norm() / reference[:, both].norm())


def box_of(kspace: Tensor, acs: tuple[int, int]) -> Tensor:
    """The ACS of ``kspace`` [..., y, x], cut out."""
    rows, columns = kspace.shape[-2:]
    top, left = rows // 2 - acs[0] // 2, columns // 2 - acs[1] // 2
    return kspace[..., top : top + acs[0], left : left + acs[1]]


def only_acs(kspace: Tensor, acs: tuple[int, int]) -> Tensor:
    """``kspace`` [..., y, x] with everything outside the ACS 0."""
    return torch.where(centre_box(acs, *kspace.shape[-2:]).to(kspace.device), kspace, 0)
