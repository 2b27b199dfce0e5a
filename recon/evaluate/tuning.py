"""Every method's few settings chosen on validation scans, with the same budget each; ``tuned.json`` keeps what was found."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.table import Table

from mri_ambient import __version__
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.priors.card import Prior, first_problem
from mri_ambient.priors.find import beside
from mri_ambient.priors.runs import BUNDLED, RUNS, TUNED, newest_run
from mri_ambient.processes import Spread
from mri_ambient.recon.evaluate.compare import OpenSource, compare, spread_over_scans
from mri_ambient.recon.evaluate.compare_rows import (
    Plan,
    Row,
    RowsAndFailures,
    Run,
    Source,
    cached_prior,
    identity_of,
    kept,
    rows_and_failures,
)
from mri_ambient.recon.evaluate.held_out import HeldOut, hide, relative_error, unusual
from mri_ambient.recon.evaluate.std_calibration import temperature
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct
from mri_ambient.store import PreparedVolume

NAME, FORMAT = TUNED, "mri-ambient tuned settings 1"
BUDGET = 6  # settings tried for each method that has any
FACTORS = (0.15, 0.5, 1.0, 1.5, 3.0, 10.0)  # of the default regularisation, for methods without candidates of their own
PERCENTILE = 95  # of validation slices: a held-out error above it is unusual
TRUTH, HELD_OUT = "NRMSE of the mean", "error on held-out measured lines"


class Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")  # rho may be infinite


class Score(Stored):
    """mean: of K samples, what is chosen by. one: of a single sample, None if it was not looked at."""

    settings: dict[str, Any] | None
    mean: float
    one: float | None


class Choice(Stored):
    """temperature: by which the std has to be multiplied, None if there is no spread, or no truth to compare it with.
    held_out_limit: the PERCENTILE of the held-out lines' error of one sample over validation slices, None if no lines could be
    held out."""

    settings: dict[str, Any] | None
    prior_sha256: str
    temperature: float | None
    held_out_limit: float | None
    scores: list[Score]


class ScanUsed(Stored):
    scan: str
    subject: str
    kind: Literal["raw", "simulated"]
    sha256: str


class Tuned(Stored):
    """methods: name -> R -> what was chosen there."""

    format: Literal["mri-ambient tuned settings 1"] = FORMAT
    version: str = __version__
    criterion: Literal["NRMSE of the mean", "error on held-out measured lines"]
    samples: int
    seed: int
    mask: str
    scans: list[ScanUsed]
    methods: dict[str, dict[float, Choice]]


@dataclass(frozen=True)
class Nearest:
    """The choice for the R nearest to the one asked for."""

    accel: float
    settings: Any
    temperature: float | None
    held_out_limit: float | None


def candidates(method: str) -> list[Any]:
    """The settings to try: those of the method, else multiples of its regularisation; [None] if it has no settings."""
    chosen = METHODS[method]
    if chosen.candidates:
        return [replace(chosen.settings, **changes) for changes in chosen.candidates]  # pyright: ignore[reportArgumentType]
    if hasattr(chosen.settings, "regularisation"):
        default: Any = chosen.settings
        return [replace(default, regularisation=default.regularisation * factor) for factor in FACTORS]
    return [chosen.settings]


def tune(
    paths: Sequence[Path],
    methods: Sequence[tuple[str, Prior | None]],
    accels: Sequence[float],
    truth: bool,
    plan: Plan,
    folder: Path,
    open_source: OpenSource,
    spread: Spread,
) -> tuple[Tuned, list[str]]:
    """Try all candidates of ``methods`` on the scans and keep the best at each R; rows in ``folder/rows``, none done twice.
    Returns what was chosen, and a sentence for each scan, or method on a scan, that failed.

    truth: the scans are fully sampled, and the criterion is the NRMSE of the mean of K samples at ``accels``; else they are
    taken as they were sampled (at about ``accels[0]``) and the criterion is the error of that mean on measured lines that are
    held out. plan: for its samples, seed, mask and slices. Raises UserError if no scan can be used.
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
    if truth:
        outcome = compare(paths, plan, folder, open_source, spread)
    else:
        outcome = spread_over_scans(held_out_rows, paths, plan, folder, open_source, spread)
    rows = outcome.rows
    tried = {(row["method"], row["accel"]) for row in rows}
    best = {
        (run.method, run.accel): chosen_of(run, runs, rows, truth) for run in runs if (run.method, run.accel) in tried
    }
    one = replace(plan, runs=tuple(run for run, _ in best.values()), samples=1)
    job = held_out_rows_at if truth else held_out_rows
    try:
        held = spread_over_scans(job, paths, one, folder, open_source, spread).rows
    except UserError:  # said by then; without lines to hide there is no limit, and all else stands
        held = []
    found: dict[str, dict[float, Choice]] = {}
    for run, choice in best.values():
        errors = [error for row in held if of(row, run) for error in row["held_out"]]
        choice.held_out_limit = float(np.percentile(errors, PERCENTILE)) if errors else None
        found.setdefault(run.method, {})[run.accel] = choice
    scans = {row["scan_sha256"]: row for row in rows}
    tuned = Tuned(
        criterion=TRUTH if truth else HELD_OUT,
        samples=plan.samples,
        seed=plan.seed,
        mask=plan.mask,
        scans=[
            ScanUsed(scan=row["scan"], subject=row["subject"], kind=row["kind"], sha256=digest)
            for digest, row in scans.items()
        ],
        methods=found,
    )
    return tuned, outcome.failed


