"""Learning from readouts that fill only a band of rows: padded ones, asymmetric echoes."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.devices import PRECISION
from mri_ambient.errors import UserError
from mri_ambient.held_out import parted
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.physics.masks import measured_band
from mri_ambient.physics.sense import Sense
from mri_ambient.store import write_volume
from mri_ambient.training.checks import check_complete, check_measured_lines, identifiability
from mri_ambient.training.data import MeasuredSlices, read_volumes
from mri_ambient.training.kspace_task import KspaceTask
from mri_ambient.training.losses.registry import LOSSES
from mri_ambient.training.run_config import L1Wavelet
from mri_ambient.training.validation import held_out_lines
from tests.conftest import ACS
from tests.training.test_losses import Constant
from tests.training.test_run import config, run, weights

ROWS = slice(14, 43)  # 60 % of 48, from after the start: row 0 is empty


@pytest.fixture(scope="module")
def folder(scans, tmp_path_factory) -> Path:
    """Simulated scans whose echo is asymmetric, prepared: one complete, one undersampled."""
    raw, folder = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("bands")
    for name, accel in (("subject_0", None), ("subject_1", 3)):
        path = shutil.copy(scans / f"{name}.h5", raw)
        with h5py.File(path, "r+") as file:
            kspace = np.zeros_like(file["kspace"][:])
            kspace[..., ROWS, :] = file["kspace"][..., ROWS, :]
            file["kspace"][:] = kspace
        write_volume(folder / f"{name}.h5", prepare(read_scan(path), PrepareSettings(acs=ACS, accel=accel)))
    return folder


@pytest.fixture
def data(folder) -> MeasuredSlices:
    return MeasuredSlices(read_volumes(folder), (3.0,), "random")


def band() -> torch.Tensor:
    rows = torch.zeros(48, dtype=torch.bool)
    rows[ROWS] = True
    return rows


def test_every_mask_is_of_lines_within_the_band(data):
    for path in data.volumes:
        for index in range(4):
            mask = data.slice(path, index).sense.mask
            assert mask.shape == (1, 48, 48)
            assert torch.equal(measured_band(mask), band())
            assert mask.any(-2).sum() == 16
    check_measured_lines(data)


def test_masks_of_one_row_and_of_all_are_not_stacked(folder, prepared):
    both = {**read_volumes(folder), **read_volumes(prepared)}
    data, generator, seen = MeasuredSlices(both, (3.0,), "random"), torch.Generator().manual_seed(0), set()
    for _ in range(8):
        seen.add(data.batch(3, generator).sense.mask.shape[1])
    assert seen == {1, 48}


@pytest.mark.parametrize("loss", ["weighted", "noise-aware", "published"])
def test_whole_lines_are_hidden_and_no_strips_are_cut(loss, data):
    drawn = KspaceTask(data, config(Path(), loss=loss, batch=4).ambient).draw(0)
    mask, shown = drawn.measurement.sense.mask, drawn.shown
    assert shown.mask.shape == mask.shape == (4, 48, 48)
    assert shown.q.shape == (4, 1, 48)
    assert torch.equal(measured_band(shown.mask), band())
    lines = shown.mask.any(-2)
    assert (lines <= mask.any(-2)).all()
    assert (lines.sum(-1) < 16).all()
    assert (lines.sum(-1) >= ACS).all()
    assert (shown.q[:, 0][lines] == 1).all()


@pytest.mark.parametrize("loss", ["weighted", "noise-aware", "published"])
def test_three_steps_and_a_lap(loss, folder, tmp_path, monkeypatch):
    """And what lies beyond the band, or behind no line, is never looked at: NaN there changes no bit."""
    monkeypatch.setenv(PRECISION, "float32")
    poisoned = tmp_path / "poisoned"
    shutil.copytree(folder, poisoned)
    data = MeasuredSlices(read_volumes(folder), (3.0,), "random")
    for path in data.volumes:
        with h5py.File(poisoned / path.name, "r+") as file:
            for index in range(4):
                measured = data.mask_of(path, index).numpy()
                assert measured.sum() == 16 * 29
                file["kspace"][index] = np.where(measured, file["kspace"][index], np.nan)
    for name, source in (("clean", folder), ("nan", poisoned)):
        run(config(source, loss=loss, images=6), tmp_path / name, resume=False)
    for stage in ("", "lap1"):
        ours, theirs = weights(tmp_path / "clean" / stage), weights(tmp_path / "nan" / stage)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        assert all(torch.isfinite(value).all() for value in ours.values())
    with h5py.File(tmp_path / "nan" / "lap1" / "images" / "subject_1.h5") as file:
        assert np.isfinite(file["image"][:]).all()
        assert file["image"].shape[1:] == (4, 48, 48)


@pytest.mark.parametrize("loss", ["weighted", "noise-aware"])
def test_rows_beyond_the_band_count_for_nothing(loss, data):
    """Of one coil of sensitivity 1: an answer that errs there alone has the same loss, one that errs within has another."""
    drawn = KspaceTask(data, config(Path(), loss=loss).ambient).draw(0)
    measurement = replace(
        drawn.measurement,
        kspace=drawn.measurement.kspace[:, :1],
        operator=Sense(torch.ones(2, 1, 48, 48, dtype=torch.complex64), drawn.measurement.sense.mask),
    )
    noise = drawn.noise[:, :1] if loss == "noise-aware" else drawn.noise

    def loss_of(error: torch.Tensor) -> torch.Tensor:
        answer = Constant(ifft2c(error[:, None] * torch.ones(48, dtype=torch.complex64)))
        return LOSSES[loss].rule(answer, measurement, drawn.shown, drawn.sigma, noise).detach()

    none, beyond, within = (loss_of(rows) for rows in (torch.zeros(48), ~band(), band()))
    torch.testing.assert_close(beyond, none, rtol=1e-4, atol=1e-6)
    assert (within > 1.5 * none).all()


def test_hidden_lines_of_held_out_subjects(data):
    ((measurement, shown),) = held_out_lines(data, 0)
    hidden = parted(measurement, shown)[1].sense.mask
    assert shown.shape == hidden.shape == (8, 48, 48)
    assert not hidden[:, ~band()].any()
    assert hidden.any((1, 2)).all()
    assert torch.equal(measured_band(shown), band())


def test_what_cannot_be_learned_is_said(data):
    notes = list(identifiability(data))
    assert any("8 of 8 slices looked at have rows that no readout fills" in note for note in notes)
    assert any("up to 19: their losses teach nothing of these rows" in note for note in notes)


def test_a_loss_of_complete_scans_refuses_them(folder):
    """What no readout fills is not 0."""
    for item, why in zip(
        read_volumes(folder).items(), ("has rows that no readout fills", "is undersampled"), strict=True
    ):
        with pytest.raises(UserError, match=rf"{item[0].name}: {why}.*train with --loss weighted"):
            check_complete(MeasuredSlices(dict([item]), (1.0,), "random"), "supervised")


def test_a_lap_on_l1_wavelet_images(folder, tmp_path):
    made = config(folder).model_copy(update={"ambient": None, "l1_wavelet": L1Wavelet(accel=(3.0,), iterations=3)})
    run(made, tmp_path / "run", resume=False)
    assert all(value.isfinite().all() for value in load_file(tmp_path / "run" / "lap1" / "prior.safetensors").values())


def test_scattered_samples_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "data")
    with h5py.File(tmp_path / "data" / "subject_0.h5", "r+") as file:
        mask = file["mask"][:]
        mask[0, 20, 3] = False
        file["mask"][:] = mask
    with pytest.raises(UserError, match=r"subject_0.h5: is sampled along both axes"):
        MeasuredSlices(read_volumes(tmp_path / "data"), (3.0,), "random")
