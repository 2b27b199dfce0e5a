"""What was measured of several slices at once, and how: the one type that training, laps, validation and samplers take."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Complex, Float, Shaped
from torch import Tensor

from mri_ambient.physics.operators import LinearOperator
from mri_ambient.physics.resolution import resize_image, resize_kspace, resize_maps, resize_mask
from mri_ambient.physics.sense import Sense, apart
from mri_ambient.physics.solvers import regularised_solution
from mri_ambient.store import PreparedVolume

Images = Complex[Tensor, "k slice v x"]
"""K images of each slice. K comes first, so that what belongs to a slice (its operator, k-space, noise level) broadcasts.
v: the rows of all sets of maps, one under the other (:class:`mri_ambient.physics.sense.Sense`); with one set, y."""

SMALLEST_NOISE = 1e-3  # of the image's brightness: below it, the maps' own errors dominate


@dataclass(frozen=True)
class Measurement:
    """y = A x + n for each slice, with A = M F S; slices do not influence each other.

    Attributes:
        kspace: y, complex64 [slice, coil, y, x], normalised, 0 where nothing was measured.
        operator: A; of scans :class:`mri_ambient.physics.sense.Sense` with maps [slice, coil, v, x], mask [slice, y or 1, x].
        noise_std: float32 [slice], the std of the real (and of the imaginary) part of one sample of n; 0 where images are taken
            for the truth.
        acs: of each slice, how many central lines are measured without gaps.
        names: of each slice, for messages.
        acquired: bool [slice, x], the columns where a line could have been measured; None: all.

    Example:
        >>> from mri_ambient.physics.sense import whole_image
        >>> image = torch.randn(2, 8, 8, dtype=torch.complex64)
        >>> operator = whole_image(image)
        >>> Measurement(operator(image), operator, torch.zeros(2), (8, 8), ("a", "b")).matrix
        (8, 8)
    """

    kspace: Complex[Tensor, "slice coil y x"]
    operator: LinearOperator
    noise_std: Float[Tensor, " slice"]
    acs: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    acquired: Bool[Tensor, "slice x"] | None = None

    def __len__(self) -> int:
        return len(self.kspace)

    def __getitem__(self, slices: slice) -> "Measurement":
        """Some slices."""
        return Measurement(
            self.kspace[slices],
            self.operator[slices],
            self.noise_std[slices],
            self.acs[slices],
            self.names[slices],
            None if self.acquired is None else self.acquired[slices],
        )

    def to(self, device: torch.device | str) -> "Measurement":
        """The same on another device."""
        return replace(
            self,
            kspace=self.kspace.to(device),
            operator=self.operator.to(device),
            noise_std=self.noise_std.to(device),
            acquired=None if self.acquired is None else self.acquired.to(device),
        )

    @property
    def sense(self) -> Sense:
        """A of a scan, for those who need its maps or its mask. Raises TypeError if it is another operator."""
        if not isinstance(self.operator, Sense):
            raise TypeError(f"needs the coils and lines of a scan, and has {type(self.operator).__name__}")
        return self.operator

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.kspace.device

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of k-space."""
        return self.kspace.shape[-2], self.kspace.shape[-1]

    @property
    def sets(self) -> int:
        """Of maps: images of several lie one under the other."""
        return self.operator.sets if isinstance(self.operator, Sense) else 1

    @property
    def image_shape(self) -> tuple[int, int]:
        """Of x: the matrix, once for each set of maps."""
        return self.adjoint.shape[-2], self.adjoint.shape[-1]

    @cached_property
    def adjoint(self) -> Complex[Tensor, "slice v x"]:
        """A^H y."""
        return self.operator.adjoint(self.kspace)

    @property
    def noise(self) -> Float[Tensor, "slice 1 1"]:
        """The noise level to be trusted: ``noise_std``, or SMALLEST_NOISE if that is more."""
        return self.noise_std.clamp_min(SMALLEST_NOISE)[:, None, None]

    def with_mask(self, mask: Bool[Tensor, "slice #y x"]) -> "Measurement":
        """The same slices as if no more than ``mask`` had been measured of them; what is beyond it becomes 0, even NaN."""
        operator = self.sense.with_mask(mask)
        return replace(self, kspace=operator.apply_mask(self.kspace), operator=operator)

    def resized(self, matrix: tuple[int, int]) -> "Measurement":
        """The same scan at another resolution, its field of view unchanged."""
        if matrix == self.matrix:
            return self
        gain = (matrix[0] * matrix[1] / (self.matrix[0] * self.matrix[1])) ** 0.5
        sets = self.sense.sets
        maps = [resize_maps(of_set, matrix) for of_set in apart(self.sense.maps, sets).unbind(-3)]
        mask = resize_mask(self.sense.mask, self.matrix[0], matrix)
        return Measurement(
            resize_kspace(self.kspace, matrix),
            Sense(torch.cat(maps, -2), mask, sets),
            self.noise_std * gain,
            self.acs,
            self.names,
        )


def measurement_of(volume: PreparedVolume, slices: slice = slice(None)) -> Measurement:
    """Some slices of a prepared volume.

    Args:
        volume: prepared, all its slices.
        slices: which of them.
    """
    numbers = range(len(volume.kspace))[slices]
    return Measurement(
        volume.kspace[slices],
        volume.sense[slices],
        volume.noise_std[slices],
        (volume.acs[1],) * len(numbers),
        tuple(f"{volume.name} slice {number}" for number in numbers),
        volume.acquired.expand(len(numbers), -1),
    )


def resized_images(images: Images, sets: int, matrix: tuple[int, int]) -> Complex[Tensor, "k slice w u"]:
    """Each set's at another resolution."""
    return resize_image(apart(images, sets), matrix).flatten(-3, -2)


def magnitude(images: Complex[Tensor, "*batch v x"], rows: int) -> Float[Tensor, "*batch y x"]:
    """sqrt(sum_s |x_s|^2) of the images of all sets, of ``rows`` rows each: |x| with one set.

    Where an object folds onto itself, the two maps of a pixel are any orthonormal pair that spans its coils' answers; how the
    signal is shared out between their images is a convention, while this is not: of complete data it is the root sum of squares
    over coils of what both explain. So all methods' errors are measured on it.
    """
    if images.shape[-2] == rows:
        return images.abs()
    return images.unflatten(-2, (-1, rows)).abs().square().sum(-3).sqrt()


def project(
    measurement: Measurement, images: Images, spread: float | Shaped[Tensor, "#slice 1 1"], iterations: int
) -> Images:
    """The noise-aware projection onto the measured lines: argmin_z ||A z - y||^2 / noise^2 + ||z - image||^2 / spread^2.

    By conjugate gradients, started from the image.

    Args:
        measurement: y, A and the noise level.
        images: complex64 [k, slice, v, x], normalised.
        spread: how far an image may be from the truth, in normalised units.
        iterations: of conjugate gradients.
    """
    weight = (measurement.noise / spread) ** 2
    return regularised_solution(measurement.operator, measurement.adjoint, images, weight, iterations)
