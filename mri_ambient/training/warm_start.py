"""Which stage of a run starts from the prior that ``--init`` names."""

from pydantic import BaseModel

from mri_ambient.errors import UserError
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.training.run_config import RunConfig


def warm_starts(config: RunConfig) -> tuple[Prior | None, Prior | None]:
    """What the ambient stage and what the first lap start from, None for fresh weights.

    A `masked` prior is for the ambient stage, an `image` prior for the first lap. Of a folder that holds both, the one for the
    run's first stage. Raises UserError if the run has no stage of that kind, or another architecture there.
    """
    if config.init is None:
        return None, None
    masked, image = config.ambient, config.laps[0] if config.laps else None
    prior = find_prior(("masked", "image") if masked else ("image", "masked"), config.init)
    kind = prior.card.kind
    stage, name = (masked, "ambient stage") if kind == "masked" else (image, "first lap")
    if stage is None:
        other = "image" if kind == "masked" else "masked"
        raise UserError(
            f"--init {prior.path}: is a prior of kind `{kind}`, and the run trains only `{other}` ones; give one of those"
        )
    if prior.card.architecture != stage.architecture:
        ours, theirs = describe(stage.architecture), describe(prior.card.architecture)
        raise UserError(
            f"--init {prior.path}: its architecture ({theirs}) is not that of the {name} ({ours}); set the one in --config, or "
            "give another prior"
        )
    return (prior, None) if kind == "masked" else (None, prior)


def describe(architecture: BaseModel) -> str:
    return ", ".join(f"{name} {value}" for name, value in architecture.model_dump().items())
