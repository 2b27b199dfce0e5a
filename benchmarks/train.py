"""A training step against the same step as one would first write it, in one run: images per second, and where the time goes.

    python benchmarks/train.py [--matrices 64 128 256 --steps 5 --files 4 64]

Simulated scans (8 coils, seed 0), R=4, `weighted`, the default networks, batches of 16. `ours` is the loop's step. `plain`
is the same network and loss in contiguous float32, its A^H A composed of A and A^H, this and the conjugate gradients left to
autograd, in a process that leaves its memory to the C library. Each has a process of its own; they take turns, on all cores;
the medians are compared. "physics" is ours with the U-Nets replaced by a copy: transforms, conjugate gradients, maps, loss.
"reading" is how long a batch takes to read and draw (in the loop a thread does that beside the step). A strip is 32 rows of
a slice, what the loop is given by default. Last, the memory of a training on a 320x320, 8-coil set against the number of
files.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from mri_ambient.data_prep.folder import prepare_folder
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan
from mri_ambient.devices import fast_bfloat16
from mri_ambient.memory import keep_freed_memory
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import conjugate_gradient
from mri_ambient.priors import denoisers
from mri_ambient.priors.denoisers import Denoiser, UNetDenoiser, UnrolledDenoiser
from mri_ambient.priors.unet import UNet
from mri_ambient.processes import Spread
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, read_volumes
from mri_ambient.training.kspace_task import DrawnSlices, KspaceTask
from mri_ambient.training.loop import backward, train

BATCH, SLICES = 16, 8


def prepared_scan(folder: Path, matrix: int, slices: int = SLICES) -> Path:
    raw, out = folder / f"raw{matrix}", folder / f"prepared{matrix}"
    raw.mkdir()
    simulate_scan(raw / "scan.h5", 0, SimulateSettings(matrix=matrix, slices=slices, coils=8, seed=0))
    prepare_folder(raw, out, PrepareSettings(), Spread(1))
    return out


def config(denoiser: str, strip: int, images: int = BATCH) -> TrainConfig:
    settings = {"architecture": {"denoiser": denoiser}, "strip": strip, "strip_share": 1.0, "images": images}
    return TrainConfig.model_validate(settings)


@contextmanager
def plain_physics() -> Iterator[None]:
    """A^H A as the composition of the two, with their centred transforms; CG for autograd to differentiate."""

    def solution(
        sense: Sense, adjoint: Tensor, anchor: Tensor | None, weight: float | Tensor, iterations: int
    ) -> Tensor:
        start = torch.zeros_like(adjoint) if anchor is None else anchor
        return conjugate_gradient(lambda z: sense.gram(z) + weight * z, adjoint + weight * start, start, iterations)

    with (
        mock.patch.object(Sense, "gram", lambda sense, image: sense.adjoint(sense(image))),
        mock.patch.object(denoisers, "regularised_solution", solution),
    ):
        yield


class Copy(UNet):
    """In place of a U-Net: what it is given."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor, conditions: Tensor) -> Tensor:
        return self.scale * image[:, :2]


def without_unets(denoiser: Denoiser) -> Denoiser:
    if isinstance(denoiser, UnrolledDenoiser):
        denoiser.unets = nn.ModuleList(Copy() for _ in denoiser.unets)
    elif isinstance(denoiser, UNetDenoiser):
        denoiser.unet = Copy()
    return denoiser


def stepper(task: KspaceTask, denoiser: Denoiser, drawn: DrawnSlices) -> Callable[[], None]:
    """One step: gradient and Adam's update."""
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=1e-6)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        backward(task, denoiser, drawn, 1.0, 1, "the benchmark")
        optimiser.step()

    return step


def seconds_of(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


VARIANTS = ("ours", "plain", "physics", "reading")


def answer_with_seconds(variant: str, folder: Path, denoiser: str, strip: int, turns: Connection) -> None:
    """The process of one variant: at each turn a step number comes, and the seconds that it took go back."""
    task = KspaceTask(MeasuredSlices(read_volumes(folder), (4.0,), "random"), config(denoiser, strip))
    network = task.build()
    if variant == "plain":
        network = network.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    else:
        keep_freed_memory()
    step = stepper(task, without_unets(network) if variant == "physics" else network, task.draw(0))
    with plain_physics() if variant == "plain" else nullcontext():
        while (number := turns.recv()) is not None:
            turns.send(seconds_of(partial(task.draw, number) if variant == "reading" else step))


def compare(folder: Path, matrix: int, denoiser: str, strip: int, steps: int) -> None:
    context = multiprocessing.get_context("spawn")
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    turns = {}
    for variant in VARIANTS:
        turns[variant], theirs = context.Pipe()
        arguments = (variant, folder, denoiser, strip, theirs)
        context.Process(target=answer_with_seconds, args=arguments, daemon=True).start()
    for number in range(steps + 2):  # the first two are a warm-up
        for variant, turn in turns.items():
            turn.send(number)
            seconds = turn.recv()
            if number > 1:
                times[variant].append(seconds)
    for turn in turns.values():
        turn.send(None)
    middle = {variant: statistics.median(values) for variant, values in times.items()}
    shape = f"{strip or matrix}x{matrix}"
    print(
        f"{denoiser:9} {shape:>8} {BATCH / middle['ours']:7.1f} {BATCH / middle['plain']:7.1f} "
        f"{middle['plain'] / middle['ours']:7.2f} {middle['physics'] / middle['ours']:8.0%} "
        f"{middle['reading'] / middle['ours']:8.0%}",
        flush=True,
    )


def memory_of_a_training(folder: Path, answer: multiprocessing.Queue) -> None:
    task = KspaceTask(MeasuredSlices(read_volumes(folder), (4.0,), "random"), config("unrolled", 32, 4 * BATCH))
    with tempfile.TemporaryDirectory() as out:
        train(task, task.config, Path(out), lambda *_: None)
    answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def compare_memory(one: Path, folder: Path, files: list[int]) -> None:
    context = multiprocessing.get_context("spawn")
    for count in files:
        many = folder / f"{count}files"
        many.mkdir()
        for index in range(count):
            (many / f"scan{index}.h5").symlink_to(next(one.glob("*.h5")))
        answer = context.Queue()
        process = context.Process(target=memory_of_a_training, args=(many, answer))
        process.start()
        print(f"320x320, 8 coils, {count:4} files of {SLICES} slices: peak {answer.get():.0f} MB", flush=True)
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrices", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--files", type=int, nargs="+", default=[4, 64])
    chosen = parser.parse_args()
    half = "on" if fast_bfloat16(torch.device("cpu")) else "off"
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads; bfloat16 {half}")
    print(f"{'denoiser':9} {'size':>8} {'ours/s':>7} {'plain/s':>7} {'faster':>7} {'physics':>8} {'reading':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for matrix in chosen.matrices:
            prepared = prepared_scan(folder, matrix)
            for denoiser in ("unrolled", "unet"):
                for strip in sorted({0, 32 if matrix > 64 else 0}):
                    compare(prepared, matrix, denoiser, strip, chosen.steps)
        compare_memory(prepared_scan(folder, 320), folder, chosen.files)


if __name__ == "__main__":
    main()
