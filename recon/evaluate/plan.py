"""What is compared: scans, and methods at each R."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from jaxtyping import Complex
from torch import Tensor

from mri_ambient.recon.evaluate.lesions.insert import Lesioned
from mri_ambient.recon.methods.method import Settings
from mri_ambient.store import Json, PreparedVolume


@dataclass(frozen=True)
class Case:
    """A scan at one R.

    Attributes:
        volume: undersampled.
        reference: the image that errors are measured against (:func:`mri_ambient.recon.reference.reference_of`): the noiseless
            truth of a simulation that keeps it, else of the complete scan.
        noisy: of the complete scan, where ``reference`` is noiseless.
        lesioned: the same scan with lesions, None if none were wanted.
    """

    volume: PreparedVolume
    reference: Complex[Tensor, "slice v x"]
    noisy: Complex[Tensor, "slice v x"] | None = None
    lesioned: Lesioned | None = None


@dataclass(frozen=True)
class Source:
    """A raw scan.

    Attributes:
        name: of its file.
        subject: a pseudonym, or the name.
        simulated: or of a scanner.
        fully_sampled: or undersampled when it was acquired.
        sha256: of its k-space, so that a copy is known.
        case: makes the scan undersampled at R.
        own: prepares it as it was sampled.
    """

    name: str
    subject: str
    simulated: bool
    fully_sampled: bool
    sha256: str
    case: Callable[[float], Case]
    own: Callable[[], PreparedVolume]


@dataclass(frozen=True)
class Run:
    """A method at one R.

    Attributes:
        method: its name.
        label: how it is called, with its prior if that is not the only one.
        accel: R.
        settings: the method's, None if it has none.
        prior: its folder, None without one.
        prior_sha256: of its weights.
        std_scale: by which the std is multiplied before its coverage is judged.
        tuned_at: at which R its settings were chosen, None if they are its defaults.
    """

    method: str
    label: str
    accel: float
    settings: Settings | None = None
    prior: Path | None = None
    prior_sha256: str = ""
    std_scale: float = 1.0
    tuned_at: float | None = None

    def as_stored(self) -> Json | None:
        """The settings as JSON gives them back."""
        return None if self.settings is None else json.loads(json.dumps(asdict(self.settings)))


@dataclass(frozen=True)
class Plan:
    """What is compared, besides the scans.

    Attributes:
        runs: of which methods at which R.
        samples: K.
        seed: of every random number.
        mask: the kind of mask.
        slices: how many of the middle, None for all.
        lesions: whether lesions are put in, too.
        pictured: the scan whose middle slice is kept as a picture.
        tuning_scans: (sha256, name, subject) of scans on which settings were chosen; they may not be compared on.
        training_scans: the same of those which the priors' runs had.
        magnitude: mvue or rss, see :mod:`mri_ambient.recon.reference`.
        device: by its name; numbers depend on it only by rounding.
    """

    runs: tuple[Run, ...]
    samples: int
    seed: int
    mask: str
    slices: int | None
    lesions: bool
    pictured: str = ""
    tuning_scans: tuple[tuple[str, str, str], ...] = ()
    training_scans: tuple[tuple[str, str, str], ...] = ()
    magnitude: Literal["mvue", "rss"] = "mvue"
    device: str = "auto"
