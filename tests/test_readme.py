"""README keeps its word: its first Python runs as printed, and it stays short."""

import re
from pathlib import Path

import numpy as np

from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_it_has_at_most_nine_hundred_words():
    assert len(README.split()) <= 900


def test_the_first_python_runs_as_printed(tmp_path, monkeypatch):
    """In a folder that holds a small scan.h5 and nothing else, as a newcomer's does."""
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block
    (path,) = simulate_folder(tmp_path, 1, SimulateSettings(matrix=64, slices=1, coils=4))
    path.rename(tmp_path / "scan.h5")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block[1], names)
    result = names["result"]
    assert result.mean.shape == result.std.shape == (1, 64, 64)
    assert result.samples.shape == (1, 8, 64, 64)
    assert np.isfinite(result.std).all()
    assert "<html" in (tmp_path / "scan_report.html").read_text(encoding="utf-8")
