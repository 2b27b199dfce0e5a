"""Every setting of a training run; saved with the run."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
