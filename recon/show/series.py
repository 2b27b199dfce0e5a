"""What of a reconstruction can be shown or exported, by name, and how bright it is shown."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from mri_ambient.errors import UserError
from mri_ambient.recon.show.panel import GAIN, common_window
from mri_ambient.recon.show.recon_file import Study

Images = Float[Tensor, "k slice y x"]


@dataclass(frozen=True)
class Series:
    """Volumes that belong together: the K samples, of everything else one.

    title: for readers. largest, window: the value that integers must hold and the one shown white, the same for all magnitudes
    of a study, so that they compare. arbitrary_units: of the scan's k-space; else a share, from 0 to 1.
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


def every_series(study: Study) -> dict[str, Series]:
    """By name: mean, std (if it means something), samples (if the file has them), determined, each other method, reference."""
    method, samples = study.about.method, study.samples
    magnitudes: dict[str, tuple[str, Images]] = {"mean": (study.title, study.mean.abs()[None])}
    if samples is not None:
        magnitudes["samples"] = f"{method}, {samples.shape[1]} samples", samples.abs().movedim(1, 0)
    magnitudes |= {name: (name, images[None]) for name, images in study.others.items()}
    if study.reference is not None:
        magnitudes["reference"] = "fully sampled reference", study.reference[None]
    largest, window = max(float(images.max()) for _, images in magnitudes.values()), window_of(study)
    found = {name: Series(name, title, images, largest, window) for name, (title, images) in magnitudes.items()}
    if study.about.spreads:
        factor = study.about.temperature
        advice = "" if factor is None else f" (x {factor:.2f} if calibrated)"
        title = f"{method}, std{advice}"
        found["std"] = Series("std", title, study.std[None], float(study.std.max()), window / GAIN)
    share = study.determined_share[None]
    return found | {"determined": Series("determined", "share determined by data", share, 1.0, 1.0, False)}


def window_of(study: Study) -> float:
    """What is shown white in every slice of every magnitude."""
    images = {study.about.method: study.mean.abs(), **study.others}
    reference = None if study.reference is None else study.reference.numpy()
    return common_window({name: image.numpy() for name, image in images.items()}, reference)


def chosen_series(study: Study, names: str) -> list[Series]:
    """Those of a comma-separated list; the mean and the std if it is empty; the reconstruction's own method is its mean.

    Raises UserError if one is not in the file, with those that are.
    """
    found = every_series(study)
    asked = [part.strip() for part in names.split(",") if part.strip()] or [n for n in ("mean", "std") if n in found]
    asked = ["mean" if name == study.about.method else name for name in asked]
    for name in asked:
        if name not in found:
            raise UserError(f"--series {name}: is not in {study.path}, which has {', '.join(found)}; choose among them")
    return [found[name] for name in dict.fromkeys(asked)]
