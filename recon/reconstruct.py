"""A prepared volume and a method -> a reconstruction in the scan's own units and matrix."""

import time
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor

from mri_ambient.console import progress_bar
from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement, magnitude, measurement_of, resized_images
from mri_ambient.memory import out_of_memory_is_a_user_error
from mri_ambient.physics.seeds import seed_of
from mri_ambient.physics.sense import apart, stacked
from mri_ambient.priors.card import Card, Prior
from mri_ambient.priors.runs import place
from mri_ambient.recon.methods.method import Settings
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.store import PreparedVolume

CPU = torch.device("cpu")
PIXELS = (
    32 * 128**2
)  # of all slices and samples together that a method works on at once; bounds memory, of whatever device


@dataclass(frozen=True)
class Reconstruction:
    """K images a slice, in the units of the file's k-space; K = 1 for methods without spread.

    second: those of the second set of maps, None with one set; what is shown, exported and said of "the image" is the first's.
    measured_residual: of the mean, per slice, the root mean square misfit on the measured samples over the noise level.
    matrix: the matrix at which the prior worked. settings: the method's, as used.
    """

    method: str
    samples: Complex[Tensor, "slice k y x"]
    measured_residual: Float[Tensor, " slice"]
    seconds: float
    matrix: tuple[int, int]
    seed: int
    prior: Card | None
    settings: Settings | None = None
    second: Complex[Tensor, "slice k y x"] | None = None

    @property
    def title(self) -> str:
        """Of the mean."""
        return mean_title(self.method, self.samples.shape[1])

    @property
    def mean(self) -> Complex[Tensor, "slice y x"]:
        return self.samples.mean(1)

    @property
    def samples_of_sets(self) -> Complex[Tensor, "slice k v x"]:
        """The samples of all sets of maps, one under the other, as the forward model takes them."""
        return stacked(self.samples, self.second)

    @property
    def mean_of_sets(self) -> Complex[Tensor, "slice v x"]:
        """Their means."""
        return stacked(self.mean, None if self.second is None else self.second.mean(1))

    @property
    def magnitudes(self) -> tuple[Float[Tensor, "slice y x"], Float[Tensor, "slice y x"]]:
        """Of the first sample and of the mean, all sets together (:func:`mri_ambient.measurement.magnitude`): what errors
        are of."""
        rows = self.samples.shape[-2]
        return magnitude(self.samples_of_sets[:, 0], rows), magnitude(self.mean_of_sets, rows)

    @property
    def spreads(self) -> bool:
        """Whether the std means something: several samples, of a prior that does not always see the same lines of them.

        A `masked` prior that is shown the scan's own lines gives K times nearly the same image, right or wrong.
        """
        fixed = self.prior is not None and self.prior.kind == "masked" and getattr(self.settings, "masks", "") == "scan"
        return self.samples.shape[1] > 1 and not fixed

    @property
    def std(self) -> Float[Tensor, "slice y x"]:
        """sqrt of the mean |sample - mean|^2 (with K - 1), 0 where K = 1."""
        count = self.samples.shape[1]
        squares = (self.samples - self.mean[:, None]).abs().square().sum(1)
        return (squares / max(count - 1, 1)).sqrt()


def mean_title(method: str, samples: int | None) -> str:
    """What is written above a mean image; ``samples`` is None where several were left out of the file."""
    if samples == 1:
        return method
    return f"{method}, mean" if samples is None else f"{method}, mean of {samples}"


def check_prior(method: str, prior: Prior | None) -> None:
    """Raises UserError if the method needs a prior of another kind."""
    kinds = METHODS[method].kinds
    if kinds and (prior is None or prior.card.kind not in kinds):
        found = "no prior" if prior is None else f"{place(prior.path)}, of kind `{prior.card.kind}`"
        raise UserError(
            f"{method}: needs a prior of kind {' or '.join(kinds)} and got {found}; choose another one, or another method"
        )


