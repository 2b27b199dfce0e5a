"""What is to be compared: methods, their priors and settings, at each R."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mri_ambient import bart
from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import place
from mri_ambient.recon.evaluate.compare_rows import Plan, Run
from mri_ambient.recon.evaluate.compare_summary import listed
from mri_ambient.recon.evaluate.tuning import Tuned, nearest
from mri_ambient.recon.methods.registry import METHODS

BART = "bart-"  # how the names of its methods begin
MethodPrior = tuple[str, Prior | None]


def named_methods(text: str) -> list[str]:
    """The methods of a comma-separated list; if it is empty, all that this machine can run.

    Raises UserError if one is unknown, or needs BART and that is not installed: now, not after hours.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in METHODS:
            raise UserError(f"--methods {name}: is not one of {', '.join(METHODS)}; choose among them")
        if name.startswith(BART):
            bart.require()
    return list(dict.fromkeys(names)) or [name for name in METHODS if bart.installed() or not name.startswith(BART)]


def priors_for(methods: Sequence[str], folders: Sequence[Path]) -> list[MethodPrior]:
    """Each method with each of the priors below ``folders`` that it can use; without one if it needs none. No folders: the
    newest run's prior, else the bundled one. Raises UserError if a method finds none."""
    found: list[MethodPrior] = []
    for name in methods:
        kinds = METHODS[name].kinds
        fitting, refusal = [], None
        for folder in (folders or [None]) if kinds else []:
            try:
                fitting.append((name, find_prior(kinds, folder)))
            except UserError as error:
                refusal = error
        if refusal and not fitting:
            raise refusal
        found += fitting if kinds else [(name, None)]
    return found


def planned_runs(priors: Sequence[MethodPrior], accels: Sequence[float], studies: Collection[Tuned]) -> tuple[Run, ...]:
    """Each method with its prior at each R, its settings those that the first of ``studies`` that knows the two chose at the
    nearest R, else its own."""
    runs = []
    for accel in accels:
        for name, prior in priors:
            several = sum(other == name for other, _ in priors) > 1
            digest = prior.card.weights_sha256 if prior else ""
            chosen = next(filter(None, (nearest(study, name, accel, digest) for study in studies)), None)
            runs.append(
                Run(
                    method=name,
                    label=f"{name} ({place(prior.path)})" if prior and several else name,
                    accel=accel,
                    settings=chosen.settings if chosen else METHODS[name].settings,
                    prior=prior.path.absolute() if prior else None,
                    prior_sha256=digest,
                    temperature=(chosen and chosen.temperature) or 1.0,
                    tuned_at=chosen and chosen.accel,
                )
            )
    return tuple(runs)


def claim(out: Path, plan: Plan, force: bool) -> None:
    """Write what is compared to ``out/plan.json``. Raises UserError if something else was, unless ``force``. The scans may
    change: there may be more of them by now."""
    path = out / "plan.json"
    text = json.dumps(asdict(replace(plan, pictured="", training_scans=())), indent=2, default=str) + "\n"
    if path.exists() and path.read_text() != text and not force:
        raise UserError(
            f"{out}: holds a comparison of other methods or settings; pass --force to replace its tables (finished rows that "
            "serve are used), or another --out"
        )
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def untuned(runs: Iterable[Run]) -> list[str]:
    """A sentence if some methods have settings to tune, others were tuned, and they were not."""
    adjustable = [run for run in runs if run.settings is not None]
    left = dict.fromkeys(run.label for run in adjustable if run.tuned_at is None)
    if not left or all(run.tuned_at is None for run in adjustable):
        return []
    return [f"warning: not tuned, at their defaults beside tuned ones: {', '.join(left)}; see `mri-ambient tune`"]


def misfits(runs: Iterable[Run], priors: Iterable[Prior]) -> list[str]:
    """A sentence for each `masked` prior that is used far from the R of its training: beyond a factor of two."""
    accels = sorted({run.accel for run in runs if run.prior is not None})
    sentences = []
    for prior in priors:
        trained = prior.card.training.accel
        if prior.card.kind != "masked" or not trained:
            continue
        far = [accel for accel in accels if accel > 2 * max(trained) or accel < min(trained) / 2]
        if far:
            sentences.append(
                f"warning: prior {place(prior.path)} was trained at R={listed(trained)}, and the scans are compared at "
                f"R={listed(far)}, far from it; train one for that R to be fair to it"
            )
    return sentences
