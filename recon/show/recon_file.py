"""The reconstruction's file, ``*_recon.h5`` (contract): one writer, one reader.

Layout (HDF5): ``reconstruction`` float32 [slice, y, x], |mean| (fastMRI's key and shape); ``mean`` complex64; ``std`` and
``determined_share`` float32, all of that shape; ``samples`` complex64 [slice, k, y, x], optional; ``measured_residual``
float32 [slice]; ``methods/NAME`` float32, the magnitude by each other method, ``measured_residual`` its attribute;
``reference`` float32, if there is one; ``second_set`` complex64 [slice, y, x], the mean of the second set of maps, absent where
one is enough: all else is the first set's; attributes: what is in :class:`About`, as JSON, and ``made_from``, by which a rerun
knows the file again. Where the attribute ``magnitude`` is rss, all images, samples and stds are as a root sum of squares over
the receive coils (:mod:`mri_ambient.recon.reference`), else coil-combined. ``held_out``, if lines could be hidden, is
:class:`mri_ambient.recon.evaluate.held_out.HeldOut`: ``slices``, ``noise`` [n], of every method ``errors/NAME`` and
``one/NAME`` float32 [n] and ``squares/NAME`` float32 [line], ``seconds`` its attribute.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from jaxtyping import Complex, Float
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.priors.card import first_problem
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.reconstruct import Reconstruction, mean_title
from mri_ambient.store import PreparedVolume, dataset

FORMAT = "mri-ambient reconstruction 2"

Magnitudes = Float[Tensor, "slice y x"]


class About(BaseModel):
    """What a reader must know. accel: realised R. acs: rows and columns. field_of_view_mm: (y, x), None if the scan's file
    doesn't say. spreads: whether the std means something. settings: the method's. prior: its card, None without one.
    temperature: by which validation says that the std has to be multiplied, None if it was not validated. notes: sentences.
    provenance: of the prepared volume. magnitude: mvue or rss, of all images, samples, stds.
    """

    model_config = ConfigDict(extra="forbid")

    version: str
    name: str
    simulated: bool
    method: str
    accel: float
    acs: tuple[int, int]
    field_of_view_mm: tuple[float, float] | None
    spreads: bool
    seed: int
    seconds: float
    working_matrix: tuple[int, int]
    settings: dict[str, Any]
    prior: dict[str, Any] | None
    temperature: float | None
    notes: tuple[str, ...]
    provenance: dict[str, Any]
    magnitude: Literal["mvue", "rss"] = "mvue"


@dataclass(frozen=True)
class Outcome:
    """What is known of a scan once it is reconstructed. results: of every method, in the order they were run. kept: whose is
    written whole. share: :func:`mri_ambient.recon.evaluate.determined.determined_share`. reference: of the complete scan,
    in the same units. held_out: None if no lines could be hidden. notes: sentences. made_from: that by which a rerun knows
    its file again. magnitude: mvue or rss, of results and reference.
    """

    volume: PreparedVolume
    results: Mapping[str, Reconstruction]
    kept: str
    share: Magnitudes
    reference: Complex[Tensor, "slice v x"] | None = None
    held_out: HeldOut | None = None
    temperature: float | None = None
    notes: tuple[str, ...] = ()
    made_from: Mapping[str, Any] | None = None
    magnitude: Literal["mvue", "rss"] = "mvue"


@dataclass(frozen=True)
class Study:
    """A reconstruction as its file has it. others: magnitudes by the other methods, in the order they were run.

    residuals: method (the reconstruction's own too) -> misfit on the measured samples over the noise level, per slice.
    held_out: of the slices that it names, whichever were read; None of scans without lines to hide, and of older files.
    second_set: the mean of the second set of maps, if there is one.
    """

    path: Path
    about: About
    mean: Complex[Tensor, "slice y x"]
    std: Magnitudes
    determined_share: Magnitudes
    samples: Complex[Tensor, "slice k y x"] | None
    others: Mapping[str, Magnitudes]
    residuals: Mapping[str, Float[Tensor, " slice"]]
    reference: Magnitudes | None
    held_out: HeldOut | None = None
    second_set: Complex[Tensor, "slice y x"] | None = None

    @property
    def title(self) -> str:
        """Of the mean."""
        count = self.samples.shape[1] if self.samples is not None else None if self.about.spreads else 1
        return mean_title(self.about.method, count)

    @property
    def pixel_mm(self) -> tuple[float, float] | None:
        """(y, x), None if the field of view is not known."""
        if self.about.field_of_view_mm is None:
            return None
        (height, width), (rows, columns) = self.about.field_of_view_mm, self.mean.shape[-2:]
        return height / rows, width / columns


def write_reconstruction(path: Path, outcome: Outcome) -> None:
    """Write the result of the method that is kept whole and the magnitudes of the others."""
    volume, found = outcome.volume, outcome.results[outcome.kept]
    about = About(
        version=__version__,
        name=volume.name,
        simulated=bool(volume.provenance.get("simulated", False)),
        method=outcome.kept,
        accel=volume.accel,
        acs=volume.acs,
        field_of_view_mm=volume.provenance.get("field_of_view_mm"),
        spreads=found.spreads,
        seed=found.seed,
        seconds=found.seconds,
        working_matrix=found.matrix,
        settings=asdict(found.settings) if found.settings else {},
        prior=found.prior.model_dump(mode="json") if found.prior else None,
        temperature=outcome.temperature,
        notes=outcome.notes,
        provenance=volume.provenance,
        magnitude=outcome.magnitude,
    )
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        for key, value in about.model_dump().items():  # in Python's mode, which keeps an infinite rho
            file.attrs[key] = json.dumps(value)
        file["reconstruction"] = found.mean.abs().numpy()
        file["mean"] = found.mean.numpy()
        file["std"] = found.std.numpy()
        file["measured_residual"] = found.measured_residual.numpy()
        file["determined_share"] = outcome.share.numpy()
        file["samples"] = found.samples.numpy()
        methods = file.create_group("methods", track_order=True)
        for name, other in outcome.results.items():
            if name != outcome.kept:
                methods[name] = other.mean.abs().numpy()
                methods[name].attrs["measured_residual"] = other.measured_residual.numpy()
        if outcome.reference is not None:
            file["reference"] = outcome.reference[:, : found.mean.shape[-2]].abs().numpy()
        if found.second is not None:
            file["second_set"] = found.second.mean(1).numpy()
        if outcome.held_out is not None:
            write_held_out(file.create_group("held_out"), outcome.held_out)
        if outcome.made_from is not None:
            file.attrs["made_from"] = json.dumps(outcome.made_from)


def write_held_out(group: h5py.Group, held: HeldOut) -> None:
    group["slices"], group["noise"], group.attrs["seconds"] = held.slices, held.noise.numpy(), held.seconds
    for kind in ("errors", "one", "squares"):
        of_methods = group.create_group(kind, track_order=True)
        for name, values in getattr(held, kind).items():
            of_methods[name] = values.numpy()


def read_held_out(file: h5py.File) -> HeldOut:
    """Raises KeyError or ValueError if something is missing, or not of every slice."""
    slices, noise = tensor(file, "held_out/slices"), tensor(file, "held_out/noise")
    found: dict[str, dict[str, Tensor]] = {"errors": {}, "one": {}, "squares": {}}
    for kind, of_methods in found.items():
        for name in file[f"held_out/{kind}"]:  # pyright: ignore[reportGeneralTypeIssues]
            of_methods[name] = tensor(file, f"held_out/{kind}/{name}")
    counts = {len(values) for kind in ("errors", "one") for values in found[kind].values()}
    if {len(noise), *counts} != {len(slices)} or not counts:
        raise ValueError("its held-out errors are not those of its slices")
    seconds = float(np.asarray(file["held_out"].attrs["seconds"]))
    return HeldOut(tuple(slices.tolist()), noise=noise, seconds=seconds, **found)


def read_made_from(path: Path) -> dict[str, Any] | None:
    """What a reconstruction was made from; None if it doesn't say, or is none."""
    try:
        with h5py.File(path, "r") as file:
            return json.loads(str(file.attrs["made_from"])) if file.attrs.get("format") == FORMAT else None
    except (OSError, KeyError, ValueError):
        return None


def read_reconstruction(path: Path, slices: slice = slice(None)) -> Study:
    """All or some slices. Raises UserError if the file is not a reconstruction of this version."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise KeyError(f"its format is {file.attrs.get('format', 'unknown')!r}, not {FORMAT!r}")
            there = [key for key in About.model_fields if key in file.attrs]
            about = About.model_validate({key: json.loads(str(file.attrs[key])) for key in there})
            mean = tensor(file, "mean", slices)
            others, residuals = {}, {about.method: tensor(file, "measured_residual", slices)}
            for name in file.get("methods") or ():  # pyright: ignore[reportGeneralTypeIssues]
                others[name] = tensor(file, f"methods/{name}", slices)
                of_method = dataset(file, f"methods/{name}").attrs["measured_residual"]
                residuals[name] = torch.as_tensor(of_method)[slices]
            return Study(
                path=path,
                about=about,
                mean=mean,
                std=tensor(file, "std", slices),
                determined_share=tensor(file, "determined_share", slices),
                samples=tensor(file, "samples", slices) if "samples" in file else None,
                others=others,
                residuals=residuals,
                reference=tensor(file, "reference", slices) if "reference" in file else None,
                held_out=read_held_out(file) if "held_out" in file else None,
                second_set=tensor(file, "second_set", slices) if "second_set" in file else None,
            )
    except (OSError, KeyError, ValueError) as error:
        measurement = (
            first_problem(error) if isinstance(error, ValidationError) else error.args[0] if error.args else error
        )
        raise UserError(
            f"{path}: can't be read as a reconstruction ({measurement}); give one made by this version's `mri-ambient recon`, "
            "or make it again"
        ) from error


def tensor(file: h5py.File, key: str, slices: slice = slice(None)) -> Tensor:
    return torch.from_numpy(dataset(file, key)[slices])
