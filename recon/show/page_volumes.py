"""A study's images as its page carries them: gzip-ed NIfTI in base64, of as many slices as there is room for."""

import base64
import gzip
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import NamedTuple

import h5py
import nibabel
import numpy as np
from jaxtyping import Float

from mri_ambient.console import track
from mri_ambient.errors import UserError
from mri_ambient.recon.show.panel import common_window
from mri_ambient.recon.show.recon_file import Study, read_reconstruction
from mri_ambient.store import dataset

GREY = 1000  # the upper end of the first window, in the page's grey values
FINE = 2**12 - 1  # levels of grey, as scanners store them
COARSE = 2**8 - 1  # of the many samples, and of shares


class Carried(NamedTuple):
    """study: only what is shown. slices: their numbers in the file. texts: name of the image -> NIfTI in base64.
    left_out: sentences."""

    study: Study
    slices: range
    texts: dict[str, str]
    left_out: tuple[str, ...]


def carry(path: Path, room: int) -> Carried:
    """What fits into ``room`` bytes: all; without samples; every second slice, third, and so on. Reads no more than that.

    Raises UserError if ``path`` is no reconstruction, holds no slice or what is not a number, or one slice doesn't fit.
    """
    read_reconstruction(path, slice(0))
    with h5py.File(path, "r") as file:
        count = len(dataset(file, "mean"))
    if not count:
        raise UserError(f"{path}: holds no slice; make it again with `mri-ambient recon`")
    middle = encode(read_reconstruction(path, slice(count // 2, count // 2 + 1)), "size of the report")
    samples_fit = count * size(middle) <= room
    step = 1 if samples_fit else ceil(count * (size(middle) - len(middle.get("samples", ""))) / room)
    while step <= count:
        study = read_reconstruction(path, slice(step // 2, None, step))
        left_out = []
        if study.samples is not None and not samples_fit:
            study = replace(study, samples=None)
            left_out.append("the posterior samples, with which the page would be too large")
        slices = range(step // 2, count, step)
        if len(slices) < count:
            left_out.append(f"{count - len(slices)} of {count} slices; one in {step} is shown")
        texts = encode(study, "report")
        if size(texts) <= room:
            return Carried(study, slices, texts, tuple(left_out))
        samples_fit, step = False, step + (not samples_fit)
    raise UserError(f"{path}: one slice alone is too large for a page; show smaller images")


def size(texts: dict[str, str]) -> int:
    return sum(map(len, texts.values()))


def encode(study: Study, description: str) -> dict[str, str]:
    """Grey values in units of which the window's upper end is GREY. method0, method1: ``study.others`` in their order."""
    pixel_mm = study.pixel_mm or (1.0, 1.0)
    texts, found = {}, list(images(study))
    for name, image, levels in track(found, description, len(found)):
        if not np.isfinite(image).all():
            raise UserError(f"{study.path}: {name} holds what is not a number; make it again with `mri-ambient recon`")
        texts[name] = base64.b64encode(nifti_gz(image, levels, pixel_mm)).decode()
    return texts


def images(study: Study) -> Iterator[tuple[str, Float[np.ndarray, "*sample slice y x"], int]]:
    grey = GREY / window(study)
    yield "mean", grey * study.mean.abs().numpy(), FINE
    if study.about.spreads:
        yield "std", grey * study.std.numpy(), FINE
    for index, image in enumerate(study.others.values()):
        yield f"method{index}", grey * image.numpy(), FINE
    if study.reference is not None:
        yield "reference", grey * study.reference.numpy(), FINE
    yield "determined_share", study.determined_share.numpy(), COARSE
    if study.samples is not None:
        yield "samples", grey * study.samples.movedim(1, 0).abs().numpy(), COARSE


def window(study: Study) -> float:
    """Its upper end in the units of the file, more than 0."""
    magnitudes = {study.about.method: study.mean.abs().numpy()}
    magnitudes |= {name: image.numpy() for name, image in study.others.items()}
    return common_window(magnitudes, None if study.reference is None else study.reference.numpy()) or 1.0


def nifti_gz(image: Float[np.ndarray, "*sample slice y x"], levels: int, pixel_mm: tuple[float, float]) -> bytes:
    """Integers with a slope, centred at the origin; the first row is uppermost, the first column at the left."""
    step = float(image.max()) / levels or 1.0
    codes = np.rint(image / step).astype(np.uint8 if levels == COARSE else np.uint16)
    height, width = pixel_mm
    rows, columns = image.shape[-2:]
    affine = np.diag([width, -height, 1.0, 1.0])
    affine[:2, 3] = -width * (columns - 1) / 2, height * (rows - 1) / 2
    file = nibabel.Nifti1Image(codes.T, affine)
    file.header.set_slope_inter(step, 0)
    return gzip.compress(file.to_bytes(), compresslevel=6, mtime=0)
