"""Which stage of a run starts from the prior that ``--init`` names."""

from pathlib import Path

from pydantic import BaseModel

from mri_ambient.errors import UserError
from mri_ambient.priors.card import Prior, read_card
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import CARD, prior_folder
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.run_config import RunConfig

STAGES = {"masked": "ambient stage", "image": "first lap"}  # what a prior of which kind can start


def warm_starts(config: RunConfig) -> tuple[Prior | None, Prior | None]:
    """What the ambient stage and what the first lap start from, None for fresh weights.

    A `masked` prior is for the ambient stage, an `image` prior for the first lap; a folder that holds both, as a run's does,
    starts both. Raises UserError if the run has no stage for what is there, or another architecture in that stage.
    """
    if config.init is None:
        return None, None
    first = {"masked": config.ambient, "image": config.laps[0] if config.laps else None}
    stages = {kind: stage for kind, stage in first.items() if stage}
    init = prior_folder(config.init)
    held = {read_card(card.parent).kind for card in init.rglob(CARD)}
    if not held.intersection(stages):
        prior, only = find_prior(tuple(STAGES), init), " and ".join(f"`{kind}`" for kind in stages)
        raise UserError(
            f"--init {prior.path}: is a prior of kind `{prior.card.kind}`, and the run trains only {only} ones; give one of "
            "those"
        )
    starts = {kind: start_of(init, kind, stage) for kind, stage in stages.items() if kind in held}
    return starts.get("masked"), starts.get("image")


def start_of(init: Path, kind: str, stage: TrainConfig) -> Prior:
    """The prior of that kind, if ``stage`` has its architecture."""
    prior = find_prior((kind,), init)
    if prior.card.architecture != stage.architecture:
        ours, theirs = describe(stage.architecture), describe(prior.card.architecture)
        raise UserError(
            f"--init {prior.path}: its architecture ({theirs}) is not that of the {STAGES[kind]} ({ours}); set the one in "
            "--config, or give another prior"
        )
    return prior


def describe(architecture: BaseModel) -> str:
    return ", ".join(f"{name} {value}" for name, value in architecture.model_dump().items())
