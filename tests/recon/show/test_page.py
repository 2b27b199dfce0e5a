"""The page of a reconstruction, without a browser: what is in it, what is left out, what is refused."""

import base64
import gzip
import hashlib
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import torch

from mri_ambient.cli import main
from mri_ambient.errors import UserError
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.outputs import report_path
from mri_ambient.recon.result import read_result
from mri_ambient.recon.show import page as report
from mri_ambient.recon.show.page import niivue_script, write_report
from tests.recon.results import COLUMNS, HOSTILE, ROWS, write_flat, write_hostile


class Parsed(HTMLParser):
    """Of a page: its elements' names, their attributes, the texts of its scripts by id, and all other text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self.inside: str | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.inside = dict(attrs).get("id") or f"program {len(self.scripts)}" if tag == "script" else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data
        else:
            self.text += data

    @property
    def study(self) -> dict:
        return json.loads(self.scripts["study"])

    def volume(self, name: str) -> nibabel.Nifti1Image:
        return nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(self.scripts[name])))

    def titles(self) -> list[str]:
        return [pane["title"] for pane in self.study["panes"]]


@pytest.fixture
def shown(tmp_path, undersampled):
    """Write a study and its page; returns the page, parsed."""

    def show(**choices) -> Parsed:
        source = write_flat(tmp_path / "a_recon.h5", undersampled, **choices)
        write_report(tmp_path / "a_report.html", read_result(source))
        return Parsed((tmp_path / "a_report.html").read_text(encoding="utf-8"))

    return show


def test_it_says_what_a_reader_must_know(shown, tmp_path, undersampled):
    page = shown(notes=("a note",))
    said = " ".join(page.text.split())
    for text in (
        "Research use, not for diagnosis",
        "simulated scan",
        f"R = {undersampled.accel:.2f}",
        f"{undersampled.acs[1]} lines",
        "dds, mean of 4",
        "24 x 32, pixel 2.00 x 1.50 mm",
        "steps = 7",
        "4711",
        "12.3 s",
        "image (knows whole images",
        "12,345",
        "12 scans",
        "Apache-2.0",
        "ab" * 32,
        "times 1.50, with which 90 % intervals held the truth in 90 % of pixels on test scans",
        "a note",
    ):
        assert text in said, text
    row = '<tr><th scope="row">{}</th><td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td></tr>'
    html = (tmp_path / "a_report.html").read_text(encoding="utf-8")
    assert row.format("mean", 1.1, 2.1, 3.1) + row.format(0, 1, 2, 3) + row.format(1, 1.1, 2.1, 3.1) in html
    assert page.titles() == [
        "dds, mean of 4",
        "posterior std, calibrated",
        "dds, one sample",
        "|error|",
        "reference",
        "zero-filled",
        "l1-wavelet",
    ]
    misfits = {pane["title"]: pane["misfits"] for pane in page.study["panes"]}
    assert misfits["dds, mean of 4"] == ["1.00", "1.10", "1.20"]
    assert misfits["l1-wavelet"] == ["3.00", "3.10", "3.20"]


def test_errors_on_hidden_lines(shown, tmp_path):
    """A row a slice that was looked at, and the mean; the reconstruction's own method first."""
    errors = {"zero-filled": torch.tensor([0.9, 0.7]), "dds": torch.tensor([0.3, 0.5]), "gone": torch.ones(2)}
    squares = {name: torch.ones(9) for name in errors}
    held = HeldOut((0, 2), errors, errors, squares, torch.tensor([0.25, 0.15]), 1.5)
    said = " ".join(shown(held=held).text.split())
    html = (tmp_path / "a_report.html").read_text(encoding="utf-8")
    head = '<th scope="col">dds</th><th scope="col">zero-filled</th><th scope="col">noise alone</th>'
    row = '<tr><th scope="row">{}</th><td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td></tr>'
    rows = row.format("mean", 0.4, 0.8, 0.2) + row.format(0, 0.3, 0.9, 0.25) + row.format(2, 0.5, 0.7, 0.15)
    assert head in html
    assert rows in html
    assert "on 9 lines of 2 slices that were hidden from each method in a second pass (1.5 s)" in said
    assert "hidden from each method" not in shown().text


def test_the_images_are_those_of_the_file(shown, tmp_path):
    """Within half a grey level, x first, in thousandths of the first window."""
    page = shown()
    result = read_result(tmp_path / "a_recon.h5")
    assert result.samples is not None
    for name, image, levels in (
        ("mean", np.abs(result.mean), 4095),
        ("std", result.std, 4095),
        ("reference", result.reference, 4095),
        ("method1", result.others["l1-wavelet"], 4095),
        ("samples", np.moveaxis(np.abs(result.samples), 1, 0), 255),
    ):
        volume = page.volume(name)
        assert np.allclose(volume.get_fdata().T, 1000 * image, atol=0.51 * 1000 * image.max() / levels)
    share = page.volume("determined_share")
    assert np.allclose(share.get_fdata().T, result.determined_share, atol=0.51 / 255)
    assert share.header.get_zooms() == (1.5, 2.0, 1.0)
    assert page.volume("blank").shape == (COLUMNS, ROWS, 1)


