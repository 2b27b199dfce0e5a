"""Simulated multi-coil scans in fastMRI's file layout, labelled as simulated."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import quote
from zlib import crc32

import h5py
import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.data_prep.readers.checks import Acquired, make_scan
from mri_ambient.data_prep.readers.hdf5 import NOISELESS
from mri_ambient.data_prep.readers.header import Header
from mri_ambient.data_prep.readers.subject import pseudonym
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.simulation.anatomy import CONTRASTS, FIELD_OF_VIEW, Subject, draw_subject, smooth_noise
from mri_ambient.data_prep.simulation.anatomy_files import Patient, read_patients, select_contrasts
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.physics.fourier import fft2c
from mri_ambient.processes import Spread, run_jobs

COILS, CONTRAST, OFF_RESONANCE = 1, 2, 3  # name random streams of a subject


@dataclass(frozen=True)
class SimulateSettings:
    """snr: mean root-sum-of-squares signal in the head over the noise's standard deviation (of a real component).

    anatomy: a path for ``read_patients``; None is the template. contrasts: scan each subject in each of these (CONTRASTS),
    or keep the series of files whose names contain one of them; () is one at random, or all series.
    off_resonance: add the steep phase that an air cavity causes nearby. wrap: the object is that share wider than the field of
    view along x, and folds onto itself; 0 is a field of view that holds all of it.
    """

    matrix: int = 128
    slices: int = 10
    coils: int = 8
    snr: float = 30.0
    seed: int = 0
    anatomy: str | None = None
    contrasts: tuple[str, ...] = ()
    off_resonance: bool = False
    wrap: float = 0.0


DEFAULT = SimulateSettings()


def simulate_folder(
    folder: Path, subjects: int, settings: SimulateSettings, force: bool = False, workers: int = 1
) -> list[Path]:
    """Write ``subject_0000.h5`` and so on; a file that is there with the same settings is kept.

    A subject with several contrasts has one file each, ``subject_0000_T1.h5``. Subject i does not depend on how many there
    are; with anatomy from files it is patient i, and from the first again when all were used: a split is by ``patient_id``.

    Raises UserError if a file exists with other settings, the anatomy can't be read or a contrast is unknown.
    """
    scans = _scans(folder, subjects, settings)
    jobs = [scan for scan in scans if force or not scan[0].exists()]
    for path, _, _, contrast, patient in scans:
        if not force and path.exists() and _origin(path) != (_stored(settings), _patient_id(path, contrast, patient)):
            raise UserError(
                f"{path}: exists with other settings; remove it, pass --force, or simulate into another folder"
            )
    run_jobs(simulate_scan, jobs, Spread(workers), "simulating", lambda _, result: result())
    return [path for path, *_ in scans]


def simulate(settings: SimulateSettings = DEFAULT, subject: int = 0) -> Scan:
    """One simulated scan in memory: what :func:`simulate_folder` writes first of that subject, read again.

    Args:
        settings: of several contrasts the first is scanned.
        subject: its number; its name is ``subject_0000`` and so on.

    Raises:
        UserError: the anatomy can't be read, or a contrast is unknown.

    Example:
        >>> scan = simulate(SimulateSettings(matrix=32, slices=2, coils=4), subject=3)
        >>> scan.name, scan.kspace.shape, scan.fully_sampled
        ('subject_0003', torch.Size([2, 4, 32, 32]), True)
    """
    path, _, _, contrast, patient = next(scan for scan in _scans(Path(), subject + 1, settings) if scan[1] == subject)
    drawn = draw_scan(subject, settings, contrast, patient)
    kspace = drawn.kspace
    rows, columns = kspace.shape[-2:]
    view = (FIELD_OF_VIEW, FIELD_OF_VIEW * columns / rows)
    whose = pseudonym(_patient_id(path, contrast, patient))
    header = Header(limits=(0, columns - 1), field_of_view=view)
    given = Acquired(path.stem, "simulated", kspace.numpy(), header=header, subject=whose, simulated=True)
    return make_scan(replace(given, noiseless=drawn.noiseless.numpy()))


@dataclass(frozen=True)
class Drawn:
    """kspace: in arbitrary units. noiseless: the same without its noise. coils: their true sensitivities before the object
    wraps. noise_std: of a real component of a sample, in k-space's units. contrast: of its anatomy."""

    kspace: Complex[Tensor, "slice coil y x"]
    noiseless: Complex[Tensor, "slice coil y x"]
    coils: Complex[Tensor, "slice coil y w"]
    noise_std: float
    contrast: str


