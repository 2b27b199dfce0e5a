"""Measurements for training. Each slice keeps one measured mask M for ever; unmeasured samples are dropped as they are read."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import h5py
import numpy as np
import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement
from mri_ambient.physics.fourier import fft2c, fftc, ifftc
from mri_ambient.physics.masks import measured_band, slice_mask
from mri_ambient.physics.seeds import seed_of
from mri_ambient.physics.sense import Sense, apart, whole_image
from mri_ambient.store import Sampling, dataset, read_sampling, read_slice


def random_phase(measurement: Measurement, generator: Generator) -> Measurement:
    """Each slice times one random phase: a scan's phase is known only up to a constant."""
    angle = 2 * torch.pi * torch.rand(len(measurement), 1, 1, 1, generator=generator)
    return replace(measurement, kspace=measurement.kspace * torch.exp(1j * angle))


def strip(measurement: Measurement, axis: int, size: int, generator: Generator) -> Measurement:
    """A random part of the field of view along an axis that is fully sampled.

    The Fourier transform over a fully sampled axis commutes with the mask, so the strip is a scan of its own, measured
    by the same lines: no approximation. Readouts that fill only a band of rows have no such axis.

    Args:
        measurement: slices behind line masks of one row.
        axis: -2, the readout, or -1 if all lines are measured.
        size: of the part, in pixels.
        generator: on the CPU.
    """
    sense, length = measurement.sense, measurement.kspace.shape[axis]
    start = int(torch.randint(length - size + 1, (1,), generator=generator))
    hybrid = ifftc(measurement.kspace, (axis,)).narrow(axis, start, size)
    maps = apart(sense.maps, sense.sets).narrow(axis, start, size).flatten(-3, -2)
    columns = slice(hybrid.shape[-1])
    return replace(
        measurement,
        kspace=fftc(hybrid, (axis,)),
        operator=Sense(maps, sense.mask[..., columns], sense.sets),
        acquired=None if measurement.acquired is None else measurement.acquired[:, columns],
    )


def stack(measurements: Sequence[Measurement]) -> Measurement:
    """Slices of one shape and number of map sets as one measurement."""
    senses = [measurement.sense for measurement in measurements]
    acquired = [measurement.acquired for measurement in measurements if measurement.acquired is not None]
    return Measurement(
        torch.cat([measurement.kspace for measurement in measurements]),
        Sense(torch.cat([sense.maps for sense in senses]), torch.cat([sense.mask for sense in senses]), senses[0].sets),
        torch.cat([measurement.noise_std for measurement in measurements]),
        tuple(acs for measurement in measurements for acs in measurement.acs),
        tuple(name for measurement in measurements for name in measurement.names),
        torch.cat(acquired) if acquired else None,
    )


ENOUGH = 10  # subjects, to hold one out
Item = TypeVar("Item")
Key = TypeVar("Key")
Volumes = Mapping[Path, Sampling]
"""What is small of prepared volumes, by their files: read once a run."""


