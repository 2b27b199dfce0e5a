"""2-D variable-density Poisson-disc masks: random samples that keep a distance, which grows away from the centre.

Drawn by throwing darts, a few too many, which are then thinned to the exact count.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from mri_ambient.physics.acs import centre_box

SLOPE = 2.0  # samples are 1 + SLOPE * rho times as far apart as in the centre; rho is 1 in the middle of an edge
SURPLUS = 1.05  # of the darts over the wanted count

Mask = Bool[Tensor, "y x"]


def poisson_disc_mask(
    count: int, acs: tuple[int, int], rows: int, acquired: Bool[Tensor, " x"], generator: Generator
) -> Mask:
    """Exactly ``count`` samples of the acquired columns, the centre of ``acs`` rows and columns among them.

    Raises ValueError if that centre has more samples than ``count``, or the matrix fewer.
    """
    columns = len(acquired)
    centre = centre_box(acs, rows, columns) & acquired
    places = (acquired & ~centre).flatten().nonzero().squeeze(1).numpy()
    wanted = count - int(centre.sum())
    if not 0 <= wanted <= len(places):
        raise ValueError(f"{count} samples are fewer than the {int(centre.sum())} of the ACS")
    mask = centre.clone()
    if wanted == len(places):
        return acquired.expand(rows, columns).clone()
    spacing = _spacing_for(round(wanted * SURPLUS), acs, rows, tuple(acquired.tolist()))
    darts = np.empty(0, int)
    while len(darts) < wanted:
        order = places[torch.randperm(len(places), generator=generator).numpy()]
        darts = _throw(spacing * relative_spacing(rows, columns), order)
    kept = torch.randperm(len(darts), generator=generator)[:wanted].numpy()
    mask.view(-1)[torch.from_numpy(darts[kept])] = True
    return mask


def relative_spacing(rows: int, columns: int) -> Float[np.ndarray, "y x"]:
    """How far apart samples are, relative to the centre of k-space."""
    y = (np.arange(rows) - rows // 2) / (rows / 2)
    x = (np.arange(columns) - columns // 2) / (columns / 2)
    return 1 + SLOPE * np.hypot(y[:, None], x)


@lru_cache
def _spacing_for(wanted: int, acs: tuple[int, int], rows: int, acquired: tuple[bool, ...]) -> float:
    """The largest distance in the centre, in samples, at which ``wanted`` darts still fit: bisection, one fixed order."""
    columns = torch.tensor(acquired)
    places = (columns & ~centre_box(acs, rows, len(acquired))).flatten().nonzero().squeeze(1)
    order = places[torch.randperm(len(places), generator=Generator().manual_seed(0))].numpy()
    relative = relative_spacing(rows, len(acquired))
    low, high = 0.0, float(max(rows, len(acquired)))
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if len(_throw(middle * relative, order)) >= wanted else (low, middle)
    return low


def _throw(spacing: Float[np.ndarray, "y x"], order: np.ndarray) -> np.ndarray:
    """Of the places (flat indices) in ``order``, those that are not too close to an earlier one."""
    blocked = np.zeros(spacing.shape, bool)
    flat = blocked.reshape(-1)
    columns = spacing.shape[1]
    kept = []
    for place in order:
        if not flat[place]:
            y, x = divmod(int(place), columns)
            _block(blocked, y, x, spacing)
            kept.append(place)
    return np.array(kept, int)


def _block(blocked: np.ndarray, y: int, x: int, spacing: Float[np.ndarray, "y x"]) -> None:
    """Mark what is closer to (y, x) than the smaller distance of the two: a rule that doesn't ask which came first."""
    reach = int(np.ceil(spacing[y, x]))
    top, left = max(0, y - reach), max(0, x - reach)
    here = slice(top, y + reach + 1), slice(left, x + reach + 1)
    rows, columns = np.ogrid[here[0].start - y : here[0].stop - y, here[1].start - x : here[1].stop - x]
    squared = (rows**2 + columns**2)[: blocked.shape[0] - top, : blocked.shape[1] - left]
    blocked[here] |= squared < np.minimum(spacing[here], spacing[y, x]) ** 2
