"""Every denoiser of k-space by its name: the one place where a new one is written down."""

from typing import TYPE_CHECKING

from mri_ambient.registry import Registry

if TYPE_CHECKING:
    from mri_ambient.priors.denoisers import Denoiser

_HERE = "mri_ambient.priors"

DENOISERS: "Registry[type[Denoiser]]" = Registry(
    "denoiser",
    {
        "unrolled": f"{_HERE}.denoisers:UnrolledDenoiser",
        "unet": f"{_HERE}.denoisers:UNetDenoiser",
    },
)
