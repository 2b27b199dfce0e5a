"""What was measured: whole lines, a band of each readout, or samples scattered; and what is padding or left-over."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mri_ambient.data_prep.scan import Source
from mri_ambient.errors import UserError
from mri_ambient.physics.masks import measured_band

WHOLE = 0.9  # of a line's samples: the rest may be 0 by chance, as integer data have it
RIM = 0.02  # of the rows: an export's first and last samples may be 0
FAINT, UNCLEAR = 30.0, 5.0  # times: between the faintest measured line and what is noise of the computer's
PEAKED = 3.0  # times the mean: the brightest line of k-space, in energy
FEW = 0.05  # of the lines
WIDE = 3  # times the widest gap between measured lines: empty edges that are padding; twice that where it is one edge alone

Mask = Bool[Tensor, "y x"]


@dataclass(frozen=True)
class Leftovers:
    """Where k-space is kept, [y, x], and what is said of the rest."""

    kept: Mask
    note: str


def find_leftovers(source: Source, power: Float[Tensor, "slice y x"]) -> Leftovers | None:
    """Lines, rows or samples whose values are not 0 but far below all others': nobody measured them. None if there are none.

    Raises UserError where they are below the noise of others, yet not by far.
    """
    total = power.sum(0)
    for axis, what in ((0, "columns"), (1, "rows")):
        level = total.mean(axis).sqrt()
        low, times = _faint(level)
        if low is None:
            continue
        count, kept = int(low.sum()), ~low
        inside = kept.nonzero()
        between = bool(low[int(inside.min()) : int(inside.max())].any())
        if (between and times > FAINT) or times > FAINT**2:
            note = (
                f"{count} {what} hold values {times:.1g} times smaller than all others: they are taken for unmeasured"
            )
            return Leftovers((kept[None] if axis == 0 else kept[:, None]).expand(total.shape), note)
        peaked = bool(
            level.square().max() > PEAKED * level[kept].square().mean()
        )  # else it is no k-space that is known
        if between and times > UNCLEAR and peaked:
            raise UserError(
                f"{source}: {count} of {len(level)} {what} are {times:.0f} times weaker than all others, too weak to be "
                "measured and too strong to be nothing; set what was not measured to 0, or give a `mask`"
            )
    low, times = _faint(total.flatten().sqrt())
    if low is not None and times > FAINT:
        note = f"{int(low.sum())} samples hold values {times:.1g} times smaller than all others: they are taken for unmeasured"
        return Leftovers(~low.view(total.shape), note)
    return None


def _faint(level: Float[Tensor, " n"]) -> tuple[Bool[Tensor, " n"] | None, float]:
    """The lower of two groups of positive levels, and the widest ratio of two neighbours, which parts them."""
    ordered = level[level > 0].sort().values
    fewest = max(2, int(FEW * len(ordered)))
    if len(ordered) < 4 * fewest:
        return None, 1.0
    ratios = ordered[1:] / ordered[:-1]
    ratios[: fewest - 1] = ratios[len(ratios) - fewest + 1 :] = 0
    index = int(ratios.argmax())
    return (level > 0) & (level <= ordered[index]), float(ratios[index])


@dataclass(frozen=True)
class Sampled:
    """mask: ``[x]`` as one row, or [y, x]. by_row: whole lines are measured along x, some of them not at all."""

    mask: Bool[Tensor, "#y x"]
    by_row: bool = False


def find_sampling(measured: Mask) -> Sampled:
    """One row if whole lines are measured, a band of rows if a part of each readout is; a stray zero doesn't matter."""
    rows, lines = measured.any(1), measured.any(0)
    inside = measured[rows][:, lines].float()
    if not bool((inside.mean(0) > WHOLE).all() and (inside.mean(1) > WHOLE).all()):
        whole = bool((measured[:, lines].float().mean(0) > WHOLE).all())
        return Sampled(lines[None] if whole else measured)
    if not _contiguous(rows):
        return Sampled(measured, by_row=_contiguous(lines))
    return Sampled(lines[None] if rows.float().mean() > 1 - RIM else rows[:, None] & lines)


def without_padding(acquired: Bool[Tensor, " x"], mask: Bool[Tensor, "#y x"], known: bool) -> Bool[Tensor, " x"]:
    """Empty columns at the edges are padding, not left out by the sampling: of a k-space that is complete between them, or,
    unless the file says (``known``), where they are far wider than any gap between lines (or wider, if rows are padded)."""
    lines = mask.any(0)
    found = lines.nonzero().flatten()
    first, last = int(found.min()), int(found.max())
    inside = torch.zeros_like(acquired)
    inside[first : last + 1] = True
    rows = measured_band(mask)
    if rows is None:
        return acquired
    if bool(lines[inside].all()):
        return acquired & inside
    if known:
        return acquired
    gap = int(found.diff().max()) - 1
    edges = first, len(lines) - 1 - last
    wide = 1 if not rows.all() and is_padding(rows) else WIDE if min(edges) > WIDE * gap else 2 * WIDE
    inside[: last + 1 if edges[0] <= wide * gap else 0] = True
    inside[first if edges[1] <= wide * gap else len(lines) :] = True
    return acquired & inside


def notes_of(acquired: Bool[Tensor, " x"], mask: Bool[Tensor, "#y x"]) -> tuple[str, ...]:
    """What of the matrix nobody meant to measure: padding, an asymmetric echo, partial Fourier."""
    rows = measured_band(mask)
    parts = ((rows, "rows", "an asymmetric echo"), (acquired, "columns", "partial Fourier"))
    notes = []
    for counted, what, one_sided in parts:
        if counted is not None and not counted.all():
            inside = counted.nonzero()
            first, last, size = int(inside.min()), int(inside.max()), len(counted)
            name = "padding" if is_padding(counted) else one_sided
            notes.append(f"{what} {first} to {last} of {size} hold all that was measured ({name}): R counts only those")
    return tuple(notes)


def is_padding(counted: Bool[Tensor, " n"]) -> bool:
    """Whether what is ``counted`` lies in the middle; else one side of k-space was not acquired."""
    inside = counted.nonzero()
    before, after = len(counted) // 2 - int(inside.min()), int(inside.max()) - len(counted) // 2
    return min(before, after) + 2 >= 0.85 * max(before, after)


def _contiguous(which: Bool[Tensor, " n"]) -> bool:
    found = which.nonzero()
    return bool(which[int(found.min()) : int(found.max()) + 1].all())
