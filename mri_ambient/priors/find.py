"""Which prior to use: the one asked for, else the newest run's, else the bundled one."""

from collections.abc import Sequence
from pathlib import Path

from mri_ambient.errors import UserError
from mri_ambient.priors.card import CARD, Prior, load_prior, read_card

BUNDLED = Path(__file__).parent / "bundled"
RUNS = Path("runs")


def find_prior(kinds: Sequence[str], path: Path | None = None, runs: Path = RUNS) -> Prior:
    """A prior of one of ``kinds``, the first kind by preference.

    path: a prior's folder, or a run's folder with priors below it. Raises UserError if none there fits.
    """
    folder = path or newest_run(runs) or BUNDLED
    cards = [card.parent for card in sorted(folder.rglob(CARD), reverse=True)]  # the last lap first
    if not cards:
        raise UserError(f"{folder}: holds no {CARD}; give a prior's folder, made with `mri-ambient train`")
    for kind in kinds:
        for candidate in cards:
            if read_card(candidate).kind == kind:
                return load_prior(candidate)
    load_prior(cards[0])  # a `pixel` prior's own sentence
    raise UserError(f"{folder}: holds no prior of kind {' or '.join(kinds)}; choose another --method or --prior")


def newest_run(runs: Path) -> Path | None:
    """The run folder in which a prior that reconstructs was written last, None if there is none."""
    found = [card for card in runs.glob(f"*/**/{CARD}") if read_card(card.parent).kind != "pixel"]
    cards = sorted(found, key=lambda card: card.stat().st_mtime)
    return runs / cards[-1].relative_to(runs).parts[0] if cards else None
