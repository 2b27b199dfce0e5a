"""Shapes and types of the packages are checked while the tests run; small simulated scans that many tests share."""

import sys
from pathlib import Path

import pytest

import tests.typecheck  # noqa: F401  (named in pyproject.toml: the checker must be there before the packages are imported)
from mri_ambient.cli import main
from mri_ambient.data_prep.folder import prepare_folder
from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan
from mri_ambient.devices import PRECISION
from mri_ambient.store import PreparedVolume

ACS = 8


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fully sampled simulated scans, 48x48, 4 coils, 4 slices, in fastMRI's layout."""
    folder = tmp_path_factory.mktemp("fastmri")
    settings = SimulateSettings(matrix=48, slices=4, coils=4, seed=5)
    for index in range(2):
        simulate_scan(folder / f"subject_{index}.h5", index, settings)
    return folder


@pytest.fixture(scope="session")
def prepared(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scans prepared, nothing hidden."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare_folder(scans, folder, PrepareSettings(acs=ACS))
    return folder


@pytest.fixture(scope="session")
def undersampled(scans: Path) -> PreparedVolume:
    """The first scan at R=3."""
    return prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(accel=3, acs=ACS))


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request, monkeypatch) -> str:
    """Of every denoiser that is built in the test, whatever the processor; elsewhere it is the processor's, or the user's."""
    monkeypatch.setenv(PRECISION, request.param)
    return request.param


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type a command in an empty folder, a list if arguments hold spaces; returns (exit code, what it printed)."""
    monkeypatch.chdir(tmp_path)

    def run(line: str | list[str]) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mri-ambient", *(line.split() if isinstance(line, str) else line)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out + captured.err

    return run
