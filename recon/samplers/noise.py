"""What every sampler needs: a slice's own random numbers, and whom to tell after each step."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator

from recon.problem import Images, Problem

Generators = Sequence[Generator]
"""One a slice."""

Callback = Callable[[int, Images, Images], None]
"""Called after each step with (step, noisy images, denoised images)."""


def complex_noise(samples: int, problem: Problem, generators: Generators) -> Images:
    """Unit variance in the real and in the imaginary part."""
    shape = (samples, *problem.matrix)
    drawn = [torch.randn(shape, dtype=torch.complex64, generator=generator) for generator in generators]
    return math.sqrt(2) * torch.stack(drawn, 1)
