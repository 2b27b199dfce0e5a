"""Whether y = A x + n can be true at all: a cheap look at the coil maps before the long work."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement, measurement_of
from mri_ambient.physics.fourier import fftc, ifftc
from mri_ambient.physics.solvers import data_consistency
from mri_ambient.store import PreparedVolume

WARN, REFUSE = (1.3, 0.04), (2.0, 0.1)  # the residual, and the share of the signal: both must be exceeded
WORK = 2**21  # samples of all coils and slices that are looked at
STEPS = 20
LEAST_FREE = 0.1  # share of the data that no image could fit: with less (one coil, say) there is nothing to judge by


@dataclass(frozen=True)
class Misfit:
    """Of each slice. residual: root mean square misfit of the best image on the measured samples over the noise that it would
    leave there. share: ||misfit beyond noise|| / ||y||. Both are 0 where the data can't tell."""

    residual: Float[Tensor, " slice"]
    share: Float[Tensor, " slice"]


def check_model(volume: PreparedVolume, force: bool = False) -> list[str]:
    """Warnings, a sentence each, where the maps do not explain the measured samples.

    Raises UserError if they are far from it, unless ``force``: then that is a warning, too. A residual alone is not enough: at
    high SNR small errors of good maps stand out of the noise, and a second, the share of the signal that is not explained,
    says whether it matters. Seconds, whatever the volume's size; see :func:`misfit`.
    """
    slices, measurement = looked_at(measurement_of(volume))
    found = misfit(measurement)
    above = lambda limits: (found.residual > limits[0]) & (found.share > limits[1])  # noqa: E731
    wrong = above(WARN).nonzero().flatten()
    if not len(wrong):
        return []
    worst = wrong[found.residual[wrong].argmax()]
    named = ", ".join(str(slices[i]) for i in wrong[:8].tolist()) + (" and others" if len(wrong) > 8 else "")
    where = "this scan" if len(wrong) == len(slices) else f"slice{'s' * (len(wrong) > 1)} {named} of this scan"
    text = (
        f"the coil maps do not explain {where}: residual {float(found.residual[worst]):.1f} (1 is noise alone), "
        f"{float(found.share[worst]):.0%} of the signal is not explained"
    )
    remedy = "acquire more ACS lines, try other --maps or --map-sets 2, or the noise level is underestimated"
    if above(REFUSE).any() and not force:
        raise UserError(f"{volume.name}: {text}; {remedy}; --force-model reconstructs it all the same")
    return [f"warning: {text}; {remedy}"]


def looked_at(measurement: Measurement) -> tuple[list[int], Measurement]:
    """Which slices, and the measurement of as much of them as WORK allows.

    Behind a line mask the rows of the image are problems of their own: some of every slice, evenly spaced. Otherwise whole
    slices, evenly spaced.
    """
    count, coils = measurement.kspace.shape[:2]
    rows, columns = measurement.matrix
    if measurement.sense.mask.shape[-2] == 1:
        kept = min(rows, max(8, WORK // (count * coils * columns)))
        chosen = _evenly(rows, kept)
        kspace = fftc(ifftc(measurement.kspace, (-2,))[..., chosen, :], (-2,))
        maps = measurement.sense.maps.unflatten(-2, (-1, rows))[..., chosen, :].flatten(-3, -2)  # of every set of maps
        return list(range(count)), replace(measurement, kspace=kspace, operator=replace(measurement.sense, maps=maps))
    chosen = _evenly(count, min(count, max(1, WORK // (coils * rows * columns))))
    sense = replace(measurement.sense, maps=measurement.sense.maps[chosen], mask=measurement.sense.mask[chosen])
    return chosen.tolist(), Measurement(measurement.kspace[chosen], sense, measurement.noise_std[chosen])


def misfit(measurement: Measurement) -> Misfit:
    """How far the best image, lightly regularised CG-SENSE, is from the data.

    The image fits part of the noise, too: what remains, ||(1 - H) n||^2 with H = A (A^H A + noise^2)^-1 A^H, is found with one
    draw of n. The noise level is the scan's own, or what the median of the misfit tells, if that is less: without a noise
    scan the first is an upper bound, and wrong maps leave most of their misfit near the centre of k-space, not at the median.
    """
    sense, kspace = measurement.sense, measurement.sense.apply_mask(measurement.kspace)
    noise = torch.randn(kspace.shape, dtype=kspace.dtype, generator=Generator().manual_seed(0)).to(kspace.device)
    wrong, noise = _unfitted(measurement, kspace), _unfitted(measurement, sense.apply_mask(noise))
    measured = sense.mask.unsqueeze(-3).expand(kspace.shape)
    energy = lambda samples: samples.abs().square().sum((-3, -2, -1))  # noqa: E731
    count = measured.sum((-3, -2, -1))
    free = energy(noise) / count
    median = torch.stack([torch.view_as_real(w[m]).abs().median() for w, m in zip(wrong, measured, strict=True)])
    of_noise = torch.stack([torch.view_as_real(w[m]).abs().median() for w, m in zip(noise, measured, strict=True)])
    level = torch.minimum(measurement.noise_std * 2**0.5, median / of_noise.clamp_min(1e-12)).clamp_min(1e-6)
    left = energy(noise) * level**2
    share = ((energy(wrong) - left).clamp_min(0) / energy(kspace).clamp_min(1e-30)).sqrt()
    residual = (energy(wrong) / left.clamp_min(1e-30)).sqrt()
    return Misfit(torch.where(free > LEAST_FREE, residual, 0), torch.where(free > LEAST_FREE, share, 0))


def _unfitted(measurement: Measurement, kspace: Complex[Tensor, "slice coil y x"]) -> Complex[Tensor, "slice coil y x"]:
    """(1 - H) k."""
    image = data_consistency(measurement.operator, kspace, None, measurement.noise**2, STEPS)
    return kspace - measurement.operator(image)


def _evenly(available: int, wanted: int) -> Tensor:
    return ((torch.arange(wanted) + 0.5) * available / wanted).long()
