"""A result's images as its page carries them: gzip-ed NIfTI in base64, of as many slices as there is room for."""

import base64
import gzip
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from typing import NamedTuple

import nibabel
import numpy as np
from jaxtyping import Float

from mri_ambient.console import track
from mri_ambient.errors import UserError
from mri_ambient.recon.result_data import ResultData, absolute
from mri_ambient.recon.show.series import window_of

GREY = 1000  # the upper end of the first window, in the page's grey values
FINE = 2**12 - 1  # levels of grey, as scanners store them
COARSE = 2**8 - 1  # of the many samples, and of shares


class Carried(NamedTuple):
    """result: only what is shown. slices: their numbers in the whole. texts: name of the image -> NIfTI in base64.
    left_out: sentences."""

    result: ResultData
    slices: range
    texts: dict[str, str]
    left_out: tuple[str, ...]


def carry(result: ResultData, room: int) -> Carried:
    """What fits into ``room`` bytes: all; without samples; every second slice, third, and so on.

    Raises UserError if ``result`` holds no slice or what is not a number, or one slice doesn't fit.
    """
    count = len(result)
    if not count:
        raise UserError(f"{result.label}: holds no slice; make it again with `mri-ambient recon`")
    middle = encode(result[count // 2 : count // 2 + 1], "size of the report")
    samples_fit = count * size(middle) <= room
    step = 1 if samples_fit else ceil(count * (size(middle) - len(middle.get("samples", ""))) / room)
    while step <= count:
        shown = result[step // 2 :: step]
        left_out = []
        if shown.samples is not None and not samples_fit:
            shown = replace(shown, samples=None)
            left_out.append("the posterior samples, with which the page would be too large")
        slices = range(step // 2, count, step)
        if len(slices) < count:
            left_out.append(f"{count - len(slices)} of {count} slices; one in {step} is shown")
        texts = encode(shown, "report")
        if size(texts) <= room:
            return Carried(shown, slices, texts, tuple(left_out))
        samples_fit, step = False, step + (not samples_fit)
    raise UserError(f"{result.label}: one slice alone is too large for a page; show smaller images")


def size(texts: dict[str, str]) -> int:
    return sum(map(len, texts.values()))


def encode(result: ResultData, description: str) -> dict[str, str]:
    """Grey values in units of which the window's upper end is GREY. method0, method1: ``result.others`` in their order."""
    pixel_mm = result.pixel_mm or (1.0, 1.0)
    texts, found = {}, list(images(result))
    for name, image, levels in track(found, description, len(found)):
        if not np.isfinite(image).all():
            raise UserError(
                f"{result.label}: {name} holds what is not a number; make it again with `mri-ambient recon`"
            )
        texts[name] = base64.b64encode(nifti_gz(image, levels, pixel_mm)).decode()
    return texts


def images(result: ResultData) -> Iterator[tuple[str, Float[np.ndarray, "*sample slice y x"], int]]:
    grey = GREY / white_of(result)
    yield "mean", grey * result.magnitudes[result.about.method], FINE
    if result.about.spreads:
        yield "std", grey * result.std, FINE
    for index, image in enumerate(result.others.values()):
        yield f"method{index}", grey * image, FINE
    if result.reference is not None:
        yield "reference", grey * result.reference, FINE
    yield "determined_share", result.determined_share, COARSE
    if result.samples is not None:
        yield "samples", grey * np.moveaxis(absolute(result.samples), 1, 0), COARSE


def white_of(result: ResultData) -> float:
    """The upper end of the window in the units of the file, more than 0."""
    return window_of(result) or 1.0


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
