"""The notebooks, run as a reader runs them: from nothing, in an empty folder, by a kernel of its own.

Without widgets, with which nbclient sometimes waits for ever (its issue 312): those are tested in `recon/test_notebook.py`.
"""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

jupytext = pytest.importorskip("jupytext", reason="needs jupytext: pip install 'mri-ambient[dev]'")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install 'mri-ambient[dev]'")
pytest.importorskip("ipykernel", reason="needs ipykernel: pip install 'mri-ambient[viewer]'")

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PICTURES = {
    "01_read_a_scan": 2,
    "02_how_sure_is_it": 4,
    "03_acceleration": 3,
    "04_train_your_own": 2,
    "05_for_reviewers": 1,
}
MADE = {
    "01_read_a_scan": ["subject_0000_mean.nii.gz", "subject_0000_std.nii.gz"],
    "04_train_your_own": ["training/run/lap1/prior.json", "training/prepared/subject_0003.h5"],
    "05_for_reviewers": ["ranking_reader_1.csv"],
}


def execute(name: str, folder: Path):
    """The notebook with its outputs; its files are in ``folder``."""
    from jupyter_client import AsyncKernelManager

    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    # sockets in files: ports chosen at random may be taken
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(folder / "k"))
    client = nbclient.NotebookClient(notebook, km=kernel, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(cleanup_kc=True)  # a manager of our own it would leave running
    return notebook


def outputs(notebook) -> list:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook) -> list[Image.Image]:
    found = [output["data"]["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


def printed(notebook) -> str:
    return "".join(output["text"] for output in outputs(notebook) if output.get("name") == "stdout")


def test_every_notebook_is_tested():
    assert sorted(PICTURES) == sorted(path.stem for path in NOTEBOOKS.iterdir() if path.is_file())


@pytest.mark.parametrize("name", PICTURES)
def test_it_begins_with_what_one_learns(name):
    first = jupytext.read(NOTEBOOKS / f"{name}.py").cells[0]
    assert first.cell_type == "markdown"
    said = " ".join(first.source.split())
    assert "You learn" in said
    assert "**Research use, not for diagnosis.**" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_it_runs_without_widgets(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MRI_AMBIENT_STATIC", "1")
    notebook = execute(name, tmp_path)
    found = pictures(notebook)
    assert len(found) == PICTURES[name]
    assert all(min(picture.size) > 300 and len(picture.getcolors(2**24)) > 20 for picture in found)  # not blank
    assert all((tmp_path / "example" / path).exists() for path in MADE.get(name, []))
    if name == "05_for_reviewers":
        assert "reader 1,2026,0,subject_0000," in printed(notebook)
        assert "Who was who" in printed(notebook)