def test_the_window_of_a_scan_in_other_units(shown, tmp_path, undersampled):
    """Scanners' units differ by many orders of magnitude; the page's do not."""
    source = write_flat(tmp_path / "b_recon.h5", undersampled)
    with h5py.File(source, "a") as file:
        for name in ("mean", "raw_std", "reference", "samples", "methods/zero-filled", "methods/l1-wavelet"):
            file[name][...] = file[name][...] * np.float32(1e-7)
    write_report(tmp_path / "b_report.html", read_result(source))
    page = Parsed((tmp_path / "b_report.html").read_text(encoding="utf-8"))
    assert np.allclose(page.volume("mean").get_fdata(), shown().volume("mean").get_fdata(), atol=0.1)
    assert "1000 is 1e-07 in the units of the file" in " ".join(page.text.split())


def test_it_asks_no_network(shown, tmp_path):
    page = shown()
    text = (tmp_path / "a_report.html").read_text(encoding="utf-8")
    ours = text.replace(niivue_script(), "")
    assert not re.findall(r"https?:|//[a-z]+\.|@import|url\(", ours)
    assert not {name for name, _ in page.attributes} & {"src", "href", "onclick", "onload"}
    policy = next(value for _, value in page.attributes if value and "script-src" in value)
    assert policy.startswith("default-src 'none';")
    programs = [text for name, text in page.scripts.items() if name.startswith("program")]
    assert len(programs) == 2
    for program in programs:
        assert base64.b64encode(hashlib.sha256(program.encode()).digest()).decode() in policy


def test_hostile_text_stays_text(shown, tmp_path, undersampled):
    plain = shown(others=("a",), notes=("note",))
    write_report(tmp_path / "hostile.html", read_result(write_hostile(tmp_path / "hostile_recon.h5", undersampled)))
    page = Parsed((tmp_path / "hostile.html").read_text(encoding="utf-8"))
    assert page.tags == plain.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in plain.attributes]
    assert page.scripts.keys() == plain.scripts.keys()
    assert (
        page.text.count(HOSTILE) == 10
    )  # title, heading and summary, table, source, method, settings twice, prior, note
    assert f"{HOSTILE}, mean of 4" in page.titles()
    assert HOSTILE.replace("/", "|") in page.titles()


def test_a_prior_without_spread(shown):
    page = shown(kind="masked")
    assert "posterior std" not in page.titles()
    assert "std" not in page.scripts
    assert "No standard deviation is shown: samples of a masked prior" in page.text
    assert page.study["samples"] == 4


def test_a_single_image(shown):
    page = shown(samples=1)
    assert page.titles()[:2] == ["dds", "|error|"]
    assert "No standard deviation is shown: dds gave one image" in page.text
    assert page.study["samples"] == 0


def test_no_samples_no_flip_book(tmp_path, undersampled):
    source = write_flat(tmp_path / "a_recon.h5", undersampled)
    with h5py.File(source, "a") as file:
        del file["samples"]
    assert write_report(tmp_path / "a.html", read_result(source)) == ()
    page = Parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert page.study["samples"] == 0
    assert "dds, one sample" not in page.titles()
    assert "posterior std, calibrated" in page.titles()
    assert "No flip-book" in page.text


def test_one_slice_without_other_methods_and_without_reference(tmp_path, undersampled):
    source = write_flat(tmp_path / "a_recon.h5", undersampled, slices=1, others=(), reference=False)
    with h5py.File(source, "a") as file:
        del file["methods"]
    write_report(tmp_path / "a.html", read_result(source))
    page = Parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert page.titles() == ["dds, mean of 4", "posterior std, calibrated", "dds, one sample"]
    assert page.study["slices"] == [0]
    assert "no complete reference" in page.text


def test_a_blank_image(tmp_path, undersampled):
    source = write_flat(tmp_path / "a_recon.h5", undersampled)
    with h5py.File(source, "a") as file:
        for name in ("mean", "raw_std", "reference", "samples", "methods/zero-filled", "methods/l1-wavelet"):
            file[name][...] = 0
    write_report(tmp_path / "a.html", read_result(source))
    assert not Parsed((tmp_path / "a.html").read_text(encoding="utf-8")).volume("mean").get_fdata().any()


@pytest.fixture
def noisy(tmp_path, undersampled):
    """500 slices that do not compress."""
    source = write_flat(tmp_path / "a_recon.h5", undersampled, slices=500, samples=3, rows=32, columns=40)
    generator = torch.Generator().manual_seed(0)
    with h5py.File(source, "a") as file:
        for name in ("mean", "raw_std", "reference", "samples", "methods/zero-filled", "methods/l1-wavelet"):
            data = file[name]
            data[...] = torch.rand(data.shape, generator=generator).numpy().astype(data.dtype)
    return source


