"""Training, whose laps reconstruct the training scans."""

from functools import partial
from pathlib import Path

from mri_ambient.priors.card import Prior
from mri_ambient.recon.e_step import e_step
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings
from mri_ambient.training.laps import EStep
from mri_ambient.training.run import run
from mri_ambient.training.run_config import RunConfig, RunOptions, configure


def train_run(
    options: RunOptions, config: Path | None, folder: Path | None, resume: bool, device: str
) -> tuple[Prior, Path]:
    """The run's prior, and the run's folder.

    Args:
        options: overrule ``config``.
        config: a run's settings in YAML; None: the default run.
        folder: of the run; None: below runs/, by its name.
        resume: continue the run there.
        device: that trains and reconstructs, by its name.
    """
    chosen, volumes = configure(options, config)
    folder = folder or Path("runs") / chosen.name
    return run(chosen, folder, resume, e_step_of(chosen), device, volumes), folder


def e_step_of(config: RunConfig) -> EStep:
    """How a run reconstructs its training scans: reconstruction, with the run's settings."""
    sampler = MmpsSettings(steps=config.e_step.steps, sigma_max=config.e_step.sigma_max)
    start = config.l1_wavelet
    if start is None:
        return partial(e_step, sampler=sampler)
    return partial(e_step, sampler=sampler, regularisation=start.regularisation, iterations=start.iterations)
