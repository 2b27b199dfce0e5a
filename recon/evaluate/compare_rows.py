"""One scan, one R, one method: a row of numbers, made once and kept in a file of its own."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from jaxtyping import Complex
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.measurement import magnitude, measurement_of
from mri_ambient.priors.card import Prior, load_prior
from mri_ambient.recon.evaluate.lesions import Lesioned, contrast_recovery
from mri_ambient.recon.evaluate.metrics import METRICS
from mri_ambient.recon.evaluate.std_calibration import coverage, spread_over_error, standardised_errors, tissue
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct
from mri_ambient.recon.reference import RSS, scaled
from mri_ambient.store import PreparedVolume

Row = dict[str, Any]
RowsAndFailures = tuple[list[Row], list[str]]
"""Of one scan at one R; a failure is a sentence."""
LEVELS = (0.5, 0.9)
SKETCH = (np.arange(200) + 0.5) / 200  # at which a scan's standardised errors are kept


@dataclass(frozen=True)
class Case:
    """A scan at one R, and the image that errors are measured against (:func:`mri_ambient.recon.reference.reference_of`);
    ``lesioned``: the same scan with lesions."""

    volume: PreparedVolume
    reference: Complex[Tensor, "slice v x"]
    lesioned: Lesioned | None = None


@dataclass(frozen=True)
class Source:
    """A raw scan. sha256: of its k-space, so that a copy is known. subject: a pseudonym, or the name. case: makes the scan
    undersampled at R. own: prepares it as it was sampled."""

    name: str
    subject: str
    simulated: bool
    fully_sampled: bool
    sha256: str
    case: Callable[[float], Case]
    own: Callable[[], PreparedVolume]


@dataclass(frozen=True)
class Run:
    """A method at one R. label: how it is called, with its prior if that is not the only one. prior: its folder.
    tuned_at: at which R its settings were chosen, None if they are its defaults."""

    method: str
    label: str
    accel: float
    settings: Any = None
    prior: Path | None = None
    prior_sha256: str = ""
    temperature: float = 1.0
    tuned_at: float | None = None

    def as_stored(self) -> Row | None:
        """The settings as JSON gives them back."""
        return None if self.settings is None else json.loads(json.dumps(asdict(self.settings)))


@dataclass(frozen=True)
class Plan:
    """What is compared, besides the scans. magnitude: mvue or rss, see :mod:`mri_ambient.recon.reference`. slices: how
    many of the middle, None for all. pictured: the scan whose middle slice
    is kept as a picture. tuning_scans, training_scans: (sha256, name, subject) of scans on which settings were chosen, or which
    the priors' runs had; neither may be compared on."""

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


def kept(folder: Path, name: str, identity: Row, compute: Callable[[Path | None], Row], pictured: bool = False) -> Row:
    """The row of ``identity`` in ``folder``, computed if it is not there yet. name: a readable start of the file's name.
    pictured: ``compute`` is given the path of a picture to write, of the same name, without which the row is not finished."""
    identity = identity | {"version": __version__}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    path = folder / f"{quote(name, safe='')}_{key[:12]}.json"
    picture = path.with_suffix(".npz") if pictured else None
    if picture is None or picture.exists():
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            pass
    row = identity | compute(picture) | ({"picture": picture.name} if picture else {})
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(row))
    return row


def rows_and_failures(source: Source, accel: float, plan: Plan, row_of: Callable[[Run], Row]) -> RowsAndFailures:
    """The plan's runs at R. A method that can't do a scan costs its own row alone; what it said is told."""
    rows, failed = [], []
    for run in plan.runs:
        if run.accel == accel:
            try:
                rows.append(row_of(run))
            except UserError as error:
                failed.append(f"{source.name} at R={accel:g}: {error}")
    return rows, failed


def identity_of(source: Source, run: Run, plan: Plan) -> Row:
    """All that a row's numbers depend on."""
    return {
        "scan": source.name,
        "scan_sha256": source.sha256,
        "subject": source.subject,
        "kind": "simulated" if source.simulated else "raw",
        "method": run.method,
        "label": run.label,
        "accel": run.accel,
        "settings": run.as_stored(),
        "prior_sha256": run.prior_sha256,
        "samples": plan.samples,
        "seed": plan.seed,
        "mask": plan.mask,
        "slices": plan.slices,
        "reference": plan.magnitude.upper(),
    }


