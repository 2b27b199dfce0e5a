"""How good each method's images are: one typed row for what is judged, a single sample and the mean of all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Complex, Float
from torch import Tensor

from mri_ambient.measurement import magnitude
from mri_ambient.recon.evaluate.held_out import HeldOut
from mri_ambient.recon.evaluate.metrics.registry import METRICS
from mri_ambient.recon.evaluate.std_calibration import spread_over_error
from mri_ambient.recon.reconstruct import Reconstruction

Volume = Float[np.ndarray, "slice y x"]


@dataclass(frozen=True)
class Score:
    """Of one method, one sample or the mean of several.

    Attributes:
        method: its name.
        title: what is judged, in words.
        samples: of how many the image is the mean; None if a file doesn't tell.
        errors: metric -> error of the magnitude against the reference's, data range the volume's maximum; none without one.
        std_over_error: root mean square of the std (as drawn) over that of the mean's complex error, 1 is calibrated; None of
            one sample, and where the complex reference is not known.
        spreads: whether the samples' std means something.
        residual: misfit of the mean on the measured samples over the noise level, mean over slices.
        held_out: relative error on lines that were hidden, mean over slices; None if none could be.
        seconds: a slice; None if a file doesn't tell.

    Example:
        >>> Score("tv", "tv", 1, {"NRMSE": 0.1}).nrmse
        0.1
    """

    method: str
    title: str
    samples: int | None
    errors: Mapping[str, float]
    std_over_error: float | None = None
    spreads: bool = False
    residual: float = 0.0
    held_out: float | None = None
    seconds: float | None = None

    @property
    def nrmse(self) -> float | None:
        """||reference - image|| / ||reference||."""
        return self.errors.get("NRMSE")

    @property
    def psnr(self) -> float | None:
        """In dB."""
        return self.errors.get("PSNR")

    @property
    def ssim(self) -> float | None:
        """1 at best."""
        return self.errors.get("SSIM")

    @property
    def hfen(self) -> float | None:
        """The NRMSE of edges and fine detail."""
        return self.errors.get("HFEN")


def scores_of(
    reconstructions: Mapping[str, Reconstruction],
    reference: Complex[Tensor, "slice v x"] | None,
    held: HeldOut | None,
) -> Iterator[Score]:
    """In the methods' order. Errors are of all sets of maps together (:func:`mri_ambient.measurement.magnitude`)."""
    for name, found in reconstructions.items():
        rows, count = found.samples.shape[-2], found.samples.shape[1]
        truth = None if reference is None else magnitude(reference, rows).numpy()
        one, mean = (image.numpy() for image in found.magnitudes)
        score = Score(
            method=name,
            title=found.title,
            samples=count,
            errors=errors_of(mean, truth),
            spreads=found.spreads,
            residual=float(found.measured_residual.mean()),
            held_out=mean_held_out(held, name),
            seconds=found.seconds / len(found.samples),
        )
        if count > 1:
            yield of_one_sample(score, one, truth, held)
            if reference is not None and found.spreads:
                score = replace(score, std_over_error=spread_over_error(found, reference[:, :rows]))
        yield score


def of_one_sample(mean: Score, image: Volume, truth: Volume | None, held: HeldOut | None) -> Score:
    """Beside the ``mean`` of all, of the first of them."""
    hidden = None if held is None else float(held.one[mean.method].mean())
    errors = errors_of(image, truth)
    return replace(mean, title=f"{mean.method}, one sample", samples=1, errors=errors, held_out=hidden)


def errors_of(image: Volume, truth: Volume | None) -> dict[str, float]:
    """By every metric; none without a truth."""
    return {} if truth is None else {name: metric(truth, image) for name, metric in METRICS.items()}


def mean_held_out(held: HeldOut | None, method: str) -> float | None:
    """Over slices, of the mean image; None if no lines were hidden from the method."""
    return None if held is None or method not in held.errors else float(held.errors[method].mean())