def draw_scan(subject: int, settings: SimulateSettings, contrast: str | None, patient: Patient | None) -> Drawn:
    """Anatomy x phase x coils, Fourier transform, complex white noise; an arbitrary scale.

    The anatomy is the template's in ``contrast`` (None: a random one), or that series of ``patient``. All contrasts of a
    subject share the coils; phase, noise and scale of each are its own.
    """
    rng = np.random.default_rng([settings.seed, subject])
    size = settings.matrix
    if patient is not None and contrast is not None:
        drawn = patient.series[contrast](size, settings.slices)
    else:
        drawn = draw_subject(size, settings.slices, rng, contrast)
    coil_rng = rng  # without a contrast one stream draws everything, in this order: the bundled prior's data came so
    if contrast is not None:
        coil_rng = np.random.default_rng([settings.seed, subject, COILS])
        rng = np.random.default_rng([settings.seed, subject, CONTRAST, crc32(contrast.encode())])
    shape = drawn.image.shape
    phase = rng.uniform(0.3, 1.2) * smooth_noise(shape, (1.5, size / 4, size / 4), rng) + rng.uniform(0, 2 * np.pi)
    if settings.off_resonance:
        phase = phase + _cavity_phase(drawn, np.random.default_rng([settings.seed, subject, OFF_RESONANCE]))
    coils = draw_coils(settings.coils, size, drawn.heights, FIELD_OF_VIEW, coil_rng)
    images = (drawn.image * np.exp(1j * phase))[:, None] * coils
    signal = np.linalg.norm(images, axis=1)[drawn.image > 0.1].mean()
    if settings.wrap:
        images = fold(images, _wrapped_columns(drawn, settings.wrap))
    noise_std = float(signal / settings.snr)
    noise = rng.standard_normal(images.shape) + 1j * rng.standard_normal(images.shape)
    units = 10.0 ** rng.uniform(-6, -3)  # scanners differ by orders of magnitude
    clean = fft2c(torch.from_numpy(images.astype(np.complex64)))
    kspace = (clean + torch.from_numpy((noise_std * noise).astype(np.complex64))) * units
    sensitivities = torch.from_numpy(coils.astype(np.complex64))
    return Drawn(kspace, clean * units, sensitivities, noise_std * units, drawn.contrast)


def simulate_scan(
    path: Path, subject: int, settings: SimulateSettings, contrast: str | None = None, patient: Patient | None = None
) -> None:
    """Write one scan of :func:`draw_scan` in fastMRI's layout."""
    drawn = draw_scan(subject, settings, contrast, patient)
    kspace = drawn.kspace
    rss = np.linalg.norm(torch.fft.ifft2(kspace, norm="ortho").abs().numpy(), axis=1)
    rss = np.fft.fftshift(rss, axes=(-2, -1)).astype(np.float32)
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        for name, data in (("kspace", kspace), (NOISELESS, drawn.noiseless)):
            file.create_dataset(name, data=data.numpy(), chunks=(1, *kspace.shape[1:]))
        file["reconstruction_rss"] = rss
        file["ismrmrd_header"] = _header(*kspace.shape[-2:]).encode()
        file.attrs["max"] = float(rss.max())
        file.attrs["norm"] = float(np.linalg.norm(rss))
        file.attrs["patient_id"] = _patient_id(path, contrast, patient)
        file.attrs["anatomy"] = patient.identity if patient else "ICBM152"
        file.attrs["acquisition"] = f"SIMULATED {drawn.contrast}"
        file.attrs["simulated"] = True
        file.attrs["noise_std"] = drawn.noise_std
        file.attrs["settings"] = json.dumps(_stored(settings))
        file.attrs["version"] = __version__


