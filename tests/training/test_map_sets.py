"""Learning from scans of which some have two sets of maps."""

import math

import h5py
import pytest
import torch

from mri_ambient.audit.images import combined
from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.priors.denoisers import Architecture, Denoiser
from mri_ambient.store import write_volume
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, read_volumes, strip
from mri_ambient.training.kspace_task import KspaceTask, draw_shown
from mri_ambient.training.losses.registry import LOSSES
from mri_ambient.training.report import complete_slices
from mri_ambient.training.validation import held_out_lines, validation_error
from tests.folded import ACS, folded_scan
from tests.operators import random_complex
from tests.recon.test_reconstruct import untrained
from tests.training.test_run import config, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same folded scan, prepared with one set of maps and with two."""
    folder = tmp_path_factory.mktemp("mixed")
    scan = folded_scan(tmp_path_factory.mktemp("folded"))
    for sets in ("1", "2"):
        write_volume(folder / f"sets_{sets}.h5", prepare(scan, PrepareSettings(acs=ACS, map_sets=sets)))
    return folder


def settings_of(**changes) -> TrainConfig:
    small = {"accel": (3.0,), "architecture": Architecture(widths=(8, 8)), "images": 12, "batch": 2}
    return TrainConfig(**(small | changes))


def of_two_sets(folder):
    return {path: about for path, about in read_volumes(folder).items() if about.sets == 2}


def two_of(folder) -> MeasuredSlices:
    return MeasuredSlices(of_two_sets(folder), (2.0,), "random")


def test_a_batch_has_slices_of_as_many_sets(folder):
    data = MeasuredSlices(read_volumes(folder), (2.0,), "random")
    assert len(data) == 4
    assert len(data.groups) == 2
    generator, seen = torch.Generator().manual_seed(0), set()
    for _ in range(8):
        batch = data.batch(3, generator)
        seen.add(batch.sense.sets)
        assert len({name.split(" slice")[0] for name in batch.names}) == 1
    assert seen == {1, 2}


def test_a_strip_is_the_same_part_of_both_sets(folder):
    batch = two_of(folder).batch(2, torch.Generator().manual_seed(0))
    part_of = strip(batch, -2, 16, torch.Generator().manual_seed(7))
    start = int(torch.randint(80 - 16 + 1, (1,), generator=torch.Generator().manual_seed(7)))
    rows = torch.cat([torch.arange(16) + start, torch.arange(16) + 80 + start])
    assert part_of.sense.sets == 2
    whole, part = batch.sense, part_of.sense
    torch.testing.assert_close(part.adjoint(part_of.kspace), whole.adjoint(batch.kspace)[:, rows], rtol=1e-4, atol=1e-5)
    image = torch.zeros(2, 160, 44, dtype=torch.complex64)
    image[:, rows] = random_complex((2, 32, 44), 1, torch.complex64)
    inside = ifft2c(whole(image))[..., start : start + 16, :]
    torch.testing.assert_close(ifft2c(part(image[:, rows])), inside, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if not loss.from_reconstructions])
@pytest.mark.parametrize("denoiser", ["unrolled", "unet"])
def test_every_rule_has_a_finite_gradient(folder, loss, denoiser):
    accel = (1.0,) if loss == "supervised" else (3.0,)
    data = MeasuredSlices(of_two_sets(folder), accel, "random")
    task = KspaceTask(data, settings_of(loss=loss, architecture=Architecture(denoiser=denoiser, widths=(8, 8))))
    torch.manual_seed(0)
    network, drawn = task.build(), task.draw(0)
    shape = drawn.measurement.kspace.shape
    if LOSSES[loss].noise_domain == "image":
        shape = drawn.measurement.sense.maps[:, 0].shape
    assert drawn.noise.shape == shape
    losses = task.losses(network, drawn)
    assert losses.shape == (2,)
    losses.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert task.picture(network, drawn).ndim == 3


def test_the_weighted_rule_is_least_where_both_images_are_right(folder):
    """Of the answer x + e (x of both sets, nothing of it is noise): grows with e, wherever e is."""
    batch = MeasuredSlices(of_two_sets(folder), (1.0,), "random").batch(2, torch.Generator().manual_seed(0))
    truth = batch.sense.adjoint(batch.kspace)
    shown = draw_shown(batch, settings_of(), torch.Generator().manual_seed(1))

    class Answer(Denoiser):
        def __init__(self, image: torch.Tensor):
            super().__init__(Architecture())
            self.image = image

        def estimate(self, sense, kspace, sigma):
            return self.image

    def loss(image: torch.Tensor) -> float:
        noise = torch.zeros_like(truth)
        return float(LOSSES["weighted"].rule(Answer(image), batch, shown, torch.full((2,), 0.1), noise).sum())

    support = batch.sense.support
    for rows in (slice(0, 80), slice(80, 160)):
        wrong = truth.clone()
        wrong[:, rows] += torch.where(support[:, rows], 0.3, 0)
        assert loss(wrong) > 1.2 * loss(truth)


def test_a_run_with_a_lap(folder, tmp_path):
    """From k-space behind masks to images: the lap learns from the first set's images."""
    run(config(folder).model_copy(update={"hold_out": 0.0}), tmp_path / "run", resume=False)
    shapes = set()
    for path in (tmp_path / "run" / "lap1" / "images").glob("*.h5"):
        with h5py.File(path) as file:
            shapes.add(file["image"].shape[-2:])
    assert shapes == {(80, 44)}


def test_held_out_lines_and_complete_slices(folder):
    data = two_of(folder)
    network = KspaceTask(data, settings_of()).build()
    assert 0 < validation_error(network, held_out_lines(data, 0)) < math.inf
    (found,) = complete_slices(data)
    assert found.truth.shape == found.measurement.sense.maps[:, 0].shape


def test_images_to_audit_are_the_first_sets(folder):
    images = combined(folder / "sets_2.h5", untrained("masked"), "--data")
    assert images.shape == (2, 80, 44)
