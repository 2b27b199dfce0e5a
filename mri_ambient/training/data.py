"""Batches for training. Each slice keeps one measured mask M for ever; unmeasured samples are dropped as they are read."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement
from mri_ambient.physics.fourier import fft2c, fftc, ifftc
from mri_ambient.physics.masks import slice_mask
from mri_ambient.physics.seeds import seed_of
from mri_ambient.physics.sense import Sense, apart, sense_of, whole_image
from mri_ambient.store import dataset, read_sampling, read_slice, read_subject


@dataclass(frozen=True)
class Batch:
    """Measured k-space (0 elsewhere), the maps, the mask M of what was measured, and where M could have had lines.

    noise_std: of a real component of a k-space sample, 0 where images are taken for the truth. All slices have as many sets of
    maps, one under the other.
    """

    kspace: Complex[Tensor, "batch coil y x"]
    maps: Complex[Tensor, "batch coil v x"]
    mask: Bool[Tensor, "batch 1 x"]
    acquired: Bool[Tensor, "batch x"]
    noise_std: Float[Tensor, " batch"]
    acs: tuple[int, ...]
    names: tuple[str, ...]

    def sense(self, mask: Bool[Tensor, "batch 1 x"]) -> Sense:
        """The forward model behind ``mask``."""
        return sense_of(self.kspace, self.maps, mask)

    @property
    def measurement(self) -> Measurement:
        """As samplers and denoisers take it."""
        return Measurement(self.kspace, self.sense(self.mask), self.noise_std, self.acs, self.names, self.acquired)

    def random_phase(self, generator: Generator) -> "Batch":
        """Each slice times one random phase: a scan's phase is known only up to a constant."""
        angle = 2 * torch.pi * torch.rand(len(self.kspace), 1, 1, 1, generator=generator)
        return self._with(self.kspace * torch.exp(1j * angle), self.maps)

    def strip(self, axis: int, size: int, generator: Generator) -> "Batch":
        """A random part of the field of view along an ``axis`` that is fully sampled.

        The Fourier transform over a fully sampled axis commutes with the mask, so the strip is a scan of its own, measured
        by the same lines: no approximation.
        """
        length = self.kspace.shape[axis]
        start = int(torch.randint(length - size + 1, (1,), generator=generator))
        hybrid = ifftc(self.kspace, (axis,)).narrow(axis, start, size)
        sets = apart(self.maps, self.sense(self.mask).sets).narrow(axis, start, size)
        return self._with(fftc(hybrid, (axis,)), sets.flatten(-3, -2))

    def part(self, rank: int, count: int) -> "Batch":
        """Every ``count``-th slice, from ``rank`` on."""
        tensors = {key: getattr(self, key)[rank::count] for key in TENSORS}
        return replace(self, **tensors, acs=self.acs[rank::count], names=self.names[rank::count])

    def to(self, device: torch.device) -> "Batch":
        return replace(self, **{key: getattr(self, key).to(device) for key in TENSORS})

    def _with(self, kspace: Tensor, maps: Tensor) -> "Batch":
        columns = slice(None) if kspace.shape[-1] == self.mask.shape[-1] else slice(kspace.shape[-1])
        return replace(self, kspace=kspace, maps=maps, mask=self.mask[..., columns], acquired=self.acquired[:, columns])


ENOUGH = 10  # subjects, to hold one out
TENSORS = ("kspace", "maps", "mask", "acquired", "noise_std")
Item = TypeVar("Item")


@runtime_checkable
class Slices(Protocol):
    """What the loop trains on."""

    def __len__(self) -> int: ...

    def batch(self, size: int, generator: Generator) -> Batch:
        """``size`` random slices of one shape."""
        ...


