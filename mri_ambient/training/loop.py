"""The training loop. One step is a function of (weights, seed, step number) alone, so a killed run resumes where it was.

What is learned, and from what, is a `Task`: the loop knows neither the corruption nor the network.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float
from rich.progress import TextColumn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter

from mri_ambient.console import progress_bar, stderr
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.memory import keep_freed_memory
from mri_ambient.priors.runs import CHECKPOINT
from mri_ambient.training.config import LoopConfig
from mri_ambient.training.ranks import Ranks, current_ranks

WARM_UP = 100  # steps
Batch = TypeVar("Batch", bound="Drawn")
Network = TypeVar("Network", bound=nn.Module)


@runtime_checkable
class Drawn(Protocol):
    """What one step trains on."""

    @property
    def names(self) -> tuple[str, ...]:
        """Where each item is from, for messages."""
        ...

    def __len__(self) -> int: ...

    def part(self: Batch, rank: int, count: int) -> Batch:
        """Every ``count``-th item, from ``rank`` on."""
        ...

    def to(self: Batch, device: torch.device) -> Batch: ...


@runtime_checkable
class Task(Protocol[Network, Batch]):
    """A corruption and a rule: everything that the loop does not know."""

    def build(self) -> Network:
        """An untrained network, its weights drawn from torch's global generator."""
        ...

    def draw(self, step: int) -> Batch:
        """A whole batch with its noise and further corruption: always the same for one step number."""
        ...

    def losses(self, denoiser: Network, drawn: Batch) -> Float[Tensor, " batch"]: ...

    def picture(self, denoiser: Network, drawn: Batch) -> Float[Tensor, "_ y x"]:
        """What was shown, above what came out, in [0, 1]."""
        ...


def train(
    task: Task[Network, Batch],
    config: LoopConfig,
    folder: Path,
    on_best: Callable[[Network, int], None],
    init: Network | None = None,
    validate: Callable[[Network], float] | None = None,
    ranks: Ranks | None = None,
) -> Network:
    """Minimise the mean loss by Adam; returns the exponential mean of the weights.

    Resumes from the checkpoint if there is one. Under torchrun each process works on its share of every batch, which is that
    of a single process, whatever its size.

    Args:
        task: what is learned, and from what.
        config: how long and how fast.
        folder: of the checkpoint and of TensorBoard's logs; its name is shown with the progress.
        on_best: called with the mean's network and the images seen at every checkpoint that no earlier one was better than.
        init: a network to start from.
        validate: an error of the network; without it each checkpoint is the best.
        ranks: this process and its device; None finds out.

    Raises:
        UserError: the loss stops being finite.
    """
    ranks, description = ranks or current_ranks(), folder.name
    keep_freed_memory()
    torch.manual_seed(config.seed)
    denoiser = task.build().to(ranks.device)
    if init is not None:
        denoiser.load_state_dict(init.state_dict())
    average = AveragedModel(denoiser, avg_fn=partial(towards, config=config))
    mean = cast(Network, average.module.requires_grad_(False))
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=config.learning_rate)
    start, best = load_checkpoint(folder / CHECKPOINT, denoiser, mean, optimiser)
    average.n_averaged.fill_(start + 1)  # it has begun: the first update is not a copy
    if ranks.first and config.batch < ranks.count:
        stderr.print(
            f"[yellow]note:[/] {description}: a batch of {config.batch} leaves some of {ranks.count} processes without work; "
            "raise `batch`, or start fewer"
        )
    ranks.wait()
    model = distributed_over(ranks, denoiser)

    with (
        Watch(folder, config, start, description) if ranks.first else nullcontext() as watch,
        ThreadPoolExecutor(1) as reader,
    ):
        pending = reader.submit(task.draw, start)
        for step in range(start, config.steps):
            tick = time.perf_counter()
            drawn = pending.result()
            pending = reader.submit(task.draw, min(step + 1, config.steps - 1))
            optimiser.param_groups[0]["lr"] = learning_rate(config, step)
            optimiser.zero_grad(set_to_none=True)
            share, weight = share_of(ranks, drawn)
            loss = backward(task, model, share.to(ranks.device), weight, config.accumulate, f"step {step}")
            norm = torch.nn.utils.clip_grad_norm_(denoiser.parameters(), config.clip)
            optimiser.step()
            average.update_parameters(denoiser)
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
                watch.checkpoint(step, task.picture(mean, drawn.to(ranks.device)), error)
    ranks.wait()
    return mean


def share_of(ranks: Ranks, drawn: Batch) -> tuple[Batch, float]:
    """A process' part of the batch, and what each of its items weighs: so much that the mean over all processes, which
    DistributedDataParallel takes, is the mean over the batch, however many items each has.

    All must take part in that mean: one that gets none works on the first item, which weighs nothing there.
    """
    if ranks.rank >= len(drawn):
        return drawn.part(0, len(drawn)), 0.0
    return drawn.part(ranks.rank, ranks.count), ranks.count / len(drawn)


def backward(
    task: Task[Network, Batch], model: Network, drawn: Batch, weight: float, accumulate: int, where: str
) -> float:
    """Add the gradient of the items' losses times ``weight``, in ``accumulate`` parts; returns their mean loss."""
    parts = min(accumulate, len(drawn))
    total = 0.0
    for index in range(parts):
        piece = drawn.part(index, parts)
        # without waiting for the other processes but with the last part; the network's call decides it, and so is inside
        with model.no_sync() if isinstance(model, DistributedDataParallel) and index + 1 < parts else nullcontext():
            losses = task.losses(model, piece)
            if not torch.isfinite(losses).all():
                bad = [name for name, ok in zip(piece.names, losses.isfinite(), strict=True) if not ok]
                raise UserError(f"{bad[0]}: the loss is not finite at {where} of the training; check what it holds")
            (weight * losses.sum()).backward()
        total += losses.sum().item()
    return total / len(drawn)


def distributed_over(ranks: Ranks, denoiser: Network) -> Network:
    """The denoiser behind DistributedDataParallel, which averages the gradients of all processes."""
    if ranks.count == 1:
        return denoiser
    model = DistributedDataParallel(denoiser)
    model.architecture = denoiser.architecture  # losses ask for it
    return model  # pyright: ignore[reportReturnType]


class Watch:
    """What is seen of a training: the bar, TensorBoard's curves and pictures."""

    def __init__(self, folder: Path, config: LoopConfig, start: int, description: str):
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
        self.log.add_image("shown | denoised", picture, step)
        if error is not None:
            self.log.add_scalar("held_out_error", error, step)


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def towards(mean: Tensor, weights: Tensor, steps: Tensor | int, config: LoopConfig) -> Tensor:
    """The next exponential moving average, its half-life ramped up so that the first steps are soon forgotten."""
    seen = int(steps) * config.batch
    keep = 0.5 ** (config.batch / min(config.ema_images, 0.2 * seen))
    return mean.lerp(weights, 1 - keep)


def save_checkpoint(path: Path, denoiser: nn.Module, mean: nn.Module, optimiser: torch.optim.Adam, best: float) -> None:
    """Weights, their mean, Adam's moments and the best held-out error in one safetensors file, replaced atomically."""
    tensors = {"best": torch.tensor(best, dtype=torch.float64)}
    tensors |= {f"denoiser/{name}": value for name, value in denoiser.state_dict().items()}
    tensors |= {f"mean/{name}": value for name, value in mean.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{index}/{name}": value for name, value in moments.items()}
    with atomic_write(path) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, temporary)


def load_checkpoint(path: Path, denoiser: nn.Module, mean: nn.Module, optimiser: torch.optim.Adam) -> tuple[int, float]:
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
