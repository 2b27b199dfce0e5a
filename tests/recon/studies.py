"""Reconstructions' files for the tests of what is made of them: small, known to the pixel, no sampler run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import torch

from mri_ambient.store import PreparedVolume
from recon.recon_file import write_reconstruction
from recon.reconstruct import Reconstruction
from recon.samplers.dds import DdsSettings
from tests.recon.test_reconstruct import untrained

ROWS, COLUMNS = 24, 32
HOSTILE = '"a" <b>&\'<img src=x onerror=window.__x=1></script><script>window.__x=1</script>é'


def write_study(
    path: Path,
    volume: PreparedVolume,
    slices: int = 3,
    samples: int = 4,
    kind: str = "image",
    others: tuple[str, ...] = ("zero-filled", "l1-wavelet"),
    reference: bool = True,
    name: str = "scan",
    notes: tuple[str, ...] = (),
    data: str = "12 scans",
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> Path:
    """The reference is 1 in the left half, 0.5 in the right, times (slice + 1) / slices, 0 in the uppermost quarter; sample k
    is k / 100 more; other methods are 0.8, 0.6, ... of it. The data determine 0.2 of the lower quarter, 0.9 of the rest, and no
    coil sees the leftmost column. Residuals of the methods: 1, 2, ... and 0.1 more for each slice.
    """
    truth = torch.ones(slices, rows, columns, dtype=torch.complex64)
    truth[:, :, columns // 2 :] = 0.5
    truth *= (torch.arange(1, slices + 1) / slices)[:, None, None]
    truth[:, : rows // 4] = 0
    share = torch.full((slices, rows, columns), 0.9)
    share[:, 3 * rows // 4 :] = 0.2
    share[:, :, 0] = 0
    residual = 1 + torch.arange(slices) / 10
    card = untrained(kind).card.model_copy(update={"data": data, "images_seen": 12345, "weights_sha256": "ab" * 32})
    more = torch.arange(samples)[:, None, None] / 100
    results = {"dds": made("dds", truth[:, None] + more, residual, card, DdsSettings(steps=7))}
    for index, method in enumerate(others):
        results[method] = made(method, (0.8 - 0.2 * index) * truth[:, None], residual + 1 + index, None, None)
    provenance = {"simulated": True, "field_of_view_mm": (rows * 2.0, columns * 1.5), "source": f"{name}.h5"}
    volume = replace(volume, name=name, provenance=provenance)
    write_reconstruction(path, volume, results, "dds", share, truth if reference else None, 1.5, notes)
    return path


def write_hostile(path: Path, volume: PreparedVolume) -> Path:
    """HOSTILE in every text that a file can bring; a name in HDF5 has no slash."""
    write_study(path, volume, others=(HOSTILE.replace("/", "|"),), name=HOSTILE, notes=(HOSTILE,), data=HOSTILE)
    with h5py.File(path, "a") as file:
        file.attrs["method"] = json.dumps(HOSTILE)
        file.attrs["settings"] = json.dumps({HOSTILE: HOSTILE})
    return path


def made(method: str, samples: torch.Tensor, residual: torch.Tensor, card: Any, settings: Any) -> Reconstruction:
    return Reconstruction(method, samples, residual, 12.3, tuple(samples.shape[-2:]), 4711, card, settings)
