"""`recon` on scans whose coil maps can't be right."""

import shutil

import h5py
import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan


@pytest.fixture
def with_maps(scans, tmp_path):
    """A complete scan that brings maps of its own, whose coils are in the order of ``order``."""

    def make(order: list[int]):
        path = tmp_path / "scan.h5"
        shutil.copy(scans / "subject_0.h5", path)
        volume = prepare(read_scan(path), PrepareSettings(acs=24))
        back = torch.linalg.inv(volume.coil_transform)  # to the scan's own coils
        maps = torch.einsum("scv,svyx->scyx", back, volume.sens_maps)
        with h5py.File(path, "r+") as file:
            file["sens_maps"] = maps[:, order].numpy()
        return path

    return make


def test_maps_in_another_order_are_refused_before_any_method_runs(typed, tmp_path, monkeypatch, with_maps):
    path = with_maps([2, 0, 3, 1])
    monkeypatch.setattr("mri_ambient.recon.run_methods.reconstruct", None)  # calling it would be a TypeError
    code, said = typed(f"recon {path} --accel 3 --acs 12 --method cg-sense")
    assert code == 2
    assert "the coil maps do not explain this scan: residual " in " ".join(said.split())
    assert "--force-model" in said
    assert [found.name for found in tmp_path.iterdir()] == ["scan.h5"]


def test_force_model_reconstructs_with_a_warning(typed, with_maps):
    code, said = typed(f"recon {with_maps([2, 0, 3, 1])} --accel 3 --acs 12 --method cg-sense --force-model")
    assert code == 0
    assert "warning: the coil maps do not explain this scan: residual " in " ".join(said.split())


def test_maps_that_fit_are_passed_without_a_word(typed, with_maps):
    code, said = typed(f"recon {with_maps([0, 1, 2, 3])} --accel 3 --acs 12 --method cg-sense")
    assert code == 0
    assert "do not explain" not in said
