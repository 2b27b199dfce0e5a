"""The reconstruction's file, ``*_recon.h5`` (contract): one writer, one reader.

Layout (HDF5): ``reconstruction`` float32 [slice, y, x], |mean| (fastMRI's key and shape); ``mean`` complex64; ``std``
(calibrated: times the attribute ``temperature``, where validation gave one), ``raw_std`` (as drawn) and ``determined_share``
float32, all of that shape; ``samples`` complex64 [slice, k, y, x], optional; ``measured_residual``
float32 [slice]; ``methods/NAME`` float32, the magnitude by each other method, ``measured_residual`` its attribute;
``reference`` float32, if there is one; ``second_set`` complex64 [slice, y, x], the mean of the second set of maps, absent where
one is enough: all else is the first set's; attributes: what is in
:class:`mri_ambient.recon.result_data.About`, as JSON, and ``made_from``, by which a rerun
knows the file again. Where the attribute ``magnitude`` is rss, all images, samples and stds are as a root sum of squares over
the receive coils (:mod:`mri_ambient.recon.reference`), else coil-combined. ``held_out``, if lines could be hidden, is
:class:`mri_ambient.recon.evaluate.held_out.HeldOut`: ``slices``, ``noise`` [n], of every method ``errors/NAME`` and
``one/NAME`` float32 [n] and ``squares/NAME`` float32 [line], ``seconds`` its attribute.
"""

import json
from pathlib import Path

import h5py
import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.priors.card import first_problem
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.result_data import About, ResultData
from mri_ambient.store import Json, dataset

FORMAT = "mri-ambient reconstruction 3"


def write_result(path: Path, result: ResultData, exclusive: bool = False) -> None:
    """Write the method that is kept whole and the magnitudes of the others; the file is whole or absent. Raises
    FileExistsError where ``path`` is there and was to be made exclusively."""
    with atomic_write(path, exclusive) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        for key, value in result.about.model_dump().items():  # in Python's mode, which keeps an infinite rho
            file.attrs[key] = json.dumps(value)
        own = result.about.method
        file["reconstruction"] = result.magnitudes[own]
        file["mean"] = result.mean
        file["std"], file["raw_std"] = result.std, result.raw_std
        file["measured_residual"] = result.residuals[own]
        file["determined_share"] = result.determined_share
        if result.samples is not None:
            file["samples"] = result.samples
        methods = file.create_group("methods", track_order=True)
        for name, image in result.others.items():
            methods[name] = image
            methods[name].attrs["measured_residual"] = result.residuals[name]
        if result.reference is not None:
            file["reference"] = result.reference
        if result.second_set is not None:
            file["second_set"] = result.second_set
        if result.held_out is not None:
            write_held_out(file.create_group("held_out"), result.held_out)
        if result.made_from is not None:
            file.attrs["made_from"] = json.dumps(result.made_from)


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


def read_made_from(path: Path) -> Json | None:
    """What a reconstruction was made from; None if it doesn't say, or is none."""
    try:
        with h5py.File(path, "r") as file:
            return json.loads(str(file.attrs["made_from"])) if file.attrs.get("format") == FORMAT else None
    except (OSError, KeyError, ValueError):
        return None


def read_data(path: Path) -> ResultData:
    """Raises UserError if the file is not a reconstruction of this version."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise KeyError(f"its format is {file.attrs.get('format', 'unknown')!r}, not {FORMAT!r}")
            there = [key for key in About.model_fields if key in file.attrs]
            about = About.model_validate({key: json.loads(str(file.attrs[key])) for key in there})
            residuals = {about.method: dataset(file, "measured_residual")[:]}
            for name in file.get("methods") or ():  # pyright: ignore[reportGeneralTypeIssues]
                of_other = dataset(file, f"methods/{name}").attrs["measured_residual"]
                residuals[name] = np.asarray(of_other, np.float32)
            return ResultData(
                about=about,
                mean=images(file, "mean"),
                raw_std=images(file, "raw_std"),
                determined_share=images(file, "determined_share"),
                samples=images(file, "samples") if "samples" in file else None,
                others={name: images(file, f"methods/{name}") for name in residuals if name != about.method},
                residuals=residuals,
                reference=images(file, "reference") if "reference" in file else None,
                held_out=read_held_out(file) if "held_out" in file else None,
                second_set=images(file, "second_set") if "second_set" in file else None,
                made_from=json.loads(str(file.attrs["made_from"])) if "made_from" in file.attrs else None,
                file=path,
            )
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; give a reconstruction, SCAN_recon.h5, made by `mri-ambient recon`"
        ) from error
    except (OSError, KeyError, ValueError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else error.args[0] if error.args else error
        raise UserError(
            f"{path}: can't be read as a reconstruction ({problem}); give one made by this version's `mri-ambient recon`, "
            "or make it again"
        ) from error


def images(file: h5py.File, key: str) -> np.ndarray:
    """Raises ValueError if they are not of the slices, rows and columns of the mean."""
    found, shape = dataset(file, key), dataset(file, "mean").shape
    if (found.shape[0], *found.shape[-2:]) != shape:
        raise ValueError(f"{key} is of another shape than the mean")
    return found[:]


def tensor(file: h5py.File, key: str) -> Tensor:
    return torch.from_numpy(dataset(file, key)[:])
