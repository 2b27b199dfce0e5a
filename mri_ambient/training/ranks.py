"""Several processes that train one denoiser, as ``torchrun`` starts them; a single one everywhere else."""

import os
from dataclasses import dataclass

import torch
from torch import distributed

from mri_ambient.devices import device_of


@dataclass(frozen=True)
class Ranks:
    """rank: this process' number among ``count``. device: where its denoiser lives."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """The one that writes files and shows progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            distributed.barrier()


def current_ranks(device: str = "auto") -> Ranks:
    """From the variables that torchrun sets; joins the process group at the first call (NCCL on CUDA, Gloo elsewhere).

    Args:
        device: as of :func:`mri_ambient.devices.device_of`; of several accelerators each process takes its own.

    Raises:
        UserError: there is no such device here.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = device_of(device)
    if count > 1 and chosen.type != "cpu" and chosen.index is None:
        chosen = torch.device(chosen.type, int(os.environ.get("LOCAL_RANK", 0)))
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Ranks(rank, count, chosen)
