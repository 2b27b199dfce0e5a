"""The settings of a whole run: where it starts, its laps, and what the options of ``mri-ambient train`` make of them."""

from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mri_ambient.errors import UserError
from mri_ambient.priors.card import first_problem
from mri_ambient.store import Json
from mri_ambient.training.config import MaskName, TrainConfig
from mri_ambient.training.data import Volumes, read_volumes
from mri_ambient.training.losses.registry import LOSSES

PASSES = 20
PREPARED = Path("prepared")


class L1Wavelet(BaseModel):
    """A start without learning: the training scans behind ``mask`` at ``accel``, each reconstructed by L1-wavelet.

    An `image` prior trained on these is L1-EDM, the control of Aali et al., 2024.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accel: tuple[float, ...] = (4.0,)
    mask: MaskName = "random"
    regularisation: float = Field(default=3e-3, gt=0)
    iterations: int = Field(default=100, ge=1)


class EStepConfig(BaseModel):
    """How a lap draws from the posterior under the last lap's prior: by `mmps` of ``steps`` noise levels from ``sigma_max``
    down, ``draws`` images of each scan. batch: how many slices are reconstructed at once.

    The first lap has one image of each scan, by one call of the ambient denoiser or by L1-wavelet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    draws: int = Field(default=2, ge=1)
    steps: int = Field(default=7, ge=2)
    sigma_max: float = Field(default=1.0, gt=0)
    batch: int = Field(default=8, ge=1)


class RunConfig(BaseModel):
    """A run starts with an ambient stage or with L1-wavelet images; laps of `image` priors follow, each with its settings.

    hold_out: the share of the subjects that validate. init: a prior whose weights the first stage of its kind starts from.
    tolerance: laps end with one whose held-out error is not below
    (1 - tolerance) times the best before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    hold_out: float = Field(default=0.05, ge=0, lt=1)
    ambient: TrainConfig | None = None
    l1_wavelet: L1Wavelet | None = None
    e_step: EStepConfig = EStepConfig()
    laps: tuple[TrainConfig, ...] = ()
    init: Path | None = None
    tolerance: float = Field(default=0.002, ge=0, lt=1)

    @model_validator(mode="after")
    def starts_somewhere(self) -> "RunConfig":
        if (self.ambient is None) == (self.l1_wavelet is None):
            raise ValueError("a run has either an `ambient` stage or an `l1_wavelet` start")
        if self.ambient is None and not self.laps:
            raise ValueError("a run that starts from `l1_wavelet` images needs a lap, which trains on them")
        return self

    @property
    def start(self) -> TrainConfig | L1Wavelet:
        """What says how the training scans are undersampled."""
        found = self.ambient or self.l1_wavelet
        assert found is not None
        return found

    @property
    def stages(self) -> tuple[TrainConfig, ...]:
        """All that is trained, in order."""
        return ((self.ambient,) if self.ambient else ()) + self.laps

    def continues(self, before: "RunConfig") -> bool:
        """Whether this is the run ``before``, perhaps with more laps."""
        return self.model_copy(update={"laps": self.laps[: len(before.laps)]}) == before

    @property
    def name(self) -> str:
        """Of the run's folder."""
        accels = "_".join(f"{accel:g}" for accel in self.start.accel)
        if self.ambient is None:
            return f"l1-edm-r{accels}"
        return f"{self.ambient.loss}-{self.ambient.architecture.denoiser}-r{accels}"


