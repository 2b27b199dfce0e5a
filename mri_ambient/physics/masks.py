"""Masks with an exact count, their further removal, and how likely a line is to be measured.

The autocalibration lines (ACS) in the centre are always kept. The other lines are chosen among the *acquired* columns
(zero-padded phase encodes are never chosen); accel R means floor(acquired / R) lines in all. For 2-D masks (`poisson`) read
samples for lines. A kind of mask is an object of `physics.mask_kinds`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from mri_ambient.physics.acs import acs_mask
from mri_ambient.physics.mask_kinds.kind import LineMask
from mri_ambient.physics.mask_kinds.registry import MASK_KINDS
from mri_ambient.physics.seeds import seed_of


def line_count(acquired: int, accel: float) -> int:
    """How many of ``acquired`` lines an acceleration keeps, ACS included."""
    return int(acquired / accel + 1e-9)


def realised_accel(mask: LineMask, acquired: LineMask) -> float:
    """Acquired lines per measured line."""
    return acquired.sum().item() / mask.sum().item()


def line_mask(kind: str, accel: float, acs: int, acquired: LineMask, generator: Generator) -> LineMask:
    """Draw a mask of exactly ``line_count`` lines.

    Args:
        kind: one of MASK_KINDS, of lines.
        accel: R.
        acs: central lines that are kept.
        acquired: bool [x], the columns that are not padding: lines are drawn from these.
        generator: on the CPU.

    Raises:
        ValueError: R asks for fewer lines than the ACS has, or the kind is not one of lines.
        UserError: there is no such kind.
    """
    if not MASK_KINDS[kind].lines:
        raise ValueError(f"{kind} masks are not made of lines")
    return _draw(kind, accel, (1, acs), acquired, 1, generator)[0]


def slice_mask(
    volume: str, slice_index: int, kind: str, accel: float, acs: tuple[int, int], acquired: LineMask, rows: int
) -> Bool[Tensor, "#y x"]:
    """The one mask of a slice at one acceleration, the same wherever and whenever it is drawn; one row for line masks.

    acs: rows and columns of the centre that is kept; a line mask keeps all rows of it.
    """
    generator = Generator().manual_seed(seed_of(volume, slice_index, accel, kind))
    return _draw(kind, accel, acs, acquired, rows, generator)


def _draw(
    kind: str, accel: float, acs: tuple[int, int], acquired: LineMask, rows: int, generator: Generator
) -> Bool[Tensor, "#y x"]:
    if accel < 1:
        raise ValueError(f"acceleration {accel:g} is below 1")
    found, places = MASK_KINDS[kind], int(acquired.sum())
    count = line_count(places if found.lines else places * rows, accel)
    if found.lines and count < acs[1]:
        raise ValueError(f"R={accel:g} leaves {count} of {places} lines, fewer than the {acs[1]} ACS lines")
    return found.draw(count, acs, acquired, rows, generator)


def measured_band(mask: Bool[Tensor, "*batch y x"]) -> Bool[Tensor, " y"] | None:
    """The rows that every measured line fills, adjoining ones: all of them, or fewer where readouts are padded or asymmetric.

    None if samples are scattered. Of a line mask's one row, that row.
    """
    rows = mask.any(-1).reshape(-1, mask.shape[-2]).any(0)
    adjoining = int(rows.diff().sum()) + int(rows[0]) + int(rows[-1]) == 2
    return rows if adjoining and bool((mask == (rows[:, None] & mask.any(-2, keepdim=True))).all()) else None


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
    """q = P(line in M | M~), 1 on the lines of M~.

    Args:
        kind: one of MASK_KINDS that trains.
        further: M~, bool [x].
        acs: central lines that both keep.
        lines: of M, ACS included.
        acquired: bool [x], where M can have lines.

    Raises:
        ValueError: nobody knows q of this kind.
        UserError: there is no such kind.
    """
    probability = MASK_KINDS[kind].probability
    if probability is None:
        raise ValueError(f"{kind} masks have no known probability of a line")
    return probability(further, acs, lines, acquired)
