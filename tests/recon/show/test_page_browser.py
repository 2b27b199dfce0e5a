"""The page of a reconstruction in a browser: Debian's Chromium, its software rendering, no network."""

import io
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mri_ambient.recon.result import read_result
from mri_ambient.recon.show.page import write_report
from tests.recon.results import HOSTILE, write_flat, write_hostile

CHROMIUM = shutil.which("chromium")
LACKING = [name for name, there in (("playwright", find_spec("playwright")), ("chromium", CHROMIUM)) if not there]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(LACKING), reason=f"needs {' and '.join(LACKING)}")]
SOFTWARE = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SECONDS = 10  # that a picture may take to change on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)
        yield chromium
        chromium.close()


class Opened:
    """A page and what it complained of or asked for."""

    def __init__(self, browser: Any, path: Path, **options: Any):
        self.page = browser.new_page(viewport={"width": 1280, "height": 1000}, **options)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-drawn]")

    def panes(self) -> list[np.ndarray | None]:
        """[y, x, RGB] of each canvas, as a reader sees it; None where it isn't shown."""
        screen = np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)
        found = []
        for canvas in self.page.locator(".pane canvas").all():
            box = canvas.bounding_box()
            if box is not None:
                left, top = round(box["x"]), round(box["y"])
                found.append(screen[top : top + round(box["height"]), left : left + round(box["width"])])
            else:
                found.append(None)
        return found

    def greys(self, across: float, down: float) -> list[float]:
        """At that fraction of each pane's width and height; -1 where it isn't shown."""
        panes = self.panes()
        return [-1 if p is None else float(p[int(down * len(p)), int(across * p.shape[1])].mean()) for p in panes]

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()


MEAN, STD, SAMPLES, ERROR, REFERENCE, ZERO_FILLED, WAVELET = range(7)
MAGNITUDES = (MEAN, SAMPLES, REFERENCE, ZERO_FILLED, WAVELET)


@pytest.fixture(scope="module")
def opened(browser, undersampled, tmp_path_factory) -> Opened:
    folder = tmp_path_factory.mktemp("report")
    write_report(folder / "a.html", read_result(write_flat(folder / "a_recon.h5", undersampled)))
    return Opened(browser, folder / "a.html")


BRIGHT = {REFERENCE: 255, ZERO_FILLED: 0.8 * 255, WAVELET: 0.6 * 255}  # in the left half of the last slice


@pytest.fixture
def shown(opened) -> Opened:
    """The page as it is at first."""
    opened.page.locator("h1").click()
    opened.press("0", "r")
    opened.page.locator("#overlay").uncheck()
    opened.page.locator("#slice").fill("1")
    opened.page.locator("#sample").fill("0")
    opened.page.locator("h1").click()
    eventually(lambda: near(opened.greys(0.2, 0.5), 2 / 3))
    return opened


def near(greys: list[float], share: float) -> bool:
    return all(abs(greys[number] - share * bright) < 4 for number, bright in BRIGHT.items())


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


def test_every_pane_shows_its_image(shown):
    """In the common window, upright, the left at the left; the std and the error in theirs, a fifth of it."""
    assert near(shown.greys(0.2, 0.5), 2 / 3)
    assert near(shown.greys(0.8, 0.5), 1 / 3)
    assert near(shown.greys(0.2, 0.1), 0)
    panes = shown.panes()
    assert np.ptp(panes[STD], axis=(0, 1)).max() == 0  # the samples differ by the same everywhere
    assert panes[STD].max() > 20
    assert "0 to 200" in shown.text(".pane:nth-child(2) p")
    assert panes[ERROR].max() > 20
    shown.page.locator("select").select_option(label="zero-filled")
    eventually(lambda: shown.panes()[ERROR].max() > panes[ERROR].max() + 50)
    shown.page.locator("select").select_option(index=0)
    assert "misfit 1.10 x noise" in shown.text(".pane:nth-child(1) p")


def test_the_window_is_the_same_for_all(shown):
    shown.page.locator("#width").fill("2000")
    shown.page.locator("#level").fill("1000")
    shown.press("Enter")
    eventually(lambda: near(shown.greys(0.2, 0.5), 1 / 3))
    assert "0 to 400" in shown.text(".pane:nth-child(2) p")


