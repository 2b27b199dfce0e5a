"""Every setting of a training on images; saved with the run, and in the card of its prior."""

from pydantic import Field, model_validator

from mri_ambient.images.denoiser import PixelArchitecture
from mri_ambient.images.registry import fitting_rules
from mri_ambient.training.config import LoopConfig


class ImageConfig(LoopConfig):
    """Learning from images corrupted in the image domain.

    Attributes:
        corruption: one of ``images.registry.CORRUPTIONS``.
        missing: the share of each image that is missing, see :mod:`mri_ambient.images.corruptions`.
        further: the share of what is measured that the denoiser is not shown.
        noise_std: sigma_tn of the corruption `noise`.
        rule: one of ``images.registry.RULES`` that fits the corruption.
        architecture: of the denoiser.
        log_sigma: mean and standard deviation of ln sigma.
        batch: images a step.
        learning_rate: at its highest.

    Raises:
        UserError: there is no such corruption.
    """

    corruption: str = "random-pixels"
    missing: float = Field(default=0.5, gt=0, lt=1)
    further: float = Field(default=0.1, gt=0, lt=1)
    noise_std: float = Field(default=0.2, gt=0)
    rule: str = "ambient"
    architecture: PixelArchitecture = PixelArchitecture()
    log_sigma: tuple[float, float] = (-0.8, 1.4)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)

    @model_validator(mode="after")
    def _rule_fits(self) -> "ImageConfig":
        fitting = fitting_rules(self.corruption)
        if self.rule not in fitting:
            raise ValueError(f"rule {self.rule}: is not for {self.corruption}; choose one of {', '.join(fitting)}")
        return self