@pytest.mark.parametrize(
    ("room", "samples", "step"), [(15_000_000, 3, 1), (10_000_000, 0, 1), (5_000_000, 0, 2), (500_000, 0, 17)]
)
def test_a_page_too_large_loses_samples_then_slices(room, samples, step, noisy, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "LIMIT", len(niivue_script().encode()) + 500_000 + room)
    left_out = write_report(tmp_path / "a.html", read_result(noisy))
    page = Parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert (tmp_path / "a.html").stat().st_size < report.LIMIT
    assert page.study["samples"] == samples
    slices = page.study["slices"]
    if step == 1:
        assert slices == list(range(500))
    else:
        assert set(np.diff(slices)) == {slices[1] - slices[0]}
        assert abs(slices[1] - slices[0] - step) <= 1
        assert any(f"{500 - len(slices)} of 500 slices" in text for text in left_out)
    assert len(left_out) == (not samples) + (step > 1)
    assert all(text in page.text for text in left_out)
    whole = np.abs(read_result(noisy).mean)
    shown = page.volume("mean").get_fdata().T
    assert np.allclose(shown / shown.max(), whole[slices] / whole[slices].max(), atol=1e-3)


def test_one_slice_that_is_too_large(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "LIMIT", len(niivue_script().encode()) + 500_100)
    with pytest.raises(UserError, match="a_recon.h5: one slice alone is too large"):
        write_report(tmp_path / "a.html", read_result(noisy))
    assert not list(tmp_path.glob("*.html*"))


def test_what_is_refused(tmp_path, undersampled):
    source = write_flat(tmp_path / "a_recon.h5", undersampled)
    with h5py.File(source, "a") as file:
        file["raw_std"][0, 0, 0] = np.nan
    with pytest.raises(UserError, match="a_recon.h5: std holds what is not a number; make it again"):
        write_report(tmp_path / "a.html", read_result(source))
    write_flat(source, undersampled, slices=1)
    with h5py.File(source, "a") as file:
        for name in ("mean", "raw_std", "determined_share", "samples", "reference", "measured_residual"):
            few = file[name][:0]
            del file[name]
            file[name] = few
        del file["methods"]
    with pytest.raises(UserError, match="a_recon.h5: holds no slice"):
        write_report(tmp_path / "a.html", read_result(source))
    assert not list(tmp_path.glob("*.html*"))


def test_niivue_is_in_nilearn(monkeypatch, tmp_path, undersampled):
    assert "Niivue" in niivue_script()
    assert "</script" not in niivue_script()
    monkeypatch.setattr(report, "NIIVUE", "_assets/js/elsewhere.js")
    with pytest.raises(UserError, match="elsewhere.js: NiiVue.*isn't there; install it with pip install 'nilearn>="):
        write_report(tmp_path / "a.html", read_result(write_flat(tmp_path / "a_recon.h5", undersampled)))


@pytest.mark.parametrize(
    ("reconstruction", "page"),
    [("x_recon.h5", "x_report.html"), ("x.h5", "x_report.html"), ('ä "b" <c>_recon.h5', 'ä "b" <c>_report.html')],
)
def test_the_name_of_the_page(reconstruction, page):
    assert report_path(Path("folder") / reconstruction) == Path("folder") / page


def test_the_command(typed, tmp_path, undersampled):
    write_flat(tmp_path / "a_recon.h5", undersampled)
    code, said = typed("report a_recon.h5")
    assert (code, said.splitlines()[0]) == (0, "wrote a_report.html")
    made = (tmp_path / "a_report.html").read_bytes()
    code, said = typed("report a_recon.h5")
    assert (code, "a_report.html: already exists; pass --force" in said) == (2, True)
    assert typed("report a_recon.h5 --force")[0] == 0
    assert (tmp_path / "a_report.html").read_bytes() == made
    assert typed("report a_recon.h5 --out there/page.html")[0] == 0
    assert (tmp_path / "there" / "page.html").read_bytes() == made
    assert "let its name end in .html" in typed("report a_recon.h5 --out page.txt")[1]
    (tmp_path / "a_recon.h5").rename(tmp_path / "a.html")
    assert "is the reconstruction itself" in typed("report a.html --out a.html --force")[1]
    code, said = typed("report nowhere_recon.h5")
    assert (code, "nowhere_recon.h5: no such file; give a reconstruction" in said) == (2, True)


def test_a_name_with_everything(tmp_path, undersampled, monkeypatch, capsys):
    source = write_flat(tmp_path / '[/b] é "q" <i>\'s_recon.h5', undersampled)
    monkeypatch.setattr(sys, "argv", ["mri-ambient", "report", str(source)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert capsys.readouterr().out.endswith('/[/b] é "q" <i>\'s_report.html\n')
    assert report_path(source).exists()


def test_another_version(typed, tmp_path, undersampled):
    with h5py.File(write_flat(tmp_path / "a_recon.h5", undersampled), "a") as file:
        file.attrs["format"] = "mri-ambient reconstruction 1"
    code, said = typed("report a_recon.h5")
    assert (code, "its format is 'mri-ambient reconstruction 1'" in said) == (2, True)


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc, a folder that nobody can write")
def test_a_folder_that_nobody_can_write(typed, tmp_path, undersampled):
    write_flat(tmp_path / "a_recon.h5", undersampled)
    code, said = typed("report a_recon.h5 --out /proc/nowhere/a.html")
    assert (code, "/proc/nowhere: can't write there" in said) == (2, True)
