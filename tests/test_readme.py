"""The README's first screen, run; and that it stays short."""

import re
from pathlib import Path

import numpy as np

import mri_ambient as ma
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan

TEXT = (Path(__file__).parents[1] / "README.md").read_text()


def test_it_is_short():
    assert len(TEXT.split()) <= 900


def test_the_six_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulate_scan(tmp_path / "scan.h5", 0, SimulateSettings(matrix=48, slices=1, coils=4))
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code.replace("samples=8", "samples=2"), "README.md", "exec"), names)
    result = names["result"]
    assert isinstance(result, ma.Result)
    assert np.isfinite(result.mean).all()
    assert (tmp_path / "scan_report.html").stat().st_size > 100_000


def test_what_it_names_is_public():
    named = set(re.findall(r"\bma\.(\w+)", TEXT))
    assert named <= set(ma.__all__)
    assert all(getattr(ma, name) is not None for name in named)
