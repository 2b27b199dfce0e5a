"""The result that users hold: the same in memory as from its file, and all that is made of it too."""

import filecmp
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from mri_ambient.data_prep.prepare import complete
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.errors import UserError
from mri_ambient.recon.choices import Choices
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.evaluate.std_calibration import spread_over_error
from mri_ambient.recon.export.registry import EXPORTERS
from mri_ambient.recon.outputs import Outputs, names
from mri_ambient.recon.reconstruct import CPU, reference_image
from mri_ambient.recon.result import Result, read_result
from mri_ambient.recon.run_methods import Tools, run_methods, write_all
from mri_ambient.recon.show.folder_summary import rows_of
from mri_ambient.recon.show.reader_study import blinded, picture_figure
from mri_ambient.recon.show.summary import draw_panel_of, table
from tests.recon.results import smooth_result
from tests.recon.test_reconstruct import first_slices, untrained

IN_MEMORY = ("file", "sampling", "reconstructions", "complete")


@pytest.fixture(scope="module")
def made(undersampled, scans) -> Result:
    """By two methods that give one image and one that samples."""
    reference = reference_image(complete(read_scan(scans / "subject_0.h5"), undersampled))[:3]
    choices = Choices(("zero-filled", "l1-wavelet", "dds"), "dds", samples=3)
    return run_methods(first_slices(undersampled, 3), reference, choices, Tools({"dds": untrained("image")}, {}, CPU))


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray | torch.Tensor):
        return type(one) is type(other) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, HeldOut):
        return same(vars(one), vars(other))
    return one == other


def test_in_memory_it_is_what_the_file_holds(made, tmp_path):
    made.save(tmp_path / "a_recon.h5")
    read = read_result(tmp_path / "a_recon.h5")
    assert type(read) is type(made) is Result
    assert repr(made) == "Result(subject_0: dds, mean of 3, R=3.00, 3 slices of 48x48)"
    for field in fields(Result):
        if field.name not in IN_MEMORY:
            assert same(getattr(made, field.name), getattr(read, field.name)), field.name
    assert made.held_out is not None
    assert read.sampling is read.reconstructions is read.complete is made.file is None
    assert json.dumps(read.about.model_dump()) == json.dumps(made.about.model_dump())
    with pytest.raises(UserError, match="already exists"):
        made.save(tmp_path / "a_recon.h5")
    read.save(tmp_path / "b_recon.h5")
    assert filecmp.cmp(tmp_path / "a_recon.h5", tmp_path / "b_recon.h5", shallow=False)


def test_what_is_made_of_it_is_what_is_made_of_the_file(made, tmp_path):
    """To the byte, of DICOM to the pixel: its UIDs are fresh each time."""
    read = saved(made, tmp_path / f"{made.stem}_recon.h5")
    for name, result in {"memory": made, "file": read}.items():
        folder = tmp_path / name
        folder.mkdir()
        result.report(folder / "page.html")
        for format in EXPORTERS:
            result.export(format, folder / ("figure.svg" if format == "figure" else format))
        picture_figure(blinded([result], 1), 0).savefig(folder / "reading.png")
    pairs = [(path, tmp_path / "file" / path.relative_to(tmp_path / "memory")) for path in files(tmp_path / "memory")]
    assert len(pairs) == len(files(tmp_path / "file")) == 3 + 2 + 2 + 2 * 3 + 2 * 3
    for one, other in pairs:
        if one.suffix == ".dcm":
            pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'mri-ambient[dicom]'")
            assert np.array_equal(pydicom.dcmread(one).pixel_array, pydicom.dcmread(other).pixel_array)
        else:
            assert one.read_bytes() == other.read_bytes(), one
    assert [*rows_of(made, Path("a.h5"))] == [*rows_of(read, Path("a.h5"))]


