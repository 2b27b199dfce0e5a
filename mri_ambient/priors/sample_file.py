"""Unconditional samples on disk: the complex images, and a picture of their magnitudes."""

import math
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.store import dataset

FORMAT = "mri-ambient samples 1"


def write_samples(path: Path, images: Complex[np.ndarray, "n y x"], settings: Mapping[str, object]) -> None:
    """``samples`` complex64 [n, y, x], normalised as prepared volumes are; attributes: the settings, one each."""
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = __version__
        for name, value in settings.items():
            file.attrs[name] = value
        file["samples"] = images


def read_samples(path: Path) -> Complex[Tensor, "n y x"]:
    """Raises UserError if the file is not one of samples."""
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != FORMAT:
                raise KeyError(f"its format is not {FORMAT!r}")
            return torch.from_numpy(np.asarray(dataset(file, "samples")[:]))
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: can't be read as samples ({error}); write some with `mri-ambient sample`") from error


def draw_grid(path: Path, images: Complex[np.ndarray, "n y x"], title: str) -> None:
    """A PNG of the magnitudes, in one common window."""
    from matplotlib.figure import Figure

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    window = float(np.quantile(np.abs(images), 0.995))
    figure = Figure(figsize=(1.6 * columns, 1.6 * rows + 0.4), dpi=130, layout="constrained", facecolor="black")
    for axis, image in zip(figure.subplots(rows, columns, squeeze=False).flat, images, strict=False):
        axis.imshow(np.abs(image), cmap="gray", vmin=0, vmax=window)
    for axis in figure.axes:
        axis.set_axis_off()
    figure.suptitle(title, color="white", fontsize=9)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
