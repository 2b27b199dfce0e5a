"""Reconstructions for tests of what is made of them: a smooth image, noise around it; nothing is solved."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator

from mri_ambient.store import PreparedVolume
from recon.recon_file import Study, read_reconstruction, write_reconstruction
from recon.reconstruct import Reconstruction

UNITS = 1e-6  # scanners have such


def write_study(path: Path, volume: PreparedVolume, samples: int = 3, reference: bool = True) -> Path:
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
    write_reconstruction(path, volume, results, "dds", share, truth if reference else None)
    return path


def oblong(study: Study) -> Study:
    """Fewer rows than columns, and pixels that are not square: what is taken for y is not x."""
    images = {key: getattr(study, key)[:, 8:-8] for key in ("mean", "std", "determined_share", "reference")}
    others = {name: image[:, 8:-8] for name, image in study.others.items()}
    samples = None if study.samples is None else study.samples[..., 8:-8, :]
    about = study.about.model_copy(update={"field_of_view_mm": (96.0, 120.0)})
    return replace(study, about=about, others=others, samples=samples, **images)


def oblong_study(folder: Path, volume: PreparedVolume) -> Study:
    return oblong(read_reconstruction(write_study(folder / "scan_recon.h5", volume)))
