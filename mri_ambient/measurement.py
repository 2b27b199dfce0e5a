"""The inverse problem of several slices at once: which images gave this k-space?"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from mri_ambient.physics.resolution import resize_image, resize_kspace, resize_maps, resize_mask
from mri_ambient.physics.sense import Sense, apart
from mri_ambient.physics.solvers import regularised_solution
from mri_ambient.store import PreparedVolume

Images = Complex[Tensor, "k slice v x"]
"""K images of each slice. K comes first, so that what belongs to a slice (its operator, k-space, noise level) broadcasts.
v: the rows of all sets of maps, one under the other (:class:`mri_ambient.physics.sense.Sense`); with one set, y."""


@dataclass(frozen=True)
class Measurement:
    """y = A x + n, with A = M F S, for each slice; slices do not influence each other.

    kspace: y, normalised, 0 where nothing was measured. sense: A, its maps [slice, coil, v, x], its mask [slice, y or 1, x].
    noise_std: of the real (and imaginary) part of one sample of n. acs: how many central lines are measured without gaps.
    """

    kspace: Complex[Tensor, "slice coil y x"]
    sense: Sense
    noise_std: Float[Tensor, " slice"]
    acs: int

    @property
    def matrix(self) -> tuple[int, int]:
        return self.kspace.shape[-2], self.kspace.shape[-1]

    @property
    def image_shape(self) -> tuple[int, int]:
        """Of x: the matrix, once for each set of maps."""
        return self.sense.sets * self.matrix[0], self.matrix[1]

    @cached_property
    def adjoint(self) -> Complex[Tensor, "slice v x"]:
        """A^H y."""
        return self.sense.adjoint(self.kspace)

    @property
    def noise(self) -> Float[Tensor, "slice 1 1"]:
        """The noise level to be trusted: ``noise_std``, or SMALLEST_NOISE if that is more."""
        return self.noise_std.clamp_min(SMALLEST_NOISE)[:, None, None]

    def resized(self, matrix: tuple[int, int]) -> "Measurement":
        """The same scan at another resolution, its field of view unchanged."""
        if matrix == self.matrix:
            return self
        gain = (matrix[0] * matrix[1] / (self.matrix[0] * self.matrix[1])) ** 0.5
        maps = [resize_maps(of_set, matrix) for of_set in apart(self.sense.maps, self.sense.sets).unbind(-3)]
        mask = resize_mask(self.sense.mask, self.matrix[0], matrix)
        sense = Sense(torch.cat(maps, -2), mask, self.sense.sets)
        return Measurement(resize_kspace(self.kspace, matrix), sense, self.noise_std * gain, self.acs)


def measurement_of(volume: PreparedVolume, slices: slice = slice(None)) -> Measurement:
    """Some slices of a prepared volume."""
    sense = volume.sense
    part = Sense(sense.maps[slices], sense.mask[slices], sense.sets)
    return Measurement(volume.kspace[slices], part, volume.noise_std[slices], volume.acs[1])


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


SMALLEST_NOISE = 1e-3  # of the image's brightness: below it, the maps' own errors dominate


def project(
    measurement: Measurement, images: Images, spread: float | Shaped[Tensor, "#slice 1 1"], iterations: int
) -> Images:
    """The noise-aware projection onto the measured lines: argmin_z ||A z - y||^2 / noise^2 + ||z - image||^2 / spread^2.

    spread: how far an image may be from the truth, in normalised units. By conjugate gradients, started from the image.
    """
    weight = (measurement.noise / spread) ** 2
    return regularised_solution(measurement.sense, measurement.adjoint, images, weight, iterations)
