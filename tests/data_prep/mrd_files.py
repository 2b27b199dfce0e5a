"""ISMRMRD files of a simulated head of which the whole k-space is known, and what makes them another scan."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan

ismrmrd = pytest.importorskip("ismrmrd", reason="needs the ismrmrd package: pip install 'mri-ambient[raw]'")

N = 48
CALIBRATION = ("IS_PARALLEL_CALIBRATION",)
REFERENCE = range(16, 32)


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> np.ndarray:
    """[slice, coil, y, x], 2 slices of 4 coils."""
    path = tmp_path_factory.mktemp("head") / "scan.h5"
    simulate_scan(path, 0, SimulateSettings(matrix=N, slices=2, coils=4, seed=5, snr=100))
    return read_scan(path).kspace.numpy()


def xml(
    encoded=(N, N, 1),
    recon=(N, N, 1),
    view=(230, 230),
    recon_view=(230, 230),
    limits: tuple | None = (0, N - 1, N // 2),
    more: str = "",
    trajectory: str = "<trajectory>cartesian</trajectory>",
    namespace: str = ' xmlns="http://www.ismrm.org/ISMRMRD"',
    outside: str = "",
) -> str:
    def space(name: str, matrix: tuple, fov: tuple) -> str:
        sizes = "".join(f"<{axis}>{size}</{axis}>" for axis, size in zip("xyz", matrix, strict=True))
        return (
            f"<{name}><matrixSize>{sizes}</matrixSize>"
            f"<fieldOfView_mm><x>{fov[0]}</x><y>{fov[1]}</y><z>4</z></fieldOfView_mm></{name}>"
        )

    names = ("minimum", "maximum", "center")
    ends = "".join(f"<{name}>{end}</{name}>" for name, end in zip(names, limits or (), strict=False) if end is not None)
    step = f"<kspace_encoding_step_1>{ends}</kspace_encoding_step_1>" if limits else ""
    one = (
        f"<encoding>{space('encodedSpace', encoded, view)}{space('reconSpace', recon, recon_view)}"
        f"<encodingLimits>{step}{more}</encodingLimits>{trajectory}</encoding>"
    )
    return f"<ismrmrdHeader{namespace}>{one}{outside}</ismrmrdHeader>"


def lines_of(kspace: np.ndarray, which=range(N), flags=(), first: int = 0, space: int = 0, **idx: int) -> list:
    made = []
    for number, image in enumerate(kspace):
        for line in which:
            one = ismrmrd.Acquisition.from_array(
                np.ascontiguousarray(image[:, :, line]), center_sample=image.shape[1] // 2, sample_time_us=5.0
            )
            one.encoding_space_ref = space
            for name, value in {"kspace_encode_step_1": line - first, "slice": number, **idx}.items():
                setattr(one.idx, name, value)
            for flag in flags:
                one.set_flag(getattr(ismrmrd, f"ACQ_{flag}"))
            made.append(one)
    return made


def write(path: Path, made: list, header: str, group: str = "dataset") -> Path:
    """All records at once, which the package's own writer can't; text with a NUL is of fixed length, as C writes it."""
    records = np.empty(len(made), ismrmrd.hdf5.acquisition_dtype)
    for record, each in zip(records, made, strict=True):
        record["head"] = np.frombuffer(each.getHead(), ismrmrd.hdf5.acquisition_header_dtype)[0]
        record["traj"], record["data"] = each.traj.ravel(), each.data.ravel().view(np.float32)
    with h5py.File(path, "a") as file:
        file.create_dataset(f"{group}/data", data=records)
        file[f"{group}/xml"] = np.array([header.encode() + b" "]) if "\0" in header else [header]
    return path


def measured(scan) -> list[int]:
    return scan.mask[0].nonzero().squeeze(1).tolist()


def inverted(kspace: np.ndarray) -> np.ndarray:
    """Of the same coils: bright where the head is dark."""
    axes = (-2, -1)
    shifted = np.fft.ifftshift(kspace, axes=axes)
    images = np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=axes)
    brightness = np.linalg.norm(images, axis=1, keepdims=True)
    most = brightness.max()
    images = images * np.where(brightness > 0.1 * most, (1.2 * most - brightness) / (brightness + 1e-9), 0)
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes=axes), norm="ortho"), axes=axes).astype(
        np.complex64
    )


def noisy(kspace: np.ndarray, level: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape)
    return (kspace + level * np.sqrt(np.mean(np.abs(kspace) ** 2)) * noise).astype(np.complex64)


OTHERS = {"contrast": inverted, "gain": lambda k: 0.8 * k, "phase": lambda k: k * np.complex64(np.exp(0.5j))}
