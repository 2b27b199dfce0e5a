"""Coil maps refined with the image, from all measured lines rather than the ACS alone.

ESPIRiT sees the ACS only, and its kernels are periodic: with few lines, or where an object reaches the edge of the field of
view and the coils do not look alike on both sides, its maps are wrong by degrees there. JSENSE (Ying & Sheng, MRM 57:1196,
2007) and NLINV (Uecker et al., MRM 60:674, 2008) estimate smooth maps and the image jointly. Here the maps are cosine series,
smooth but not periodic, and start from ESPIRiT's.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Bool, Complex, Float
from torch import Generator, Tensor

from mri_ambient.data_prep.acs import box_of
from mri_ambient.data_prep.coils.calibration import calibration_box, principal_coil
from mri_ambient.physics.acs import centre_box
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.masks import remove_samples
from mri_ambient.physics.resolution import resize_kspace, resize_maps, resize_mask
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import data_consistency

ORDER = 12  # half periods over the field of view: coils of 4 to 16 elements need no more
SMOOTHNESS = (0.1, 4)  # weight 0.1 (1 + k^2)^4 of the coefficient of k half periods
LARGEST_MATRIX = 128  # coils are smooth, so the inner k-space tells of them nearly all that the whole one does
ROUNDS = 4  # more change nothing
IMAGE_WEIGHT, IMAGE_STEPS = 1e-2, 10
SHARE = 0.2  # of the outer samples: held out to judge by
SMALLEST_NOISE = 3e-3  # of the image's brightness: what the model itself misses

KSpace = Complex[Tensor, "coil y x"]
Maps = Complex[Tensor, "coil y x"]
Mask = Bool[Tensor, "#y x"]


def refine_maps(kspace: KSpace, mask: Mask, maps: Maps, noise_std: float, acs: tuple[int, int]) -> Maps:
    """The maps of one slice, refined if that predicts held-out lines better; else ``maps`` itself, the same object.

    Alternates x = argmin ||M F S x - y||^2 + lambda ||x||^2 and S = argmin ||M F S x - y||^2 / (2 noise^2) + sum_k w_k |a_k|^2,
    S_c = sum_k a_ck cos cos, w_k = .1 (1 + |k|^2)^4. A fifth of the measured outer samples is kept from it, and it counts only
    if CG-SENSE predicts these better with the new maps than with the old, and explains the others better; a last round then
    uses all samples.

    kspace: normalised to a brightness of about 1, 0 where nothing was measured. noise_std: of a real component, or an upper
    bound. acs: rows and columns of the measured centre. The support, the unit norm and the phase reference (the centre's
    principal virtual coil is real) are those of ``maps``.
    """
    rows, columns = kspace.shape[-2:]
    matrix = min(rows, LARGEST_MATRIX), min(columns, LARGEST_MATRIX)
    gain = (matrix[0] * matrix[1] / (rows * columns)) ** 0.5
    inner, noise_std = resize_kspace(kspace, matrix), max(noise_std * gain, SMALLEST_NOISE)
    measured = resize_mask(mask, rows, matrix)
    shown = shown_samples(measured.cpu(), acs).to(measured.device)
    hidden = measured & ~shown
    start = resize_maps(maps, matrix)
    support = (start != 0).any(0)
    if len(kspace) == 1 or not (hidden.any() and support.any()):  # the phase of one coil is the image's
        return maps
    found = start
    for _ in range(ROUNDS - 1):
        found = _on(support, smooth_maps(inner, shown, _image(inner, shown, found), noise_std)[0])
    new, old = (_misfits(inner, shown, hidden, tried) for tried in (found, start))
    if not (new[0] < old[0] and new[1] < old[1]):
        return maps
    _, coefficients = smooth_maps(inner, measured, _image(inner, measured, found), noise_std)
    vertical, horizontal = cosines(rows).to(coefficients), cosines(columns).to(coefficients)
    refined = _on((maps != 0).any(0), vertical.T @ coefficients @ horizontal)
    reference = principal_coil(box_of(kspace, calibration_box(acs)))
    return refined * torch.exp(-1j * (reference.conj()[:, None, None] * refined).sum(0).angle())


def smooth_maps(
    kspace: KSpace, mask: Mask, image: Complex[Tensor, "y x"], noise_std: float
) -> tuple[Maps, Complex[Tensor, "coil p q"]]:
    """The smooth maps of least misfit for a given image, and their coefficients. The normal matrix serves all coils."""
    rows, columns = image.shape
    functions, places = (part.to(kspace.device) for part in basis(rows, columns))
    everywhere = mask.expand(rows, columns)
    model = fft2c(functions * image)[:, everywhere]
    weight = 2 * noise_std**2 * SMOOTHNESS[0] * (1 + places.square().sum(1)) ** SMOOTHNESS[1]
    normal = model.conj() @ model.T + torch.diag(weight).to(model.dtype)
    values = torch.linalg.solve(normal, model.conj() @ kspace[:, everywhere].T)
    coefficients = kspace.new_zeros(len(kspace), ORDER, ORDER)
    coefficients[:, places[:, 0], places[:, 1]] = values.T
    return (values.T @ functions.flatten(1)).unflatten(1, (rows, columns)), coefficients


@lru_cache(4)
def basis(rows: int, columns: int) -> tuple[Complex[Tensor, "k y x"], Tensor]:
    """Products of cosines of less than ORDER half periods in all, and how many of them each has along y and x."""
    orders = torch.arange(ORDER)
    places = torch.cartesian_prod(orders, orders)
    places = places[places.square().sum(1) < ORDER**2]
    vertical, horizontal = cosines(rows)[places[:, 0]], cosines(columns)[places[:, 1]]
    return (vertical[:, :, None] * horizontal[:, None]).to(torch.complex64), places


def cosines(size: int) -> Float[Tensor, "k n"]:
    """cos(pi k t) with t from 0 to 1 across the field of view, 1/2 at its centre pixel, whatever the number of pixels."""
    position = (torch.arange(size) - size // 2) / size + 0.5
    return torch.cos(math.pi * torch.arange(ORDER)[:, None] * position)


def shown_samples(mask: Mask, acs: tuple[int, int]) -> Mask:
    """The mask without SHARE of its outer lines (or samples); the same for the same mask."""
    rows, columns = mask.shape
    centre = centre_box((min(acs[0], rows), min(acs[1], columns)), rows, columns)
    count = round(SHARE * int((mask & ~centre).sum()))
    return remove_samples(mask, centre, count, Generator().manual_seed(0))


def _image(kspace: KSpace, mask: Mask, maps: Maps) -> Complex[Tensor, "y x"]:
    sense = Sense(maps, mask)
    return data_consistency(sense, sense.apply_mask(kspace), None, IMAGE_WEIGHT, IMAGE_STEPS)


def _misfits(kspace: KSpace, shown: Mask, hidden: Mask, maps: Maps) -> tuple[float, float]:
    """The energy of the shown and of the hidden samples that CG-SENSE of the shown ones misses. (Maps that explain nothing
    predict 0, which may be nearer to the hidden ones than what wrong maps predict.)"""
    image = _image(kspace, shown, maps)
    senses = Sense(maps, shown), Sense(maps, hidden)
    first, second = (float((sense(image) - sense.apply_mask(kspace)).abs().square().sum()) for sense in senses)
    return first, second


def _on(support: Bool[Tensor, "y x"], maps: Maps) -> Maps:
    """Of unit norm on ``support``, 0 outside."""
    return torch.where(support, maps / maps.norm(dim=0).clamp_min(1e-12), 0)
