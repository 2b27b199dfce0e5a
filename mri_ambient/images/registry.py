"""Every corruption and every rule of the image domain by its name: the one place where a new one is written down."""

from typing import TYPE_CHECKING

from mri_ambient.registry import Registry

if TYPE_CHECKING:
    from mri_ambient.images.corruptions import Corruption
    from mri_ambient.images.losses import Rule

_HERE = "mri_ambient.images"

CORRUPTIONS: "Registry[Corruption]" = Registry(
    "corruption",
    {
        "random-pixels": f"{_HERE}.corruptions:RANDOM_PIXELS",
        "random-box": f"{_HERE}.corruptions:RANDOM_BOX",
        "fixed-box": f"{_HERE}.corruptions:FIXED_BOX",
        "keep-patch": f"{_HERE}.corruptions:KEEP_PATCH",
        "gaussian": f"{_HERE}.corruptions:GAUSSIAN",
        "noise": f"{_HERE}.corruptions:NOISE",
    },
)

RULES: "Registry[Rule]" = Registry(
    "rule",
    {
        "ambient": f"{_HERE}.losses:AMBIENT",
        "tweedie": f"{_HERE}.losses:TWEEDIE",
        "tweedie-consistent": f"{_HERE}.losses:TWEEDIE_CONSISTENT",
        "creative": f"{_HERE}.losses:CREATIVE",
        "naive": f"{_HERE}.losses:NAIVE",
        "clean": f"{_HERE}.losses:CLEAN",
    },
)


def fitting_rules(corruption: str) -> list[str]:
    """The rules for images corrupted so, the default first. Raises UserError if there is no such corruption."""
    noisy = CORRUPTIONS[corruption].noisy
    return [name for name, rule in RULES.items() if (rule.of_noisy if noisy else rule.of_missing)]
