"""One scan, one R, one method: reconstructed and measured."""

import hashlib
import marshal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.devices import device_of
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.measurement import magnitude, measurement_of
from mri_ambient.priors.card import Prior, load_prior
from mri_ambient.recon.evaluate.lesions.recover import contrast_recovery
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.evaluate.plan import Case, Plan, Run, Source
from mri_ambient.recon.evaluate.proper_scores import proper_scores
from mri_ambient.recon.evaluate.rows import ComparedScan, Json, R, RowsAndFailures, kept
from mri_ambient.recon.evaluate.std_calibration import coverage, spread_over_error, standardised_errors, tissue
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct
from mri_ambient.recon.reference import RSS, scaled
from mri_ambient.store import PreparedVolume

LEVELS = (0.5, 0.9)
SKETCH = (np.arange(200) + 0.5) / 200  # at which a scan's standardised errors are kept


def rows_and_failures(source: Source, accel: float, plan: Plan, row_of: Callable[[Run], R]) -> RowsAndFailures[R]:
    """The plan's runs at R. A method that can't do a scan costs its own row alone; what it said is told."""
    rows, failed = [], []
    for run in plan.runs:
        if run.accel == accel:
            try:
                rows.append(row_of(run))
            except UserError as error:
                failed.append(f"{source.name} at R={accel:g}: {error}")
    return rows, failed


def identity_of(source: Source, run: Run, plan: Plan) -> Json:
    """All that a row's numbers depend on: what a :class:`Row` is made of."""
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


def own_parts(method: str) -> dict[str, str]:
    """What a row also depends on where a program brings methods or metrics of its own: their code, which no version names."""
    found = {name: code_of(METRICS[name].compute) for name in METRICS if METRICS.is_own(name)}
    return found | ({method: code_of(METHODS[method].solve)} if METHODS.is_own(method) else {})


def code_of(function: object) -> str:
    """A hash of a function's code, and of those that a partial of it holds."""
    if isinstance(function, partial):
        return code_of(function.func) + "".join(code_of(one) for one in function.args)
    code = getattr(function, "__code__", None)
    return hashlib.sha256(marshal.dumps(code)).hexdigest()[:12] if code else repr(type(function))


def compare_scan(source: Source, accel: float, plan: Plan, folder: Path) -> RowsAndFailures[ComparedScan]:
    """The rows of one scan at one R, and what failed; ``folder`` has what was done before. The scan is prepared only if a row
    is missing."""
    prepared: list[Case] = []

    def case() -> Case:
        if not prepared:
            prepared.append(source.case(accel))
        return prepared[0]

    pictured = source.name == plan.pictured

    def row_of(run: Run) -> ComparedScan:
        extra = {"temperature": run.std_scale, "tuned_at": run.tuned_at, "lesions_put_in": plan.lesions}
        identity = identity_of(source, run, plan) | extra | {"picture": pictured or None}
        own = own_parts(run.method)
        name = f"{source.name}_R{accel:g}_{run.label}"
        return kept(
            folder,
            name,
            identity,
            ComparedScan,
            lambda picture: measured_row(case(), run, plan, picture),
            pictured,
            own,
        )

    return rows_and_failures(source, accel, plan, row_of)


def measured_row(case: Case, run: Run, plan: Plan, picture: Path | None) -> Json:
    """Reconstruct and measure: errors of one sample and of the mean, calibration, data fit, cost, lesions."""
    volume = case.volume
    rows = volume.kspace.shape[-2]
    reference = magnitude(case.reference, rows)
    with counted_calls(prior_of(run)) as calls:
        found = in_magnitude(reconstructed(volume, run, plan), volume, plan)
    row: Json = {
        "realised_accel": volume.accel,
        "acs": list(volume.acs),
        "maps": volume.provenance["maps"],
        "noiseless": case.noisy is not None,
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
    row |= errors_of(found, case.reference) | calibration_of(found, case, run.std_scale)
    noisy = None if case.noisy is None else magnitude(case.noisy, rows).numpy()
    row["NRMSE_noisy"] = None if noisy is None else nrmse(noisy, found.magnitudes[1].numpy())
    if case.lesioned is not None:
        ill = case.lesioned.volume
        again = in_magnitude(reconstructed(ill, run, plan), ill, plan)
        lesions = contrast_recovery(case.lesioned, again, found, case.reference)
        row["lesions"] = [asdict(lesion) for lesion in lesions]
        row["lesion_recovery"] = sum(lesion.recovery for lesion in lesions) / len(lesions) if lesions else None
    if picture is not None:
        middle = len(reference) // 2
        with atomic_write(picture) as temporary, temporary.open("wb") as file:
            np.savez(file, image=found.magnitudes[1][middle].numpy(), reference=reference[middle].numpy())
    return row


def reconstructed(volume: PreparedVolume, run: Run, plan: Plan) -> Reconstruction:
    """By the run's method, on the plan's device."""
    device = device_of(plan.device)
    return reconstruct(volume, run.method, prior_of(run), plan.samples, plan.seed, run.settings, device)


def in_magnitude(found: Reconstruction, volume: PreparedVolume, plan: Plan) -> Reconstruction:
    """The reconstruction of ``volume`` with the magnitude that is compared."""
    return scaled(found, volume) if plan.magnitude == RSS else found


def prior_of(run: Run) -> Prior | None:
    return cached_prior(run.prior) if run.prior else None


def errors_of(found: Reconstruction, reference: Complex[Tensor, "slice v x"]) -> Json:
    """Every metric of one sample and of the mean, of magnitudes; of two sets of maps their root sum of squares."""
    truth = magnitude(reference, found.samples.shape[-2]).numpy()
    one, mean = (image.numpy() for image in found.magnitudes)
    row: Json = {f"{name}_one": metric(truth, one) for name, metric in METRICS.items()}
    return row | {f"{name}_mean": metric(truth, mean) for name, metric in METRICS.items()}


def calibration_of(found: Reconstruction, case: Case, std_scale: float) -> Json:
    """Of the first set of maps: proper scores, spread over error, coverage, a sketch of errors for a std scale."""
    rows, count = found.samples.shape[-2], found.samples.shape[1]
    reference, support = case.reference[:, :rows], measurement_of(case.volume).sense.support[:, :rows]
    row: Json = asdict(proper_scores(found, reference, support))
    if count == 1:
        nothing = {f"coverage_{100 * level:g}": None for level in LEVELS}
        return row | {"std_ratio": None, **nothing, "error_quantiles": None}
    errors = standardised_errors(found, reference, tissue(reference, support))
    row["std_ratio"] = spread_over_error(found, reference)
    row |= {f"coverage_{100 * level:g}": coverage(errors, level, count, std_scale) for level in LEVELS}
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
