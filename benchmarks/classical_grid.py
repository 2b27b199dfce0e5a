"""How the classical methods' regularisation was chosen: NRMSE on simulated validation scans, or on one scan of yours.

python benchmarks/classical_grid.py [--scan FILE] [--accel 4] [--only tv ...]
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
from mri_ambient.measurement import measurement_of
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import reference_image

SPARSE = [1e-3, 2e-3, 3e-3, 6e-3, 1e-2, 2e-2]
GRIDS = {
    "cg-sense": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 2e-1],
    "l1-wavelet": SPARSE,
    "tv": SPARSE,
    "bart-l1-wavelet": SPARSE,
    "bart-tv": SPARSE,
    "bart-llr": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1],
}
VALIDATION_SEED = 77


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, nargs="*")
    parser.add_argument("--accel", type=float, nargs="+", default=[4.0])
    parser.add_argument("--only", nargs="+", choices=list(GRIDS), default=list(GRIDS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = SimulateSettings(slices=2, seed=VALIDATION_SEED)
        paths = arguments.scan or simulate_folder(Path(folder), 3, settings)
        for accel in arguments.accel:
            for method in arguments.only:
                grid = GRIDS[method]
                errors = np.mean([errors_of(path, accel, method, grid) for path in paths], axis=0)
                row = "  ".join(f"{value:g}: {error:.4f}" for value, error in zip(grid, errors, strict=True))
                print(f"R={accel:g} {method:15s} {row}", flush=True)


def errors_of(path: Path, accel: float, name: str, grid: list[float]) -> list[float]:
    scan, method = read_scan(path), METHODS[name]
    volume = prepare(scan, PrepareSettings(accel=accel))
    reference = reference_image(complete(scan, volume)).abs().numpy()
    scale, measurement = volume.scale[:, None, None], measurement_of(volume)

    def error(regularisation: float) -> float:
        settings = replace(method.settings, regularisation=regularisation)
        image = method.solve(measurement, None, 1, settings, [], lambda *_: None)[0]
        return nrmse(reference, (image.abs() * scale).numpy())

    return [error(regularisation) for regularisation in grid]


if __name__ == "__main__":
    main()
