"""Simulated head anatomy: magnitude slices of a random subject, from the ICBM152 tissue maps in nilearn's wheel.

The template is the mean of 152 brains (Fonov et al., NeuroImage 54:313, 2011) and so is blurred; each subject gets its
own pose, shape, sulci (random fields decide between grey matter, white matter and fluid where the mean is undecided),
skull, scalp, contrast and lesions. Nothing is downloaded.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from scipy.special import expit

FIELD_OF_VIEW = 230.0  # mm
SLICE_SPAN = (-32.0, 46.0)  # mm along the body axis, from the template's centre: cerebellum to high convexity
SUPERSAMPLING = 2

Slices = Float[np.ndarray, "slice y x"]

# relative brightness of (grey matter, white matter, fluid, skull, scalp), and of lesions against white matter
CONTRASTS = {
    "T1": ((0.55, 0.80, 0.18, 0.08, 0.95), (-0.35, 0.10)),
    "T2": ((0.60, 0.42, 1.00, 0.06, 0.55), (0.15, 0.60)),
    "FLAIR": ((0.72, 0.55, 0.14, 0.06, 0.60), (0.15, 0.50)),
    "PD": ((0.85, 0.68, 0.90, 0.10, 0.75), (0.05, 0.30)),
    "T1-post": ((0.50, 0.68, 0.16, 0.10, 0.90), (-0.30, 0.60)),
}


@dataclass(frozen=True)
class Subject:
    """Magnitude images in about [0, 1], 0 in air; rows from front to back, ``pixel`` and ``heights`` in mm."""

    image: Slices
    contrast: str
    pixel: float
    heights: Float[np.ndarray, " slice"]


def draw_subject(matrix: int, slices: int, rng: Generator, contrast: str | None = None) -> Subject:
    """A subject's axial slices on a ``matrix`` x ``matrix`` grid of FIELD_OF_VIEW, evenly spaced over SLICE_SPAN.

    A ``contrast`` of CONTRASTS changes the brightness of tissue and lesions alone; without one it is drawn as well.
    """
    size = matrix * SUPERSAMPLING
    fine_pixel = FIELD_OF_VIEW / size
    low, high = SLICE_SPAN
    heights = np.sort(rng.uniform(low, high, 2))[:1] if slices == 1 else np.linspace(low, high, slices)
    points = _points(size, heights, fine_pixel, rng)
    grey, white, brain, texture = (
        map_coordinates(volume, points, order=1, mode="constant").astype(np.float32) for volume in _template()
    )
    tissue = _tissue(grey, white, brain, fine_pixel, rng)
    drawn_contrast = str(rng.choice(list(CONTRASTS)))  # drawn in any case: the rest must not depend on the choice
    contrast = contrast or drawn_contrast
    brightness, lesion_range = CONTRASTS[contrast]
    level = np.array(brightness) * rng.uniform(0.85, 1.15, 5)
    image = np.einsum("tsyx,t->syx", tissue, level)
    # The template's own detail, and a fine grain of tissue
    detail = (texture - gaussian_filter(texture, (0, 6, 6))) * rng.uniform(0.1, 0.4) * (1 if "T1" in contrast else -1)
    grain = 1 + rng.uniform(0.02, 0.06) * smooth_noise(image.shape, (0, 1.2, 1.2), rng)
    image = np.clip(image + detail * (brain > 0.5), 0, None) * grain
    image = _lesions(image, tissue[1], lesion_range, rng)
    image = image * (1 + rng.uniform(0, 0.15) * smooth_noise(image.shape, (1, size / 5, size / 5), rng))
    image = image.reshape(slices, matrix, SUPERSAMPLING, matrix, SUPERSAMPLING).mean((2, 4))
    return Subject((image / np.quantile(image, 0.995)).astype(np.float32), contrast, FIELD_OF_VIEW / matrix, heights)


def smooth_noise(shape: tuple[int, ...], sigma: tuple[float, ...], rng: Generator) -> np.ndarray:
    """A random field of unit variance, smooth over ``sigma`` samples; drawn on a coarser grid where it can be."""
    step = [max(1, int(s / 2)) for s in sigma]
    coarse = [-(-n // k) + 8 for n, k in zip(shape, step, strict=True)]
    field = gaussian_filter(rng.standard_normal(coarse), [s / k for s, k in zip(sigma, step, strict=True)])
    grid = np.ix_(*(np.arange(n) / k + 4 for n, k in zip(shape, step, strict=True)))
    if any(k > 1 for k in step):
        field = map_coordinates(field, np.broadcast_arrays(*grid), order=1, mode="nearest")
    else:
        field = field[tuple(slice(4, 4 + n) for n in shape)]
    return ((field - field.mean()) / field.std()).astype(np.float32)


@cache
def _template() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Grey and white matter probability, brain mask and T1 intensity, 1 mm, float32 in [0, 1]."""
    import nibabel

    folder = files("nilearn.datasets") / "data"
    paths = [str(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz") for name in ("gm", "wm", "t1")]
    grey, white, intensity = (np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj) for path in paths)
    grey, white, intensity = (v.astype(np.float32) / v.max() for v in (grey, white, intensity))
    brain = gaussian_filter((intensity > 0.05).astype(np.float32), 1.0)
    return grey, white, brain, intensity


def _points(
    size: int, heights: Float[np.ndarray, " slice"], pixel: float, rng: Generator
) -> Float[np.ndarray, "3 slice y x"]:
    """Template coordinates of the subject's samples: a random pose and scale, then an elastic warp."""
    z = heights + rng.uniform(-3, 3)
    # rows run front to back and columns left to right, as radiologists look at a head
    axis = (np.arange(size) - size / 2) * pixel
    grid = np.stack(np.broadcast_arrays(axis[None, None, :], -axis[None, :, None], z[:, None, None])).astype(float)
    angles = rng.normal(0, [0.04, 0.08, 0.10])
    turned = np.einsum("ij,jsyx->isyx", _rotation(*angles), grid)
    turned[0] *= rng.choice([-1, 1])
    scale = rng.normal(0.94, 0.04) * rng.normal(1, 0.02, 3)
    shift = rng.normal(0, [4, 3, 2])
    centre = np.array([98.0, 124.0, 92.0])  # the head's middle in template voxels
    points = turned / scale[:, None, None, None] + (centre + shift)[:, None, None, None]
    for sigma_mm, amplitude in ((30.0, 4.0), (12.0, 1.5)):
        blur = (1.0, sigma_mm / pixel, sigma_mm / pixel)
        points += amplitude * np.stack([smooth_noise(points.shape[1:], blur, rng) for _ in range(3)])
    return points


def _rotation(x: float, y: float, z: float) -> np.ndarray:
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def _tissue(
    grey: Slices, white: Slices, brain: Slices, pixel: float, rng: Generator
) -> Float[np.ndarray, "5 slice y x"]:
    """Shares of (grey, white, fluid, skull, scalp): sharp and individual inside the brain, layers around it."""
    shares = np.stack([grey, white, np.clip(brain - grey - white, 0, 1)]).clip(1e-3, 1)
    fields = np.stack([smooth_noise(grey.shape, (0.5, 2.2 / pixel, 2.2 / pixel), rng) for _ in range(3)])
    logits = 6 * (np.log(shares) + rng.uniform(0.4, 0.8) * fields)
    shares = np.exp(logits - logits.max(0))
    shares /= shares.sum(0)

    inside = brain > 0.5
    distance = pixel * np.stack([np.asarray(distance_transform_edt(~s)) if s.any() else s + 1e3 for s in inside])
    vary = lambda mean, spread: mean + spread * smooth_noise(grey.shape, (1, 25 / pixel, 25 / pixel), rng)  # noqa: E731
    fluid = np.clip(vary(rng.uniform(1.5, 4), 0.7), 0.5, None)
    skull = fluid + np.clip(vary(rng.uniform(5, 8), 1.2), 2.5, None)
    scalp = skull + np.clip(vary(rng.uniform(4, 8), 1.5), 2, None)
    marrow = np.exp(-(((distance - (fluid + skull) / 2) / ((skull - fluid) / 5)) ** 2)) * rng.uniform(0, 0.5)
    outside = ~inside
    layers = np.zeros((5, *grey.shape), np.float32)
    layers[:3] = shares * inside
    layers[2] += outside & (distance <= fluid)
    bone = outside & (distance > fluid) & (distance <= skull)
    layers[3] = bone
    layers[4] = (outside & (distance > skull) & (distance <= scalp)) + bone * marrow
    return layers


def _lesions(image: Slices, white: Slices, brightness: tuple[float, float], rng: Generator) -> Slices:
    """0 to 5 soft-edged blobs centred in white matter, each on two or three slices."""
    candidates = np.argwhere(white > 0.9)
    rows, columns = np.indices(image.shape[1:])
    for _ in range(rng.integers(0, 6)):
        if not len(candidates):
            break
        s, y, x = candidates[rng.integers(len(candidates))]
        radii = rng.uniform(2, 9, 2) * SUPERSAMPLING / 2 * image.shape[1] / 256
        change = rng.uniform(*brightness)
        for k in range(max(0, s - 1), min(len(image), s + 2)):
            shrink = 1.0 if k == s else rng.uniform(0.3, 0.8)
            squared = ((rows - y) / (radii[0] * shrink)) ** 2 + ((columns - x) / (radii[1] * shrink)) ** 2
            image[k] += change * expit(6 * (1 - squared)) * (image[k] > 0.03)
    return np.clip(image, 0, None)