def test_dragging_changes_the_window_then_the_position(shown):
    box = shown.page.locator(".pane canvas").nth(ZERO_FILLED).bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = shown.page.mouse

    def drag(right: float, down: float) -> None:
        mouse.move(*middle)
        mouse.down()
        mouse.move(middle[0] + right, middle[1] + down)
        mouse.up()

    drag(60, 0)
    eventually(lambda: shown.page.locator("#width").input_value() == "1200")
    drag(0, -30)
    eventually(lambda: shown.page.locator("#level").input_value() == "400")
    shown.press("r")
    shown.page.get_by_label("position").check()
    drag(0, box["height"] / 2)
    eventually(lambda: near(shown.greys(0.2, 0.3), 0) and near(shown.greys(0.2, 0.9), 2 / 3))
    assert shown.page.locator("#width").input_value() == "1000"
    shown.page.get_by_label("window", exact=True).check()


def test_slices_are_linked(shown):
    shown.press("ArrowDown")
    eventually(lambda: near(shown.greys(0.2, 0.5), 1))
    assert "misfit 1.20 x noise" in shown.text(".pane:nth-child(1) p")
    shown.press("ArrowDown")  # there is no further slice
    shown.page.locator(".pane canvas").nth(WAVELET).hover()
    shown.page.mouse.wheel(0, -100)
    eventually(lambda: near(shown.greys(0.2, 0.5), 2 / 3))


def test_zoom_is_linked(shown):
    assert near(shown.greys(0.2, 0.2), 0)  # the dark quarter at the top
    shown.press("+", "+", "+", "+")
    eventually(lambda: near(shown.greys(0.2, 0.2), 2 / 3))
    assert shown.text("#zoom-shown") == "2.4 x"
    shown.press("-", "-", "-", "-")
    eventually(lambda: near(shown.greys(0.2, 0.2), 0))
    shown.press("Shift+ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown")
    eventually(lambda: near(shown.greys(0.2, 0.35), 0))


def test_the_overlay_marks_what_the_data_do_not_support(shown):
    """The lowest quarter, but not the column that no coil sees; on magnitudes only; less at another threshold."""

    def blue(down: float, across: float = 0.5) -> list[int]:
        points = [pane[int(down * len(pane)), int(across * pane.shape[1])] for pane in shown.panes()]
        return [number for number, (red, _, blue) in enumerate(points) if blue > red + 20 and number in MAGNITUDES]

    assert blue(0.9) == []
    error = shown.panes()[ERROR]
    shown.press("o")
    eventually(lambda: blue(0.9) == [*MAGNITUDES])
    assert blue(0.5) == blue(0.9, 0.005) == []
    assert (shown.panes()[ERROR] == error).all()
    assert shown.text("#marked") == "marks 25.0 % of this slice"
    shown.page.locator("#threshold").fill("0.9")
    eventually(lambda: blue(0.9) == [])
    assert shown.text("#marked") == "marks 0.0 % of this slice"
    shown.page.locator("#threshold").fill("0.05")
    eventually(lambda: blue(0.5) == [*MAGNITUDES])
    shown.page.locator("#threshold").fill("0.5")


def test_the_flip_book(shown):
    first = shown.panes()
    shown.press("ArrowRight")
    eventually(lambda: (shown.panes()[SAMPLES] != first[SAMPLES]).any())
    assert "2 of 4" in shown.text(".pane:nth-child(3) button")
    assert (shown.panes()[MEAN] == first[MEAN]).all()
    shown.press("ArrowLeft", " ")
    eventually(lambda: "3 of 4" in shown.text(".pane:nth-child(3) button"))
    assert shown.page.locator("#play").get_attribute("aria-pressed") == "true"
    shown.press(" ")
    stopped = shown.text("#sample-shown")
    time.sleep(0.6)
    assert shown.text("#sample-shown") == stopped


