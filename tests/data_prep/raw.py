"""k-space of a made-up object, as scanners and exports might leave it: what the readers' looks are tried on."""

from pathlib import Path

import h5py
import numpy as np

CENTRED = (-2, -1)


def spectrum(images: np.ndarray, axes: tuple[int, ...] = CENTRED) -> np.ndarray:
    """The centred orthonormal transform."""
    shifted = np.fft.ifftshift(images, axes=axes)
    return np.fft.fftshift(np.fft.fftn(shifted, axes=axes, norm="ortho"), axes=axes)


def image_of(kspace: np.ndarray, axes: tuple[int, ...] = CENTRED) -> np.ndarray:
    shifted = np.fft.ifftshift(kspace, axes=axes)
    return np.fft.fftshift(np.fft.ifftn(shifted, axes=axes, norm="ortho"), axes=axes)


def object_of(rows: int, columns: int, number: int = 0) -> np.ndarray:
    """A kidney of three blobs that differs from slice to slice and has no symmetry, within three quarters of the matrix."""
    y, x = np.meshgrid(
        np.linspace(-1, 1, rows, endpoint=False), np.linspace(-1, 1, columns, endpoint=False), indexing="ij"
    )
    body = ((y / 0.75) ** 2 + (x / 0.62) ** 2 < 1) * 0.6
    blob = ((y - 0.25) ** 2 / 0.05 + (x + 0.2 + 0.05 * number) ** 2 / 0.03 < 1) * 0.5
    hole = ((y + 0.3 - 0.04 * number) ** 2 / 0.02 + (x - 0.2) ** 2 / 0.04 < 1) * 0.4
    return (body + blob - hole) * np.exp(1j * (0.5 * y - 0.4 * x + 0.3 * x * y))


def coil_maps(coils: int, rows: int, columns: int) -> np.ndarray:
    """Loops around the object, each with a phase of its own; sum of squares 1."""
    y, x = np.meshgrid(
        np.linspace(-1, 1, rows, endpoint=False), np.linspace(-1, 1, columns, endpoint=False), indexing="ij"
    )
    angles = 2 * np.pi * (np.arange(coils)[:, None, None] + 0.3) / coils
    near = np.exp(-((y - 1.2 * np.sin(angles)) ** 2 + (x - 1.2 * np.cos(angles)) ** 2) / 1.5)
    maps = near * np.exp(1j * (3 * angles + y * np.cos(2 * angles) - x * np.sin(angles)))
    return maps / np.linalg.norm(maps, axis=0)


def scan(slices: int = 2, coils: int = 4, rows: int = 48, columns: int = 40, noise: float = 0.01) -> np.ndarray:
    """[slice, coil, y, x]; the object is of about 1, noise the std of a real part."""
    rng = np.random.default_rng(7)
    objects = np.stack([object_of(rows, columns, number) for number in range(slices)])
    maps = coil_maps(coils, rows, columns) if coils > 1 else np.ones((1, rows, columns))
    kspace = spectrum(objects[:, None] * maps)
    return (kspace + noise * (rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape))).astype(np.complex64)


def lines(columns: int, every: int = 4, centre: int = 10) -> np.ndarray:
    mask = np.zeros(columns, bool)
    mask[::every] = True
    mask[columns // 2 - centre // 2 : columns // 2 + centre // 2] = True
    return mask


def padded(kspace: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """In the middle of zeros."""
    large = np.zeros((*kspace.shape[:2], rows, columns), kspace.dtype)
    top, left = rows // 2 - kspace.shape[2] // 2, columns // 2 - kspace.shape[3] // 2
    large[:, :, top : top + kspace.shape[2], left : left + kspace.shape[3]] = kspace
    return large


def write(path: Path, **datasets: object) -> Path:
    with h5py.File(path, "w") as file:
        for key, value in datasets.items():
            file[key] = value
    return path
