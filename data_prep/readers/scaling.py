"""Numbers that single precision can square: the file's own, or a power of two times them."""

import math

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.data_prep.scan import Source
from mri_ambient.errors import UserError

SANE = (1e-9, 1e9)  # of the largest sample: squares of the noise and sums of squares are far from float32's limits
COARSEST = 1e-4  # spacing of the file's numbers over the largest of them
SPIKE = 100.0  # times the second largest sample

KSpace = Complex[Tensor, "slice coil y x"]


def in_sane_units(source: Source, kspace: np.ndarray) -> tuple[KSpace, float, tuple[str, ...]]:
    """complex64, the factor by which it was multiplied (exactly: a power of two), and a note if that is not 1.

    Raises UserError for what is not finite, zero everywhere, or has no digits left.
    """
    largest = _largest(source, kspace)
    if largest == 0:
        raise UserError(f"{source}: `kspace` is zero everywhere; export the scan again")
    if np.spacing(np.asarray(largest, np.real(kspace).dtype)) > COARSEST * largest:
        raise UserError(
            f"{source}: `kspace` reaches {largest:.2g}, where {kspace.dtype} has no digits; give it in other units"
        )
    if SANE[0] <= largest <= SANE[1]:
        return torch.from_numpy(np.require(kspace, np.complex64, ["C", "W"])), 1.0, ()
    exponent = -math.floor(math.log2(largest))
    samples = torch.empty(kspace.shape, dtype=torch.complex64)
    for index, image in enumerate(kspace):  # in double precision: the factor itself may be beyond single
        parts = (np.ldexp(part.astype(np.float64), exponent) for part in (image.real, image.imag))
        samples[index] = torch.complex(*(torch.from_numpy(part) for part in parts)).to(torch.complex64)
    note = (
        f"`kspace` reaches {largest:.2g}: it is read times 2^{exponent} ({2.0**exponent:.3g}), and so are images of it"
    )
    return samples, 2.0**exponent, (note,)


def check_no_spike(source: Source, power: Float[Tensor, "slice y x"]) -> None:
    """Raises UserError if one sample outshines a slice, or if all are the same. ``power``: summed over coils."""
    for index, energy in enumerate(power):
        measured = energy[energy > 0]
        if not len(measured):
            continue
        first, second = (measured.topk(2).values if len(measured) > 1 else torch.cat([measured, measured * 0])).tolist()
        if first > SPIKE**2 * second:
            y, x = divmod(int(energy.argmax()), energy.shape[1])
            times = "any number of" if second == 0 else f"{(first / second) ** 0.5:.0f}"
            raise UserError(
                f"{source}: slice {index} has a spike at (y, x) = ({y}, {x}), {times} times its next sample; remove that sample"
            )
        if first <= (1 + 1e-4) * float(measured.min()):
            raise UserError(f"{source}: slice {index} is constant, and no scan is; export it again")


def _largest(source: Source, kspace: np.ndarray) -> float:
    """The largest real or imaginary part."""
    largest = 0.0
    for image in kspace:
        here = max(float(np.abs(part).max()) for part in (image.real, image.imag))
        if not math.isfinite(here):
            raise UserError(f"{source}: `kspace` has NaN or infinite entries; export the scan again without them")
        largest = max(largest, here)
    return largest
