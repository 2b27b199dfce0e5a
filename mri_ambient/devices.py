"""Where tensors are worked on: the one module that asks what the machine has."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mri_ambient.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISION = "MRI_AMBIENT_PRECISION"
AMPERE = (8, 0)  # the first of CUDA's whose bfloat16 is fast


@contextmanager
def single_precision() -> Iterator[None]:
    """New numbers are float32 in here, whatever the caller has made torch's default."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def device_of(name: str) -> torch.device:
    """The device of that name; ``auto`` is the accelerator, if there is one.

    Args:
        name: auto, cpu, cuda, mps, or one of several: cuda:1.

    Raises:
        UserError: there is no such device here.

    Example:
        >>> device_of("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device {name}: is none that PyTorch knows; choose one of {', '.join(DEVICES)}") from error
    if device.type == "cpu":
        return device
    here = torch.accelerator.current_accelerator(check_available=True)
    if here is None or here.type != device.type or (device.index or 0) >= torch.accelerator.device_count():
        has = "none" if here is None else f"{torch.accelerator.device_count()} of {here.type}"
        raise UserError(f"device {name}: is not here (accelerators: {has}); choose auto or cpu")
    return device


def fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 convolutions are faster than float32 there: CPUs with AVX512-bf16 or AMX, CUDA since Ampere.

    The environment variable MRI_AMBIENT_PRECISION, ``float32`` or ``bfloat16``, overrules the device, so that another
    machine's numbers can be repeated.

    Args:
        device: of the tensors that are worked on.

    Raises:
        UserError: the variable is anything else.
    """
    wanted = os.environ.get(PRECISION, "")
    if wanted not in ("", "float32", "bfloat16"):
        raise UserError(f"{PRECISION}: is `{wanted}`; set it to float32 or bfloat16, or unset it")
    if wanted:
        return wanted == "bfloat16"
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= AMPERE
