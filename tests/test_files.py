from pathlib import Path

import pytest

from mri_ambient.files import atomic_folder


def test_a_folder_that_can_not_be_replaced_stays(tmp_path, monkeypatch):
    """The old one is back, nothing half written lies beside it."""
    target = tmp_path / "export"
    with atomic_folder(target) as folder:
        (folder / "old").touch()
    rename = Path.rename

    def fails_for_the_new_one(path: Path, to: Path) -> Path:
        if (path / "new").exists():
            raise OSError("no")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fails_for_the_new_one)
    with pytest.raises(OSError, match="no"), atomic_folder(target) as folder:
        (folder / "new").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["export", "export/old"]
    monkeypatch.undo()
    with atomic_folder(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
