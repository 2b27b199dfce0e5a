"""Which prior to use: the one asked for, else the newest finished run's, else the bundled one."""

import json
from collections.abc import Sequence
from pathlib import Path

from mri_ambient.errors import UserError
from mri_ambient.priors.card import Prior, load_prior, read_card
from mri_ambient.priors.runs import BEST, CARD, PIXEL, RUNS, kind_of, prior_folder


def beside(prior: Prior, name: str) -> Path | None:
    """The file of that name in the prior's folder, else in its run's."""
    return next((folder / name for folder in (prior.folder, prior.folder.parent) if (folder / name).is_file()), None)


def find_prior(kinds: Sequence[str], path: Path | None = None, runs: Path = RUNS) -> Prior:
    """A prior of one of ``kinds``, the first kind by preference; of a run's laps the best, else the last.

    path: a prior's folder, or a run's folder with priors below it, or the word `bundled`. Raises UserError if none there fits.
    """
    folder = prior_folder(path, runs)
    cards = sorted((card.parent for card in folder.rglob(CARD)), key=last_lap_first)
    candidates = [candidate for candidate in best_of(folder) + cards if kind_of(candidate) != PIXEL]
    for kind in kinds:
        for candidate in candidates:
            if read_card(candidate).kind == kind:
                return load_prior(candidate)
    read_card(cards[0])  # a `pixel` prior's own sentence
    raise UserError(f"{folder}: holds no prior of kind {' or '.join(kinds)}; choose another --method or --prior")


def best_of(run: Path) -> list[Path]:
    """The folder that the run's BEST names, if it has chosen."""
    path = run / BEST
    if not path.exists():
        return []
    try:
        return [run / str(json.loads(path.read_text())["prior"])]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: does not name a prior; delete it, and the last lap's is used") from error


def last_lap_first(folder: Path) -> tuple[int, str]:
    """Sorts lap10 before lap9, and those that are no laps last."""
    number = folder.name.removeprefix("lap")
    return -int(number) if number.isdecimal() else 0, str(folder)
