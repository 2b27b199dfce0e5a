"""Images to learn from, in memory."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mri_ambient.errors import UserError


@dataclass(frozen=True)
class Images:
    """name: of the file, from which with an image's number comes the seed of its corruption."""

    name: str
    pixels: Float[Tensor, "n channel y x"]


def read_images(path: Path) -> Images:
    """The array of an npy, or ``images`` of an npz.

    [n, y, x], complex ones (two channels), or with 1 to 3 channels [n, channel, y, x] or [n, y, x, channel]. Integers are
    divided by the largest of their type, other values stay. Raises UserError for anything else.
    """
    try:
        with path.open("rb") as opened:
            loaded = np.load(opened, allow_pickle=False)
            array = loaded.get("images") if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: can't be read; give an npy or npz of plain arrays, as numpy.savez writes") from error
    if array is None or array.ndim not in (3, 4) or not array.size or array.dtype.kind not in "uifc":
        raise UserError(f"{path}: has no array images [n, y, x] or [n, channel, y, x]; store them under that name")
    if array.dtype.kind in "ui":
        array = array / np.float32(np.iinfo(array.dtype).max)
    if array.dtype.kind == "c":
        array = np.stack([np.real(array), np.imag(array)], 1)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim == 4 and array.shape[1] > 3 >= array.shape[3]:
        array = np.moveaxis(array, 3, 1)
    if array.ndim != 4 or array.shape[1] > 3:
        raise UserError(
            f"{path}: has images of more than 3 channels, {array.shape}; store [n, y, x] or up to 3 channels"
        )
    return Images(path.stem, torch.from_numpy(np.ascontiguousarray(array, np.float32)))
