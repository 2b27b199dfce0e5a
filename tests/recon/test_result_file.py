from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.recon.evaluate.held_out import judge
from mri_ambient.recon.methods.samplers.aald import AaldSettings
from mri_ambient.recon.reconstruct import reconstruct
from mri_ambient.recon.result import read_result
from mri_ambient.recon.result_data import about_of, result_data
from mri_ambient.recon.result_file import read_made_from, write_result
from tests.recon.results import made
from tests.recon.test_reconstruct import first_slices, untrained


@pytest.fixture
def written(undersampled, tmp_path):
    volume = first_slices(undersampled, 2)
    results = {
        "zero-filled": reconstruct(volume, "zero-filled", None, 1, 0),
        "dds": reconstruct(volume, "dds", untrained("image"), 2, 0),
    }
    path = tmp_path / "a_recon.h5"
    share = torch.full((2, 48, 48), 0.5)
    about = about_of(volume, results["dds"], 1.5, "on test scans", ("a note",), "mvue")
    write_result(path, result_data(about, results, share, results["dds"].mean))
    return path, volume, results


def test_what_is_written_is_read(written):
    path, volume, results = written
    result = read_result(path)
    found = results["dds"]
    np.testing.assert_array_equal(result.mean, found.mean)
    np.testing.assert_array_equal(result.raw_std, found.std)
    np.testing.assert_array_equal(result.std, found.std * 1.5)
    np.testing.assert_array_equal(result.samples, found.samples)
    np.testing.assert_array_equal(result.reference, found.mean.abs())
    np.testing.assert_array_equal(result.others["zero-filled"], results["zero-filled"].mean.abs())
    np.testing.assert_array_equal(result.residuals["dds"], found.measured_residual)
    about = result.about
    assert (about.method, about.accel, about.acs) == ("dds", volume.accel, volume.acs)
    assert (about.temperature, result.notes, about.simulated) == (1.5, ("a note",), True)
    assert about.settings["steps"] == found.settings.steps
    assert about.prior["weights_sha256"] == found.prior.weights_sha256
    height, width = volume.provenance["field_of_view_mm"]
    assert result.pixel_mm == (height / 48, width / 48)


def test_hidden_lines_come_back_and_may_be_missing(undersampled, tmp_path):
    results = {"zero-filled": reconstruct(undersampled, "zero-filled", None, 1, 0)}
    held = judge(undersampled, results, {}, 0)
    about = about_of(undersampled, results["zero-filled"], None, "", (), "mvue")
    result = replace(result_data(about, results, torch.ones(4, 48, 48), held_out=held), made_from={"a": 1})
    write_result(tmp_path / "a.h5", result)
    found = read_result(tmp_path / "a.h5")[3:4].held_out
    assert (found.slices, found.seconds, read_made_from(tmp_path / "a.h5")) == (held.slices, held.seconds, {"a": 1})
    for kind in ("errors", "one", "squares"):
        torch.testing.assert_close(getattr(found, kind), getattr(held, kind), rtol=0, atol=0)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["held_out/errors/zero-filled"]
        file["held_out/errors/zero-filled"] = held.noise[:1].numpy()
    with pytest.raises(UserError, match="its held-out errors are not those of its slices"):
        read_result(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:  # as older versions wrote it
        del file["held_out"], file.attrs["made_from"]
    assert read_result(tmp_path / "a.h5").held_out is None
    assert read_made_from(tmp_path / "a.h5") is None


def test_some_slices(written):
    whole = read_result(written[0])
    part = whole[1:2]
    np.testing.assert_array_equal(part.mean[0], whole.mean[1])
    np.testing.assert_array_equal(part.residuals["zero-filled"][0], whole.residuals["zero-filled"][1])
    assert (len(part), len(part.magnitudes["zero-filled"]), part.samples.shape) == (1, 1, (1, 2, 48, 48))


def test_fastmri_reads_it(written):
    """Its key, shape and dtype."""
    with h5py.File(written[0]) as file:
        assert (file["reconstruction"].shape, file["reconstruction"].dtype) == ((2, 48, 48), "float32")


def test_samples_may_be_missing(written):
    with h5py.File(written[0], "a") as file:
        del file["samples"]
    assert read_result(written[0]).samples is None


def test_an_infinite_setting_comes_back(undersampled, tmp_path):
    images = torch.ones(4, 2, 48, 48, dtype=torch.complex64)
    found = made("aald", images, torch.ones(4), None, AaldSettings())
    about = about_of(undersampled, found, None, "", (), "mvue")
    write_result(tmp_path / "a.h5", result_data(about, {"aald": found}, images[:, 0].abs()))
    assert read_result(tmp_path / "a.h5").about.settings == asdict(AaldSettings())


def test_another_version(written):
    with h5py.File(written[0], "a") as file:
        file.attrs["format"] = "mri-ambient reconstruction 1"
    with pytest.raises(UserError, match="its format is 'mri-ambient reconstruction 1'.*make it again"):
        read_result(written[0])


def test_images_of_another_shape(written):
    with h5py.File(written[0], "a") as file:
        del file["raw_std"]
        file["raw_std"] = np.zeros((2, 48, 47), np.float32)
    with pytest.raises(UserError, match="raw_std is of another shape than the mean"):
        read_result(written[0])


def test_hostile_files(written, tmp_path):
    with h5py.File(written[0], "a") as file:
        file.attrs["settings"] = "__import__('os')"
    with pytest.raises(UserError, match="can't be read as a reconstruction"):
        read_result(written[0])
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(UserError, match="can't be read as a reconstruction"):
        read_result(tmp_path / "text.h5")
