import runpy
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(notebook, tmp_path, monkeypatch, capsys):
    """On a reconstruction's file, in an empty folder."""
    image = np.random.default_rng(0).random((2, 3, 16, 16))
    with h5py.File(tmp_path / "scan_recon.h5", "w") as file:
        file["samples"] = image.astype(np.complex64)
        file["mean"] = image.mean(1).astype(np.complex64)
        file["std"] = image.std(1)
        file.attrs["method"] = "dds"
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    runpy.run_path(str(notebook))
    assert "scan_recon.h5: dds, 3 samples a slice, 2 slices" in capsys.readouterr().out