def compare_scan(source: Source, accel: float, plan: Plan, folder: Path) -> RowsAndFailures:
    """The rows of one scan at one R, and what failed; ``folder`` has what was done before. The scan is prepared only if a row
    is missing."""
    prepared: list[Case] = []

    def case() -> Case:
        if not prepared:
            prepared.append(source.case(accel))
        return prepared[0]

    pictured = source.name == plan.pictured

    def row_of(run: Run) -> Row:
        extra = {"temperature": run.temperature, "tuned_at": run.tuned_at, "lesions_put_in": plan.lesions}
        identity = identity_of(source, run, plan) | extra | {"picture": pictured or None}
        name = f"{source.name}_R{accel:g}_{run.label}"
        return kept(folder, name, identity, lambda picture: measured_row(case(), run, plan, picture), pictured)

    return rows_and_failures(source, accel, plan, row_of)


def measured_row(case: Case, run: Run, plan: Plan, picture: Path | None) -> Row:
    """Reconstruct and measure: errors of one sample and of the mean, calibration, data fit, cost, lesions."""
    volume = case.volume
    rows = volume.kspace.shape[-2]
    reference = magnitude(case.reference, rows)
    prior = cached_prior(run.prior) if run.prior else None
    with counted_calls(prior) as calls:
        found = in_magnitude(
            reconstruct(volume, run.method, prior, plan.samples, plan.seed, run.settings), volume, plan
        )
    row = {
        "realised_accel": volume.accel,
        "acs": list(volume.acs),
        "maps": volume.provenance["maps"],
        "data_range": float(reference.max()),
        "matrix": list(volume.kspace.shape[-2:]),
        "working_matrix": list(found.matrix),
        "slices_done": len(found.samples),
        "images": found.samples.shape[1],
        "spreads": found.spreads,
        "residual": float(found.measured_residual.mean()),
        "seconds_per_slice": found.seconds / len(found.samples),
        "network_calls": sum(calls) / found.samples.shape[0] / found.samples.shape[1],
    }
    row |= errors_of(found, case.reference) | calibration_of(found, case, run.temperature)
    if case.lesioned is not None:
        ill = case.lesioned.volume
        again = in_magnitude(reconstruct(ill, run.method, prior, plan.samples, plan.seed, run.settings), ill, plan)
        row["lesions"] = contrast_recovery(case.lesioned, again, found, case.reference)
        recovered = [lesion["recovery"] for lesion in row["lesions"]]
        row["lesion_recovery"] = sum(recovered) / len(recovered) if recovered else None
    if picture is not None:
        middle = len(reference) // 2
        with atomic_write(picture) as temporary, temporary.open("wb") as file:
            np.savez(file, image=found.magnitudes[1][middle].numpy(), reference=reference[middle].numpy())
    return row


def in_magnitude(found: Reconstruction, volume: PreparedVolume, plan: Plan) -> Reconstruction:
    """The reconstruction of ``volume`` with the magnitude that is compared."""
    return scaled(found, volume) if plan.magnitude == RSS else found


def errors_of(found: Reconstruction, reference: Complex[Tensor, "slice v x"]) -> Row:
    """Every metric of one sample and of the mean, of magnitudes; of two sets of maps their root sum of squares."""
    truth = magnitude(reference, found.samples.shape[-2]).numpy()
    one, mean = (image.numpy() for image in found.magnitudes)
    row: Row = {f"{name}_one": metric(truth, one) for name, metric in METRICS.items()}
    return row | {f"{name}_mean": metric(truth, mean) for name, metric in METRICS.items()}


def calibration_of(found: Reconstruction, case: Case, temperature: float) -> Row:
    """Of the first set of maps: spread over error, coverage, a sketch of the errors from which a temperature can be had."""
    if found.samples.shape[1] == 1:
        return {"std_ratio": None, **{f"coverage_{100 * level:g}": None for level in LEVELS}, "error_quantiles": None}
    rows = found.samples.shape[-2]
    reference = case.reference[:, :rows]
    where = tissue(reference, measurement_of(case.volume).sense.support[:, :rows])
    errors = standardised_errors(found, reference, where)
    count = found.samples.shape[1]
    row: Row = {"std_ratio": spread_over_error(found, reference)}
    row |= {f"coverage_{100 * level:g}": coverage(errors, level, count, temperature) for level in LEVELS}
    return row | {"error_quantiles": np.quantile(errors, SKETCH).tolist()}


@lru_cache(maxsize=4)
def cached_prior(path: Path) -> Prior:
    return load_prior(path)


@contextmanager
def counted_calls(prior: Prior | None) -> Iterator[list[int]]:
    """How many images the network is given at each of its calls."""
    calls: list[int] = []
    if prior is None:
        yield calls
        return
    handle = prior.denoiser.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    try:
        yield calls
    finally:
        handle.remove()
