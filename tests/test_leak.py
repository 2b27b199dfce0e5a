"""What was not measured never counts: not in the prepared file, not in the maps, not in a training batch."""

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.folder import prepare_folder
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.store import read_volume
from mri_ambient.training.data import MeasuredSlices, read_volumes


@pytest.mark.parametrize("kind", ["random", "equispaced", "gaussian"])
def test_scans_that_differ_off_the_mask_train_alike(scans, tmp_path, kind):
    settings = PrepareSettings(accel=3, acs=8, mask=kind)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with h5py.File(scans / "subject_0.h5") as file:
        kspace = file["kspace"][:]
    with h5py.File(tmp_path / "one" / "a.h5", "w") as file:
        file["kspace"] = kspace
    prepare_folder(tmp_path / "one", tmp_path / "prepared_one", settings)
    mask = read_volume(tmp_path / "prepared_one" / "a.h5").mask.unsqueeze(1).numpy()
    noise = np.random.default_rng(0).standard_normal((2, *kspace.shape)) * np.abs(kspace).max()
    changed = np.where(mask, kspace, noise[0] + 1j * noise[1]).astype(np.complex64)
    with h5py.File(tmp_path / "other" / "a.h5", "w") as file:
        file["kspace"] = changed
    prepare_folder(tmp_path / "other", tmp_path / "prepared_other", settings)

    files = [(tmp_path / f"prepared_{name}" / "a.h5").read_bytes() for name in ("one", "other")]
    assert files[0] == files[1]
    batches = []
    for name in ("one", "other"):
        slices = MeasuredSlices(read_volumes(tmp_path / f"prepared_{name}"), (3,), kind)
        batches.append(slices.batch(4, torch.Generator().manual_seed(0)))
    for key in ("kspace", "acquired"):
        assert torch.equal(getattr(batches[0], key), getattr(batches[1], key))
    for key in ("maps", "mask"):
        assert torch.equal(getattr(batches[0].sense, key), getattr(batches[1].sense, key))


@pytest.mark.parametrize("kind", ["random", "equispaced", "gaussian"])
def test_a_volume_that_keeps_all_trains_on_one_mask_a_slice_for_ever(prepared, tmp_path, kind):
    """The same slice has the same mask in every batch, and what is off it may be anything."""
    with h5py.File(prepared / "subject_0.h5") as file:
        whole = {key: file[key][()] for key in file}
        attributes = dict(file.attrs)
    slices = MeasuredSlices(read_volumes(prepared), (3,), kind)
    first = [slices.slice(prepared / "subject_0.h5", index) for index in range(4)]
    masks = np.stack([batch.sense.mask[0].numpy() for batch in first])[:, None]
    (tmp_path / "poisoned").mkdir()
    with h5py.File(tmp_path / "poisoned" / "subject_0.h5", "w") as file:
        for key, value in whole.items():
            file[key] = np.where(masks, value, np.nan) if key == "kspace" else value
        file.attrs.update(attributes)
    again = MeasuredSlices(read_volumes(tmp_path / "poisoned"), (3,), kind)
    for index, batch in enumerate(first):
        other = again.slice(tmp_path / "poisoned" / "subject_0.h5", index)
        assert torch.equal(batch.kspace, other.kspace)
        for key in ("maps", "mask"):
            assert torch.equal(getattr(batch.sense, key), getattr(other.sense, key))
