"""How well methods predict measured lines that they are not shown: the one error of a scan that has no truth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import torch
from jaxtyping import Bool, Complex, Float, Int
from scipy.stats import t as student
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.held_out import by_column, held_out_error, noise_energy, shown_part
from mri_ambient.measurement import measurement_of
from mri_ambient.physics.seeds import seed_of
from mri_ambient.priors.card import Prior
from mri_ambient.recon.evaluate.proper_scores import crps
from mri_ambient.recon.methods.samplers.annealing import complex_noise
from mri_ambient.recon.reconstruct import CPU, Reconstruction, reconstruct
from mri_ambient.store import PreparedVolume

SLICES, DRAWN = 4, 2  # at most so many slices, and samples, of the second pass
MARGIN = 0.1  # by which a method's error without its noise has to be less to be called better
SURE, LEAST = 0.975, 6  # how sure that has to be, and from how many lines
TINY = 1e-30

Errors = Float[Tensor, " slice"]


@dataclass(frozen=True)
class HeldOut:
    """What methods made of measured lines that were hidden from all of them, the same lines.

    slices: which of the volume were looked at. errors: method -> ||M' (F S x - y)|| / ||M' y|| of each slice, M' the hidden
    lines, y with its noise, x the mean of as many samples as the method's reconstruction has. one: the same of one sample.
    squares: method -> what each hidden line adds to the square of its slice's error; of 2-D masks each column with hidden
    samples. noise: what noise alone gives, of each slice, where the noise is no more than noise_std. seconds: of all this.
    """

    slices: tuple[int, ...]
    errors: Mapping[str, Errors]
    one: Mapping[str, Errors]
    squares: Mapping[str, Float[Tensor, " line"]]
    noise: Errors
    seconds: float

    @property
    def lines(self) -> int:
        return len(next(iter(self.squares.values())))

    def better(self, one: str, other: str) -> bool:
        """Whether ``one`` predicts the lines better than ``other``, beyond chance and by more than MARGIN.

        By Student's t over the lines' differences: their noise, which neither can predict, is in both squares and cancels on
        average. noise_std may be an upper bound, so that it only makes the MARGIN smaller.
        """
        gains = (self.squares[other] - self.squares[one]).double()
        if len(gains) < LEAST:
            return False
        surely = gains.mean() > student.ppf(SURE, len(gains) - 1) * gains.std() / len(gains) ** 0.5
        predictable = float(self.squares[other].sum() - self.noise.square().sum())
        return bool(surely) and float(gains.sum()) > (1 - (1 - MARGIN) ** 2) * predictable


def judge(
    volume: PreparedVolume,
    results: Mapping[str, Reconstruction],
    priors: Mapping[str, Prior],
    seed: int,
    device: torch.device = CPU,
) -> HeldOut:
    """Reconstruct a part of the volume once more by the methods of ``results``, without a part of its outer lines.

    To be cheap: at most half of the slices, at least one, no more than SLICES, evenly spaced; at most DRAWN samples. A mean
    of K samples has the error of one of DRAWN less (1/DRAWN - 1/K) of the samples' variance, which they tell themselves.
    Raises UserError if there are no outer lines to hide.
    """
    start, count = perf_counter(), len(volume.kspace)
    inner = torch.linspace(0, count - 1, max(1, min(SLICES, count // 2)) + 2)[1:-1]
    part = some_slices(volume, inner.round().long())
    shown, hidden = hide(part, seed)
    lines, scale = measurement_of(part).with_mask(hidden), part.scale[:, None, None]
    energy = by_column(lines.kspace).sum(-1, keepdim=True).clamp_min(TINY)
    errors, one, squares = {}, {}, {}
    for name, found in results.items():
        kept = found.samples.shape[1]
        again = reconstruct(shown, name, priors.get(name), min(DRAWN, kept), seed, found.settings, device)
        samples = again.samples_of_sets.transpose(0, 1) / scale
        (square, _), (of_samples, _) = (held_out_error(lines, x) for x in (samples.mean(0), samples))
        if len(samples) > 1:
            variance = (of_samples - square).sum(0) / (len(samples) - 1)
            square = square - (1 / len(samples) - 1 / kept) * variance
        squares[name] = (square / energy)[hidden.any(-2)]
        errors[name] = (square / energy).sum(-1).clamp_min(0).sqrt()
        one[name] = (of_samples[0] / energy).sum(-1).sqrt()
    noise = (noise_energy(lines) / energy).sum(-1).sqrt()
    return HeldOut(tuple(inner.round().int().tolist()), errors, one, squares, noise, perf_counter() - start)


def some_slices(volume: PreparedVolume, which: Int[Tensor, " n"]) -> PreparedVolume:
    keys = ("kspace", "mask", "sens_maps", "scale", "noise_std", "coil_transform")
    optional = {key: getattr(volume, key) for key in ("second_maps", "coil_return")}
    there = {key: array[which] for key, array in optional.items() if array is not None}
    return replace(volume, **{key: getattr(volume, key)[which] for key in keys}, **there)


def hide(volume: PreparedVolume, seed: int) -> tuple[PreparedVolume, Bool[Tensor, "slice #y x"]]:
    """The volume without a part of its outer lines, and which those are; the ACS, and with it the coil maps, stay.

    Raises UserError if there are no outer lines to hide.
    """
    generators = (Generator().manual_seed(seed_of(volume.name, i, seed, "held out")) for i in range(len(volume.mask)))
    mask = torch.stack([shown_part(m, volume.acs, g) for m, g in zip(volume.mask, generators, strict=True)])
    hidden = volume.mask & ~mask
    if not hidden.flatten(1).any(1).all():
        raise UserError(f"{volume.name}: has no measured lines outside its ACS that could be held out; acquire some")
    return replace(volume, kspace=torch.where(mask[:, None], volume.kspace, 0), mask=mask), hidden


def relative_error(
    volume: PreparedVolume, hidden: Bool[Tensor, "slice #y x"], images: Complex[Tensor, "slice v x"]
) -> Errors:
    """||M' (F S x - y)|| / ||M' y|| for each slice, M' the ``hidden`` lines; their noise is part of it.

    images: x of all sets of maps, in the units of the file, reconstructed from the volume that :func:`hide` returned.
    """
    wrong, energy = held_out_error(measurement_of(volume).with_mask(hidden), images / volume.scale[:, None, None])
    return (wrong.sum(-1) / energy.sum(-1).clamp_min(TINY)).sqrt()


def held_out_crps(
    volume: PreparedVolume, hidden: Bool[Tensor, "slice #y x"], samples: Complex[Tensor, "slice k v x"], seed: int
) -> Errors:
    """The CRPS of the samples' predictions F S x + n of the ``hidden`` lines, over the lines' mean magnitude, of each slice.

    Real and imaginary parts are added up. n is drawn, for the lines have noise; not of one image, which claims no spread.

    Args:
        volume: of which lines were hidden by :func:`hide`.
        hidden: which.
        samples: x, as in :func:`relative_error`.
        seed: of n.
    """
    lines = measurement_of(volume).with_mask(hidden)
    predicted = lines.operator(samples.movedim(1, 0) / volume.scale[:, None, None])
    if len(predicted) > 1:
        generators = [
            Generator().manual_seed(seed_of(volume.name, i, seed, "held-out noise")) for i in range(len(lines))
        ]
        shape = tuple(lines.kspace.shape[1:])
        drawn = lines.noise_std[:, None, None, None] * complex_noise(len(predicted), lines, generators, shape)
        predicted = predicted + lines.sense.apply_mask(drawn)
    wrong = crps(torch.view_as_real(predicted), torch.view_as_real(lines.kspace))
    return wrong.flatten(1).sum(1) / lines.kspace.abs().flatten(1).sum(1).clamp_min(TINY)


def unusual(held: HeldOut, method: str, limit: float) -> str | None:
    """A warning if one sample of ``method`` predicts the hidden lines worse than ``limit``, on average over slices; None if
    not. limit: of validation slices, see :mod:`mri_ambient.recon.evaluate.tuning`."""
    error = float(held.one[method].mean())
    if error <= limit:
        return None
    return (
        f"warning: {method} predicts lines held out from this scan with an error of {error:.2f}, above {limit:.2f}, which 95 % "
        "of validation slices stay below: the scan may be unlike those that the prior and the settings were made for, and its "
        "std too small"
    )


def verdicts(held: HeldOut, results: Mapping[str, Reconstruction]) -> Iterator[str]:
    """What the hidden lines say of learned methods against those that have learned nothing."""
    learned = [name for name, found in results.items() if found.prior is not None]
    classical = [name for name in results if name not in learned]
    if learned and held.lines < LEAST:
        yield f"held-out lines: only {held.lines} could be hidden, too few to say which method is better on this scan"
    for name in learned:
        better = [other for other in classical if held.better(other, name)]
        if better:
            best = min(better, key=lambda other: float(held.squares[other].sum()))
            errors = [float(held.errors[method].mean()) for method in (best, name)]
            yield (
                f"warning: {best} predicts hidden measured lines better ({errors[0]:.2f}) than {name} ({errors[1]:.2f}): "
                "prefer it for this scan, or look at both"
            )
