"""The self-supervised reference is a setting of our training: benchmarks/ssdu.yaml."""

from pathlib import Path

import torch

from mri_ambient.physics.sense import Sense
from mri_ambient.priors.denoisers import build_denoiser
from mri_ambient.training.data import MeasuredSlices, read_volumes
from mri_ambient.training.kspace_task import KspaceTask
from mri_ambient.training.losses.registry import LOSSES
from mri_ambient.training.losses.weights import masked_weight
from mri_ambient.training.run_config import read_config

CONFIG = Path(__file__).parents[2] / "benchmarks" / "ssdu.yaml"


def test_only_hidden_lines_count_and_no_noise_is_added(prepared):
    """Its gradient is that of sum |M' (F S D(M~ y) - y)|^2 / q, M' the measured lines that D is not shown, whatever the
    shown lines' own noise is; and 40 % of the outer lines are hidden."""
    chosen = read_config(CONFIG).ambient
    config = chosen.model_copy(
        update={"architecture": chosen.architecture.model_copy(update={"widths": (8, 8)}), "batch": 4, "accel": (3.0,)}
    )
    drawn = KspaceTask(MeasuredSlices(read_volumes(prepared), config.accel, config.mask), config).draw(0)
    batch, shown = drawn.measurement, drawn.shown
    outer = batch.sense.mask.sum((1, 2)) - torch.tensor(batch.acs)
    hidden = batch.sense.mask & ~shown.mask
    assert torch.equal(hidden.sum((1, 2)), (0.4 * outer).round().long())

    torch.manual_seed(0)
    denoiser = build_denoiser(config.architecture)
    loss = LOSSES[config.loss].rule(denoiser, batch, shown, drawn.sigma, drawn.noise).mean()
    found = torch.autograd.grad(loss, list(denoiser.parameters()))

    measured = Sense(batch.sense.maps, shown.mask).apply_mask(batch.kspace)
    image = denoiser(measured, batch.sense.with_mask(shown.mask), batch.noise_std)
    error = Sense(batch.sense.maps, hidden)(image) - Sense(batch.sense.maps, hidden).apply_mask(batch.kspace)
    squares = (error.abs().square() / shown.q.unsqueeze(1).clamp_min(1e-2)).sum((1, 2, 3)) / image[0].numel()
    wanted = torch.autograd.grad(
        (masked_weight(batch.noise_std, denoiser.architecture.sigma_data) * squares).mean(), list(denoiser.parameters())
    )
    difference = sum(float((a - b).square().sum()) for a, b in zip(found, wanted, strict=True)) ** 0.5
    assert difference < 0.02 * sum(float(b.square().sum()) for b in wanted) ** 0.5
