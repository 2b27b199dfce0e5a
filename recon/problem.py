"""The inverse problem of one slice: which image gave this k-space?"""

from dataclasses import dataclass

from jaxtyping import Complex
from torch import Tensor

from mri_ambient.physics.resolution import resize_kspace, resize_maps, resize_mask
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import data_consistency
from mri_ambient.store import PreparedVolume


@dataclass(frozen=True)
class Problem:
    """y = A x + n, with A = M F S.

    kspace: y, normalised, 0 where nothing was measured. noise_std: of the real (and imaginary) part of one sample of n.
    """

    kspace: Complex[Tensor, "coil y x"]
    sense: Sense
    noise_std: float

    @property
    def matrix(self) -> tuple[int, int]:
        return self.kspace.shape[-2], self.kspace.shape[-1]

    def resized(self, matrix: tuple[int, int]) -> "Problem":
        """The same scan at another resolution, its field of view unchanged."""
        if matrix == self.matrix:
            return self
        gain = (matrix[0] * matrix[1] / (self.matrix[0] * self.matrix[1])) ** 0.5
        sense = Sense(resize_maps(self.sense.maps, matrix), resize_mask(self.sense.mask, matrix))
        return Problem(resize_kspace(self.kspace, matrix), sense, self.noise_std * gain)


def slice_problem(volume: PreparedVolume, index: int) -> Problem:
    """Slice ``index`` of a prepared volume."""
    sense = Sense(volume.sens_maps[index], volume.mask[index])
    return Problem(volume.kspace[index], sense, float(volume.noise_std[index]))


SMALLEST_NOISE = 1e-3  # of the image's brightness: below it, the maps' own errors dominate


def project(
    problem: Problem, images: Complex[Tensor, "k y x"], spread: float, iterations: int = 10
) -> Complex[Tensor, "k y x"]:
    """The noise-aware projection onto the measured lines: argmin_z ||A z - y||^2 / noise^2 + ||z - image||^2 / spread^2.

    spread: how far the image may be from the truth, in normalised units.
    """
    weight = (max(problem.noise_std, SMALLEST_NOISE) / spread) ** 2
    return data_consistency(problem.sense, problem.kspace.expand(len(images), -1, -1, -1), images, weight, iterations)