@runtime_checkable
class Slices(Protocol):
    """What the loop trains on."""

    def __len__(self) -> int: ...

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of a slice, where they differ those of one at random, the same each time."""
        ...

    def batch(self, size: int, generator: Generator) -> Measurement:
        """``size`` random slices of one shape."""
        ...


class MeasuredSlices:
    """The slices of prepared volumes, each behind its own mask M.

    A volume that is undersampled keeps its mask. Of a fully sampled one, each slice gets one mask for ever, drawn from a
    seed that depends on (volume, slice, R, kind) alone; with several ``accels`` each slice belongs to one of them. Where
    readouts fill only a band of rows (padding, an asymmetric echo), so does M.

    Args:
        volumes: of :func:`read_volumes`.
        accels: R; (1,) gives everything that was measured.
        kind: of the masks.

    Raises:
        UserError: a volume has samples scattered along both axes.
    """

    def __init__(self, volumes: Volumes, accels: Sequence[float], kind: str):
        self.volumes, self.accels, self.kind = volumes, tuple(accels), kind
        self.groups: dict[tuple[int, ...], list[tuple[Path, int]]] = defaultdict(list)  # what can be stacked
        for path, sampling in volumes.items():
            if measured_band(sampling.mask) is None:
                raise UserError(
                    f"{path}: is sampled along both axes, and training takes line masks only; move it elsewhere"
                )
            slices, *shape = sampling.shape
            self.groups[(*shape, sampling.sets, sampling.mask.shape[1])] += [(path, i) for i in range(slices)]

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))

    @property
    def matrix(self) -> tuple[int, int]:
        _, rows, columns, *_ = pick_group(self.groups, Generator().manual_seed(0))
        return rows, columns

    def batch(self, size: int, generator: Generator) -> Measurement:
        return stack([self.slice(*place) for place in pick(self.groups, size, generator)])

    def slice(self, path: Path, index: int) -> Measurement:
        """One slice behind its mask."""
        return self._behind(self.mask_of(path, index), path, index)

    def complete(self, path: Path, index: int) -> Measurement | None:
        """All that was measured of one slice, if that is every acquired line: of no use to training."""
        sampling = self.volumes[path]
        return self._behind(sampling.mask[index], path, index) if has_all_lines(sampling, index) else None

    def _behind(self, mask: Bool[Tensor, "#y x"], path: Path, index: int) -> Measurement:
        sampling = self.volumes[path]
        kspace, maps = read_slice(path, index)
        return Measurement(
            torch.where(mask, kspace, 0),
            Sense(maps, mask[None], sampling.sets),
            sampling.noise_std[index : index + 1],
            (sampling.acs[1],),
            (f"{path} slice {index}",),
            sampling.acquired[None],
        )

    def mask_of(self, path: Path, index: int) -> Bool[Tensor, "#y x"]:
        """M of a slice."""
        sampling = self.volumes[path]
        own = sampling.mask[index]
        if not has_all_lines(sampling, index):
            return own
        choice = seed_of(path.stem, index, 0, "which acceleration") % len(self.accels)
        accel = self.accels[choice]
        if accel == 1:
            return own
        try:
            return own & slice_mask(path.stem, index, self.kind, accel, sampling.acs, sampling.acquired, 1)
        except ValueError as error:
            raise UserError(f"{path.stem}: {error}; ask for a smaller --accel") from error


def has_all_lines(sampling: Sampling, index: int) -> bool:
    """Whether every acquired line of a slice is measured, in the rows that readouts fill."""
    return bool((sampling.mask[index].any(-2) | ~sampling.acquired).all())


def volumes_in(folder: Path) -> list[Path]:
    """The files of a folder of prepared volumes; none if there is no such folder."""
    return sorted(folder.glob("*.h5")) if folder.is_dir() else []


def read_volumes(folder: Path) -> Volumes:
    """What is small of all volumes of a folder. Raises UserError if there is none, or a file is not one."""
    paths = volumes_in(folder)
    if not paths:
        raise UserError(f"{folder}: holds no prepared volume; make some with `mri-ambient prep FOLDER`")
    return {path: read_sampling(path) for path in paths}


def split(volumes: Volumes, share: float) -> tuple[Volumes, Volumes]:
    """(for training, held out): about ``share`` of the subjects, chosen by a hash of who they are, so that more scans change
    nothing for those that are there. Where that chooses none of ENOUGH subjects or more, the one of the least hash is held out,
    unless ``share`` is 0; nothing is if that would leave nothing to train on.
    """
    drawn = {path: seed_of(sampling.subject, 0, 0, "held out") % 10_000 for path, sampling in volumes.items()}
    limit = share * 10_000
    if share and len(set(drawn.values())) >= ENOUGH:
        limit = max(limit, min(drawn.values()) + 1)
    training = {path: volumes[path] for path, number in drawn.items() if number >= limit}
    held_out = {path: volumes[path] for path, number in drawn.items() if number < limit}
    return (training, held_out) if training else (held_out, {})


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

    @property
    def matrix(self) -> tuple[int, int]:
        rows, columns = pick_group(self.groups, Generator().manual_seed(0))
        return rows, columns

    def batch(self, size: int, generator: Generator) -> Measurement:
        drawn = pick(self.groups, size, generator)
        images = torch.stack([d[int(torch.randint(len(d), (1,), generator=generator))] for d in drawn])
        sense = whole_image(images)
        sense = sense.with_mask(sense.mask.expand(size, 1, -1))
        return Measurement(fft2c(images)[:, None], sense, torch.zeros(size), (0,) * size, ("image",) * size)


def pick(groups: Mapping[Key, Sequence[Item]], size: int, generator: Generator) -> list[Item]:
    """``size`` random members of one group, which is drawn in proportion to its length."""
    group = groups[pick_group(groups, generator)]
    return [group[i] for i in torch.randint(len(group), (size,), generator=generator).tolist()]


def pick_group(groups: Mapping[Key, Sequence[Item]], generator: Generator) -> Key:
    """The key of one, drawn in proportion to its length."""
    chosen = int(torch.randint(sum(map(len, groups.values())), (1,), generator=generator))
    return next(key for key, end in zip(groups, accumulate(map(len, groups.values())), strict=True) if chosen < end)
