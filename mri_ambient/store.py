"""The prepared volume and its file: one writer, one reader.

Layout (HDF5, one file a scan; contract): ``kspace`` complex64 [slice, coil, y, x], normalised, 0 where nothing was measured;
``mask`` bool [slice, y or 1, x], what was measured; ``acquired`` bool [x], the columns that are not zero padding;
``sens_maps`` complex64 [slice, coil, y, x]; ``second_maps`` the same, absent where one set of maps is enough;
``scale`` and ``noise_std`` float32 [slice]; ``acs`` int [2], its rows and columns;
``coil_transform`` complex64 [slice, coil, receive coil], by which the scan's own coils became these; ``coil_return`` [slice,
receive coil, coil], by which these become what they keep of the scan's own, absent in older files; attributes: provenance.
Chunked by slice. The same measured samples give the same bytes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write, refuse_existing
from mri_ambient.physics.masks import measured_band
from mri_ambient.physics.sense import Sense, stacked

FORMAT = "mri-ambient prepared volume 2"
Json = dict[str, object]
"""An object of JSON."""


class Provenance(TypedDict):
    """How a volume was made.

    Attributes:
        source: the file's name, or that of arrays in memory.
        format: what the file was found to be.
        measured_sha256: of the measured samples and their mask.
        settings: of the preparation.
        maps: where they are from.
        refined_slices: of which the maps were refined.
        calibrated_on: rows and columns of the ACS, or a sentence.
        noise_from: where the noise level is from, in words.
        whitening: absent in older files; what was done to the coils' noise, in words.
        coils: received, and kept.
        coil_energy_kept: the least share over slices, of the ACS's energy.
        notes: sentences on what was odd and what was made of it.
        subject: a pseudonym of whose scan it is.
        field_of_view_mm: (y, x).
        simulated: whether no scanner measured it.
        geometry: where the slices lie, as JSON.
        version: of the package.
    """

    source: str
    format: str
    measured_sha256: str
    settings: Json
    maps: str
    refined_slices: NotRequired[list[int]]
    calibrated_on: list[int] | str
    noise_from: str
    whitening: NotRequired[str]
    coils: list[int]
    coil_energy_kept: NotRequired[float]
    notes: list[str]
    subject: str | None
    field_of_view_mm: tuple[float, float] | None
    simulated: bool
    geometry: NotRequired[Json | None]
    version: str


@dataclass(frozen=True)
class PreparedVolume:
    """A scan ready for training or reconstruction; k-space times ``scale`` is in the file's own units, its noise white.

    noise_std is the standard deviation of the real (and of the imaginary) part of the noise of one k-space sample, in
    normalised units; by orthonormality also that of a coil image's pixel.
    """

    name: str
    kspace: Complex[Tensor, "slice coil y x"]
    mask: Bool[Tensor, "slice #y x"]
    acquired: Bool[Tensor, " x"]
    sens_maps: Complex[Tensor, "slice coil y x"]
    scale: Float[Tensor, " slice"]
    noise_std: Float[Tensor, " slice"]
    acs: tuple[int, int]
    coil_transform: Complex[Tensor, "slice coil receive"]
    provenance: Provenance
    second_maps: Complex[Tensor, "slice coil y x"] | None = None
    coil_return: Complex[Tensor, "slice receive coil"] | None = None

    def __repr__(self) -> str:
        """One line, not all of the arrays."""
        slices, coils, rows, columns = self.kspace.shape
        return f"PreparedVolume({self.name}: {slices} slices of {rows}x{columns}, {coils} coils, R={self.accel:.2f})"

    def save(self, path: Path | str, force: bool = False) -> None:
        """Write it for training or for another day; a folder of such files is what training takes.

        Args:
            path: of the file, NAME.h5.
            force: replace an existing file.

        Raises:
            UserError: the file exists, or can't be written.
        """
        refuse_existing(Path(path), force)
        write_volume(Path(path), self)

    @property
    def sets(self) -> int:
        """How many maps a pixel has: two where the object is larger than the field of view and folds onto itself."""
        return 1 if self.second_maps is None else 2

    @property
    def sense(self) -> Sense:
        """The forward model of all slices."""
        return Sense(stacked(self.sens_maps, self.second_maps), self.mask, self.sets)

    @property
    def fully_sampled(self) -> bool:
        """Whether every acquired column of every slice is measured, in all rows that any readout fills."""
        band = measured_band(self.mask)
        return band is not None and bool((self.mask | ~self.acquired)[:, band].all())

    @property
    def accel(self) -> float:
        """The realised acceleration: acquired samples per measured sample, over all slices.

        Rows that no readout fills (padding, an asymmetric echo) count no more than padded columns do.
        """
        band = measured_band(self.mask)
        rows = self.mask.shape[1] if band is None else int(band.sum())
        return self.acquired.sum().item() * rows * len(self.mask) / self.mask.sum().item()


def dataset(file: h5py.File, key: str) -> h5py.Dataset:
    """Raises KeyError if ``key`` is not a data set."""
    found = file[key]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{key} is not a dataset")
    return found


def write_volume(path: Path, volume: PreparedVolume) -> None:
    """Write atomically: a killed run leaves no half file."""
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["provenance"] = json.dumps(volume.provenance)
        for key in ("kspace", "sens_maps", *(("second_maps",) if volume.sets == 2 else ())):
            array = getattr(volume, key).numpy()
            file.create_dataset(key, data=array, chunks=(1, *array.shape[1:]))
        for key in ("mask", "acquired", "scale", "noise_std", "coil_transform"):
            file[key] = getattr(volume, key).numpy()
        if volume.coil_return is not None:
            file["coil_return"] = volume.coil_return.numpy()
        file["acs"] = np.array(volume.acs)


def read_volume(path: Path, slices: slice = slice(None)) -> PreparedVolume:
    """Read all or some slices. Raises UserError if the file is not a prepared volume."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise KeyError(f"its format is not {FORMAT!r}")
            arrays = {
                key: _tensor(file, key, slices)
                for key in ("kspace", "mask", "sens_maps", "scale", "noise_std", "coil_transform")
            }
            return PreparedVolume(
                name=path.stem,
                acquired=_tensor(file, "acquired"),
                acs=(int(dataset(file, "acs")[0]), int(dataset(file, "acs")[1])),
                provenance=json.loads(str(file.attrs["provenance"])),
                coil_return=_tensor(file, "coil_return", slices) if "coil_return" in file else None,
                second_maps=_tensor(file, "second_maps", slices) if "second_maps" in file else None,
                **arrays,
            )
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: can't be read as a prepared volume ({error}); prepare the scan again") from error


