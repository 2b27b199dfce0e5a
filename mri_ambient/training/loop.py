"""The training loop. One step is a function of (weights, seed, step number) alone, so a killed run resumes where it was."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import torch
from rich.progress import TextColumn
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor
from torch.utils.tensorboard import SummaryWriter

from mri_ambient.console import progress_bar
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.physics.masks import line_mask, measured_probability, remove_lines
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.denoisers import Denoiser, build_denoiser
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import Batch, Slices
from mri_ambient.training.losses import KSPACE_NOISE, LOSSES, Shown, denoise

CHECKPOINT = "checkpoint.safetensors"
WARM_UP = 100  # steps


def train(
    data: Slices,
    config: TrainConfig,
    folder: Path,
    on_save: Callable[[Denoiser, int], None],
    init: Denoiser | None = None,
    description: str = "training",
) -> Denoiser:
    """Minimise the mean loss by Adam; returns the exponential mean of the weights.

    Resumes from ``folder``'s checkpoint if there is one. ``on_save(mean denoiser, images seen)`` is called at every
    checkpoint. Raises UserError if the loss stops being finite.
    """
    torch.manual_seed(config.seed)
    denoiser = build_denoiser(config.architecture)
    if init is not None:
        denoiser.load_state_dict(init.state_dict())
    mean = deepcopy(denoiser).requires_grad_(False)
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=config.learning_rate)
    start = load_checkpoint(folder / CHECKPOINT, denoiser, mean, optimiser)
    loss_function = LOSSES[config.loss]

    with (
        SummaryWriter(str(folder / "tensorboard"), purge_step=start) as log,
        progress_bar(TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[loss]}")) as bar,
        ThreadPoolExecutor(1) as reader,
    ):
        task = bar.add_task(description, total=config.steps, completed=start, speed="", loss="")
        pending = reader.submit(draw, data, config, start)
        for step in range(start, config.steps):
            tick = time.perf_counter()
            batch, shown, sigma, noise = pending.result()
            pending = reader.submit(draw, data, config, min(step + 1, config.steps - 1))

            optimiser.param_groups[0]["lr"] = learning_rate(config, step)
            losses = loss_function(denoiser, batch, shown, sigma, noise)
            if not torch.isfinite(losses).all():
                bad = [name for name, ok in zip(batch.names, losses.isfinite(), strict=True) if not ok]
                raise UserError(f"{folder}: the loss is not finite at step {step} for {bad[0]}; check that scan")
            optimiser.zero_grad(set_to_none=True)
            losses.mean().backward()
            norm = torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip)
            optimiser.step()
            update_mean(mean, denoiser, config, step)

            speed = config.batch / (time.perf_counter() - tick)
            loss = losses.mean().item()
            bar.update(task, advance=1, speed=f"{speed:.0f} images/s", loss=f"loss {loss:.4f}")
            for name, value in {"loss": loss, "gradient_norm": norm.item(), "images_per_s": speed}.items():
                log.add_scalar(name, value, step)
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                save_checkpoint(folder / CHECKPOINT, denoiser, mean, optimiser)
                on_save(mean, (step + 1) * config.batch)
                log.add_image("zero-filled | denoised", picture(mean, batch, shown, sigma, noise), step)
    return mean


def draw(data: Slices, config: TrainConfig, step: int) -> tuple[Batch, Shown, Tensor, Tensor]:
    """What step number ``step`` trains on."""
    generator = Generator().manual_seed(config.seed * 1_000_003 + step)
    batch = data.batch(config.batch, generator).turned(generator)
    if config.strip and step < config.strip_share * config.steps:
        batch = batch.strip(-2, min(config.strip, batch.kspace.shape[-2]), generator)
        if config.accel == (1.0,):  # nothing will be hidden: the columns may be cut as well, to a square patch
            batch = batch.strip(-1, min(config.strip, batch.kspace.shape[-1]), generator)
    shown = draw_shown(batch, config, generator)
    mean, spread = config.log_sigma
    sigma = torch.exp(mean + spread * torch.randn(len(batch.kspace), generator=generator))
    coils = batch.kspace.shape[1:2] if config.loss in KSPACE_NOISE else ()
    shape = (len(batch.kspace), *coils, *batch.kspace.shape[-2:])
    noise = math.sqrt(2) * torch.randn(shape, dtype=torch.complex64, generator=generator)
    return batch, shown, sigma, noise


def draw_shown(batch: Batch, config: TrainConfig, generator: Generator) -> Shown:
    """M~: some outer lines of M removed afresh each time; for `supervised`, a fresh mask at one of the accelerations."""
    masks, probabilities = [], []
    for mask, acquired, acs in zip(batch.mask[:, 0], batch.acquired, batch.acs, strict=True):
        if config.loss == "supervised":
            accel = config.accel[int(torch.randint(len(config.accel), (1,), generator=generator))]
            further = mask if accel == 1 else line_mask(config.mask, accel, acs, acquired, generator)
            q = torch.ones(len(mask))
        else:
            low, high = config.removal
            share = low + (high - low) * torch.rand(1, generator=generator).item()
            lines = int(mask.sum())
            further = remove_lines(mask, acs, max(1, round(share * (lines - acs))), generator)
            q = measured_probability(config.mask, further, acs, lines, acquired)
        masks.append(further)
        probabilities.append(q)
    return Shown(torch.stack(masks).unsqueeze(1), torch.stack(probabilities).unsqueeze(1))


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))


@torch.no_grad()
def update_mean(mean: Denoiser, denoiser: Denoiser, config: TrainConfig, step: int) -> None:
    """Exponential moving average, its half-life ramped up so that the first steps are soon forgotten."""
    seen = (step + 1) * config.batch
    keep = 0.5 ** (config.batch / min(config.ema_images, 0.2 * seen))
    for average, value in zip(mean.parameters(), denoiser.parameters(), strict=True):
        average.lerp_(value, 1 - keep)


@torch.no_grad()
def picture(denoiser: Denoiser, batch: Batch, shown: Shown, sigma: Tensor, noise: Tensor, count: int = 4) -> Tensor:
    """[1, y, x] in [0, 1]: of a few slices of a batch, the adjoint of what was shown above what came out."""
    before = Sense(batch.maps, shown.mask).adjoint(batch.kspace)[:count].abs()
    after = denoise(denoiser, batch, shown, sigma, noise)[:count].abs()
    return torch.cat([torch.cat(list(row), -1) for row in (before, after)], -2)[None].clamp(0, 1)


def save_checkpoint(path: Path, denoiser: Denoiser, mean: Denoiser, optimiser: torch.optim.Adam) -> None:
    """Weights, their mean and Adam's moments in one safetensors file, replaced atomically."""
    tensors = {f"denoiser/{name}": value for name, value in denoiser.state_dict().items()}
    tensors |= {f"mean/{name}": value for name, value in mean.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{index}/{name}": value for name, value in moments.items()}
    with atomic_write(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary)


def load_checkpoint(path: Path, denoiser: Denoiser, mean: Denoiser, optimiser: torch.optim.Adam) -> int:
    """Restore in place; returns the next step's number, 0 if there is no checkpoint."""
    if not path.exists():
        return 0
    tensors = load_file(path)
    for prefix, module in (("denoiser/", denoiser), ("mean/", mean)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return int(state[0]["step"].item())
