"""The training loop. One step is a function of (weights, seed, step number) alone, so a killed run resumes where it was."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import TextColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor
from torch.nn.parallel import DistributedDataParallel
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
from mri_ambient.training.ranks import Ranks, current_ranks

CHECKPOINT = "checkpoint.safetensors"
WARM_UP = 100  # steps


def train(
    data: Slices,
    config: TrainConfig,
    folder: Path,
    on_best: Callable[[Denoiser, int], None],
    init: Denoiser | None = None,
    description: str = "training",
    validate: Callable[[Denoiser], float] | None = None,
) -> Denoiser:
    """Minimise the mean loss by Adam; returns the exponential mean of the weights.

    Resumes from ``folder``'s checkpoint if there is one. At every checkpoint the mean is validated, and if no earlier one
    was better (or there is no ``validate``) ``on_best(mean denoiser, images seen)`` is called. Under torchrun each process
    works on its share of every batch, which is that of a single process. Raises UserError if the loss stops being finite.
    """
    ranks = current_ranks()
    torch.manual_seed(config.seed)
    denoiser = build_denoiser(config.architecture).to(ranks.device)
    if init is not None:
        denoiser.load_state_dict(init.state_dict())
    mean = deepcopy(denoiser).requires_grad_(False)
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=config.learning_rate)
    start, best = load_checkpoint(folder / CHECKPOINT, denoiser, mean, optimiser)
    ranks.wait()
    model = distributed_over(ranks, denoiser)

    with (
        Watch(folder, config, start, description) if ranks.first else nullcontext() as watch,
        ThreadPoolExecutor(1) as reader,
    ):
        pending = reader.submit(draw, data, config, start)
        for step in range(start, config.steps):
            tick = time.perf_counter()
            drawn = pending.result()
            pending = reader.submit(draw, data, config, min(step + 1, config.steps - 1))
            optimiser.param_groups[0]["lr"] = learning_rate(config, step)
            optimiser.zero_grad(set_to_none=True)
            loss = backward(model, drawn.part(ranks.rank, ranks.count).to(ranks.device), config, f"step {step}")
            norm = torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip)
            optimiser.step()
            update_mean(mean, denoiser, config, step)
            if watch is None:
                continue
            watch.show(
                step, loss=loss, gradient_norm=norm.item(), images_per_s=config.batch / (time.perf_counter() - tick)
            )
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                error = validate(mean) if validate else None
                if error is None or error <= best:
                    best = best if error is None else error
                    on_best(mean, (step + 1) * config.batch)
                save_checkpoint(folder / CHECKPOINT, denoiser, mean, optimiser, best)
                watch.checkpoint(step, picture(mean, drawn.to(ranks.device)), error)
    ranks.wait()
    return mean


@dataclass(frozen=True)
class Drawn:
    """What one step trains on. noise: for the loss that is used, in image space or in k-space."""

    batch: Batch
    shown: Shown
    sigma: Tensor
    noise: Tensor

    def part(self, rank: int, count: int) -> "Drawn":
        """Every ``count``-th slice, from ``rank`` on."""
        these = slice(rank, None, count)
        shown = Shown(self.shown.mask[these], self.shown.q[these])
        return Drawn(self.batch.part(rank, count), shown, self.sigma[these], self.noise[these])

    def to(self, device: torch.device) -> "Drawn":
        shown = Shown(self.shown.mask.to(device), self.shown.q.to(device))
        return Drawn(self.batch.to(device), shown, self.sigma.to(device), self.noise.to(device))


def backward(model: Denoiser, drawn: Drawn, config: TrainConfig, where: str) -> float:
    """Add the gradient of the batch's mean loss, in ``accumulate`` parts; returns that loss."""
    parts = min(config.accumulate, len(drawn.sigma))
    total = 0.0
    for index in range(parts):
        piece = drawn.part(index, parts)
        losses = LOSSES[config.loss](model, piece.batch, piece.shown, piece.sigma, piece.noise)
        if not torch.isfinite(losses).all():
            bad = [name for name, ok in zip(piece.batch.names, losses.isfinite(), strict=True) if not ok]
            raise UserError(f"{bad[0]}: the loss is not finite at {where} of the training; check that scan")
        share = losses.sum() / len(drawn.sigma)
        with model.no_sync() if isinstance(model, DistributedDataParallel) and index + 1 < parts else nullcontext():
            share.backward()
        total += share.item()
    return total


