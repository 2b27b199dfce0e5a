"""How well images predict measured samples that they were not made from: the one error of a scan that has no truth.

Training, tuning and reconstruction hide and count alike.
"""

import torch
from jaxtyping import Bool, Complex, Float
from torch import Generator, Tensor

from mri_ambient.measurement import Measurement
from mri_ambient.physics.acs import centre_box
from mri_ambient.physics.masks import measured_band, remove_samples

SHARE = 0.3  # of the measured outer lines (or samples) that are hidden


def shown_part(
    mask: Bool[Tensor, "#y x"], acs: tuple[int, int], generator: Generator, share: float = SHARE
) -> Bool[Tensor, "#y x"]:
    """The mask of a slice without ``share`` of what is measured outside its ACS, uniformly drawn, at least one if there is any.

    Lines are hidden whole, also those of which readouts fill a band of rows (asymmetric echoes, padding): what is left of a
    line would tell of what is hidden. Of scattered samples each is one.

    Args:
        mask: M, one row for lines.
        acs: rows and columns of the centre, all of which stays; lines have all rows of it.
        generator: on the CPU.
        share: of the outer lines or samples.

    Example:
        >>> mask = torch.ones(1, 24, dtype=torch.bool)
        >>> int(shown_part(mask, (1, 4), Generator().manual_seed(0)).sum())
        18
    """
    units = mask if measured_band(mask) is None else mask.any(-2, keepdim=True)
    rows, columns = units.shape
    centre = centre_box((min(acs[0], rows), acs[1]), rows, columns)
    outer = int((units & ~centre).sum())
    return mask & remove_samples(units, centre, max(1, round(share * outer)), generator)


def parted(measurement: Measurement, shown: Bool[Tensor, "slice #y x"]) -> tuple[Measurement, Measurement]:
    """What is shown, and M' = M - M~, what was measured and is hidden."""
    return measurement.with_mask(shown), measurement.with_mask(measurement.sense.mask & ~shown)


def held_out_error(
    hidden: Measurement, images: Complex[Tensor, "*k slice v x"]
) -> tuple[Float[Tensor, "*k slice x"], Float[Tensor, "slice x"]]:
    """||M' (F S z - y)||^2 and ||M' y||^2, by column of k-space; their sums' ratio is the squared relative error.

    The noise of y is in both: the least that can be had is :func:`noise_energy`, not 0.

    Args:
        hidden: y, S and M', of what was not shown to those who made the images.
        images: z, complex64, normalised, of all sets of maps; any number of each slice.
    """
    return by_column(hidden.operator(images) - hidden.kspace), by_column(hidden.kspace)


def noise_energy(hidden: Measurement) -> Float[Tensor, "slice x"]:
    """What noise is expected to add to ||M' y||^2, by column; an upper bound where ``noise_std`` is one."""
    samples = by_column(hidden.sense.apply_mask(torch.ones_like(hidden.kspace)))
    return samples * 2 * hidden.noise_std[:, None].square()


def by_column(kspace: Complex[Tensor, "*batch coil y x"]) -> Float[Tensor, "*batch x"]:
    """Its energy, over coils and readout."""
    return kspace.abs().square().sum((-3, -2))
