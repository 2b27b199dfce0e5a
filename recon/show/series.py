"""What of a reconstruction can be shown or exported, by name, and how bright it is shown."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from mri_ambient.errors import UserError
from mri_ambient.recon.result_data import ResultData, absolute
from mri_ambient.recon.show.panel import GAIN, common_window

Images = Float[np.ndarray, "k slice y x"]


@dataclass(frozen=True)
class Series:
    """Volumes that belong together: the K samples, of everything else one.

    title: for readers. largest, window: the value that integers must hold and the one shown white, the same for all magnitudes
    of a result, so that they compare. arbitrary_units: of the scan's k-space; else a share, from 0 to 1.
    """

    name: str
    title: str
    images: Images
    largest: float
    window: float
    arbitrary_units: bool = True

    def split(self) -> list["Series"]:
        """One series a volume: `samples` becomes `sample_1`, `sample_2` and so on."""
        if self.name != "samples":
            return [self]
        count = len(self.images)
        title = self.title.removesuffix(f"{count} samples")
        return [
            replace(
                self, name=f"sample_{k + 1}", title=f"{title}sample {k + 1} of {count}", images=self.images[k : k + 1]
            )
            for k in range(count)
        ]


def every_series(result: ResultData) -> dict[str, Series]:
    """By name: mean, std (if it means something), samples (if there are any), determined, each other method, reference."""
    method, samples = result.about.method, result.samples
    magnitudes: dict[str, tuple[str, Images]] = {"mean": (result.title, result.magnitudes[method][None])}
    if samples is not None:
        magnitudes["samples"] = f"{method}, {samples.shape[1]} samples", np.moveaxis(absolute(samples), 1, 0)
    magnitudes |= {name: (name, images[None]) for name, images in result.others.items()}
    if result.reference is not None:
        magnitudes["reference"] = "fully sampled reference", result.reference[None]
    largest, window = max(float(images.max()) for _, images in magnitudes.values()), window_of(result)
    found = {name: Series(name, title, images, largest, window) for name, (title, images) in magnitudes.items()}
    if result.about.spreads:
        title = f"{method}, {result.std_title}"
        found["std"] = Series("std", title, result.std[None], float(result.std.max()), window / GAIN)
    share = result.determined_share[None]
    return found | {"determined": Series("determined", "share determined by data", share, 1.0, 1.0, False)}


def window_of(result: ResultData) -> float:
    """What is shown white in every slice of every magnitude."""
    return common_window(result.magnitudes, result.reference)


def mean_and_std(result: ResultData) -> list[str]:
    """What is exported by default."""
    return ["mean", "std"]


def every_method(result: ResultData) -> list[str]:
    """What a figure shows by default."""
    return [*result.others, "mean", "std"]


def chosen_series(
    result: ResultData, names: str = "", by_default: Callable[[ResultData], list[str]] = mean_and_std
) -> list[Series]:
    """Those of a comma-separated list; if it is empty those ``by_default`` that there are; the reconstruction's own method is
    its mean.

    Raises UserError if one is not there, with those that are.
    """
    found = every_series(result)
    asked = [part.strip() for part in names.split(",") if part.strip()]
    asked = asked or [name for name in by_default(result) if name in found]
    asked = ["mean" if name == result.about.method else name for name in asked]
    for name in asked:
        if name not in found:
            raise UserError(
                f"--series {name}: is not in {result.label}, which has {', '.join(found)}; choose among them"
            )
    return [found[name] for name in dict.fromkeys(asked)]