def _scans(
    folder: Path, subjects: int, settings: SimulateSettings
) -> list[tuple[Path, int, SimulateSettings, str | None, Patient | None]]:
    """The arguments of ``simulate_scan`` for all files of a folder."""
    if settings.anatomy is None:
        unknown = [contrast for contrast in settings.contrasts if contrast not in CONTRASTS]
        if unknown:
            raise UserError(f"--contrasts {unknown[0]}: is not one of {', '.join(CONTRASTS)}; choose among them")
        series = [(None, list(settings.contrasts))]
    else:
        path = Path(settings.anatomy)
        series = select_contrasts(read_patients(path), settings.contrasts, path)
    scans = []
    for subject in range(subjects):
        patient, contrasts = series[subject % len(series)]
        suffixed = patient is None or len(patient.series) > 1
        for contrast in contrasts or [None]:
            suffix = f"_{quote(contrast, safe='')}" if contrast and suffixed else ""
            scans.append((folder / f"subject_{subject:04d}{suffix}.h5", subject, settings, contrast, patient))
    return scans


def _patient_id(path: Path, contrast: str | None, patient: Patient | None) -> str:
    return path.stem.removesuffix(f"_{contrast}") if patient is None else patient.identity


def _stored(settings: SimulateSettings) -> dict:
    """As JSON gives them back; without ``wrap`` where nothing wraps, as files have them that were written before it."""
    stored = json.loads(json.dumps(asdict(settings)))
    return stored if settings.wrap else {key: value for key, value in stored.items() if key != "wrap"}


def _origin(path: Path) -> tuple[dict, str] | None:
    """The settings and the patient of a simulated file; a setting that it doesn't know is at its default."""
    try:
        with h5py.File(path) as file:
            stored = json.loads(str(file.attrs["settings"]))
            return _stored(SimulateSettings()) | stored, str(file.attrs["patient_id"])
    except (OSError, KeyError, ValueError, TypeError):
        return None


def _cavity_phase(drawn: Subject, rng: np.random.Generator) -> Float[np.ndarray, "slice y x"]:
    """A dipole's field, finite at its centre: phase in radians around a cavity low in the front of the head."""
    axis = (np.arange(drawn.image.shape[-1]) + 0.5) * drawn.pixel - FIELD_OF_VIEW / 2
    right, front, low = rng.normal(0, 12), rng.uniform(35, 65), drawn.heights.min() + rng.uniform(0, 15)
    radius, peak = rng.uniform(8, 16), rng.uniform(3, 8)
    x, y, z = axis[None, None, :] - right, -axis[None, :, None] - front, drawn.heights[:, None, None] - low
    field = radius**3 * (2 * z**2 - x**2 - y**2) / (x**2 + y**2 + z**2 + radius**2) ** 2.5
    return peak / 0.372 * field  # 0.372: the greatest of 2 t^2 / (t^2 + 1)^(5/2)


def fold(images: Complex[np.ndarray, "*batch y x"], columns: int) -> Complex[np.ndarray, "*batch y columns"]:
    """What a field of view of the central ``columns`` shows of a wider image: k-space sampled at steps of its inverse, which
    brings what lies outside back in at the other side."""
    size = images.shape[-1]
    before = (size // 2 - columns // 2) % -columns  # zeros, so that whole fields of view follow each other
    padded = np.pad(images, [(0, 0)] * (images.ndim - 1) + [(-before, -(size - before) % columns)])
    return padded.reshape(*images.shape[:-1], -1, columns).sum(-2)


def _wrapped_columns(drawn: Subject, wrap: float) -> int:
    """So many that the object is the share ``wrap`` wider; even, as scanners have them."""
    across = np.flatnonzero((drawn.image > 0.1).any((0, 1)))
    return max(2, 2 * round((across[-1] - across[0] + 1) / (1 + wrap) / 2))


def _header(rows: int, columns: int) -> str:
    """The least of an ISMRMRD header: x is the readout (the array's y), y the phase encode (the array's x)."""
    space = (
        f"<matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>"
        f"<fieldOfView_mm><x>{FIELD_OF_VIEW}</x><y>{FIELD_OF_VIEW * columns / rows}</y><z>5</z></fieldOfView_mm>"
    )
    limits = (
        "<kspace_encoding_step_1>"
        f"<minimum>0</minimum><maximum>{columns - 1}</maximum><center>{columns // 2}</center>"
        "</kspace_encoding_step_1>"
    )
    return (
        '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>'
        f"<encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>"
        f"<encodingLimits>{limits}</encodingLimits><trajectory>cartesian</trajectory>"
        "</encoding></ismrmrdHeader>"
    )
