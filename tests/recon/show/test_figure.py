from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from PIL import Image

from mri_ambient.errors import UserError
from mri_ambient.recon.outputs import check_figure_path
from mri_ambient.recon.show.figure import Block, Box, block_of, draw_figure, interesting_box, print_figure
from mri_ambient.recon.show.panel import GAIN
from mri_ambient.recon.show.series import chosen_series
from tests.recon.results import oblong_result


@pytest.fixture
def result(undersampled, tmp_path):
    return oblong_result(tmp_path, undersampled)


def images_of(figure) -> list[AxesImage]:
    """Without the colour bar's."""
    return [image for axis in figure.axes for image in axis.get_images()]


def blob(y: int, x: int, shape: tuple[int, int] = (40, 64)) -> np.ndarray:
    image = np.zeros(shape)
    image[y : y + 3, x : x + 3] = 1
    return image


@pytest.mark.parametrize("where", [(1, 2), (20, 30), (37, 61), (5, 58)])
def test_the_box_is_where_errors_are(where):
    reference = blob(10, 10)
    images = {"a": reference, "b": reference + blob(*where)}
    for block in (Block("", images, reference), Block("", images, None, std=blob(*where)), Block("", images, None)):
        box = interesting_box([block])
        assert box.side == 16
        assert box.of(blob(*where)).sum() == 9
        assert box.of(reference).shape == (16, 16)


def test_one_window_one_scale_and_the_same_box(result):
    """Every magnitude has one window, every error and the std a GAINth of it; one box in all, of which the enlargements show
    the inside."""
    block = block_of(result, 1, chosen_series(result, "l1-wavelet,mean,std"))
    figure = print_figure([block, replace(block, label="R = 8")], "a caption.")
    shown = images_of(figure)
    white = np.quantile(block.reference, 0.995)
    assert len(shown) == 2 * (3 + 3 + 3)
    assert {image.get_clim() for image in shown if image.get_cmap().name == "gray"} == {(0, white)}
    assert {image.get_clim() for image in shown if image.get_cmap().name == "magma"} == {(0, white / GAIN)}
    boxes = {patch.get_bbox().bounds for axis in figure.axes for patch in axis.patches if isinstance(patch, Rectangle)}
    ((left, top, width, height),) = boxes
    box = Box(round(top + 0.5), round(left + 0.5), round(width))
    assert width == height
    for image, enlarged in zip(shown[:3], shown[3:6], strict=True):
        np.testing.assert_array_equal(box.of(image.get_array()), enlarged.get_array())
    np.testing.assert_array_equal(shown[7].get_array(), np.abs(block.images["l1-wavelet"] - block.reference))
    assert figure.get_facecolor() == (1, 1, 1, 1)
    caption = figure.get_supxlabel()
    assert "a caption." in caption
    assert "Research use, not for diagnosis" in " ".join(caption.split())
    assert figure.axes[0].get_ylabel() == ""


def test_without_reference_and_spread(result):
    block = block_of(replace(result, reference=None), 0, chosen_series(result, "mean,l1-wavelet"))
    figure = print_figure([block], "")
    assert [image.get_cmap().name for image in images_of(figure)] == ["gray"] * 4
    assert "Colours" not in figure.get_supxlabel()


@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_files(result, tmp_path, kind):
    path = tmp_path / f"figure.{kind}"
    draw_figure(path, result)
    data = path.read_bytes()
    if kind == "png":
        with Image.open(path) as image:
            assert round(image.info["dpi"][0]) == 300
    else:
        assert data.startswith({"pdf": b"%PDF", "svg": b"<?xml"}[kind])
        assert b"FontFile2" in data or kind == "svg"  # TrueType, as journals want it
    draw_figure(path, result)
    assert path.read_bytes() == data


def test_bad_input(result, tmp_path):
    with pytest.raises(UserError, match="has no slice 4; choose one of 0 to 3 with --slice"):
        draw_figure(tmp_path / "a.pdf", result, 4)
    with pytest.raises(UserError, match="--series determined: is no magnitude"):
        draw_figure(tmp_path / "a.pdf", result, 0, chosen_series(result, "determined"))
    with pytest.raises(UserError, match="names no magnitude"):
        draw_figure(tmp_path / "a.pdf", result, 0, chosen_series(result, "std"))
    with pytest.raises(UserError, match="--figure a.jpg: is not a figure's name; let it end in .pdf, .svg or .png"):
        check_figure_path("--figure", tmp_path.relative_to(tmp_path) / "a.jpg", False)
    (tmp_path / "a.pdf").touch()
    with pytest.raises(UserError, match="already exists"):
        check_figure_path("--figure", tmp_path / "a.pdf", False)