def test_all_outputs_without_a_look_at_the_file(made, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the file is read again")

    monkeypatch.setattr("mri_ambient.recon.result_file.read_data", refuse)
    monkeypatch.setattr("mri_ambient.recon.result.read_data", refuse)
    outputs = Outputs(tmp_path / "a_recon.h5", tmp_path / "a.svg")
    assert write_all(made, outputs, False, iter(())) == (outputs, [])
    assert all(path.exists() for path in (*outputs.all, tmp_path / "a.svg"))


def test_a_panel_of_a_file_lacks_what_was_measured_alone(made, tmp_path):
    """No file says which samples they were."""
    read = saved(made, tmp_path / "a_recon.h5")
    drawn = []
    for number, result in enumerate((made, read)):
        draw_panel_of(tmp_path / f"{number}.png", result)
        drawn.append((tmp_path / f"{number}.png").read_bytes())
    assert drawn[0] != drawn[1]


def test_scores(made, tmp_path):
    found, truth = made.reconstructions["dds"], np.abs(made.reference)
    scores = {score.title: score for score in made.scores()}
    assert list(scores) == ["zero-filled", "l1-wavelet", "dds, one sample", "dds, mean of 3"]
    mean, one = scores["dds, mean of 3"], scores["dds, one sample"]
    assert (mean.nrmse, mean.psnr, mean.ssim, mean.hfen) == tuple(mean.errors.values())
    assert mean.nrmse == pytest.approx(METRICS["NRMSE"](truth, np.abs(made.mean)), rel=1e-4)
    assert one.nrmse == pytest.approx(METRICS["NRMSE"](truth, np.abs(made.samples[:, 0])), rel=1e-4)
    assert mean.std_over_error == pytest.approx(spread_over_error(found, made.complete))
    assert (one.std_over_error, scores["l1-wavelet"].std_over_error) == (None, None)
    assert (mean.samples, one.samples, scores["zero-filled"].samples) == (3, 1, 1)
    assert mean.held_out == pytest.approx(float(made.held_out.errors["dds"].mean()))
    assert one.held_out == pytest.approx(float(made.held_out.one["dds"].mean()))
    assert mean.seconds == pytest.approx(found.seconds / 3)
    assert table(made).row_count == 4
    read = {score.title: score for score in saved(made, tmp_path / "a_recon.h5").scores()}
    assert list(read) == list(scores)
    for title, score in read.items():
        assert score.errors == pytest.approx(scores[title].errors, rel=1e-5)
        assert (score.residual, score.held_out) == (scores[title].residual, scores[title].held_out)
    assert (read["zero-filled"].seconds, read["dds, mean of 3"].seconds) == (None, mean.seconds)


def test_scores_without_a_reference(undersampled):
    for score in smooth_result(undersampled, reference=False).scores():
        assert (score.nrmse, score.psnr, score.ssim, score.hfen) == (None, None, None, None)
        assert (score.std_over_error, score.held_out, score.residual) == (None, None, 1)


def test_the_std_is_calibrated_where_it_was_validated(undersampled):
    data = smooth_result(undersampled)
    assert np.array_equal(data.std, data.raw_std)
    object.__setattr__(data, "about", data.about.model_copy(update={"temperature": 2.0}))
    assert np.array_equal(data.std, 2 * data.raw_std)
    assert data.std.dtype == np.float32


def saved(result: Result, path: Path) -> Result:
    result.save(path)
    return read_result(path)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_another_run_that_took_the_name_loses_nothing(made, tmp_path):
    """Two at once: the second takes the next free name, with its panel and page."""
    outputs = Outputs(tmp_path / "a_recon.h5")
    (tmp_path / "a_recon.h5").write_bytes(b"another's")
    used, _ = write_all(made, outputs, False, names(tmp_path, "a", 3, "dds"))
    assert used == Outputs(tmp_path / "a_R3_dds_recon.h5")
    assert all(path.exists() for path in used.all)
    assert (tmp_path / "a_recon.h5").read_bytes() == b"another's"
    write_all(made, outputs, True, iter(()))
    assert read_result(tmp_path / "a_recon.h5").about.name == made.about.name
