"""Where priors lie, and which runs of training are finished: told from small files alone, without torch, to be quick."""

import json
from pathlib import Path
from typing import Any

from mri_ambient.errors import UserError

CARD = "prior.json"  # of a prior's folder
PIXEL = "pixel"  # the kind of those that know no k-space, which reconstruction passes over
TUNED = "tuned.json"  # of a prior's, or its run's: the settings that validation chose
RUN, CHECKPOINT = "run.json", "checkpoint.safetensors"  # of a run's; each lap has a checkpoint of its own
BEST = "best.json"  # of a run's folder: {"prior": the folder below it whose prior was best on held-out subjects, ...}
BUNDLED = Path(__file__).parent / "bundled"
WORD = Path("bundled")  # what users call it
RUNS = Path("runs")


def place(path: Path) -> str:
    """How a file or folder is told to readers: what is bundled without where the package lies, for pages are passed on."""
    return f"bundled/{path.relative_to(BUNDLED)}".removesuffix("/.") if path.is_relative_to(BUNDLED) else str(path)


def prior_folder(path: Path | None, runs: Path = RUNS) -> Path:
    """The folder to look for a prior in: ``path``, of which WORD means ours; else the newest finished run's, else ours.

    Raises UserError if there is no prior, or WORD could also be a folder of the user's.
    """
    if path is not None and path == WORD:
        if path.exists():
            raise UserError(f"{path}: is the name of the bundled prior, and of a folder here; rename that folder")
        return BUNDLED
    folder = path or newest_run(runs) or BUNDLED
    if not any(folder.rglob(CARD)):
        raise UserError(f"{folder}: holds no {CARD}; give a prior's folder, made with `mri-ambient train`")
    return folder


def kind_of(folder: Path) -> str | None:
    """What the card in a prior's folder calls its kind; None if it can't be read."""
    return _read(folder / CARD).get("kind")


def newest_run(runs: Path = RUNS) -> Path | None:
    """The finished run in which a prior that reconstructs was written last, None if there is none."""
    return _survey(runs)[0]


def passed_over(runs: Path = RUNS) -> list[str]:
    """A sentence for each run that is newer than the one used by default and not used."""
    chosen, reasons = _survey(runs)
    used = place(chosen or BUNDLED)
    return [f"{run} is {why} and not used, {used} is; --prior {run} takes it as it is" for run, why in reasons.items()]


def _survey(runs: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest finished run, and why each newer one isn't finished."""
    written: dict[Path, float] = {}
    for card in runs.glob(f"*/**/{CARD}"):
        if kind_of(card.parent) != PIXEL:
            run = runs / card.relative_to(runs).parts[0]
            written[run] = max(written.get(run, 0), card.stat().st_mtime)
    reasons = {}
    for run in sorted(written, key=lambda run: written[run], reverse=True):
        why = unfinished(run)
        if why is None:
            return run, reasons
        reasons[run] = why
    return None, reasons


def unfinished(run: Path) -> str | None:
    """How far a run has come if it is not finished; None if it is, or if the folder is no run's but a prior's alone.

    A run is finished once it has chosen among its laps, or, if it has none, once its one stage has done all its steps.
    """
    if not (run / RUN).is_file() or (run / BEST).is_file():
        return None
    config = _read(run / RUN)
    try:
        laps = config["laps"]
        stages = {"": config["ambient"]} | {f"lap{number}": lap for number, lap in enumerate(laps, 1)}
        for name, stage in stages.items():
            steps = -(-stage["images"] // stage["batch"]) if stage else 0
            done = steps_done(run / name)
            if done < steps:
                return f"unfinished ({name or 'ambient stage'}, step {done:,} of {steps:,})"
    except (KeyError, TypeError):
        return f"of no known settings ({RUN} can't be read)"
    return "unfinished (no lap is chosen yet)" if laps else None


def unfinished_prior(prior: Path) -> str | None:
    """The same of the run that a prior's folder belongs to, as a sentence."""
    run = next((folder for folder in (prior, prior.parent) if (folder / RUN).is_file()), prior)
    why = unfinished(run)
    return why and f"{run} is {why}"


def steps_done(folder: Path) -> int:
    """How many steps of a training are behind its checkpoint."""
    from safetensors import safe_open

    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    with safe_open(path, "np") as file:
        return int(file.get_tensor("adam/0/step").item())


def _read(path: Path) -> dict[str, Any]:
    """Empty if the file isn't JSON's object."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