@dataclass(frozen=True)
class RunOptions:
    """What may be said of a run in a few words; None is what is not said.

    Attributes:
        data: folder of prepared volumes; PREPARED.
        accel: R, one or several; 4.
        mask: kind of the masks; random.
        loss: one of LOSSES; weighted.
        denoiser: of the ambient stage; unrolled.
        laps: at most so many; 1.
        images: slices seen by each stage; PASSES over the data.
        seed: of every random number; 0.
        init: a prior or run whose weights the stages of its kinds start from.
    """

    data: Path | None = None
    accel: tuple[float, ...] | None = None
    mask: str | None = None
    loss: str | None = None
    denoiser: str | None = None
    laps: int | None = None
    images: int | None = None
    seed: int | None = None
    init: Path | None = None

    @property
    def given(self) -> Json:
        """Those that are said, paths absolute."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value.resolve() if isinstance(value, Path) else value for name, value in said.items()}


def configure(options: RunOptions, file: Path | None = None) -> tuple[RunConfig, Volumes]:
    """A run's settings, and what is small of the volumes it learns from.

    Args:
        options: overrule the file's settings.
        file: a run's settings in YAML; None is the default run.

    Raises:
        UserError: a setting is wrong, two contradict each other, or there is nothing to train on.
    """
    # a wrong setting is found before the volumes are opened, which say only how many slices there are
    made = default_config(options, 1) if file is None else override(read_config(file), options)
    volumes = read_volumes(options.data or (PREPARED if file is None else made.data))
    if file is None:
        made = default_config(options, sum(sampling.shape[0] for sampling in volumes.values()))
    return made, volumes


def default_config(options: RunOptions, slices: int = 0) -> RunConfig:
    """The stages that `mri-ambient train` runs on so many slices; laps train a `unet` on whole images.

    Raises UserError if a setting is wrong, or two contradict each other."""
    given = {"data": PREPARED.resolve(), "accel": (4.0,)} | options.given
    loss = "weighted" if options.loss is None else options.loss
    seed, laps = options.seed or 0, 1 if options.laps is None else options.laps
    count = options.images or PASSES * slices
    made = {key: given[key] for key in ("data", "init") if key in given}
    made["laps"] = (lap_settings(count, seed),) * laps
    start = {key: given[key] for key in ("accel", "mask") if key in given}
    if LOSSES[loss].from_reconstructions:
        refuse_without_ambient(loss, options.denoiser, laps)
        made["l1_wavelet"] = start
    else:
        architecture = {"denoiser": options.denoiser or "unrolled"}
        made["ambient"] = start | {"loss": loss, "architecture": architecture, "images": count, "seed": seed}
    return validated(made)


def validated(made: Json) -> RunConfig:
    """Raises UserError naming the first wrong setting."""
    try:
        return RunConfig.model_validate(made)
    except ValidationError as error:
        raise UserError(f"the run can't be made so: {first_problem(error)}; correct that setting") from error


def refuse_without_ambient(loss: str, denoiser: str | None, laps: int) -> None:
    """Raises UserError for what only an ambient stage has."""
    if denoiser is not None:
        raise UserError(f"--denoiser {denoiser}: is the ambient stage's, which --loss {loss} does without; drop one")
    if laps == 0:
        raise UserError(f"--laps 0: leaves nothing to train with --loss {loss}, which is a lap on L1-wavelet images")


def lap_settings(images: int, seed: int) -> Json:
    architecture = {"denoiser": "unet", "widths": (48, 96, 128)}
    shared = {"images": images, "seed": seed}
    return {"accel": (1.0,), "loss": "supervised", "architecture": architecture, "strip": 64, **shared}


def read_config(path: Path) -> RunConfig:
    """From YAML (JSON is YAML too: another run's run.json serves). Raises UserError naming the first wrong setting."""
    try:
        return RunConfig.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); give a run's settings in YAML") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not YAML ({' '.join(str(error).split())}); correct it") from error
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; correct it, a run's `run.json` shows all settings") from error


def override(config: RunConfig, options: RunOptions) -> RunConfig:
    """The run with some settings changed: data and init; accel and mask; loss and denoiser of the ambient stage; images and
    seed of every stage; laps, how many (more of them are like the last). Raises UserError if the run has no such stage."""
    given, made = options.given, config.model_dump()
    laps = len(config.laps) if options.laps is None else options.laps
    made |= {key: given[key] for key in ("data", "init") if key in given}
    if options.loss and LOSSES[options.loss].from_reconstructions != (config.ambient is None):
        start = "an ambient stage" if config.ambient else "L1-wavelet images"
        raise UserError(f"--loss {options.loss}: the run of --config starts from {start}; drop one of the two options")
    start = made["ambient"] or made["l1_wavelet"]
    start |= {key: given[key] for key in ("accel", "mask") if key in given}
    if config.ambient is None:
        refuse_without_ambient(options.loss or "l1-edm", options.denoiser, laps)
    else:
        start |= {"loss": options.loss or config.ambient.loss}
        start["architecture"] |= {"denoiser": options.denoiser or config.ambient.architecture.denoiser}
    first = config.stages[0]
    last = made["laps"][-1:] or [lap_settings(first.images, first.seed)]
    made["laps"] = (list(made["laps"]) + list(last) * laps)[:laps]
    for stage in (made["ambient"] or {}, *made["laps"]):
        stage |= {key: given[key] for key in ("images", "seed") if key in given}
    return validated(made)
