"""``tuned.json`` (contract): what validation scans said of each method, and what of it serves another scan."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from scipy.stats import chi2

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.priors.card import Prior, first_problem
from mri_ambient.priors.find import beside
from mri_ambient.priors.runs import BUNDLED, RUNS, TUNED, newest_run
from mri_ambient.recon.evaluate.held_out import HeldOut, unusual
from mri_ambient.recon.evaluate.plan import Settings
from mri_ambient.recon.evaluate.rows import Json
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import Reconstruction

NAME, FORMAT = TUNED, "mri-ambient tuned settings 2"
TRUTH, HELD_OUT = "CRPS of magnitudes", "CRPS on held-out measured lines"
FEW_SAMPLES = 4


class Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")  # rho may be infinite


class Score(Stored):
    """Of settings that were tried.

    Attributes:
        settings: of the method, None if it has none.
        crps: the criterion, of K samples, what is chosen by; of one image it is the absolute error.
        mean: the NRMSE of their mean, None if it was not looked at.
        one: that of a single sample, the same.
    """

    settings: Json | None
    crps: float
    mean: float | None
    one: float | None


class Choice(Stored):
    """For a method at one R.

    Attributes:
        settings: the best, None if the method has none.
        prior_sha256: of the prior's weights, empty without one.
        temperature: the std scale, by which the std has to be multiplied; None if there is no spread, or no truth to compare
            it with.
        held_out_limit: the PERCENTILE of the held-out lines' error of one sample over validation slices, None if no lines
            could be held out.
        scores: of all that were tried.
    """

    settings: Json | None
    prior_sha256: str
    temperature: float | None
    held_out_limit: float | None
    scores: list[Score]


class ScanUsed(Stored):
    """A validation scan: its name, its subject, where it is from, the hash of its k-space."""

    scan: str
    subject: str
    kind: Literal["raw", "simulated"]
    sha256: str


class Tuned(Stored):
    """The file.

    Attributes:
        format: of the file.
        version: of the package that wrote it.
        criterion: by which settings were chosen.
        samples: K.
        seed: of every random number.
        mask: the kind of mask.
        scans: the validation scans.
        methods: name -> R -> what was chosen there.
    """

    format: Literal["mri-ambient tuned settings 2"] = FORMAT
    version: str = __version__
    criterion: Literal["CRPS of magnitudes", "CRPS on held-out measured lines"]
    samples: int
    seed: int
    mask: str
    scans: list[ScanUsed]
    methods: dict[str, dict[float, Choice]]


@dataclass(frozen=True)
class Nearest:
    """The choice for the R nearest to the one asked for.

    Attributes:
        accel: that R.
        settings: of the method.
        std_scale: by which the std has to be multiplied, None if unknown.
        held_out_limit: a held-out error of one sample above it is unusual, None if unknown.
    """

    accel: float
    settings: Settings | None
    std_scale: float | None
    held_out_limit: float | None


def write_tuned(path: Path, tuned: Tuned) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(tuned.model_dump_json(indent=2) + "\n")


def read_tuned(path: Path) -> Tuned:
    """Raises UserError if the file is missing or not one of ``tune``."""
    try:
        return Tuned.model_validate_json(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); make it with `mri-ambient tune`") from error
    except ValidationError as error:
        raise UserError(f"{path}: is not made by this version's `tune` ({first_problem(error)}); tune again") from error


def find_tuned(path: Path | None, priors: Iterable[Prior], runs: Path = RUNS) -> dict[Path, Tuned]:
    """The one asked for, else those beside the priors, in a prior's folder or its run's."""
    if path is not None:
        return {path: read_tuned(path)}
    found = [beside(prior, NAME) for prior in priors] or [(newest_run(runs) or BUNDLED) / NAME]
    return {path: read_tuned(path) for path in found if path and path.is_file()}


def nearest(tuned: Tuned, method: str, accel: float, prior_sha256: str) -> Nearest | None:
    """What was chosen for ``method`` at the R nearest to ``accel`` (in ratio); None if nothing was, or with another prior.

    Raises:
        UserError: the settings are not those of this version.
    """
    of_method = tuned.methods.get(method, {})
    fitting = {r: choice for r, choice in of_method.items() if choice.prior_sha256 == prior_sha256}
    if not fitting:
        return None
    closest = min(fitting, key=lambda r: abs(math.log(r / accel)))
    choice, settings = fitting[closest], METHODS[method].settings
    if choice.settings is not None:
        try:
            settings = replace(settings, **choice.settings)
        except TypeError as error:
            raise UserError(f"{NAME}: {method} has other settings in this version ({error}); tune again") from error
    return Nearest(closest, settings, choice.temperature, choice.held_out_limit)


def doubts(found: Reconstruction, choice: Nearest, held: HeldOut | None) -> Iterator[str]:
    """What validation says of a new scan's reconstruction: whether the scan is an unusual one.

    Args:
        found: the reconstruction.
        choice: for its method.
        held: its hidden lines, None if it had none to hide.
    """
    if choice.held_out_limit is not None and held is not None:
        warning = unusual(held, found.method, choice.held_out_limit)
        if warning:
            yield warning


def of_std(found: Reconstruction, choice: Nearest | None, calibrated_on: str, simulated: bool) -> Iterator[str]:
    """What must be said of the std that is shown: from what it is, and how far it can be trusted.

    Args:
        found: the reconstruction.
        choice: for its method, None if nothing was chosen.
        calibrated_on: validation scans, in words.
        simulated: whether the scan is.
    """
    count = found.samples.shape[1]
    if count == 1 and found.prior is not None:
        yield f"{found.method}: one image, which can't say how sure it is: no std"
    if not found.spreads:
        return
    if choice is None or choice.std_scale is None:
        yield (
            f"{found.method}: the std is as drawn: no validation scans with a truth said whether it is as large as the errors "
            "(`mri-ambient tune` finds out)"
        )
    else:
        yield (
            f"{found.method}: the std is calibrated: what the samples have times {choice.std_scale:.2f}, with which 90 % "
            f"intervals held the truth in 90 % of pixels at R={choice.accel:g} {calibrated_on}"
        )
        if "simulated" in calibrated_on and not simulated:
            yield (
                f"warning: {found.method}: this scan is of a scanner and the std was calibrated on simulations: it may be too "
                "small"
            )
    if count < FEW_SAMPLES:
        low, high = (math.sqrt(chi2.ppf(tail, 2 * (count - 1)) / (2 * (count - 1))) for tail in (0.05, 0.95))
        yield (
            f"{found.method}: a std of {count} samples is itself known at each pixel only to between {1 / high:.1f} and "
            f"{1 / low:.1f} times (90 %); draw more"
        )