def distributed_over(ranks: Ranks, denoiser: Denoiser) -> Denoiser:
    """The denoiser behind DistributedDataParallel, which averages the gradients of all processes."""
    if ranks.count == 1:
        return denoiser
    model = DistributedDataParallel(denoiser)
    model.architecture = denoiser.architecture  # pyright: ignore[reportArgumentType] losses ask for it
    return model  # pyright: ignore[reportReturnType]


class Watch:
    """What is seen of a training: the bar, TensorBoard's curves and pictures."""

    def __init__(self, folder: Path, config: TrainConfig, start: int, description: str):
        self.log = SummaryWriter(str(folder / "tensorboard"), purge_step=start)
        self.stack = ExitStack()
        self.bar = self.stack.enter_context(
            progress_bar(TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[loss]}"))
        )
        self.task = self.bar.add_task(description, total=config.steps, completed=start, speed="", loss="")

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stack.close()
        self.log.close()

    def show(self, step: int, **values: float) -> None:
        speed, loss = f"{values['images_per_s']:.0f} images/s", f"loss {values['loss']:.4f}"
        self.bar.update(self.task, advance=1, speed=speed, loss=loss)
        for name, value in values.items():
            self.log.add_scalar(name, value, step)

    def checkpoint(self, step: int, picture: Tensor, error: float | None) -> None:
        self.log.add_image("zero-filled | denoised", picture, step)
        if error is not None:
            self.log.add_scalar("held_out_error", error, step)


def draw(data: Slices, config: TrainConfig, step: int) -> Drawn:
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
    return Drawn(batch, shown, sigma, noise)


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
    """Linear warm-up, then a cosine to zero, or constant."""
    warm = min(1.0, (step + 1) / WARM_UP)
    if config.schedule == "constant":
        return config.learning_rate * warm
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))


@torch.no_grad()
def update_mean(mean: Denoiser, denoiser: Denoiser, config: TrainConfig, step: int) -> None:
    """Exponential moving average, its half-life ramped up so that the first steps are soon forgotten."""
    seen = (step + 1) * config.batch
    keep = 0.5 ** (config.batch / min(config.ema_images, 0.2 * seen))
    for average, value in zip(mean.parameters(), denoiser.parameters(), strict=True):
        average.lerp_(value, 1 - keep)


@torch.no_grad()
def picture(denoiser: Denoiser, drawn: Drawn, count: int = 4) -> Tensor:
    """[1, y, x] in [0, 1]: of a few slices of a batch, the adjoint of what was shown above what came out."""
    batch, shown = drawn.batch, drawn.shown
    before = Sense(batch.maps, shown.mask).adjoint(batch.kspace)[:count].abs()
    after = denoise(denoiser, batch, shown, drawn.sigma, drawn.noise)[:count].abs()
    return torch.cat([torch.cat(list(row), -1) for row in (before, after)], -2)[None].clamp(0, 1).cpu()


def save_checkpoint(path: Path, denoiser: Denoiser, mean: Denoiser, optimiser: torch.optim.Adam, best: float) -> None:
    """Weights, their mean, Adam's moments and the best held-out error in one safetensors file, replaced atomically."""
    tensors = {"best": torch.tensor(best, dtype=torch.float64)}
    tensors |= {f"denoiser/{name}": value for name, value in denoiser.state_dict().items()}
    tensors |= {f"mean/{name}": value for name, value in mean.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{index}/{name}": value for name, value in moments.items()}
    with atomic_write(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary)


def load_checkpoint(path: Path, denoiser: Denoiser, mean: Denoiser, optimiser: torch.optim.Adam) -> tuple[int, float]:
    """Restore in place; returns the next step's number and the best held-out error, 0 and infinity without a checkpoint."""
    if not path.exists():
        return 0, math.inf
    tensors = load_file(path)
    for prefix, module in (("denoiser/", denoiser), ("mean/", mean)):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam/"):
            _, index, name = key.split("/")
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return int(state[0]["step"].item()), float(tensors["best"])


def steps_done(folder: Path) -> int:
    """How many steps of a training are behind its checkpoint."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        return int(file.get_tensor("adam/0/step").item())
