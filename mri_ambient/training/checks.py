"""What training data must have, checked before the first step: errors that stop a run, warnings that tell why it can't work."""

from collections.abc import Iterator

import torch
from torch import Generator

from mri_ambient.errors import UserError
from mri_ambient.physics.mask_kinds.registry import MASK_KINDS
from mri_ambient.physics.masks import measured_probability, remove_lines
from mri_ambient.training.data import MeasuredSlices

LOOKED_AT = 500  # slices, spread over all


def check_noise_levels(data: MeasuredSlices, loss: str) -> None:
    """Raises UserError if a volume's noise level is unknown, which that loss can't do without."""
    for path, sampling in data.volumes.items():
        if not (sampling.noise_std.isfinite() & (sampling.noise_std > 0)).all():
            raise UserError(
                f"{path}: states no noise level, which --loss {loss} needs; prepare it from a scan with noise samples or "
                "a readout that ends in air, or train with --loss weighted"
            )


def check_complete(data: MeasuredSlices, loss: str) -> None:
    """Raises UserError if a volume is undersampled, or lacks rows: that loss would take what was not measured for 0."""
    for path, sampling in data.volumes.items():
        if not (sampling.mask.any(-2) | ~sampling.acquired).all():
            raise UserError(
                f"{path}: is undersampled, and --loss {loss} learns from complete scans; prepare those without --accel, or "
                "train with --loss weighted"
            )
        if not sampling.mask.any(-1).all():
            raise UserError(
                f"{path}: has rows that no readout fills, and --loss {loss} learns from complete scans; train with --loss "
                "weighted"
            )


def check_measured_lines(data: MeasuredSlices) -> None:
    """Raises UserError if a slice has lines that masks of the stated kind can't have together with the others (q = 0)."""
    for path, index in spread(data):
        sampling = data.volumes[path]
        mask, acs = data.mask_of(path, index).any(-2), sampling.acs[1]
        generator = Generator().manual_seed(index)
        further = remove_lines(mask, acs, max(1, (int(mask.sum()) - acs) // 2), generator)
        q = measured_probability(data.kind, further, acs, int(mask.sum()), sampling.acquired)
        impossible = (mask & (q <= 0)).nonzero().flatten().tolist()
        if impossible:
            raise UserError(
                f"{path}: slice {index} has line {impossible[0]}, which a mask of kind {data.kind} with its other lines can't "
                "have (q = 0); train with the --mask kind it was drawn by, or with --mask random"
            )


def identifiability(data: MeasuredSlices) -> Iterator[str]:
    """One sentence for each reason why the masks can't teach the whole image.

    What no scan measures, no scan can teach; and ambient learning needs every line to have a chance of being measured given
    the lines that are shown (E[A^T A | A~] of full rank; Daras et al., 2023, theorem 4.2).
    """
    places = spread(data)
    masks = {place: data.mask_of(*place) for place in places}
    empty = [int((~mask.any(-1)).sum()) for mask in masks.values()]
    if any(empty):
        yield (
            f"{sum(map(bool, empty))} of {len(empty)} slices looked at have rows that no readout fills (padding, an asymmetric "
            f"echo), up to {max(empty)}: their losses teach nothing of these rows; add scans whose readouts are whole"
        )
    by_width: dict[int, list[tuple]] = {}
    for (path, _), mask in masks.items():
        by_width.setdefault(mask.shape[-1], []).append((mask.any(-2), data.volumes[path].acquired))
    for width, pairs in by_width.items():
        measured = torch.stack([mask for mask, _ in pairs]).any(0)
        acquired = torch.stack([lines for _, lines in pairs]).any(0)
        never = int((acquired & ~measured).sum())
        if never:
            why = "all have the same mask" if len({tuple(m.tolist()) for m, _ in pairs}) == 1 else "too few masks"
            yield (
                f"{never} of {int(acquired.sum())} lines (of scans {width} columns wide) are measured in none of {len(pairs)} "
                f"slices looked at ({why}): nothing can be learned of them; add scans whose masks have other lines"
            )
    if MASK_KINDS[data.kind].gives_away and any(not mask.any(-2).all() for mask in masks.values()):
        yield (
            f"{data.kind}: the lines that are shown give away which others were measured, so that the rest (q = 0) is taught "
            "by no slice with the same offset; random or gaussian masks teach every line"
        )


def spread(data: MeasuredSlices) -> list[tuple]:
    """At most LOOKED_AT slices, evenly spread: (path, index)."""
    places = [place for group in data.groups.values() for place in group]
    return places[:: -(-len(places) // LOOKED_AT)]
