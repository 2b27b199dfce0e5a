import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.training.data import MeasuredSlices, random_phase, read_volumes, strip
from tests.operators import random_complex


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_slice_keeps_one_mask(prepared):
    first, second = (MeasuredSlices(read_volumes(prepared), (3.0,), "random") for _ in range(2))
    path = next(iter(first.volumes))
    for index in range(4):
        assert torch.equal(first.slice(path, index).sense.mask, second.slice(path, index).sense.mask)
    assert not torch.equal(first.slice(path, 0).sense.mask, first.slice(path, 1).sense.mask)
    batch = first.slice(path, 0)
    assert batch.sense.mask.sum() == 48 // 3
    assert (batch.kspace[(~batch.sense.mask).unsqueeze(1).expand_as(batch.kspace)] == 0).all()


def test_several_accelerations_are_shared_out_among_the_slices(prepared):
    data = MeasuredSlices(read_volumes(prepared), (2.0, 3.0, 4.0), "equispaced")
    counts = {int(data.slice(path, i).sense.mask.sum()) for path in data.volumes for i in range(4)}
    assert len(counts) > 1
    assert counts <= {24, 16, 12}


def test_a_strip_is_the_scan_of_a_part_of_the_object(prepared):
    """Exactly: a strip's k-space is A of the image's strip, and its adjoint the strip of the full adjoint."""
    batch = MeasuredSlices(read_volumes(prepared), (3.0,), "random").batch(3, generator())
    part_of = strip(batch, -2, 16, generator(7))
    whole, part = batch.sense, part_of.sense
    start = int(torch.randint(48 - 16 + 1, (1,), generator=generator(7)))
    rows = slice(start, start + 16)
    torch.testing.assert_close(part.adjoint(part_of.kspace), whole.adjoint(batch.kspace)[:, rows], rtol=1e-4, atol=1e-5)
    image = random_complex((3, 48, 48), 1, torch.complex64)
    predicted = ifft2c(part(image[:, rows]))
    torch.testing.assert_close(predicted, ifft2c(whole(image))[..., rows, :], rtol=1e-4, atol=1e-5)


def test_turning_changes_only_the_phase(prepared):
    batch = MeasuredSlices(read_volumes(prepared), (3.0,), "random").batch(2, generator())
    turned = random_phase(batch, generator(1))
    torch.testing.assert_close(turned.kspace.abs(), batch.kspace.abs())
    ratio = turned.kspace[0][batch.kspace[0].abs() > 0.1] / batch.kspace[0][batch.kspace[0].abs() > 0.1]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-3, atol=1e-4)


def test_nothing_to_train_on(tmp_path, scans):
    with pytest.raises(UserError, match="mri-ambient prep"):
        MeasuredSlices(read_volumes(tmp_path), (4.0,), "random")
    with pytest.raises(UserError, match="mri-ambient prep"):
        MeasuredSlices(read_volumes(tmp_path / "absent"), (4.0,), "random")
    with pytest.raises(UserError, match="is not a prepared volume"):
        MeasuredSlices(read_volumes(scans), (4.0,), "random")
    (tmp_path / "broken.h5").write_text("no")
    with pytest.raises(UserError, match="broken.h5"):
        MeasuredSlices(read_volumes(tmp_path), (4.0,), "random")


def test_an_acceleration_beyond_the_lines(prepared):
    data = MeasuredSlices(read_volumes(prepared), (30.0,), "random")
    with pytest.raises(UserError, match="smaller --accel"):
        data.batch(1, generator())
