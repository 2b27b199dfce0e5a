"""The benchmarks keep up with what they import."""

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_can_be_loaded(script, monkeypatch):
    """As `python benchmarks/NAME.py` finds its modules; nothing is run."""
    monkeypatch.syspath_prepend(str(script.parent))
    runpy.run_path(str(script), run_name="loaded")
