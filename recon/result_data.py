"""All that is known of a scan once it is reconstructed: what is shown, written and exported is drawn from this."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.reconstruct import Reconstruction, mean_title
from mri_ambient.recon.scores import Score, errors_of, mean_held_out, of_one_sample, scores_of
from mri_ambient.store import PreparedVolume

Magnitudes = Float[np.ndarray, "slice y x"]


class About(BaseModel):
    """What a reader must know. accel: realised R. acs: rows and columns. field_of_view_mm: (y, x), None if the scan's file
    doesn't say. spreads: whether the std means something. settings: the method's. prior: its card, None without one.
    temperature: by which validation says that the std has to be multiplied, None if it was not validated; calibrated_on: which
    scans, empty if none. notes: sentences. provenance: of the prepared volume. magnitude: mvue or rss, of all images, samples,
    stds.
    """

    model_config = ConfigDict(extra="forbid")

    version: str
    name: str
    simulated: bool
    method: str
    accel: float
    acs: tuple[int, int]
    field_of_view_mm: tuple[float, float] | None
    spreads: bool
    seed: int
    seconds: float
    working_matrix: tuple[int, int]
    settings: Mapping[str, object]
    prior: Mapping[str, object] | None
    temperature: float | None
    calibrated_on: str
    notes: tuple[str, ...]
    provenance: Mapping[str, object]
    magnitude: Literal["mvue", "rss"] = "mvue"


def about_of(
    volume: PreparedVolume,
    found: Reconstruction,
    temperature: float | None,
    calibrated_on: str,
    notes: tuple[str, ...],
    magnitude: Literal["mvue", "rss"],
) -> About:
    """Of the method that is kept whole, as a file gives it back."""
    about = About(
        version=__version__,
        name=volume.name,
        simulated=bool(volume.provenance.get("simulated", False)),
        method=found.method,
        accel=volume.accel,
        acs=volume.acs,
        field_of_view_mm=volume.provenance.get("field_of_view_mm"),
        spreads=found.spreads,
        seed=found.seed,
        seconds=found.seconds,
        working_matrix=found.matrix,
        settings=asdict(found.settings) if found.settings else {},
        prior=found.prior.model_dump(mode="json") if found.prior else None,
        temperature=temperature,
        calibrated_on="" if temperature is None else calibrated_on,
        notes=notes,
        provenance=volume.provenance,
        magnitude=magnitude,
    )
    return About.model_validate(json.loads(json.dumps(about.model_dump())))  # tuples in settings become lists


@dataclass(frozen=True, eq=False, repr=False)
class ResultData:
    """A scan, reconstructed: by one method whole, by others their magnitudes. In the units of the scan's k-space.

    Attributes:
        about: what a reader must know.
        mean: of the method's K samples, complex64 [slice, y, x].
        raw_std: of the samples as drawn, float32 [slice, y, x].
        determined_share: see :func:`mri_ambient.recon.evaluate.determined.determined_share`, float32 [slice, y, x], 0 to 1.
        samples: complex64 [slice, k, y, x]; None if the file leaves them out.
        others: magnitudes by the other methods, in the order they were run, float32 [slice, y, x].
        residuals: method (about.method first) -> misfit on the measured samples over the noise level, float32 [slice].
        reference: the magnitude of the complete scan, float32 [slice, y, x]; None if there is none.
        held_out: None if no lines could be hidden.
        second_set: the mean of the second set of maps, complex64 [slice, y, x]; None with one set.
        made_from: that by which a rerun knows its file again, as JSON; None if it was not asked for.
        file: from which it was read. What follows is in no file, and None where one was read.
        sampling: what was measured of each slice, bool [slice, y or 1, x].
        reconstructions: every method's, with its samples, in the order they were run.
        complete: the complex reference of all sets of maps, one under the other, complex64 [slice, v, x].
    """

    about: About
    mean: Complex[np.ndarray, "slice y x"]
    raw_std: Magnitudes
    determined_share: Magnitudes
    samples: Complex[np.ndarray, "slice k y x"] | None
    others: Mapping[str, Magnitudes]
    residuals: Mapping[str, Float[np.ndarray, " slice"]]
    reference: Magnitudes | None
    held_out: HeldOut | None = None
    second_set: Complex[np.ndarray, "slice y x"] | None = None
    made_from: Mapping[str, object] | None = None
    file: Path | None = None
    sampling: Bool[np.ndarray, "slice #y x"] | None = None
    reconstructions: Mapping[str, Reconstruction] | None = None
    complete: Complex[Tensor, "slice v x"] | None = None

    def __repr__(self) -> str:
        """One line, without the arrays."""
        slices, rows, columns = self.mean.shape
        size = f"{slices} slices of {rows}x{columns}"
        return f"{type(self).__name__}({self.label}: {self.title}, R={self.about.accel:.2f}, {size})"

    def __len__(self) -> int:
        """Slices."""
        return len(self.mean)

    def __getitem__(self, slices: slice | int) -> "ResultData":
        """One or some slices, as a file would have them; the held-out errors stay those of all. Raises IndexError."""
        if isinstance(slices, int):
            index = range(len(self))[slices]
            slices = slice(index, index + 1)
        cut = {
            key: None if array is None else array[slices]
            for key in ("mean", "raw_std", "determined_share", "samples", "reference", "second_set")
            for array in (getattr(self, key),)
        }
        cut |= {
            key: {name: array[slices] for name, array in getattr(self, key).items()} for key in ("others", "residuals")
        }
        return replace(self, sampling=None, reconstructions=None, complete=None, **cut)

    @property
    def std(self) -> Magnitudes:
        """Calibrated: ``raw_std`` times the std scale found on validation scans; as drawn if there were none."""
        scale = self.about.temperature
        return self.raw_std if scale is None else self.raw_std * np.float32(scale)

    @property
    def std_title(self) -> str:
        """What is written above it."""
        return "std as drawn" if self.about.temperature is None else "std, calibrated"

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be said of it, in sentences."""
        return self.about.notes

    @property
    def title(self) -> str:
        """Of the mean."""
        count = self.samples.shape[1] if self.samples is not None else None if self.about.spreads else 1
        return mean_title(self.about.method, count)

    @property
    def label(self) -> str:
        """For messages: its file, or the scan's name."""
        return str(self.file or self.about.name)

    @property
    def stem(self) -> str:
        """For the names of what is made of it."""
        return self.file.stem.removesuffix("_recon") if self.file else Path(self.about.name).name

    @cached_property
    def magnitudes(self) -> dict[str, Magnitudes]:
        """By every method, the reconstruction's own last."""
        return {**self.others, self.about.method: absolute(self.mean)}

    @property
    def several(self) -> bool:
        """Whether there are samples to compare."""
        return self.samples is not None and self.samples.shape[1] > 1

    @property
    def mean_residuals(self) -> dict[str, float]:
        """Over slices."""
        return {name: float(torch.from_numpy(values).mean()) for name, values in self.residuals.items()}

    @property
    def pixel_mm(self) -> tuple[float, float] | None:
        """(y, x), None if the field of view is not known."""
        if self.about.field_of_view_mm is None:
            return None
        (height, width), (rows, columns) = self.about.field_of_view_mm, self.mean.shape[-2:]
        return height / rows, width / columns

    def scores(self) -> list[Score]:
        """A row for one sample and one for the mean of each method, in the order they were run.

        From a file what it does not hold is None: the seconds and samples of other methods, std over error; errors are then
        those of the first set of maps, and the reconstruction's own method comes last.
        """
        if self.reconstructions is None:
            return list(self._scores_of_file())
        return list(scores_of(self.reconstructions, self.complete, self.held_out))

    def _scores_of_file(self) -> Iterator[Score]:
        for name, image in self.magnitudes.items():
            score = Score(
                method=name,
                title=name,
                samples=None,
                errors=errors_of(image, self.reference),
                residual=self.mean_residuals[name],
                held_out=mean_held_out(self.held_out, name),
            )
            if name == self.about.method:
                count = None if self.samples is None else self.samples.shape[1]
                seconds = self.about.seconds / len(self)
                score = replace(score, title=self.title, samples=count, spreads=self.about.spreads, seconds=seconds)
                if self.samples is not None and self.several:
                    yield of_one_sample(score, absolute(self.samples[:, 0]), self.reference, self.held_out)
            yield score


