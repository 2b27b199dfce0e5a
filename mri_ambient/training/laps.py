"""Laps: expectation maximisation for a prior of images that were never seen, only measured.

runs/NAME/lapN/images/SCAN.h5: ``image`` complex64 [draw, slice, y, x], what the N-th E-step made of a training scan.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import h5py
import numpy as np
import torch
from jaxtyping import Complex
from torch import Generator, Tensor

from mri_ambient.console import progress_bar
from mri_ambient.files import atomic_write, writable_folder
from mri_ambient.measurement import Measurement
from mri_ambient.memory import out_of_memory_is_a_user_error
from mri_ambient.physics.seeds import seed_of
from mri_ambient.priors.card import Prior
from mri_ambient.training.data import MeasuredSlices, stack
from mri_ambient.training.ranks import Ranks
from mri_ambient.training.run_config import EStepConfig

P = TypeVar("P")
I = TypeVar("I")  # noqa: E741  images


@runtime_checkable
class EStep(Protocol):
    """Draws of what measured slices may have been; ``mri-ambient train`` gives it to the run.

    ``generators[draw][slice]``. prior: None before any was trained; a `masked` one, or none, has one draw whatever is asked.
    """

    def __call__(
        self,
        prior: Prior | None,
        measurement: Measurement,
        generators: Sequence[Sequence[Generator]],
    ) -> Complex[Tensor, "draw slice v x"]: ...


def iterate(
    prior: P | None,
    laps: int,
    e_step: Callable[[P | None, int], I],
    m_step: Callable[[I, P | None, int], P],
    error: Callable[[P, int], float | None],
    tolerance: float,
) -> list[float | None]:
    """theta_{n+1} = argmax_theta E[ln p(x; theta) | y, M, theta_n]; returns the laps' errors, the last being where it ended.

    ``e_step(prior, lap)`` draws x given what was measured, ``m_step(images, prior, lap)`` fits the next prior to the draws
    (Dempster, Laird & Rubin, 1977; with diffusion models Rozet et al., 2405.13712). Each lap's draws are all fresh: keeping a
    share of the last lap's, as stochastic approximation EM does, averages away Monte-Carlo noise, which many scans average
    already, and on a Gaussian prior only slowed convergence. Ends after ``laps``, or with a lap that did not improve the error.
    """
    errors: list[float | None] = []
    for lap in range(1, laps + 1):
        prior = m_step(e_step(prior, lap), prior, lap)
        errors.append(error(prior, lap))
        if not improved(errors, tolerance):
            break
    return errors


def improved(errors: Sequence[float | None], tolerance: float) -> bool:
    """Whether the last error is below (1 - tolerance) times the least before it; True where nothing can be compared."""
    before = [e for e in errors[:-1] if e is not None]
    last = errors[-1]
    return last is None or not before or last < (1 - tolerance) * min(before)


def best_lap(errors: Sequence[float | None]) -> int:
    """The lap (from 1) of the least error; the last where there are none."""
    known = [(e, lap) for lap, e in enumerate(errors, 1) if e is not None]
    return min(known)[1] if known else len(errors)


def in_parts(e_step: EStep, size: int, device: torch.device) -> EStep:
    """The same E-step, ``size`` slices at once, worked on by ``device``; its draws come back to the CPU.

    Raises UserError if even for so many slices there is not enough memory.
    """

    def small(
        prior: Prior | None,
        measurement: Measurement,
        generators: Sequence[Sequence[Generator]],
    ) -> Tensor:
        prior = None if prior is None else prior.to(device)
        images = []
        for first in range(0, len(measurement), size):
            these = slice(first, first + size)
            streams = [of_draw[these] for of_draw in generators]
            images.append(e_step(prior, measurement[these].to(device), streams).cpu())
        return torch.cat(images, 1)

    remedy = f"lower `e_step.batch` (now {size}) in the run's settings, with --config"
    return out_of_memory_is_a_user_error("reconstructing scans", remedy)(small)


def reconstruct_training_scans(
    e_step: EStep,
    prior: Prior | None,
    data: MeasuredSlices,
    out: Path,
    lap: int,
    config: EStepConfig,
    ranks: Ranks,
) -> None:
    """Write what the E-step draws of every training slice. A finished file is not repeated; several processes share the files.

    Random numbers depend on (volume, slice, lap, draw) alone. Of two sets of maps the first one's images are kept: the second
    one's are black but for where the object folds onto itself, and would teach that heads are.
    """
    writable_folder(out)
    paths = [path for path in [*data.volumes][ranks.rank :: ranks.count] if not (out / path.name).exists()]
    counts = [data.volumes[path].shape[0] for path in paths]
    with progress_bar() as bar:
        shown = ranks.first and bool(paths)
        task = bar.add_task(f"lap {lap}: reconstructing the training scans", total=sum(counts), visible=shown)
        for path, count in zip(paths, counts, strict=True):
            images = []
            for indices in torch.arange(count).split(config.batch):
                scans = stack([data.slice(path, i) for i in indices.tolist()])
                generators = [
                    [Generator().manual_seed(seed_of(path.stem, i, lap, f"draw {draw}")) for i in indices.tolist()]
                    for draw in range(config.draws)
                ]
                drawn = e_step(prior, scans, generators)
                images.append(drawn[..., : scans.matrix[0], :].numpy())
                bar.advance(task, len(indices))
            with atomic_write(out / path.name) as temporary, h5py.File(temporary, "w") as file:
                file["image"] = np.concatenate(images, 1)
    ranks.wait()
