"""Simulated multi-coil scans in fastMRI's file layout, labelled as simulated."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from data_prep.anatomy import FIELD_OF_VIEW, SLICE_SPAN, draw_subject, smooth_noise
from data_prep.coils import draw_coils
from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.physics.fourier import fft2c
from mri_ambient.processes import Spread, run_jobs


@dataclass(frozen=True)
class SimulateSettings:
    """snr: mean root-sum-of-squares signal in the head over the noise's standard deviation (of a real component)."""

    matrix: int = 128
    slices: int = 10
    coils: int = 8
    snr: float = 30.0
    seed: int = 0


def simulate_folder(
    folder: Path, subjects: int, settings: SimulateSettings, force: bool = False, workers: int = 1
) -> list[Path]:
    """Write ``subject_0000.h5`` and so on; a file that is there with the same settings is kept.

    Subject i does not depend on how many there are. Raises UserError if a file exists with other settings.
    """
    paths = [folder / f"subject_{i:04d}.h5" for i in range(subjects)]
    missing = [(index, path) for index, path in enumerate(paths) if force or not path.exists()]
    for path in set(paths) - {path for _, path in missing}:
        if _settings_of(path) != asdict(settings):
            raise UserError(
                f"{path}: exists with other settings; remove it, pass --force, or simulate into another folder"
            )
    jobs = [(path, index, settings) for index, path in missing]
    run_jobs(simulate_scan, jobs, Spread(workers), "simulating", lambda _, result: result())
    return paths


def simulate_scan(path: Path, subject: int, settings: SimulateSettings) -> None:
    """One subject: anatomy x smooth phase x coils, Fourier transform, complex white noise; an arbitrary scale."""
    rng = np.random.default_rng([settings.seed, subject])
    drawn = draw_subject(settings.matrix, settings.slices, rng)
    shape = drawn.image.shape
    size = settings.matrix
    phase = rng.uniform(0.3, 1.2) * smooth_noise(shape, (1.5, size / 4, size / 4), rng) + rng.uniform(0, 2 * np.pi)
    heights = np.linspace(*SLICE_SPAN, settings.slices)
    coils = draw_coils(settings.coils, size, heights, FIELD_OF_VIEW, rng)
    images = (drawn.image * np.exp(1j * phase))[:, None] * coils
    signal = np.linalg.norm(images, axis=1)[drawn.image > 0.1].mean()
    noise_std = float(signal / settings.snr)
    noise = rng.standard_normal(images.shape) + 1j * rng.standard_normal(images.shape)
    units = 10.0 ** rng.uniform(-6, -3)  # scanners differ by orders of magnitude
    kspace = fft2c(torch.from_numpy(images.astype(np.complex64)))
    kspace = (kspace + torch.from_numpy((noise_std * noise).astype(np.complex64))) * units
    rss = np.linalg.norm(torch.fft.ifft2(kspace, norm="ortho").abs().numpy(), axis=1)
    rss = np.fft.fftshift(rss, axes=(-2, -1)).astype(np.float32)
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("kspace", data=kspace.numpy(), chunks=(1, *kspace.shape[1:]))
        file["reconstruction_rss"] = rss
        file["ismrmrd_header"] = _header(size).encode()
        file.attrs["max"] = float(rss.max())
        file.attrs["norm"] = float(np.linalg.norm(rss))
        file.attrs["patient_id"] = path.stem
        file.attrs["acquisition"] = f"SIMULATED {drawn.contrast}"
        file.attrs["simulated"] = True
        file.attrs["noise_std"] = noise_std * units
        file.attrs["settings"] = json.dumps(asdict(settings))
        file.attrs["version"] = __version__


def _settings_of(path: Path) -> dict | None:
    try:
        with h5py.File(path) as file:
            return json.loads(str(file.attrs["settings"]))
    except (OSError, KeyError, ValueError):
        return None


def _header(matrix: int) -> str:
    """The least of an ISMRMRD header: x is the readout (the array's y), y the phase encode (the array's x)."""
    space = (
        f"<matrixSize><x>{matrix}</x><y>{matrix}</y><z>1</z></matrixSize>"
        f"<fieldOfView_mm><x>{FIELD_OF_VIEW}</x><y>{FIELD_OF_VIEW}</y><z>5</z></fieldOfView_mm>"
    )
    limits = (
        "<kspace_encoding_step_1>"
        f"<minimum>0</minimum><maximum>{matrix - 1}</maximum><center>{matrix // 2}</center>"
        "</kspace_encoding_step_1>"
    )
    return (
        '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>'
        f"<encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>"
        f"<encodingLimits>{limits}</encodingLimits><trajectory>cartesian</trajectory>"
        "</encoding></ismrmrdHeader>"
    )
