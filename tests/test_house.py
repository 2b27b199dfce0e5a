"""The promises of packaging: one list of dependencies, one version, a command that answers at once."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from mri_ambient import __version__
from mri_ambient.registry import Registry

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIRED = [*PROJECT["dependencies"], *(requirement for extra in EXTRAS.values() for requirement in extra)]
HEAVY = ("torch", "numpy", "scipy", "sigpy", "matplotlib", "h5py", "fastmri", "nilearn", "pydantic")


def test_environment_yml_lists_what_pyproject_does():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [item for item in listed if isinstance(item, str)]
    (pip,) = (item["pip"] for item in listed if isinstance(item, dict))
    found = {re.sub("^pytorch(?=[<>=])", "torch", item) for item in [*conda, *pip]}
    extra = {"python=3.11", "pip", "torchvision", "pytorch-lightning", "-e ."}  # said why at the head of the file
    assert found == {re.sub(r"\[.*\]", "", item) for item in REQUIRED} | extra


def test_constraints_pin_every_dependency():
    """Direct and transitive; CUDA's packages, which a GPU build of torch adds, aside."""
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonical(line.split("==")[0]) for line in pins}
    assert "torch==2.13.0" in pins
    assert {name for name in dependencies(REQUIRED) if not name.startswith(("nvidia", "cuda", "triton"))} <= pinned


def dependencies(required: list[str]) -> set[str]:
    """The names of all packages that those in ``required`` bring, themselves included."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in required]
    done: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in done:
            continue
        done.add(str(requirement))
        found.add(canonical(requirement.name))
        for below in map(Requirement, requires(requirement.name) or []):
            extras = requirement.extras or {""}
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(below)
    return found


def canonical(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_the_changelog_has_this_version():
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_command_imports_nothing_heavy():
    code = f"import sys, mri_ambient.cli; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_no_machine_paths_in_the_repository():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_symlink():
            continue
        text = (ROOT / name).read_bytes()
        if name != "tests/test_house.py":
            assert not [path for path in (b"/home/", b"/root/", b"/work/") if path in text], name


@pytest.mark.parametrize("name", ["recon", "data_prep", "api", "registry", "physics"])
def test_a_users_file_of_our_names_breaks_nothing(name, tmp_path):
    """Beside a script, which Python looks at first."""
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('the user own file was imported')\n")
    (tmp_path / "script.py").write_text(
        "import mri_ambient as ma\n"
        "scan = ma.simulate(matrix=32, slices=1, coils=2)\n"
        "print(ma.reconstruct(scan, 'cg-sense', accel=2, acs=8, beside=()).mean.shape)\n"
    )
    made = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.stdout.strip() == "(1, 32, 32)", made.stderr


def test_the_import_costs_nothing():
    code = f"import sys, mri_ambient; print([m for m in {HEAVY} if m in sys.modules], len(dir(mri_ambient)) > 10)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[] True"


def test_nothing_public_is_typed_any():
    """Signatures, attributes, and the aliases that these are written with."""
    found = [path for of in ("mri_ambient", "recon", "data_prep") for path in (ROOT / of).rglob("*.py")]
    assert len(found) > 200
    assert not [str(path) for path in found if holds_any(path.read_text())]
    public = ("def f(x: Any): ...", "def f() -> list[typing.Any]: ...", "class C:\n x: Any", "Row = dict[str, Any]")
    private = ("def _f(x: Any): ...", "class _C:\n x: Any", "def f():\n x: Any = 1", "from typing import Any")
    assert [holds_any(source) for source in (*public, *private)] == [True] * len(public) + [False] * len(private)


def holds_any(source: str) -> bool:
    below = (node for part in public_parts(ast.parse(source)) for node in ast.walk(part))
    return any(getattr(node, "id", getattr(node, "attr", "")) == "Any" for node in below)


def public_parts(module: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(module):
        if re.match("_[^_]", getattr(node, "name", "")):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public_parts(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from filter(None, (node.args, node.returns))
        else:
            yield node


def test_a_registry_knows_what_a_program_brought():
    """Also where it took the place of ours, and no longer once ours is back."""
    codecs = Registry("codec", {"json": "json:dumps"})
    ours = codecs["json"]
    assert not codecs.is_own("json")
    codecs["json"] = codecs["own"] = repr
    assert codecs.is_own("json")
    assert codecs.is_own("own")
    codecs["json"] = ours
    assert not codecs.is_own("json")
