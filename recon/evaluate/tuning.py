"""Every method's few settings chosen on validation scans, with the same budget each."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mri_ambient.errors import UserError
from mri_ambient.priors.card import Prior
from mri_ambient.recon.evaluate.compare import OpenSource, Outcome, Scans, compare, spread_over_scans
from mri_ambient.recon.evaluate.compare_rows import identity_of, reconstructed, rows_and_failures
from mri_ambient.recon.evaluate.compare_summary import MEAN, ONE
from mri_ambient.recon.evaluate.held_out import held_out_crps, hide, relative_error
from mri_ambient.recon.evaluate.plan import Plan, Run, Settings, Source
from mri_ambient.recon.evaluate.rows import ComparedScan, HeldOutScan, Json, Row, RowsAndFailures, kept
from mri_ambient.recon.evaluate.std_calibration import std_scale_of
from mri_ambient.recon.evaluate.tuned import HELD_OUT, TRUTH, Choice, ScanUsed, Score, Tuned
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.store import PreparedVolume

BUDGET = 6  # settings tried for each method that has any
FACTORS = (0.15, 0.5, 1.0, 1.5, 3.0, 10.0)  # of the default regularisation, for methods without candidates of their own
PERCENTILE = 95  # of validation slices: a held-out error above it is unusual

Tried = ComparedScan | HeldOutScan


def candidates(method: str) -> list[Settings | None]:
    """The settings to try: those of the method, else multiples of its regularisation; [None] if it has no settings."""
    chosen = METHODS[method]
    if chosen.candidates:
        return [replace(chosen.settings, **changes) for changes in chosen.candidates]
    if hasattr(chosen.settings, "regularisation"):
        default = chosen.settings
        return [replace(default, regularisation=default.regularisation * factor) for factor in FACTORS]
    return [chosen.settings]


def tune(
    scans: Scans,
    methods: Sequence[tuple[str, Prior | None]],
    accels: Sequence[float],
    truth: bool,
    plan: Plan,
) -> tuple[Tuned, list[str]]:
    """Try all candidates on the scans and keep the best at each R.

    Args:
        scans: for validation, and where their rows are kept.
        methods: each with its prior, None if it needs none.
        accels: at which R to tune.
        truth: the scans are fully sampled, and the criterion is the CRPS of K samples' magnitudes at ``accels``; else they are
            taken as they were sampled (at about ``accels[0]``) and the criterion is their CRPS on measured lines that are held
            out.
        plan: for its samples, seed, mask, slices and device.

    Returns:
        What was chosen, and a sentence for each scan, or method on a scan, that failed.

    Raises:
        UserError: no scan can be used.
    """
    runs = [
        Run(
            method, method, accel, settings, prior and prior.path.absolute(), prior.card.weights_sha256 if prior else ""
        )
        for accel in accels
        for method, prior in methods
        for settings in candidates(method)
    ]
    plan = replace(plan, runs=tuple(runs))
    outcome: Outcome[ComparedScan] | Outcome[HeldOutScan]
    outcome = compare(scans, plan) if truth else spread_over_scans(held_out_rows, scans, plan)
    rows = outcome.rows
    tried = {(row.method, row.accel) for row in rows}
    best = {(run.method, run.accel): chosen_of(run, runs, rows) for run in runs if (run.method, run.accel) in tried}
    one = replace(plan, runs=tuple(run for run, _ in best.values()), samples=1)
    try:
        held = spread_over_scans(held_out_rows_at if truth else held_out_rows, scans, one).rows
    except UserError:  # said by then; without lines to hide there is no limit, and all else stands
        held = []
    found: dict[str, dict[float, Choice]] = {}
    for run, choice in best.values():
        errors = [error for row in held if of(row, run) for error in row.held_out]
        choice.held_out_limit = float(np.percentile(errors, PERCENTILE)) if errors else None
        found.setdefault(run.method, {})[run.accel] = choice
    used = {row.scan_sha256: row for row in rows}
    tuned = Tuned(
        criterion=TRUTH if truth else HELD_OUT,
        samples=plan.samples,
        seed=plan.seed,
        mask=plan.mask,
        scans=[
            ScanUsed(scan=row.scan, subject=row.subject, kind=row.kind, sha256=digest) for digest, row in used.items()
        ],
        methods=found,
    )
    return tuned, outcome.failed


def of(row: Row, run: Run) -> bool:
    return (row.method, row.accel, row.settings) == (run.method, run.accel, run.as_stored())


def chosen_of(run: Run, runs: Sequence[Run], rows: Sequence[Tried]) -> tuple[Run, Choice]:
    """The best of the runs of ``run``'s method at its R; one that failed on a scan that another did is not among them. Scans
    count the same, whatever their size."""
    rivals = [other for other in runs if (other.method, other.accel) == (run.method, run.accel)]
    done = [[row for row in rows if of(row, rival)] for rival in rivals]
    scores = []
    for rival, those in zip(rivals, done, strict=True):
        complete = len(those) == max(map(len, done))
        score = float(np.mean([criterion(row) for row in those])) if complete else math.inf
        known = [row for row in those if isinstance(row, ComparedScan)]
        mean, one = (float(np.mean([row.errors[m] for row in known])) if known else None for m in (MEAN, ONE))
        scores.append(Score(settings=rival.as_stored(), crps=score, mean=mean, one=one))
    index = min(range(len(scores)), key=lambda i: scores[i].crps)
    choice = Choice(
        settings=scores[index].settings,
        prior_sha256=run.prior_sha256,
        temperature=pooled_std_scale(done[index]),
        held_out_limit=None,
        scores=scores,
    )
    return rivals[index], choice


def criterion(row: Tried) -> float:
    """What settings are chosen by, a proper score: less is better, and a spread that is too small is no gain."""
    return row.crps if isinstance(row, ComparedScan) else float(np.mean(row.crps))


def pooled_std_scale(rows: Sequence[Tried]) -> float | None:
    """Of all scans together; None if there is no spread, or no truth to compare it with."""
    known = [row for row in rows if isinstance(row, ComparedScan) and row.spreads]
    quantiles = [row.error_quantiles for row in known if row.error_quantiles is not None]
    return std_scale_of(np.concatenate(quantiles), known[0].samples) if quantiles else None


def held_out_rows_at(
    path: Path, accel: float, plan: Plan, folder: Path, open_source: OpenSource
) -> RowsAndFailures[HeldOutScan]:
    """One job: a fully sampled scan, undersampled at R."""
    source = open_source(path)
    return held_out_rows_of(source, source.case(accel).volume, accel, plan, folder)


def held_out_rows(
    path: Path, accel: float, plan: Plan, folder: Path, open_source: OpenSource
) -> RowsAndFailures[HeldOutScan]:
    """One job: a scan as it was sampled."""
    source = open_source(path)
    if source.fully_sampled:
        raise UserError(f"{path}: is fully sampled, the others are not; tune on scans of one kind")
    return held_out_rows_of(source, source.own(), accel, plan, folder)


def held_out_rows_of(
    source: Source, volume: PreparedVolume, accel: float, plan: Plan, folder: Path
) -> RowsAndFailures[HeldOutScan]:
    shown, hidden = hide(volume, plan.seed)

    def row_of(run: Run) -> HeldOutScan:
        def compute(_: Path | None) -> Json:
            found = reconstructed(shown, run, plan)
            errors = relative_error(volume, hidden, found.mean_of_sets)
            scores = held_out_crps(volume, hidden, found.samples_of_sets, plan.seed)
            return {"held_out": errors.tolist(), "crps": scores.tolist(), "realised_accel": volume.accel}

        identity = identity_of(source, run, plan) | {"criterion": HELD_OUT}
        return kept(folder, f"{source.name}_R{accel:g}_{run.label}_held-out", identity, HeldOutScan, compute)

    return rows_and_failures(source, accel, plan, row_of)
