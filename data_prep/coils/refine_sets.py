"""Two sets of coil maps refined with both images, from all measured lines, where an object folds onto itself along x.

The two maps of a pixel are no two things: they are the coils' smooth sensitivities at two places a field of view apart. So one
cosine series over two fields of view, S(y, u), gives both, S(y, x) and S(y, x +- 1), from as few numbers as one set has.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.data_prep.acs import box_of, only_acs
from mri_ambient.data_prep.coils.espirit import calibration_box, espirit, principal_coil
from mri_ambient.data_prep.coils.map_sets import CROP, SECOND
from mri_ambient.data_prep.coils.refine import LARGEST_MATRIX, ORDER, SMALLEST_NOISE, SMOOTHNESS, cosines, shown_samples
from mri_ambient.physics.fourier import fft2c, ifft2c
from mri_ambient.physics.resolution import resize_kspace, resize_mask
from mri_ambient.physics.sense import Sense, apart
from mri_ambient.physics.solvers import data_consistency

NEAR_EDGE = (
    0.25  # of the field of view, from its middle on: only an object half as wide again would fold onto the inner half
)
START_ORDER, START_WEIGHT, START_STEP = 8, 1e-5, 4  # half periods; of the roughness; of the pixels that are asked
ROUGHNESS, STAY = (
    10,
    1.0,
)  # weight of the roughness, over one set's; of the distance from the start, over the data's own
ROUNDS = 2  # more change nothing
IMAGE_WEIGHT, IMAGE_STEPS = 1e-2, 10
CHANCE = 1.1  # held-out lines are few: far better maps may predict them some per cent worse; wrong ones, by half
ALIKE = 0.05  # what the second map has to have beside the first

KSpace = Complex[Tensor, "coil y x"]
Sets = Complex[Tensor, "set coil y x"]
Mask = Bool[Tensor, "#y x"]
Series = Complex[Tensor, "coil p q"]


def refine_sets(kspace: KSpace, mask: Mask, maps: Sets, noise_std: float, acs: tuple[int, int]) -> Sets:
    """Both maps of one slice, refined unless that predicts held-out lines worse; then ``maps`` itself, the same object.

    Starts from the smooth S nearest to what the ACS tells, S(y, x) to the first map where one explains a pixel, both to the
    plane of the two where two do; then alternates x = argmin ||M F sum_s S_s x_s - y||^2 + lambda ||x||^2 and the S of least
    misfit that is smooth and near the start. The rest is as in :func:`mri_ambient.data_prep.coils.refine.refine_maps`. The two
    maps are then made orthonormal: the first stays S(y, x), the second is what S(y, x +- 1) has beside it.
    """
    rows, columns = kspace.shape[-2:]
    matrix = min(rows, LARGEST_MATRIX), min(columns, LARGEST_MATRIX)
    gain = (matrix[0] * matrix[1] / (rows * columns)) ** 0.5
    inner, noise_std = resize_kspace(kspace, matrix), max(noise_std * gain, SMALLEST_NOISE)
    measured = resize_mask(mask, rows, matrix)
    shown = shown_samples(measured, acs)
    hidden = measured & ~shown
    estimated = espirit(inner, acs, noise_std, sets=2, crop=CROP)
    if not hidden.any():
        return maps
    start = _start(inner, estimated, espirit(inner, acs, noise_std, sets=2, crop=SECOND), acs)
    support = _support(estimated)
    found = _alternate(inner, shown, start, support, noise_std)
    tried = _orthonormal(_sets(found, support), inner, acs)
    if not _missed(inner, shown, hidden, tried) < CHANCE * _missed(inner, shown, hidden, estimated):
        return maps
    found = _alternate(inner, measured, start, support, noise_std)
    return _orthonormal(_sets(found, _support(maps)), kspace, acs)


def _support(maps: Sets) -> Bool[Tensor, "set y x"]:
    """Where the first map is; the second only where an object may fold to."""
    first = (maps[0] != 0).any(0)
    columns = first.shape[-1]
    across = (torch.arange(columns) - columns // 2).abs() / columns
    return torch.stack([first, first & (across > NEAR_EDGE)])


def _start(kspace: KSpace, estimated: Sets, sure: Sets, acs: tuple[int, int]) -> Series:
    """The smooth S nearest to the maps of the ACS, weighted by its image; ``sure``: the second map only where there are two.

    argmin_S sum w |S(y, x) - e_1|^2 where one map explains a pixel, + sum w |(1 - P) S|^2 at every place of it, P the
    projection onto its maps, + START_WEIGHT times the roughness.
    """
    rows, columns = kspace.shape[-2:]
    step = (..., slice(START_STEP // 2, None, START_STEP), slice(START_STEP // 2, None, START_STEP))
    functions, roughness = _basis(rows, columns, START_ORDER)
    here, there = functions[step].flatten(2)
    energy = ifft2c(only_acs(kspace, calibration_box(acs))).abs().square().sum(0)
    both = torch.stack([estimated[0], sure[1] * _support(estimated)[1]])[step].flatten(2)
    seen, folds = (both != 0).any(1)
    weight = energy[step].flatten() / energy.mean()
    alone = weight * (seen & ~folds)
    coils, pixels, count = both.shape[1], both.shape[2], len(here)
    beside = torch.eye(coils) - torch.einsum("scn,sdn->ncd", both, both.conj())
    normal = torch.zeros(coils, count, coils, count, dtype=torch.complex64)
    for functions, weights in ((here, weight * seen), (there, weight * folds)):
        for coil in range(coils):
            normal[coil] += (functions[:, None] * (weights[:, None] * beside[:, coil]).T) @ functions.T
    for coil in range(coils):
        normal[coil, :, coil] += (here * alone) @ here.T
    normal = normal.view(coils * count, coils * count)
    normal += torch.diag((START_WEIGHT * pixels * roughness).repeat(coils))
    found = torch.linalg.solve(normal, (both[0] * alone @ here.T).flatten())
    return _series(found.view(coils, count), START_ORDER)


def _alternate(kspace: KSpace, mask: Mask, start: Series, support: Tensor, noise_std: float) -> Series:
    """Images and maps in turn."""
    rows, columns = kspace.shape[-2:]
    functions, roughness = _basis(rows, columns, ORDER)
    vertical, horizontal, _ = _places(ORDER)
    everywhere, found = mask.expand(rows, columns), start
    for _ in range(ROUNDS):
        images = apart(_images(kspace, mask, _sets(found, support)), 2)
        model = fft2c((functions * images[:, None]).sum(0))[:, everywhere]
        normal = model.conj() @ model.T
        stay = STAY * normal.diagonal().real
        explained = model.conj() @ kspace[:, everywhere].T + stay[:, None] * start[:, vertical, horizontal].T
        normal += torch.diag(2 * noise_std**2 * ROUGHNESS * roughness + stay)
        found = _series(torch.linalg.solve(normal, explained).T, ORDER)
    return found


def _sets(series: Series, support: Bool[Tensor, "set y x"]) -> Sets:
    """S at both places of each pixel, each of unit norm."""
    rows, columns = support.shape[-2:]
    down = cosines(rows).to(series)
    maps = torch.stack([down.T @ series @ across.to(series) for across in _across(columns, ORDER)])
    return torch.where(support[:, None], maps / maps.norm(dim=1, keepdim=True).clamp_min(1e-12), 0)


def _series(values: Complex[Tensor, "coil k"], order: int) -> Series:
    """Coefficients at their places, of ORDER and 2 ORDER half periods."""
    vertical, horizontal, _ = _places(order)
    table = values.new_zeros(len(values), ORDER, 2 * ORDER)
    table[:, vertical, horizontal] = values
    return table


def _orthonormal(maps: Sets, kspace: KSpace, acs: tuple[int, int]) -> Sets:
    """The first, and what the second has beside it; the principal virtual coil of the centre is real in both."""
    first, second = maps
    second = second - first * (first.conj() * second).sum(0)
    norm = second.norm(dim=0)
    maps = torch.stack([first, torch.where(norm > ALIKE, second / norm.clamp_min(ALIKE), 0)])
    reference = principal_coil(box_of(kspace, calibration_box(acs)))
    return maps * torch.exp(-1j * (reference.conj()[:, None, None] * maps).sum(1, keepdim=True).angle())


def _images(kspace: KSpace, mask: Mask, maps: Sets) -> Complex[Tensor, "v x"]:
    sense = Sense(torch.cat(list(maps), -2), mask, 2)
    return data_consistency(sense, sense.apply_mask(kspace), None, IMAGE_WEIGHT, IMAGE_STEPS)


def _missed(kspace: KSpace, shown: Mask, hidden: Mask, maps: Sets) -> float:
    """The energy of the hidden samples that CG-SENSE of the shown ones misses."""
    sense = Sense(torch.cat(list(maps), -2), hidden, 2)
    return float((sense(_images(kspace, shown, maps)) - sense.apply_mask(kspace)).abs().square().sum())


@lru_cache(4)
def _basis(rows: int, columns: int, order: int) -> tuple[Complex[Tensor, "set k y x"], Float[Tensor, " k"]]:
    """The functions of S at both places of each pixel, and their roughness."""
    down, across = cosines(rows)[:order], torch.stack(_across(columns, order))
    vertical, horizontal, squares = _places(order)
    return (down[vertical][:, :, None] * across[:, horizontal][:, :, None]).to(torch.complex64), _roughness(squares)


def _places(order: int) -> tuple[Tensor, Tensor, Tensor]:
    """Half periods of each function along y, over two fields of view along x, and their square over one."""
    places = torch.cartesian_prod(torch.arange(order), torch.arange(2 * order))
    squares = places[:, 0] ** 2 + (places[:, 1] / 2) ** 2
    kept = squares < order**2
    return places[kept, 0], places[kept, 1], squares[kept]


def _roughness(squares: Tensor) -> Tensor:
    return SMOOTHNESS[0] * (1 + squares) ** SMOOTHNESS[1]


def _across(columns: int, order: int) -> tuple[Tensor, Tensor]:
    """cos(pi k (u + 1/2) / 2), [k, x], at u = x from 0 to 1 and at the place that folds onto it."""
    here = (torch.arange(columns) - columns // 2) / columns + 0.5
    there = torch.where(here < 0.5, here + 1, here - 1)
    waves = math.pi / 2 * torch.arange(2 * order)[:, None]
    return torch.cos(waves * (here + 0.5)), torch.cos(waves * (there + 0.5))
