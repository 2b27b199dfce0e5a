"""Every setting of a training run; saved with the run."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mri_ambient.images.denoiser import PixelArchitecture
from mri_ambient.priors.denoisers import Architecture


class LoopConfig(BaseModel):
    """What the loop has to know. images: seen in all. ema_images: half-life of the weights' mean. schedule: what the
    learning rate does after a short warm-up. accumulate: in how many parts a batch is worked on, which saves memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=7e-4, gt=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    ema_images: float = Field(default=3000.0, gt=0)
    clip: float = Field(default=1.0, gt=0)
    seed: int = 0
    save_every: int = Field(default=50, ge=1)

    @property
    def steps(self) -> int:
        return -(-self.images // self.batch)


class TrainConfig(LoopConfig):
    """Learning from k-space. images: slices (or strips of them). strip: readout rows seen at once during the first
    ``strip_share`` of the images, 0 for whole slices throughout. removal: the share of the measured outer lines hidden from
    the denoiser is uniform in this range. log_sigma: mean and standard deviation of ln sigma.
    """

    accel: tuple[Annotated[float, Field(ge=1)], ...] = Field(default=(4.0,), min_length=1)
    mask: Literal["random", "equispaced", "gaussian"] = "random"
    loss: Literal["weighted", "noise-aware", "published", "supervised"] = "weighted"
    architecture: Architecture = Architecture()
    strip: int = Field(default=32, ge=0)
    strip_share: float = Field(default=0.9, ge=0, le=1)
    removal: tuple[float, float] = (0.1, 0.7)
    log_sigma: tuple[float, float] = (-1.6, 1.3)


class ImageConfig(LoopConfig):
    """Learning from images corrupted in the image domain. missing: see `physics.corruptions`; further: the share of what is
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
