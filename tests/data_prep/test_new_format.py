"""A raw format of one's own: one file that ends in a Format, and a name in the registry."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mri_ambient.data_prep.folder import prepare_file, prepare_folder
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.readers import files_of, formats, read_scan, scan_files, suffixes
from mri_ambient.data_prep.readers.checks import Acquired, make_scan
from mri_ambient.data_prep.readers.format import Format, starts_with
from mri_ambient.data_prep.readers.registry import FORMATS
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from tests.data_prep.raw import scan

MAGIC = b"TOY1"


def read_toy(path: Path) -> Scan:
    shape = np.frombuffer(path.read_bytes()[4:20], "<i4")
    return make_scan(Acquired(path, "toy", np.frombuffer(path.read_bytes()[20:], "<c8").reshape(shape)))


TOY = Format(starts_with(MAGIC), read_toy, (".toy",))


@pytest.fixture(autouse=True)
def added(monkeypatch):
    monkeypatch.setitem(FORMATS, "toy", TOY)


def write_toy(path: Path) -> Path:
    kspace = scan()
    path.write_bytes(MAGIC + np.array(kspace.shape, "<i4").tobytes() + kspace.tobytes())
    return path


def test_it_is_read_and_found_in_folders(tmp_path):
    path, other = write_toy(tmp_path / "a.toy"), write_toy(tmp_path / "of_any_name")
    assert torch.equal(read_scan(path).kspace, torch.from_numpy(scan()))
    assert scan_files(tmp_path) == ([path, other], 0)
    assert files_of(path) == [path]
    assert prepare_file(path, tmp_path / "a.h5", PrepareSettings(acs=8))[0]["format"] == "toy"


def test_messages_tell_of_it(tmp_path):
    assert formats().endswith(" or toy")
    assert ".toy" in suffixes()
    (tmp_path / "a.txt").write_text("no scan")
    with pytest.raises(UserError, match="is not a scan in a known format; give .* or toy"):
        read_scan(tmp_path / "a.txt")
    (tmp_path / "b.toy").write_text("claims to be one")
    assert scan_files(tmp_path)[0] == [tmp_path / "b.toy"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no scan; .*\.toy\)"):
        prepare_folder(tmp_path / "empty", tmp_path / "out", PrepareSettings())
