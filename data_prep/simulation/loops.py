"""Simulated receive coils: loops on a cylinder around the head, by the law of Biot and Savart."""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Complex
from numpy.random import Generator
from torch.nn.functional import interpolate

SEGMENTS = 24
GRID = 33  # the fields are smooth: computed on GRID x GRID points and interpolated


def draw_coils(
    coils: int, matrix: int, heights: np.ndarray, field_of_view: float, rng: Generator
) -> Complex[np.ndarray, "slice coil y x"]:
    """Transverse field B_x - i B_y of ``coils`` circular loops at the samples of axial slices at ``heights`` (mm).

    Scaled so that the root-sum-of-squares at the centre is 1. Each subject's loops sit and face a little differently.
    """
    axis = np.linspace(-field_of_view / 2, field_of_view / 2, GRID)
    y, x = np.meshgrid(-axis, axis, indexing="ij")
    maps = np.empty((len(heights), coils, GRID, GRID), np.complex64)
    loops = [_loop(i, coils, rng) for i in range(coils)]
    phases = np.exp(2j * np.pi * rng.random(coils))
    for s, z in enumerate(heights):
        points = np.stack([x, y, np.full_like(x, z)], -1).astype(np.float32)
        for c, loop in enumerate(loops):
            field = _biot_savart(loop.astype(np.float32), points)
            maps[s, c] = phases[c] * (field[..., 0] - 1j * field[..., 1])
    maps /= np.linalg.norm(maps[len(heights) // 2, :, GRID // 2, GRID // 2])
    channels = torch.view_as_real(torch.from_numpy(maps)).permute(0, 1, 4, 2, 3).flatten(0, 1)
    fine = interpolate(channels, (matrix, matrix), mode="bicubic", align_corners=True)
    return torch.view_as_complex(fine.movedim(1, -1).contiguous()).unflatten(0, maps.shape[:2]).numpy()


def _loop(index: int, coils: int, rng: Generator) -> np.ndarray:
    """Corner points [SEGMENTS + 1, 3] in mm of a loop on a ring of radius about 145 mm, facing the axis."""
    angle = 2 * np.pi * (index + rng.normal(0, 0.05)) / coils
    centre = np.array([145 * np.cos(angle), 145 * np.sin(angle), rng.normal(0, 15)]) * rng.normal(1, 0.03)
    inward = np.array([np.cos(angle + rng.normal(0, 0.1)), np.sin(angle + rng.normal(0, 0.1)), 0.0])
    sideways, upward = np.array([-inward[1], inward[0], 0.0]), np.array([0.0, 0.0, 1.0])
    radius = min(75.0, 145 * np.pi / coils * 1.2) * rng.normal(1, 0.05)
    turn = np.linspace(0, 2 * np.pi, SEGMENTS + 1)[:, None]
    return centre + radius * (np.cos(turn) * sideways + np.sin(turn) * upward)


def _biot_savart(loop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """sum over segments of dl x r / |r|^3 at ``points`` [..., 3]."""
    field = np.zeros_like(points)
    for start, end in pairwise(loop):
        r = points - (start + end) / 2
        field += np.cross((end - start)[None, None], r) / (np.linalg.norm(r, axis=-1, keepdims=True) ** 3)
    return field
