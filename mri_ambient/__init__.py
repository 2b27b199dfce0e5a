"""Diffusion priors from undersampled MRI scans, and reconstructions that say how sure they are.

>>> import mri_ambient as ma
>>> scan = ma.simulate(matrix=48, slices=1, seed=1)
>>> result = ma.reconstruct(scan, method="cg-sense", accel=3, acs=8)
>>> result.mean.shape
(1, 48, 48)
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mri_ambient import physics
    from mri_ambient.api import (
        Prior,
        Result,
        Scan,
        compare,
        load_prior,
        prepare,
        read_result,
        read_scan,
        reconstruct,
        simulate,
        train,
        tune,
    )
    from mri_ambient.errors import UserError

__all__ = [
    "Prior",
    "Result",
    "Scan",
    "UserError",
    "compare",
    "load_prior",
    "physics",
    "prepare",
    "read_result",
    "read_scan",
    "reconstruct",
    "simulate",
    "train",
    "tune",
]


def __getattr__(name: str) -> object:
    """What is public is imported when it is asked for: ``import mri_ambient`` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "physics":
        return import_module("mri_ambient.physics")
    place = "mri_ambient.errors" if name == "UserError" else "mri_ambient.api"
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
