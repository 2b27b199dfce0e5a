"""Every loss by its name: the one place where a new one is written down."""

from typing import TYPE_CHECKING

from mri_ambient.registry import Registry

if TYPE_CHECKING:
    from mri_ambient.training.losses.loss import Loss

_HERE = "mri_ambient.training.losses"

LOSSES: "Registry[Loss]" = Registry(
    "loss",
    {
        "weighted": f"{_HERE}.weighted:WEIGHTED",
        "noise-aware": f"{_HERE}.noise_aware:NOISE_AWARE",
        "published": f"{_HERE}.published:PUBLISHED",
        "supervised": f"{_HERE}.supervised:SUPERVISED",
        "l1-edm": f"{_HERE}.l1_edm:L1_EDM",
    },
)
