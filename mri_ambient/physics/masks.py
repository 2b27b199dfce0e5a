"""Masks with an exact count, their further removal, and how likely a line is to be measured.

The autocalibration lines (ACS) in the centre are always kept. The other lines are chosen among the *acquired* columns
(zero-padded phase encodes are never chosen); accel R means floor(acquired / R) lines in all. For 2-D masks (`poisson`, see
``poisson_disc.py``) read samples for lines.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from mri_ambient.physics.fixed_count import draw_subset, inclusion_probability
from mri_ambient.physics.poisson_disc import poisson_disc_mask
from mri_ambient.physics.seeds import seed_of

LineMask = Bool[Tensor, " x"]
LINE_KINDS = ("random", "equispaced", "gaussian")
KINDS = (*LINE_KINDS, "poisson")
GAUSSIAN_WIDTH = 0.2  # standard deviation of the `gaussian` weights, of the number of columns


def acs_mask(columns: int, width: int) -> LineMask:
    """The ``width`` central lines of ``columns``, around DC at columns // 2."""
    if not 0 <= width <= columns:
        raise ValueError(f"{width} ACS lines do not fit in {columns} columns")
    start = columns // 2 - width // 2
    mask = torch.zeros(columns, dtype=torch.bool)
    mask[start : start + width] = True
    return mask


def line_count(acquired: int, accel: float) -> int:
    """How many of ``acquired`` lines an acceleration keeps, ACS included."""
    return int(acquired / accel + 1e-9)


def realised_accel(mask: LineMask, acquired: LineMask) -> float:
    """Acquired lines per measured line."""
    return acquired.sum().item() / mask.sum().item()


def line_mask(kind: str, accel: float, acs: int, acquired: LineMask, generator: Generator) -> LineMask:
    """Draw a mask of exactly ``line_count`` lines out of ``acquired``.

    random: outer lines uniformly without replacement (Aali et al., 2024). equispaced: one outer line every
    (outer / wanted) lines, from a random offset. gaussian: variable density, each set of outer lines with a probability
    proportional to the product of its lines' weights exp(-d^2 / 2 s^2), d the distance from the centre.
    Raises ValueError if R asks for fewer lines than the ACS has.
    """
    centre = acs_mask(len(acquired), acs)
    outer = (acquired & ~centre).nonzero().squeeze(1)
    if accel < 1:
        raise ValueError(f"acceleration {accel:g} is below 1")
    wanted = line_count(int(acquired.sum()), accel) - acs
    if wanted < 0:
        raise ValueError(
            f"R={accel:g} leaves {wanted + acs} of {int(acquired.sum())} lines, fewer than the {acs} ACS lines"
        )
    wanted = min(wanted, len(outer))
    if kind == "random":
        chosen = outer[torch.randperm(len(outer), generator=generator)[:wanted]]
    elif kind == "equispaced":
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        chosen = outer[_equispaced(len(outer), wanted, offset)[0]]
    elif kind == "gaussian":
        chosen = outer[draw_subset(_gaussian_log_weights(outer, len(acquired)), wanted, generator)]
    else:
        raise ValueError(f"mask kind {kind!r} is not one of {', '.join(LINE_KINDS)}")
    mask = centre & acquired
    mask[chosen] = True
    return mask


def slice_mask(
    volume: str, slice_index: int, kind: str, accel: float, acs: tuple[int, int], acquired: LineMask, rows: int
) -> Bool[Tensor, "#y x"]:
    """The one mask of a slice at one acceleration, the same wherever and whenever it is drawn; one row for line masks.

    acs: rows and columns of the centre that is kept; a line mask keeps all rows of it.
    """
    generator = Generator().manual_seed(seed_of(volume, slice_index, accel, kind))
    if kind == "poisson":
        return poisson_disc_mask(line_count(int(acquired.sum()) * rows, accel), acs, rows, acquired, generator)
    return line_mask(kind, accel, acs[1], acquired, generator)[None]


