"""How a scan is reconstructed, as a user says it: nothing heavy is imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

COMPANIONS = ("zero-filled", "l1-wavelet")  # run beside every method, for comparison


@dataclass(frozen=True)
class Choices:
    """What is done with a scan.

    Attributes:
        methods: run in this order.
        kept: the one of them whose result is kept whole.
        prior: a folder; None for the default.
        samples: K.
        tuned: settings found by ``tune``; None for those beside the prior.
        seed: of every draw.
        magnitude: mvue or rss, see :mod:`mri_ambient.recon.reference`.
        force_model: reconstruct even where the coil maps are far from explaining the scan.
        device: by its name; numbers depend on it by rounding alone.
    """

    methods: tuple[str, ...]
    kept: str
    prior: Path | None = None
    samples: int = 8
    tuned: Path | None = None
    seed: int = 0
    magnitude: Literal["mvue", "rss"] = "mvue"
    force_model: bool = False
    device: str = "auto"


def beside_others(method: str) -> tuple[str, ...]:
    """The methods that are run if one is asked for."""
    return tuple(dict.fromkeys((*COMPANIONS, method)))
