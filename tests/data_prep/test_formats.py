"""BART cfl and ra, NumPy and bare HDF5: the same scan in each, known by content whatever its name."""

import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.bart import bart, installed
from mri_ambient.data_prep.readers import files_of, read_scan, scan_files
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c
from tests.operators import random_complex

KSPACE = random_complex((2, 3, 32, 24), 0, torch.complex64).numpy()


def bart_order(kspace: np.ndarray) -> np.ndarray:
    """(slice, coil, y, x) -> (read, phase, partition, coil, ..., slice)."""
    slices, coils, rows, columns = kspace.shape
    return kspace.transpose(2, 3, 1, 0).reshape(rows, columns, 1, coils, *[1] * 9, slices, 1, 1)


def write_cfl(path: Path, array: np.ndarray) -> Path:
    text = "# Dimensions\n" + " ".join(map(str, array.shape)) + "\n# Creator\nsomebody\n"
    path.with_suffix(".hdr").write_text(text)
    array.astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))
    return path.with_suffix(".hdr")


def write_ra(path: Path, array: np.ndarray) -> Path:
    head = np.array([0x7961727261776172, 0, 4, 8, 8 * array.size, array.ndim, *array.shape], "<u8")
    path.write_bytes(head.tobytes() + array.astype("<c8").ravel(order="F").tobytes())
    return path


def write_npy(path: Path, array: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.save(file, array)
    return path


def write_h5(path: Path, array: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["kspace"] = array
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "BART cfl": lambda path: write_cfl(path.with_suffix(".cfl"), bart_order(KSPACE)),
    "BART ra": lambda path: write_ra(path, bart_order(KSPACE)),
    "NumPy": lambda path: write_npy(path, KSPACE),
    "HDF5 with kspace and no header": lambda path: write_h5(path, KSPACE),
}


@pytest.mark.parametrize("format", WRITERS)
def test_the_same_scan_in_every_format_whatever_its_name(format, tmp_path):
    path = WRITERS[format](tmp_path / "scan.dat")
    scan = read_scan(path)
    assert scan.format == format
    assert torch.equal(scan.kspace, torch.from_numpy(KSPACE))
    assert scan.fully_sampled
    assert scan_files(tmp_path)[0] == [path]


def test_a_cfl_goes_by_any_of_its_names(tmp_path):
    header = write_cfl(tmp_path / "scan.cfl", bart_order(KSPACE))
    for name in ("scan", "scan.cfl", "scan.hdr"):
        assert read_scan(tmp_path / name).kspace.shape == KSPACE.shape
        assert files_of(tmp_path / name) == [header, tmp_path / "scan.cfl"]


@pytest.mark.bart
@pytest.mark.skipif(not installed(), reason="needs the BART toolbox: apt-get install bart")
def test_barts_own_phantom(tmp_path):
    """Read from a file that BART's order made, its image is what BART's inverse transform gives."""
    (kspace,) = bart("phantom -k -s 4 -x 32")
    scan = read_scan(write_cfl(tmp_path / "p.cfl", kspace))
    (images,) = bart("fft -i -u 3", kspace)
    expected = torch.from_numpy(np.ascontiguousarray(images[:, :, 0].transpose(2, 0, 1)))
    torch.testing.assert_close(ifft2c(scan.kspace)[0], expected, rtol=1e-4, atol=1e-2)  # of values up to 3,000


def test_two_phase_encodes_of_one_slice(tmp_path):
    array = KSPACE[0].transpose(1, 2, 0)[None]  # (1, phase, partition, coil)
    scan = read_scan(write_ra(tmp_path / "a.ra", array))
    assert torch.equal(scan.kspace[0], torch.from_numpy(KSPACE[0]))
    assert "two phase-encode axes" in scan.notes[0]


def damaged_npy(path: Path) -> Path:
    whole = write_npy(path, KSPACE).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def cfl_without_data(path: Path) -> Path:
    write_cfl(path, bart_order(KSPACE))
    path.with_suffix(".cfl").unlink()
    return path.with_suffix(".hdr")


def short_cfl(path: Path) -> Path:
    header = write_cfl(path, bart_order(KSPACE))
    path.with_suffix(".cfl").write_bytes(b"1234")
    return header


def broken_header(path: Path) -> Path:
    header = write_cfl(path, bart_order(KSPACE))
    header.write_text("# Dimensions\nmany by many\n")
    return header


def short_ra(path: Path) -> Path:
    write_ra(path, bart_order(KSPACE))
    path.write_bytes(path.read_bytes()[:-9])
    return path


def float_ra(path: Path) -> Path:
    path.write_bytes(np.array([0x7961727261776172, 0, 3, 4, 16, 1, 4], "<u8").tobytes() + bytes(16))
    return path


BAD: dict[str, Callable[[Path], Path]] = {
    "can't be read as a NumPy array": damaged_npy,
    "is not beside it": cfl_without_data,
    "has 4 bytes where its header asks for": short_cfl,
    "its dimensions can't be read": broken_header,
    "does not fit its dimensions": short_ra,
    "is not little-endian complex64": float_ra,
    "2 along echo": lambda path: write_ra(path, np.stack([bart_order(KSPACE)] * 2, 5).reshape(32, 24, 1, 3, 1, 2, 2)),
    "not complex": lambda path: write_npy(path, KSPACE.real),
    "3 dimensions": lambda path: write_npy(path, KSPACE[0]),
    "zero everywhere": lambda path: write_ra(path, 0 * bart_order(KSPACE)),
    "is empty": lambda path: write_npy(path, KSPACE[:0]),
    "NaN": lambda path: write_ra(path, np.nan * bart_order(KSPACE)),
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_content_is_told_in_one_sentence(problem, tmp_path):
    path = BAD[problem](tmp_path / "scan.x")
    with pytest.raises(UserError, match=problem) as error:
        read_scan(path)
    assert "scan" in str(error.value)
    assert "\n" not in str(error.value)


class Bomb:
    def __reduce__(self):
        return (Path("exploded").write_text, ("boom",))


def test_nothing_from_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "bomb.npy").open("wb") as file:
        np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.npy", "bomb.pkl"):
        with pytest.raises(UserError):
            read_scan(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


def test_noise_and_maps_of_a_bare_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = KSPACE
        file["noise"] = KSPACE[0, :, 0]
        file["sens_maps"] = KSPACE
    scan = read_scan(tmp_path / "a.h5")
    assert scan.noise is not None
    assert scan.noise.shape == (3, 24)
    assert scan.sens_maps is not None
    for key, wrong, problem in (
        ("noise", KSPACE[0, :2, 0], "with 3 coils"),
        ("noise", KSPACE[0, :, 0].real, "give it complex"),
        ("sens_maps", KSPACE[:1], "does not fit k-space"),
        ("sens_maps", 0 * KSPACE, "zero everywhere"),
    ):
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file["kspace"] = KSPACE
            file[key] = wrong
        with pytest.raises(UserError, match=problem):
            read_scan(tmp_path / "b.h5")