def result_data(
    about: About,
    reconstructions: Mapping[str, Reconstruction],
    share: Float[Tensor, "slice y x"],
    reference: Complex[Tensor, "slice v x"] | None = None,
    held_out: HeldOut | None = None,
    sampling: Bool[Tensor, "slice #y x"] | None = None,
) -> ResultData:
    """Of what methods made of a scan, while all of it is at hand.

    Args:
        about: names the method that is kept whole.
        reconstructions: of every method, in the order they were run.
        share: float32 [slice, y, x], that the data determine.
        reference: of the complete scan, complex64 [slice, v, x], in the same units.
        held_out: None if no lines could be hidden.
        sampling: bool [slice, y or 1, x], what was measured.
    """
    found = reconstructions[about.method]
    others = {name: other for name, other in reconstructions.items() if name != about.method}
    return ResultData(
        about=about,
        mean=found.mean.numpy(),
        raw_std=found.std.numpy(),
        determined_share=share.numpy(),
        samples=found.samples.numpy(),
        others={name: other.mean.abs().numpy() for name, other in others.items()},
        residuals={name: one.measured_residual.numpy() for name, one in {about.method: found, **others}.items()},
        reference=None if reference is None else reference[:, : found.samples.shape[-2]].abs().numpy(),
        held_out=held_out,
        second_set=None if found.second is None else found.second.mean(1).numpy(),
        sampling=None if sampling is None else sampling.numpy(),
        reconstructions=reconstructions,
        complete=reference,
    )


def absolute(images: Complex[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """|x| as torch rounds it, like everything before."""
    return torch.from_numpy(images).abs().numpy()
