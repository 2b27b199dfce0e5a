"""The promises of packaging: one list of dependencies, one version, a command that answers at once."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from mri_ambient import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = ("torch", "numpy", "scipy", "sigpy", "matplotlib", "h5py", "fastmri", "nilearn", "pydantic")


def test_environment_yml_lists_what_pyproject_does():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [item for item in listed if isinstance(item, str)]
    (pip,) = (item["pip"] for item in listed if isinstance(item, dict))
    extras = PROJECT["optional-dependencies"]
    wanted = {*PROJECT["dependencies"], *extras["dev"], *extras["bart"]}
    assert f"python{PROJECT['requires-python']}" in conda
    found = {item.replace("pytorch", "torch") for item in [*conda, *pip]}
    assert found == wanted | {f"python{PROJECT['requires-python']}", "pip"}


def test_constraints_pin_every_direct_dependency():
    lines = (ROOT / "constraints.txt").read_text().lower().splitlines()
    pinned = {line.split("==")[0].replace("_", "-") for line in lines if "==" in line}
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    assert {re.split("[>=<]", name)[0].lower() for name in wanted} <= pinned
    assert "torch==2.13.0" in lines


def test_the_changelog_has_this_version():
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_command_imports_nothing_heavy():
    code = f"import sys, mri_ambient.cli; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_no_machine_paths_in_the_repository():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        text = (ROOT / name).read_bytes()
        assert b"/home/" not in text or name == "tests/test_house.py"
        assert b"/work/" not in text or name == "tests/test_house.py"
