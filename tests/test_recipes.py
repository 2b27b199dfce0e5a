"""The recipes of CONTRIBUTING.md: its lines are run, and what they add is used."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import mri_ambient as ma
from mri_ambient.data_prep.readers.registry import FORMATS
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
from mri_ambient.physics.mask_kinds.registry import MASK_KINDS
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.export.registry import EXPORTERS
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.training.losses.registry import LOSSES

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"### (A[^\n]+)\n.*?```python\n(.*?)```", TEXT, re.DOTALL))
REGISTRIES = (METHODS, LOSSES, MASK_KINDS, METRICS, FORMATS, EXPORTERS)


@pytest.fixture(autouse=True)
def as_they_were():
    yield
    for registry in REGISTRIES:
        registry.pop("toy", None)


@pytest.fixture(scope="module")
def scan() -> ma.Scan:
    return ma.simulate(matrix=48, slices=1, coils=4, seed=5)


def follow(recipe: str) -> None:
    exec(compile(RECIPES[recipe], f"CONTRIBUTING.md, {recipe}", "exec"), {"__name__": "recipe"})


def test_every_recipe_is_tested():
    assert list(RECIPES) == ["A sampler", "A loss", "A mask kind", "A metric", "A raw format", "An exporter"]


def test_a_sampler(scan):
    follow("A sampler")
    result = ma.reconstruct(scan, "toy", samples=2, accel=3, acs=8, beside=())
    assert result.samples is not None
    assert result.samples.shape == (1, 2, 48, 48)
    assert result.scores()[-1].held_out is not None


def test_a_loss(scan, tmp_path):
    follow("A loss")
    for subject in range(2):
        ma.prepare(ma.simulate(subject, matrix=48, slices=2, coils=2), acs=8).save(tmp_path / f"prepared/{subject}.h5")
    prior = ma.train(tmp_path / "prepared", tmp_path / "run", accel=3, loss="toy", images=32, laps=0)
    assert prior.card.training.loss == "toy"


def test_a_mask_kind(scan):
    follow("A mask kind")
    mask = ma.prepare(scan, accel=3, acs=8, mask="toy").mask[0, 0]
    assert mask[:8].all()
    assert int(mask.sum()) == 16
    assert not MASK_KINDS["toy"].trains


def test_a_metric(scan, tmp_path):
    follow("A metric")
    result = ma.reconstruct(scan, "zero-filled", accel=3, acs=8, beside=())
    assert result.scores()[0].errors["toy"] > 0
    simulate_folder(tmp_path / "raw", 1, SimulateSettings(matrix=48, slices=1, coils=4))
    ma.compare(tmp_path / "raw", tmp_path / "out", accel=2, methods="zero-filled")
    with (tmp_path / "out" / "scans.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["toy_mean"]) > 0
    assert "worst" in (tmp_path / "out" / "comparison.html").read_text()


def test_a_format(scan, tmp_path):
    follow("A raw format")
    (tmp_path / "a.toy").write_bytes(b"toy!" + scan.kspace.numpy().tobytes())
    found = ma.read_scan(tmp_path / "a.toy")
    assert found.format == "toy"
    assert np.array_equal(found.kspace, scan.kspace)


def test_an_exporter(scan, tmp_path):
    follow("An exporter")
    result = ma.reconstruct(scan, "cg-sense", accel=3, acs=8, beside=())
    (path,) = result.export("toy", tmp_path, series="mean")
    assert np.allclose(np.load(path)[0], np.abs(result.mean))
