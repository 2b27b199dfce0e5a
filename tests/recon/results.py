"""Reconstructions' files for the tests of what is made of them, no sampler run: known to the pixel, or smooth with noise."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import torch
from torch import Generator

from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.methods.samplers.dds import DdsSettings
from mri_ambient.recon.reconstruct import Reconstruction
from mri_ambient.recon.result import Result, read_result
from mri_ambient.recon.result_data import ResultData, about_of, result_data
from mri_ambient.recon.result_file import write_result
from mri_ambient.store import PreparedVolume
from tests.recon.test_reconstruct import untrained

ROWS, COLUMNS = 24, 32
UNITS = 1e-6  # scanners have such
HOSTILE = '"a" <b>&\'<img src=x onerror=window.__x=1></script><script>window.__x=1</script>é'


def write_flat(
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
    held: HeldOut | None = None,
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
    known = truth if reference else None
    about = about_of(volume, results["dds"], 1.5, "on test scans", notes, "mvue")
    write_result(path, result_data(about, results, share, known, held))
    return path


def write_hostile(path: Path, volume: PreparedVolume) -> Path:
    """HOSTILE in every text that a file can bring; a name in HDF5 has no slash."""
    write_flat(path, volume, others=(HOSTILE.replace("/", "|"),), name=HOSTILE, notes=(HOSTILE,), data=HOSTILE)
    with h5py.File(path, "a") as file:
        file.attrs["method"] = json.dumps(HOSTILE)
        file.attrs["settings"] = json.dumps({HOSTILE: HOSTILE})
    return path


def made(method: str, samples: torch.Tensor, residual: torch.Tensor, card: Any, settings: Any) -> Reconstruction:
    return Reconstruction(method, samples, residual, 12.3, tuple(samples.shape[-2:]), 4711, card, settings)


def smooth_result(volume: PreparedVolume, samples: int = 3, reference: bool = True) -> ResultData:
    """dds (``samples`` of it) beside zero-filled and l1-wavelet, in the shape of ``volume``."""
    generator = Generator().manual_seed(0)
    slices, (rows, columns) = len(volume.kspace), volume.kspace.shape[-2:]
    y, x = torch.linspace(-1, 1, rows)[:, None], torch.linspace(-1, 1, columns)
    depth = torch.arange(1, slices + 1)[:, None, None] / slices
    truth = UNITS * depth * torch.exp(-4 * ((y + 0.3) ** 2 + (x - 0.2) ** 2)).to(torch.complex64)  # nothing symmetric

    def drawn(method: str, count: int, error: float) -> Reconstruction:
        noise = torch.randn(slices, count, rows, columns, dtype=torch.complex64, generator=generator)
        images = truth[:, None] + error * UNITS * noise
        return Reconstruction(method, images, torch.ones(slices), 1.0, (rows, columns), 0, None)

    results = {
        "zero-filled": drawn("zero-filled", 1, 0.2),
        "l1-wavelet": drawn("l1-wavelet", 1, 0.1),
        "dds": drawn("dds", samples, 0.05),
    }
    share = torch.rand(slices, rows, columns, generator=generator)
    about = about_of(volume, results["dds"], None, "", (), "mvue")
    return result_data(about, results, share, truth if reference else None, None, volume.mask)


def write_smooth(path: Path, volume: PreparedVolume, samples: int = 3, reference: bool = True) -> Path:
    """:func:`smooth_result` in a file."""
    write_result(path, smooth_result(volume, samples, reference))
    return path


def oblong_result(folder: Path, volume: PreparedVolume) -> Result:
    """Fewer rows than columns, and pixels that are not square: what is taken for y is not x."""
    result = read_result(write_smooth(folder / "scan_recon.h5", volume))
    images = {key: getattr(result, key)[:, 8:-8] for key in ("mean", "raw_std", "determined_share", "reference")}
    others = {name: image[:, 8:-8] for name, image in result.others.items()}
    about = result.about.model_copy(update={"field_of_view_mm": (96.0, 120.0)})
    return replace(result, about=about, others=others, samples=result.samples[..., 8:-8, :], **images)