def measured_band(mask: Bool[Tensor, "*batch y x"]) -> Bool[Tensor, " y"] | None:
    """The rows that every measured line fills, adjoining ones: all of them, or fewer where readouts are padded or asymmetric.

    None if samples are scattered. Of a line mask's one row, that row.
    """
    rows = mask.any(-1).reshape(-1, mask.shape[-2]).any(0)
    adjoining = int(rows.diff().sum()) + int(rows[0]) + int(rows[-1]) == 2
    return rows if adjoining and bool((mask == (rows[:, None] & mask.any(-2, keepdim=True))).all()) else None


def _gaussian_log_weights(lines: Tensor, columns: int) -> Float[Tensor, " n"]:
    distance = (lines - columns // 2).double() / (GAUSSIAN_WIDTH * columns)
    return -0.5 * distance.square()


def _equispaced(outer: int, wanted: int, offsets: Float[Tensor, " n"]) -> Tensor:
    """Indices [n, wanted] into the outer lines for offsets in [0, 1)."""
    spacing = outer / max(wanted, 1)
    steps = torch.arange(wanted, dtype=torch.float64) + offsets[:, None]
    return (steps * spacing).long().clamp_max(outer - 1)


def remove_samples(
    mask: Bool[Tensor, "*shape"], centre: Bool[Tensor, "*shape"], removed: int, generator: Generator
) -> Bool[Tensor, "*shape"]:
    """M~: the mask less ``removed`` of its lines (or samples) outside the centre, uniformly drawn (Ambient Diffusion's A~)."""
    outer = (mask & ~centre).flatten().nonzero().squeeze(1)
    dropped = outer[torch.randperm(len(outer), generator=generator)[:removed]]
    further = mask.flatten().clone()
    further[dropped] = False
    return further.reshape(mask.shape)


def remove_lines(mask: LineMask, acs: int, removed: int, generator: Generator) -> LineMask:
    """M~ of a line mask; the ACS stays."""
    return remove_samples(mask, acs_mask(len(mask), acs), removed, generator)


def measured_probability(kind: str, further: LineMask, acs: int, lines: int, acquired: LineMask) -> Float[Tensor, " x"]:
    """q = P(line in M | M~) for a mask M of ``lines`` lines and its further removal M~.

    1 on the lines of M~. Elsewhere, for `random` masks, removed / (candidates): every line that M~ lacks is equally
    likely to have been one of the removed ones (Millard & Chiew, IEEE TCI 9:707, 2023, for a fixed count). For `gaussian`
    masks the removed ones are, given M~, again drawn by weight, and q is their inclusion probability. For `equispaced`
    masks, the share of the offsets that agree with M~ whose mask has the line: many lines have q = 0.
    """
    q = further.double()
    centre = acs_mask(len(further), acs)
    candidates = acquired & ~further
    if kind == "random":
        q[candidates] = (lines - int(further.sum())) / max(int(candidates.sum()), 1)
        return q.float()
    if kind == "gaussian":
        places = candidates.nonzero().squeeze(1)
        q[places] = inclusion_probability(_gaussian_log_weights(places, len(further)), lines - int(further.sum()))
        return q.float()
    outer = (acquired & ~centre).nonzero().squeeze(1)
    wanted = lines - int((centre & acquired).sum())
    # The mask is constant between the offsets at which one of its lines moves by one: take each interval's middle.
    edges = torch.arange(len(outer) + 1, dtype=torch.float64) * wanted / len(outer) % 1
    edges = torch.cat([edges, edges.new_tensor([0.0, 1.0])]).round(decimals=9).unique()
    masks = torch.zeros(len(edges) - 1, len(outer), dtype=torch.bool)
    masks.scatter_(1, _equispaced(len(outer), wanted, (edges[1:] + edges[:-1]) / 2), True)
    agreeing = (masks | ~further[outer]).all(1)
    share = torch.diff(edges) * agreeing
    q[outer] = (share @ masks.double()) / share.sum().clamp_min(1e-12)
    return q.float()
