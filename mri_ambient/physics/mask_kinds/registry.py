"""Every kind of mask by its name: the one place where a new one is written down."""

from typing import TYPE_CHECKING

from mri_ambient.registry import Registry

if TYPE_CHECKING:
    from mri_ambient.physics.mask_kinds.kind import MaskKind

_HERE = "mri_ambient.physics.mask_kinds"

MASK_KINDS: "Registry[MaskKind]" = Registry(
    "mask kind",
    {
        "random": f"{_HERE}.random_lines:RANDOM",
        "equispaced": f"{_HERE}.equispaced:EQUISPACED",
        "gaussian": f"{_HERE}.gaussian:GAUSSIAN",
        "poisson": f"{_HERE}.poisson:POISSON",
    },
)

TRAINABLE = ("random", "equispaced", "gaussian")
"""Those of MASK_KINDS that train: the command's help asks for them without an import."""
