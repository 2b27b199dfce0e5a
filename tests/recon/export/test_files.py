"""NIfTI, fastMRI's HDF5 and PNG, opened again by other programs."""

from argparse import Namespace
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from fastmri.data import transforms
from fastmri.evaluate import evaluate
from PIL import Image

from mri_ambient.errors import UserError
from mri_ambient.recon.evaluate.metrics.ssim import ssim
from mri_ambient.recon.result import Result, read_result
from mri_ambient.recon.show.series import chosen_series, every_series
from tests.recon.results import oblong_result, write_smooth


@pytest.fixture
def result(undersampled, tmp_path):
    return oblong_result(tmp_path, undersampled)


def exported(result: Result, to: str, names: str, out: Path | None = None, force: bool = False) -> list[Path]:
    return result.export(to, out, names, force)


def test_what_there_is(result):
    assert list(every_series(result)) == [
        "mean",
        "samples",
        "zero-filled",
        "l1-wavelet",
        "reference",
        "std",
        "determined",
    ]
    assert [one.name for one in chosen_series(result, "")] == ["mean", "std"]
    assert [one.name for one in chosen_series(result, "dds, std,mean")] == ["mean", "std"]
    with pytest.raises(UserError, match="--series tv: is not in .*scan_recon.h5, which has mean, samples, zero-filled"):
        chosen_series(result, "mean,tv")


def test_nifti(result, tmp_path):
    paths = exported(result, "nifti", "mean,std,samples,l1-wavelet")
    assert [path.name for path in paths] == [f"scan_{name}.nii.gz" for name in ("mean", "std", "samples", "l1-wavelet")]
    for path, truth in zip(
        paths,
        (result.mean, result.raw_std, np.moveaxis(result.samples, 1, 0), result.others["l1-wavelet"]),
        strict=True,
    ):
        image = nibabel.load(path)
        back = np.asanyarray(image.dataobj)[:, ::-1].T  # k, slice, y, x, with y down again
        assert back.dtype == np.float32
        np.testing.assert_allclose(back, np.abs(truth), rtol=1e-6)
        assert image.header.get_zooms()[:3] == (120 / 48, 96 / 32, 1)
        assert image.header.get_xyzt_units()[0] == "mm"
        assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 0)
        said = image.header["descrip"].item()
        assert b"R=3.00; orientation, slice spacing unknown; research" in said


@pytest.mark.parametrize(
    ("heights", "spacing"), [([9.0, 5.5, 2.0, -1.5], 3.5), ([0.0, 3.0, 6.0, 10.0], 1), ([0.0, 3.0], 1), (None, 1)]
)
def test_nifti_of_slices_that_the_scan_places(heights, spacing, result):
    result.about.provenance["geometry"] = {"heights_mm": heights}
    (path,) = exported(result, "nifti", "mean")
    header = nibabel.load(path).header
    assert header.get_zooms() == (120 / 48, 96 / 32, spacing)
    assert (b"slice spacing unknown" in header["descrip"].item()) == (spacing == 1)


def test_nifti_of_unknown_pixels(result, tmp_path):
    blind = result.about.model_copy(update={"field_of_view_mm": None})
    object.__setattr__(result, "about", blind)
    (path,) = exported(result, "nifti", "mean")
    header = nibabel.load(path).header
    assert (header.get_zooms(), header.get_xyzt_units()[0]) == ((1, 1, 1), "unknown")
    assert b"orientation, spacing unknown" in header["descrip"].item()


def test_fastmri_evaluates_it(undersampled, tmp_path):
    """Its own program finds the error of the mean against the reference."""
    result = read_result(write_smooth(tmp_path / "scan_recon.h5", undersampled))
    (tmp_path / "target").mkdir()
    (tmp_path / "recons").mkdir()
    exported(result, "h5", "reference", tmp_path / "target" / "scan.h5")
    exported(result, "h5", "mean", tmp_path / "recons" / "scan.h5")
    asked = {"target_path": tmp_path / "target", "predictions_path": tmp_path / "recons"}
    asked |= {"acquisition": None, "acceleration": None, "challenge": "singlecoil"}
    found = evaluate(Namespace(**asked), "reconstruction").means()
    truth, mean = result.reference, np.abs(result.mean)
    assert found["NMSE"] == pytest.approx(np.square(truth - mean).sum() / np.square(truth).sum(), rel=1e-4)
    assert found["SSIM"] == pytest.approx(ssim(truth, mean), rel=1e-4)
    with h5py.File(tmp_path / "recons" / "scan.h5") as file:
        volume = transforms.to_tensor(file["reconstruction"][()])
        assert (tuple(volume.shape), str(volume.dtype)) == ((4, 48, 48), "torch.float32")
        assert file.attrs["max"] == volume.max()
        assert file.attrs["norm"] == pytest.approx(float(volume.norm()))


def test_samples_are_files_where_a_file_is_a_volume(result):
    paths = exported(result, "h5", "samples")
    assert [path.name for path in paths] == ["scan_sample_1.h5", "scan_sample_2.h5", "scan_sample_3.h5"]
    with h5py.File(paths[2]) as file:
        np.testing.assert_allclose(file["reconstruction"], np.abs(result.samples[:, 2]), rtol=1e-6)
        assert file.attrs["description"] == "dds, sample 3 of 3"


def test_png(result):
    (folder,) = exported(result, "png", "mean,std,determined")
    assert len(list(folder.iterdir())) == 3 * 4
    windows = set()
    for index in range(4):
        with Image.open(folder / f"mean_slice_{index:03d}.png") as image:
            text, levels = image.text, np.asarray(image)
        window = float(text["Description"].removeprefix("window 0 to ").split(",")[0])
        windows.add(window)
        truth = np.abs(result.mean[index]).clip(max=window)
        np.testing.assert_allclose(levels / 255 * window, truth, atol=0.51 / 255 * window)
        assert text["Title"] == f"dds, mean of 3, R=3.00, slice {index} of 0 to 3"
        assert text["Disclaimer"] == "Research use, not for diagnosis"
    assert len(windows) == 1


def test_nothing_is_replaced_unasked(result, tmp_path):
    paths = exported(result, "nifti", "mean,std")
    paths[0].unlink()
    before = paths[1].read_bytes()
    with pytest.raises(UserError, match="scan_std.nii.gz: already exists; pass --force"):
        exported(result, "nifti", "mean,std")
    assert (paths[0].exists(), paths[1].read_bytes()) == (False, before)
    exported(result, "nifti", "mean,std", force=True)
    (folder,) = exported(result, "png", "mean")
    with pytest.raises(UserError, match="scan_png: already exists"):
        exported(result, "png", "std")
    exported(result, "png", "std", force=True)
    assert all(path.name.startswith("std") for path in folder.iterdir())
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"holds other files \(thesis.tex\) and is not replaced"):
        exported(result, "png", "mean", force=True)
    assert len(list(folder.iterdir())) == 5
    with pytest.raises(UserError, match="is the reconstruction itself"):
        exported(result, "h5", "mean", result.file, force=True)
    with pytest.raises(UserError, match=r"one file for 2 series \(mean, std\)"):
        exported(result, "h5", "mean,std", tmp_path / "a.h5")


def test_a_folder_is_whole_or_absent(result, tmp_path, monkeypatch):
    (folder,) = exported(result, "png", "mean")
    before = sorted(folder.iterdir())

    def fail(*_, **__):
        raise RuntimeError

    monkeypatch.setattr("PIL.Image.Image.save", fail)
    with pytest.raises(RuntimeError):
        exported(result, "png", "std", force=True)
    assert sorted(folder.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan_png", "scan_recon.h5"]
