"""Is the array k-space at all, is its centre in the middle, and is the image that it makes in one piece?"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.data_prep.acs import measured_centre
from mri_ambient.data_prep.scan import Source
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c, ifftc

CLEAR = 8.0  # times the mean of the measured samples: a peak, averaged over 3x3 samples; white noise reaches 3
CLEARLY = 3.0  # times: a transform that is so much more peaked than the array tells that the array is the image
ORDINARY = 3  # samples that an echo may be off, and one in 64 of a long readout
LOW = 48  # samples of the low-resolution image by which a wrapped object is told
EMPTY, TURNED = 0.12, -0.1  # the gap in the middle over the rim; the first moment on the circle

Power = Float[Tensor, "slice y x"]
Shift = tuple[bool, bool]
AXES = ("rows", "columns")


@dataclass(frozen=True)
class Centre:
    """Along which of (y, x) to roll by half the matrix, and what is said of it."""

    roll: Shift = (False, False)
    note: str = ""


def find_centre(source: Source, power: Power) -> Centre:
    """Where the brightest samples are. Raises UserError if that is neither the middle nor the corner, or unlike in slices.

    power: summed over coils, in which slices may differ in brightness. Where no sample stands out nothing is judged.
    """
    total = torch.zeros_like(power[0])
    peaks = []
    for energy in power:
        mean = energy.sum() / (energy > 0).sum().clamp_min(1)
        if mean > 0:
            total += energy / mean
            peaks.append(_peak(energy))
    place, contrast = _peak(total)
    if contrast < CLEAR:
        return Centre()
    roll = []
    for axis, size in enumerate(total.shape):
        allowed = tolerance(size)
        for index, (own, clear) in enumerate(peaks):
            if clear >= CLEAR and abs(_signed(own[axis] - place[axis], size)) > 2 * allowed:
                raise UserError(
                    f"{source}: the brightest sample is at {AXES[axis][:-1]} {own[axis]} in slice {index}, at {place[axis]} in "
                    "others; shift each slice so that DC is at N // 2"
                )
        off = _signed(place[axis] - size // 2, size)
        roll.append(size // 2 - abs(off) <= allowed < abs(off))
        if abs(off) > allowed and not roll[axis]:
            pad = f"add {2 * abs(off)} rows of zeros {'before' if off < 0 else 'after'} it".replace("rows", AXES[axis])
            raise UserError(
                f"{source}: the brightest sample is at {AXES[axis][:-1]} {place[axis]} of {size}, not near the middle, "
                f"{size // 2}; if k-space was shifted, undo it with numpy.roll(kspace, {-off}, axis={axis - 2}) or "
                f"numpy.fft.fftshift, and if one side of it was not acquired, {pad}"
            )
    where = " and ".join(f"{AXES[axis][:-1]} {place[axis]}" for axis in (0, 1) if roll[axis])
    axes = [axis - 2 for axis in (0, 1) if roll[axis]]
    note = f"the centre of k-space was at {where}: shifted to the middle, as numpy.fft.fftshift does over axes {axes}"
    return Centre((roll[0], roll[1]), note)


def tolerance(size: int) -> int:
    """How many samples from the middle the centre of k-space may be: a linear phase of the image, nothing more."""
    return max(min(ORDINARY, size // 8), size // 64)


def check_is_kspace(source: Source, kspace: Complex[Tensor, "coil y x"]) -> None:
    """Raises UserError if one slice is an image, or one along an axis, rather than k-space: its transform has the peak."""
    power = kspace.abs().square().sum(0)
    if not power.any():
        return
    image = ifft2c(kspace).abs().square().sum(0)
    own, transformed = _peak(power)[1], _peak(image)[1]
    if transformed >= CLEAR and transformed > CLEARLY * own:
        raise UserError(
            f"{source}: `kspace` holds images, not k-space; give their transform, "
            "numpy.fft.fftshift(numpy.fft.fft2(numpy.fft.ifftshift(images, axes=(-2, -1))), axes=(-2, -1))"
        )
    for axis in (-2, -1):
        along = ifftc(kspace, (axis,)).abs().square().sum((0, -3 - axis))
        before = power.sum(-3 - axis)
        if _contrast(along) >= CLEAR and _contrast(along) > CLEARLY * _contrast(before):
            raise UserError(
                f"{source}: `kspace` is transformed to the image along its {AXES[axis]} already; undo it, numpy.fft.fftshift("
                f"numpy.fft.fft(numpy.fft.ifftshift(kspace, axes={axis}), axis={axis}), axes={axis})"
            )


def find_half_turn(kspace: Complex[Tensor, "slice coil y x"], mask: Bool[Tensor, "y x"]) -> Shift:
    """Along which of (y, x) the object lies across the image's edge and leaves the middle empty: k-space alternates in sign.

    Told from the image of the centre of k-space, whose profile along an axis has a first moment on the circle,
    sum e(t) cos(2 pi t / n) / sum e(t) with t from the middle, below 0, and hardly any energy in the middle.
    """
    rows, columns = mask.shape
    height, width = min(rows, LOW), min(columns, LOW)
    top, left = rows // 2 - height // 2, columns // 2 - width // 2
    height, width = measured_centre(mask[top : top + height, left : left + width])
    if min(height, width) < 4:
        return False, False
    box = kspace[..., rows // 2 - height // 2 :, columns // 2 - width // 2 :][..., :height, :width]
    box = box * torch.hann_window(height + 2)[1:-1, None] * torch.hann_window(width + 2)[1:-1]
    image = ifft2c(box).abs().square().sum((0, 1))
    vertical, horizontal = image.sum(1), image.sum(0)
    found = _wraps(vertical), _wraps(horizontal)
    if any(found):  # the other axis, too coarse or too full to show a gap, has the moment at least
        return found[0] or _moment(vertical) < TURNED, found[1] or _moment(horizontal) < TURNED
    return found


def _wraps(profile: Float[Tensor, " n"]) -> bool:
    size = len(profile)
    if size < 12:
        return False
    reach = max(1, size // 16)
    middle = profile[size // 2 - reach : size // 2 + reach + 1].mean()
    rim = torch.cat([profile[:reach], profile[-reach:]]).mean()
    return bool(middle < EMPTY * rim) and _moment(profile) < TURNED


def _moment(profile: Float[Tensor, " n"]) -> float:
    place = torch.arange(len(profile)) - len(profile) // 2
    return float((profile * torch.cos(2 * torch.pi * place / len(profile))).sum() / profile.sum().clamp_min(1e-30))


def _peak(power: Float[Tensor, "y x"]) -> tuple[tuple[int, int], float]:
    """Where the mean of 3x3 samples (around the edges) is largest, and how many times the mean of the measured ones it is."""
    near = sum(power.roll((dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    assert isinstance(near, Tensor)
    y, x = divmod(int(near.argmax()), power.shape[1])
    mean = power.sum() / (power > 0).sum().clamp_min(1)
    return (y, x), float(near.max() / 9 / mean.clamp_min(1e-30))


def _contrast(profile: Float[Tensor, " n"]) -> float:
    return float(profile.max() / (profile.sum() / (profile > 0).sum().clamp_min(1)).clamp_min(1e-30))


def _signed(difference: int, size: int) -> int:
    return (difference + size // 2) % size - size // 2
