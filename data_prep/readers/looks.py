"""What is seen on k-space before any work: what can be mended without doubt is mended and noted, the rest is refused."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.data_prep.readers.centre import check_is_kspace, find_centre, find_half_turn
from mri_ambient.data_prep.readers.sampling import find_leftovers, find_sampling
from mri_ambient.data_prep.scan import Source
from mri_ambient.errors import UserError


@dataclass(frozen=True)
class Raw:
    """An array and what lies beside it, as stored at first.

    mask: the file's own, if it has one. reference: lines of a reference scan, which goes where k-space goes. has_maps: whether
    it has sensitivity maps, of which ``turned`` says to transpose them.
    """

    source: Source
    kspace: Complex[Tensor, "slice coil y x"]
    mask: Bool[Tensor, "#y x"] | None
    reference: Complex[Tensor, "slice coil y x"] | None = None
    has_maps: bool = False
    turned: bool = False
    notes: tuple[str, ...] = ()

    @property
    def power(self) -> Float[Tensor, "slice y x"]:
        """Summed over coils; slice by slice, for the temporaries would be as large as the volume."""
        return torch.stack([image.abs().square().sum(0) for image in self.kspace])

    def moved(self, move: Callable[[Tensor], Tensor], note: str) -> "Raw":
        """``move`` done to k-space and to the reference scan."""
        reference = None if self.reference is None else move(self.reference)
        return self.noting(note, kspace=move(self.kspace), reference=reference)

    def noting(self, note: str, **changes: object) -> "Raw":
        return replace(self, notes=(*self.notes, note), **changes)


def look(raw: Raw) -> Raw:
    """Left-overs in unmeasured lines, images in place of k-space, DC out of the middle, lines along x. Raises UserError."""
    power = raw.power
    if raw.mask is None and (leftovers := find_leftovers(raw.source, power)):
        kspace = torch.where(leftovers.kept, raw.kspace, 0)
        raw, power = raw.noting(leftovers.note, kspace=kspace), power * leftovers.kept
    check_is_kspace(raw.source, raw.kspace[int(power.sum((1, 2)).argmax())])
    centre = find_centre(raw.source, power if raw.mask is None else power * raw.mask)
    axes = [axis - 2 for axis in (0, 1) if centre.roll[axis]]
    if axes:
        raw, power = raw.moved(partial(_rolled, axes=axes), centre.note), _rolled(power, axes)
        raw = replace(raw, mask=None if raw.mask is None else _rolled(raw.mask, axes))
    if find_sampling((power > 0).any(0)).by_row:
        mask = raw.mask
        if mask is not None and len(mask) > 1:  # one of lines stays one of lines
            mask = mask.mT[:1] if bool((mask == mask[:, :1]).all()) else mask.mT
        note = "its lines run along x: k-space is turned, and so are images of it (transposed)"
        raw = replace(raw.moved(lambda array: array.mT.contiguous(), note), mask=mask, turned=True)
    return raw


def in_one_piece(raw: Raw, mask: Bool[Tensor, "#y x"]) -> Raw:
    """Without the alternating sign that shifts images by half a field of view. mask: what was measured. Raises UserError."""
    shape = raw.kspace.shape[-2:]
    for axis, found in zip((-2, -1), find_half_turn(raw.kspace, mask.expand(shape)), strict=True):
        if not found:
            continue
        if raw.has_maps:
            raise UserError(
                f"{raw.source}: the object lies across the image's edge, half a field of view off, and whether `sens_maps` do "
                "can't be told; multiply k-space by (-1)^(y + x), or remove the maps"
            )
        sign = 1 - 2 * ((torch.arange(shape[axis]) - shape[axis] // 2) % 2).float()
        name, sign = "yx"[axis], sign if axis == -1 else sign[:, None]
        note = f"images lay half a field of view off along {name}: k-space is multiplied by (-1)^{name}"
        raw = raw.moved(partial(torch.mul, sign), note)
    return raw


def _rolled(array: Tensor, axes: list[int]) -> Tensor:
    return array.roll([array.shape[axis] // 2 for axis in axes], axes)
