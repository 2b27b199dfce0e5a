from dataclasses import asdict

import h5py
import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.recon.evaluate.held_out import judge
from mri_ambient.recon.methods.samplers.aald import AaldSettings
from mri_ambient.recon.reconstruct import reconstruct
from mri_ambient.recon.show.recon_file import Outcome, read_made_from, read_reconstruction, write_reconstruction
from tests.recon.studies import made
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
    write_reconstruction(path, Outcome(volume, results, "dds", share, results["dds"].mean, None, 1.5, ("a note",)))
    return path, volume, results


def test_what_is_written_is_read(written):
    path, volume, results = written
    study = read_reconstruction(path)
    found = results["dds"]
    torch.testing.assert_close(study.mean, found.mean, rtol=0, atol=0)
    torch.testing.assert_close(study.std, found.std, rtol=0, atol=0)
    torch.testing.assert_close(study.samples, found.samples, rtol=0, atol=0)
    torch.testing.assert_close(study.reference, found.mean.abs(), rtol=0, atol=0)
    torch.testing.assert_close(study.others["zero-filled"], results["zero-filled"].mean.abs(), rtol=0, atol=0)
    torch.testing.assert_close(study.residuals["dds"], found.measured_residual, rtol=0, atol=0)
    about = study.about
    assert (about.method, about.accel, about.acs) == ("dds", volume.accel, volume.acs)
    assert (about.temperature, about.notes, about.simulated) == (1.5, ("a note",), True)
    assert about.settings["steps"] == found.settings.steps
    assert about.prior["weights_sha256"] == found.prior.weights_sha256
    height, width = volume.provenance["field_of_view_mm"]
    assert study.pixel_mm == (height / 48, width / 48)


def test_hidden_lines_come_back_and_may_be_missing(undersampled, tmp_path):
    results = {"zero-filled": reconstruct(undersampled, "zero-filled", None, 1, 0)}
    held = judge(undersampled, results, {}, 0)
    outcome = Outcome(undersampled, results, "zero-filled", torch.ones(4, 48, 48), held_out=held, made_from={"a": 1})
    write_reconstruction(tmp_path / "a.h5", outcome)
    found = read_reconstruction(tmp_path / "a.h5", slice(3, 4)).held_out
    assert (found.slices, found.seconds, read_made_from(tmp_path / "a.h5")) == (held.slices, held.seconds, {"a": 1})
    for kind in ("errors", "one", "squares"):
        torch.testing.assert_close(getattr(found, kind), getattr(held, kind), rtol=0, atol=0)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["held_out/errors/zero-filled"]
        file["held_out/errors/zero-filled"] = held.noise[:1].numpy()
    with pytest.raises(UserError, match="its held-out errors are not those of its slices"):
        read_reconstruction(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:  # as older versions wrote it
        del file["held_out"], file.attrs["made_from"]
    assert read_reconstruction(tmp_path / "a.h5").held_out is None
    assert read_made_from(tmp_path / "a.h5") is None


def test_some_slices(written):
    study = read_reconstruction(written[0], slice(1, 2))
    whole = read_reconstruction(written[0])
    torch.testing.assert_close(study.mean[0], whole.mean[1], rtol=0, atol=0)
    torch.testing.assert_close(study.residuals["zero-filled"][0], whole.residuals["zero-filled"][1], rtol=0, atol=0)


def test_fastmri_reads_it(written):
    """Its key, shape and dtype."""
    with h5py.File(written[0]) as file:
        assert (file["reconstruction"].shape, file["reconstruction"].dtype) == ((2, 48, 48), "float32")


def test_samples_may_be_missing(written):
    with h5py.File(written[0], "a") as file:
        del file["samples"]
    assert read_reconstruction(written[0]).samples is None


def test_an_infinite_setting_comes_back(undersampled, tmp_path):
    images = torch.ones(4, 2, 48, 48, dtype=torch.complex64)
    found = made("aald", images, torch.ones(4), None, AaldSettings())
    write_reconstruction(tmp_path / "a.h5", Outcome(undersampled, {"aald": found}, "aald", images[:, 0].abs()))
    assert read_reconstruction(tmp_path / "a.h5").about.settings == asdict(AaldSettings())


def test_another_version(written):
    with h5py.File(written[0], "a") as file:
        file.attrs["format"] = "mri-ambient reconstruction 1"
    with pytest.raises(UserError, match="its format is 'mri-ambient reconstruction 1'.*make it again"):
        read_reconstruction(written[0])


def test_hostile_files(written, tmp_path):
    with h5py.File(written[0], "a") as file:
        file.attrs["settings"] = "__import__('os')"
    with pytest.raises(UserError, match="can't be read as a reconstruction"):
        read_reconstruction(written[0])
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(UserError, match="can't be read as a reconstruction"):
        read_reconstruction(tmp_path / "text.h5")