def reconstruct(
    volume: PreparedVolume,
    method: str,
    prior: Prior | None = None,
    samples: int = 8,
    seed: int = 0,
    settings: Settings | None = None,
    device: torch.device = CPU,
) -> Reconstruction:
    """Every slice by one method; each slice has its own random numbers, whatever the others are.

    As many slices are worked on at once as have at most PIXELS in all their samples, at the :func:`working_matrix`, but at
    least one slice with its K samples, which bounds the device's memory; results do not depend on it beyond rounding.

    Args:
        volume: prepared.
        method: a name of :data:`mri_ambient.recon.methods.registry.METHODS`.
        prior: of a kind that the method can use; None for classical methods.
        samples: K, of methods that draw.
        seed: of the draws, which are made on the CPU: another device gives the same samples to rounding.
        settings: of the method, in place of its own.
        device: where the work is done; what is returned is on the CPU.

    Raises:
        UserError: the method needs another kind of prior, memory does not suffice, or a sampler fails.
    """
    check_prior(method, prior)
    chosen = METHODS[method]
    start = time.perf_counter()
    prior = prior.to(device) if prior and chosen.kinds else None
    native = (volume.kspace.shape[-2], volume.kspace.shape[-1])
    matrix = working_matrix(volume, prior.card) if prior else native
    settings = settings or chosen.settings
    steps = getattr(settings, "steps", 1)
    at_once = f"{method}, {samples} samples of {matrix[0]}x{matrix[1]} at once"
    count, together = len(volume.kspace), max(1, PIXELS // (samples * volume.sets * matrix[0] * matrix[1]))
    images, residuals = [], []
    with progress_bar() as bar:
        task = bar.add_task(method, total=steps * count)
        for first in range(0, count, together):
            slices = range(first, min(first + together, count))
            measurement = measurement_of(volume, slice(slices.start, slices.stop)).to(device)
            lent = replace(measurement, kspace=measurement.kspace.clone())  # a method may work in place
            generators = [Generator().manual_seed(seed_of(volume.name, i, seed, "samples")) for i in slices]
            advance = partial(bar.advance, task, len(slices))
            with out_of_memory_is_a_user_error(at_once, "lower --samples"):
                found = chosen.solve(
                    lent.resized(matrix), prior, samples, settings, generators, lambda *_, a=advance: a()
                )
                if prior:
                    found = resized_images(found, volume.sets, measurement.matrix)
                    found = torch.where(measurement.operator.support, found, 0)
                residuals.append(residual(measurement, found.mean(0)).cpu())
            images.append(found.movedim(0, 1).cpu())
            bar.update(task, completed=steps * slices.stop)
    first, *others = apart(torch.cat(images) * volume.scale[:, None, None, None], volume.sets).unbind(-3)
    return Reconstruction(
        method=method,
        samples=first,
        second=others[0] if others else None,
        measured_residual=torch.cat(residuals),
        seconds=time.perf_counter() - start,
        matrix=matrix,
        seed=seed,
        prior=prior.card if prior else None,
        settings=settings,
    )


def working_matrix(volume: PreparedVolume, card: Card) -> tuple[int, int]:
    """The scan's own matrix, or, where its pixels are larger than those of the prior's training, the one that gives it theirs.

    What a prior knows of edges holds at finer pixels too, while detail finer than its pixels would come from the measured lines
    alone. A scan (or a prior) that doesn't state its field of view is taken to fill the prior's along its longer side.
    """
    shape = volume.kspace.shape[-2:]
    fov = volume.provenance.get("field_of_view_mm")
    if fov and card.pixel_mm:
        of_prior = [f / p for f, p in zip(fov, card.pixel_mm, strict=True)]
    else:
        factor = max(card.matrix) / max(shape)
        of_prior = [n * factor for n in shape]
    rows, columns = (n if wanted <= n else 2 * round(wanted / 2) for n, wanted in zip(shape, of_prior, strict=True))
    return rows, columns


def residual(measurement: Measurement, images: Complex[Tensor, "slice v x"]) -> Float[Tensor, " slice"]:
    """Root mean square of (A x - y) over the measured samples, in units of the noise of a complex sample."""
    misfit = (measurement.operator(images) - measurement.kspace).abs().square().sum((-3, -2, -1))
    count = measurement.sense.mask.expand(-1, *measurement.matrix).sum((-2, -1)) * measurement.kspace.shape[1]
    return (misfit / count).sqrt() / (2**0.5 * measurement.noise_std)


def reference_image(volume: PreparedVolume) -> Complex[Tensor, "slice v x"]:
    """The image that errors are measured against: S^H F^H y of the complete k-space, with the same maps (MVUE); of two sets one
    under the other, of which :func:`mri_ambient.measurement.magnitude` is compared."""
    return measurement_of(volume).adjoint * volume.scale[:, None, None]