class MeasuredSlices:
    """The slices of prepared volumes, each behind its own mask M.

    A volume that is undersampled keeps its mask. Of a fully sampled one, each slice gets one mask for ever, drawn from a
    seed that depends on (volume, slice, R, kind) alone; with several ``accels`` each slice belongs to one of them.
    ``accels`` of (1,) gives everything that was measured. ``paths``: some volumes of the folder; None is all of them.
    Raises UserError if there is nothing to train on.
    """

    def __init__(self, folder: Path, accels: Sequence[float], kind: str, paths: Sequence[Path] | None = None):
        self.accels, self.kind = tuple(accels), kind
        self.paths = volumes_in(folder) if paths is None else list(paths)
        if not self.paths:
            raise UserError(f"{folder}: holds no prepared volume; make some with `mri-ambient prep FOLDER`")
        self.groups: dict[tuple[int, ...], list[tuple[Path, int]]] = defaultdict(list)  # by shape and sets of maps
        self.samplings = {path: read_sampling(path) for path in self.paths}
        for path, sampling in self.samplings.items():
            if sampling.mask.shape[1] != 1:
                raise UserError(
                    f"{path}: is sampled along both axes, and training takes line masks only; move it elsewhere"
                )
            slices, *shape = sampling.shape
            self.groups[(*shape, sampling.sets)] += [(path, i) for i in range(slices)]

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))

    def batch(self, size: int, generator: Generator) -> Batch:
        return stack([self.slice(*place) for place in pick(list(self.groups.values()), size, generator)])

    def slice(self, path: Path, index: int) -> Batch:
        """One slice as a batch of one."""
        sampling = self.samplings[path]
        mask = self.mask_of(path, index)
        kspace, maps = read_slice(path, index)
        return Batch(
            kspace=torch.where(mask, kspace, 0),
            maps=maps,
            mask=mask.view(1, 1, -1),
            acquired=sampling.acquired[None],
            noise_std=sampling.noise_std[index : index + 1],
            acs=(sampling.acs[1],),
            names=(f"{path} slice {index}",),
        )

    def mask_of(self, path: Path, index: int) -> Bool[Tensor, " x"]:
        """M of a slice."""
        sampling = self.samplings[path]
        own = sampling.mask[index, 0]
        if not (own | ~sampling.acquired).all():
            return own
        choice = seed_of(path.stem, index, 0, "which acceleration") % len(self.accels)
        accel = self.accels[choice]
        if accel == 1:
            return own
        try:
            return slice_mask(path.stem, index, self.kind, accel, sampling.acs, sampling.acquired, 1)[0]
        except ValueError as error:
            raise UserError(f"{path.stem}: {error}; ask for a smaller --accel") from error


def volumes_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.h5")) if folder.is_dir() else []


def split(folder: Path, share: float) -> tuple[list[Path], list[Path]]:
    """(for training, held out): about ``share`` of the subjects, chosen by a hash of who they are, so that more scans change
    nothing for those that are there. Where that chooses none of ENOUGH subjects or more, the one of the least hash is held out,
    unless ``share`` is 0; nothing is if that would leave nothing to train on.
    """
    drawn = {path: seed_of(read_subject(path), 0, 0, "held out") % 10_000 for path in volumes_in(folder)}
    limit = share * 10_000
    if share and len(set(drawn.values())) >= ENOUGH:
        limit = max(limit, min(drawn.values()) + 1)
    training = [path for path, number in drawn.items() if number >= limit]
    held_out = [path for path, number in drawn.items() if number < limit]
    return (training, held_out) if training else (held_out, [])


class WholeImages:
    """Complex images [draw, slice, y, x], each seen whole: what an ordinary (`image`) prior is trained on.

    A slice is seen as one of its draws, at random each time.
    """

    def __init__(self, folder: Path):
        self.paths = sorted(folder.glob("*.h5"))
        if not self.paths:
            raise UserError(f"{folder}: holds no images; reconstruct the training scans first")
        self.groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for path in self.paths:
            with h5py.File(path) as file:
                images = torch.from_numpy(np.asarray(dataset(file, "image")[:]))
            self.groups[tuple(images.shape[2:])] += images.unbind(1)

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))

    def batch(self, size: int, generator: Generator) -> Batch:
        drawn = pick(list(self.groups.values()), size, generator)
        images = torch.stack([d[int(torch.randint(len(d), (1,), generator=generator))] for d in drawn])
        sense = whole_image(images)
        mask = sense.mask.expand(size, 1, -1)
        silent = torch.zeros(size)
        return Batch(fft2c(images)[:, None], sense.maps, mask, mask[:, 0], silent, (0,) * size, ("image",) * size)


def pick(groups: Sequence[Sequence[Item]], size: int, generator: Generator) -> list[Item]:
    """``size`` random members of one group, which is drawn in proportion to its length."""
    chosen = int(torch.randint(sum(map(len, groups)), (1,), generator=generator))
    group = next(g for g, end in zip(groups, accumulate(map(len, groups)), strict=True) if chosen < end)
    return [group[i] for i in torch.randint(len(group), (size,), generator=generator).tolist()]


def stack(slices: Sequence[Batch]) -> Batch:
    """Slices of one shape as one batch."""
    return Batch(
        *(torch.cat([getattr(s, key) for s in slices]) for key in TENSORS),
        acs=tuple(s.acs[0] for s in slices),
        names=tuple(s.names[0] for s in slices),
    )
