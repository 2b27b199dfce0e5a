"""Every setting of a training run; saved with the run."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from mri_ambient.physics.mask_kinds.registry import MASK_KINDS
from mri_ambient.priors.denoisers import Architecture
from mri_ambient.training.losses.registry import LOSSES


def trainable(kind: str) -> str:
    """A kind of mask. Raises PydanticCustomError if priors can't be learned from scans behind such masks."""
    if kind not in MASK_KINDS or not MASK_KINDS[kind].trains:
        known = ", ".join(name for name, found in MASK_KINDS.items() if found.trains)
        raise PydanticCustomError("mask", f"{kind} is no kind of mask to train on; choose one of {known}")  # pyright: ignore[reportArgumentType]
    return kind


def of_a_stage(loss: str) -> str:
    """The name of a loss. Raises PydanticCustomError if no stage is trained with it."""
    if loss not in LOSSES or LOSSES[loss].from_reconstructions:
        known = ", ".join(name for name, found in LOSSES.items() if not found.from_reconstructions)
        raise PydanticCustomError("loss", f"{loss} is no loss of a stage; choose one of {known}")  # pyright: ignore[reportArgumentType]
    return loss


MaskName = Annotated[str, AfterValidator(trainable)]
LossName = Annotated[str, AfterValidator(of_a_stage)]


class LoopConfig(BaseModel):
    """What the loop has to know. images: seen in all. ema_images: half-life of the weights' mean. accumulate: in how many parts
    a batch is worked on, which saves memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=7e-4, gt=0)
    ema_images: float = Field(default=3000.0, gt=0)
    clip: float = Field(default=1.0, gt=0)
    seed: int = 0
    save_every: int = Field(default=50, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _without_schedule(cls, settings: object) -> object:
        """Older runs name the schedule of the learning rate, of which there is one now."""
        if not isinstance(settings, dict) or "schedule" not in settings:
            return settings
        schedule = settings["schedule"]
        if schedule != "cosine":
            why = f"`schedule` can't be {schedule}: there is one, cosine; leave it out"
            raise PydanticCustomError("schedule", why)  # pyright: ignore[reportArgumentType]
        return {name: value for name, value in settings.items() if name != "schedule"}

    @property
    def steps(self) -> int:
        return -(-self.images // self.batch)


class TrainConfig(LoopConfig):
    """Learning from k-space. images: slices (or strips of them). strip: readout rows seen at once during the first
    ``strip_share`` of the images, 0 for whole slices throughout. removal: the share of the measured outer lines hidden from
    the denoiser is uniform in this range. log_sigma: mean and standard deviation of ln sigma.
    """

    accel: tuple[Annotated[float, Field(ge=1)], ...] = Field(default=(4.0,), min_length=1)
    mask: MaskName = "random"
    loss: LossName = "weighted"
    architecture: Architecture = Architecture()
    strip: int = Field(default=32, ge=0)
    strip_share: float = Field(default=0.9, ge=0, le=1)
    removal: tuple[float, float] = (0.1, 0.7)
    log_sigma: tuple[float, float] = (-1.6, 1.3)