def test_one_pane_large(shown):
    panes = shown.page.locator(".pane:visible")
    assert panes.count() == 7
    for key in ("6", "0", "Escape"):
        shown.press("6")
        assert panes.count() == 1
        assert panes.first.inner_text().startswith("6 zero-filled")
        eventually(lambda: abs(shown.greys(0.45, 0.5)[ZERO_FILLED] - 0.8 * 255 * 2 / 3) < 4)
        shown.press(key)
        assert panes.count() == 7
    eventually(lambda: near(shown.greys(0.2, 0.5), 2 / 3))


def test_with_the_keyboard_alone(shown):
    """Every control is reached by Tab and shows that it is; keys typed into a field stay there."""
    reached = []
    for _ in range(40):
        shown.press("Tab")
        focus = shown.page.locator(":focus-visible")
        if focus.count() == 0:
            break
        reached.append(focus.get_attribute("id") or focus.inner_text())
    for name in ("slice", "sample", "play", "width", "level", "larger", "overlay", "threshold", "1 dds, mean of 4"):
        assert name in reached
    assert "residuals" in reached
    box = shown.page.locator("#play").bounding_box()
    around = {"x": box["x"] - 6, "y": box["y"] - 6, "width": box["width"] + 12, "height": box["height"] + 12}
    unfocused = shown.page.screenshot(clip=around)
    shown.page.locator("#sample").focus()
    shown.press("Tab")
    assert shown.page.screenshot(clip=around) != unfocused
    shown.page.locator("#width").focus()
    shown.press("Control+a", "1", "0", "0", "Enter")
    assert shown.page.locator("#width").input_value() == "100"
    assert shown.page.locator(".pane:visible").count() == 7
    shown.page.locator(".pane button").nth(STD).focus()
    shown.press("Enter")
    assert shown.page.locator(".pane:visible").count() == 1


def test_a_telephone(shown):
    shown.page.set_viewport_size({"width": 390, "height": 844})
    eventually(lambda: shown.page.locator(".pane canvas").first.bounding_box()["width"] < 200)
    heading = shown.page.locator("h1").bounding_box()
    shown.page.mouse.move(200, 100)
    shown.page.mouse.wheel(300, 0)
    time.sleep(0.3)
    assert shown.page.locator("h1").bounding_box() == heading  # nothing lies to the right
    shown.page.mouse.wheel(0, 2000)
    eventually(lambda: shown.page.locator(".notice").bounding_box()["y"] == 0)
    shown.page.set_viewport_size({"width": 1280, "height": 1000})


def test_nothing_was_complained_of_and_nothing_asked(opened):
    """After all of the above."""
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_hostile_text_runs_nowhere(browser, undersampled, tmp_path):
    """Even where the page's own policy, which would forbid it, is switched off."""
    page = tmp_path / "é \"q\" <img src=x onerror='window.__x=1'>.html"
    write_report(page, read_result(write_hostile(tmp_path / "a_recon.h5", undersampled)))
    opened = Opened(browser, page, bypass_csp=True)
    assert opened.text("h1") == HOSTILE
    assert opened.page.evaluate("window.__x") is None
    opened.press("6")
    assert HOSTILE.replace("/", "|") in opened.text(".large button")
    assert opened.page.evaluate("window.__x") is None
    assert opened.complaints == []
    opened.page.close()


def test_one_slice_and_nothing_else(browser, undersampled, tmp_path):
    source = write_flat(tmp_path / "a_recon.h5", undersampled, slices=1, samples=1, others=(), reference=False)
    write_report(tmp_path / "a.html", read_result(source))
    opened = Opened(browser, tmp_path / "a.html")
    assert opened.page.locator(".pane:visible").count() == 1
    eventually(lambda: abs(opened.greys(0.2, 0.5)[0] - 255) < 4)
    assert not opened.page.locator("#slice").is_visible()
    assert not opened.page.locator("#play").is_visible()
    opened.press("ArrowDown", "ArrowRight", " ", "9")
    assert opened.complaints == []
    opened.page.close()


def test_a_browser_without_webgl_is_told_so(browser, undersampled, tmp_path):
    write_report(tmp_path / "a.html", read_result(write_flat(tmp_path / "a_recon.h5", undersampled, slices=1)))
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto((tmp_path / "a.html").as_uri())
    page.locator("#problem").wait_for(state="visible")
    assert "WebGL" in page.locator("#problem").inner_text()
    page.close()
