"""A simulated head that is wider than the field of view, small."""

from pathlib import Path

from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan

ACS = 10
SETTINGS = SimulateSettings(matrix=80, slices=2, coils=8, seed=11, wrap=0.3)


def folded_scan(folder: Path) -> Scan:
    path = folder / "folded.h5"
    simulate_scan(path, 0, SETTINGS)
    return read_scan(path)
