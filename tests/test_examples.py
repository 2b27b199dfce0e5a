"""The examples in the docstrings, run."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import mri_ambient as ma

SKIPPED = ("mri_ambient.__main__",)
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(ma.__path__, "mri_ambient.", onerror=lambda _: None)
    if name not in SKIPPED and "template" not in name
]


def examples() -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(ma, "mri_ambient")
    for name in MODULES:
        found += doctest.DocTestFinder(exclude_empty=True).find(import_module(name))
    return [example for example in found if example.examples]


EXAMPLES = examples()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_it_runs(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def test_there_are_some():
    assert len(EXAMPLES) > 25
    names = {example.name for example in EXAMPLES}
    for public in ("prepare", "simulate", "load_prior", "reconstruct", "train", "compare", "tune"):
        assert f"mri_ambient.api.{public}" in names
