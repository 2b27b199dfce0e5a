from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from mri_ambient.recon.show import notebook
from mri_ambient.recon.show.notebook import (
    accelerations,
    browse,
    errors_against_acceleration,
    explore,
    how_sure,
    methods_beside_each_other,
    tinted,
)
from mri_ambient.recon.show.panel import GAIN
from mri_ambient.recon.show.series import window_of
from tests.recon.results import oblong_result


@pytest.fixture
def result(undersampled, tmp_path):
    return oblong_result(tmp_path, undersampled)


@pytest.fixture
def shown(monkeypatch):
    """What cells display, instead of displaying it."""
    pytest.importorskip("IPython", reason="needs ipykernel: pip install 'mri-ambient[viewer]'")
    found = []
    monkeypatch.setattr("IPython.display.display", found.append)
    return found


def drawing(drawn: list):
    def draw(**chosen):
        drawn.append(chosen)
        return Figure()

    return draw


def test_sliders_redraw(shown, monkeypatch):
    monkeypatch.delenv(notebook.STATIC, raising=False)
    ipywidgets = pytest.importorskip("ipywidgets", reason="needs ipywidgets: pip install 'mri-ambient[viewer]'")
    drawn = []
    explore(drawing(drawn), slice=range(5), brightness=(0.5, 1.0, 2.0))
    assert drawn == [{"slice": 2, "brightness": 1.0}]
    (box,) = [one for one in shown if isinstance(one, ipywidgets.VBox)]
    first, second, _ = box.children
    assert (first.description, second.description) == ("slice", "brightness")
    first.value = 4
    assert drawn[-1] == {"slice": 4, "brightness": 1.0}


def test_niivue(shown, monkeypatch, result, tmp_path):
    """Gets the file; that it draws it needs a browser."""
    pytest.importorskip("ipyniivue", reason="needs ipyniivue: pip install 'mri-ambient[viewer]'")
    monkeypatch.delenv(notebook.STATIC, raising=False)
    (path,) = result.export("nifti", series="mean")
    browse(path)
    (viewer,) = shown
    (volume,) = viewer.volumes
    assert Path(volume.path) == path


@pytest.mark.parametrize("lacking", ["asked for", "not installed"])
def test_without_widgets(shown, monkeypatch, lacking, tmp_path, capsys):
    if lacking == "asked for":
        monkeypatch.setenv(notebook.STATIC, "1")
    else:
        monkeypatch.delenv(notebook.STATIC, raising=False)
        monkeypatch.setattr(notebook, "find_spec", lambda _: None)
    drawn = []
    explore(drawing(drawn), slice=range(5))
    assert drawn == [{"slice": 2}]
    (picture,) = shown
    assert picture.data.startswith(b"\x89PNG")
    browse(tmp_path / "a.nii.gz")
    assert "open it with any NIfTI viewer" in capsys.readouterr().out


def test_one_window(result):
    figure = methods_beside_each_other(result, 1, brightness=2.0)
    shown = {axis.get_title(): axis.get_images()[0] for axis in figure.axes if axis.get_images()}
    white = window_of(result) / 2
    assert list(shown)[:4] == ["fully sampled", "zero-filled", "l1-wavelet", "dds"]
    assert all(image.get_clim() == (0, white) for name, image in shown.items() if "error" not in name)
    errors = [axis.get_images()[0] for axis in figure.axes if axis.get_title().startswith("|error|")]
    np.testing.assert_array_equal(errors[0].get_array(), np.abs(result.others["zero-filled"][1] - result.reference[1]))
    assert errors[0].get_clim() == (0, white / GAIN)


def test_what_is_tinted(result):
    image = np.array([[0.0, 1.0], [3.0, 1.0]])
    colours = tinted(image, np.array([[False, False], [True, True]]), 2.0)
    np.testing.assert_array_equal(colours[0], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert (colours[1, :, 0] > colours[1, :, 2]).all()
    share = result.determined_share.copy()
    share[0, :, 0] = 0  # no coil sees it: not tinted
    object.__setattr__(result, "determined_share", share)
    tint = how_sure(result, 0, least=0.3).axes[2].get_images()[0].get_array()
    coloured = tint[..., 0] > tint[..., 2]
    np.testing.assert_array_equal(coloured, (share[0] > 0) & (share[0] < 0.3))


def test_accelerations(result):
    figure = accelerations({2: result, 4: result}, 0)
    assert len([axis for axis in figure.axes if axis.get_images()]) == 2 * 6
    axis = errors_against_acceleration({2: result, 4: result}).axes[0]
    of_mean, predicted = axis.lines[2], axis.lines[3]
    assert of_mean.get_label() == "dds"
    # here samples scatter around the truth, which is no draw: the mean of K=3 is sqrt(K + 1) times nearer to it
    assert of_mean.get_ydata()[0] * 2 == pytest.approx(predicted.get_ydata()[0], rel=0.15)
