"""Every setting of a training on images; saved with the run."""

from typing import Literal

from pydantic import Field, model_validator

from mri_ambient.images.denoiser import PixelArchitecture
from mri_ambient.training.config import LoopConfig


class ImageConfig(LoopConfig):
    """Learning from images corrupted in the image domain. missing: see `images.corruptions`; further: the share of what is
    measured that the denoiser is not shown. noise_std: sigma_tn of the corruption `noise`. log_sigma: mean and standard
    deviation of ln sigma.
    """

    corruption: Literal["random-pixels", "random-box", "fixed-box", "keep-patch", "gaussian", "noise"] = "random-pixels"
    missing: float = Field(default=0.5, gt=0, lt=1)
    further: float = Field(default=0.1, gt=0, lt=1)
    noise_std: float = Field(default=0.2, gt=0)
    rule: Literal["clean", "naive", "ambient", "tweedie", "tweedie-consistent", "creative"] = "ambient"
    architecture: PixelArchitecture = PixelArchitecture()
    log_sigma: tuple[float, float] = (-0.8, 1.4)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)

    @model_validator(mode="after")
    def _rule_fits(self) -> "ImageConfig":
        fitting = NOISE_RULES if self.corruption == "noise" else MISSING_RULES
        if self.rule not in fitting:
            raise ValueError(f"rule {self.rule}: is not for {self.corruption}; choose one of {', '.join(fitting)}")
        return self


MISSING_RULES = ("ambient", "naive", "clean")
NOISE_RULES = ("tweedie", "tweedie-consistent", "creative", "naive", "clean")