def of(row: Row, run: Run) -> bool:
    return (row["method"], row["accel"], row["settings"]) == (run.method, run.accel, run.as_stored())


def chosen_of(run: Run, runs: Sequence[Run], rows: Sequence[Row], truth: bool) -> tuple[Run, Choice]:
    """The best of the runs of ``run``'s method at its R; one that failed on a scan that another did is not among them. Scans
    count the same, whatever their size."""
    scores, pooled = [], []
    rivals = [other for other in runs if (other.method, other.accel) == (run.method, run.accel)]
    done = [[row for row in rows if of(row, rival)] for rival in rivals]
    for rival, those in zip(rivals, done, strict=True):
        means = [row["NRMSE_mean"] if truth else float(np.mean(row["held_out"])) for row in those]
        ones = [row["NRMSE_one"] for row in those] if truth else []
        mean = float(np.mean(means)) if len(those) == max(map(len, done)) else math.inf
        scores.append(Score(settings=rival.as_stored(), mean=mean, one=float(np.mean(ones)) if ones else None))
        pooled.append([row for row in those if truth and row["spreads"]])
    index = min(range(len(scores)), key=lambda i: scores[i].mean)
    quantiles = [row["error_quantiles"] for row in pooled[index]]
    warmth = temperature(np.concatenate(quantiles), pooled[index][0]["samples"]) if quantiles else None
    choice = Choice(
        settings=scores[index].settings,
        prior_sha256=run.prior_sha256,
        temperature=warmth,
        held_out_limit=None,
        scores=scores,
    )
    return rivals[index], choice


def held_out_rows_at(path: Path, accel: float, plan: Plan, folder: Path, open_source: OpenSource) -> RowsAndFailures:
    """One job: a fully sampled scan, undersampled at R."""
    source = open_source(path)
    return held_out_rows_of(source, source.case(accel).volume, accel, plan, folder)


def held_out_rows(path: Path, accel: float, plan: Plan, folder: Path, open_source: OpenSource) -> RowsAndFailures:
    """One job: a scan as it was sampled."""
    source = open_source(path)
    if source.fully_sampled:
        raise UserError(f"{path}: is fully sampled, the others are not; tune on scans of one kind")
    return held_out_rows_of(source, source.own(), accel, plan, folder)


def held_out_rows_of(source: Source, volume: PreparedVolume, accel: float, plan: Plan, folder: Path) -> RowsAndFailures:
    shown, hidden = hide(volume, plan.seed)

    def row_of(run: Run) -> Row:
        def compute(_: Path | None) -> Row:
            prior = cached_prior(run.prior) if run.prior else None
            found = reconstruct(shown, run.method, prior, plan.samples, plan.seed, run.settings)
            return {
                "held_out": relative_error(volume, hidden, found.mean_of_sets).tolist(),
                "realised_accel": volume.accel,
            }

        identity = identity_of(source, run, plan) | {"criterion": HELD_OUT}
        return kept(folder, f"{source.name}_R{accel:g}_{run.label}_held-out", identity, compute)

    return rows_and_failures(source, accel, plan, row_of)


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

    Raises UserError if the settings are not those of this version.
    """
    of_method = tuned.methods.get(method, {})
    fitting = {r: choice for r, choice in of_method.items() if choice.prior_sha256 == prior_sha256}
    if not fitting:
        return None
    closest = min(fitting, key=lambda r: abs(math.log(r / accel)))
    choice, settings = fitting[closest], METHODS[method].settings
    if choice.settings is not None:
        try:
            settings = replace(settings, **choice.settings)  # pyright: ignore[reportArgumentType]
        except TypeError as error:
            raise UserError(f"{NAME}: {method} has other settings in this version ({error}); tune again") from error
    return Nearest(closest, settings, choice.temperature, choice.held_out_limit)


def doubts(found: Reconstruction, choice: Nearest, held: HeldOut | None) -> Iterator[str]:
    """What validation says of a new scan's reconstruction: how far to trust its std, and whether the scan is an unusual one.
    held: its hidden lines, None if it had none to hide."""
    if found.spreads and choice.temperature is not None:
        yield (
            f"{found.method}: on validation scans the std had to be multiplied by {choice.temperature:.2f} for 90 % intervals "
            "to cover 90 %"
        )
    if choice.held_out_limit is not None and held is not None:
        warning = unusual(held, found.method, choice.held_out_limit)
        if warning:
            yield warning


def tuning_table(tuned: Tuned) -> Table:
    """The winners."""
    table = Table(
        title=f"Chosen by {tuned.criterion}, on {len(tuned.scans)} scans, K={tuned.samples}", title_justify="left"
    )
    for name in ("method", "R", "tried", "mean", "one", "changed settings", "T", "held-out limit"):
        table.add_column(name)
    for method, by_accel in tuned.methods.items():
        default = Run(method, method, 1, METHODS[method].settings).as_stored() or {}
        for accel, choice in by_accel.items():
            best = min(choice.scores, key=lambda score: score.mean)
            changed = {k: v for k, v in (choice.settings or {}).items() if default.get(k) != v}
            numbers = [best.mean, best.one, choice.temperature, choice.held_out_limit]
            mean, one, warmth, limit = ("" if n is None else f"{n:.3f}" for n in numbers)
            text = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in changed.items())
            tried = str(len(choice.scores))
            table.add_row(method, f"{accel:g}", tried, mean, one, text or "defaults", warmth, limit)
    return table