@dataclass(frozen=True)
class Sampling:
    """What is small in a prepared file: kept in memory while the slices are read as they are needed.

    shape: of ``kspace``. sets: of maps. subject: a pseudonym of whose scan it is, as far as the raw file said, else its name:
    scans of one subject stay together in a split. The rest as in :class:`PreparedVolume`.
    """

    shape: tuple[int, ...]
    mask: Bool[Tensor, "slice #y x"]
    acquired: Bool[Tensor, " x"]
    noise_std: Float[Tensor, " slice"]
    acs: tuple[int, int]
    sets: int
    provenance: Provenance
    subject: str


def read_sampling(path: Path) -> Sampling:
    """Raises UserError if the file is not a prepared volume."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise KeyError(f"its format is not {FORMAT!r}")
            mask, acquired, noise_std = (_tensor(file, key) for key in ("mask", "acquired", "noise_std"))
            rows, columns = dataset(file, "acs")[:].tolist()
            sets = 2 if "second_maps" in file else 1
            about = json.loads(str(file.attrs["provenance"]))
            whose = about.get("subject") or path.stem
            shape = dataset(file, "kspace").shape
            return Sampling(shape, mask, acquired, noise_std, (rows, columns), sets, about, whose)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: is not a prepared volume; make one with `mri-ambient prep`, or move it elsewhere"
        ) from error


def read_slice(path: Path, index: int) -> tuple[Complex[Tensor, "1 coil y x"], Complex[Tensor, "1 coil v x"]]:
    """k-space and maps of one slice of a file that :func:`read_sampling` could read; of two sets one under the other."""
    these = slice(index, index + 1)
    with h5py.File(path, "r") as file:
        second = _tensor(file, "second_maps", these) if "second_maps" in file else None
        return _tensor(file, "kspace", these), stacked(_tensor(file, "sens_maps", these), second)


def _tensor(file: h5py.File, key: str, slices: slice = slice(None)) -> Tensor:
    return torch.from_numpy(np.asarray(dataset(file, key)[slices]))


def is_prepared(path: Path) -> bool:
    """Whether the file says that it is a prepared volume."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("format") == FORMAT
    except OSError:
        return False
