"""Noise of the receive coils: where it can be read off a scan, and the prewhitening that makes it alike in all coils."""

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.physics.fourier import ifftc

EDGE = 0.05  # of the readout, at each end
SMALLEST_CORRELATION = 1e-3  # eigenvalues of the noise correlation below it are numerical, not physical

KSpace = Complex[Tensor, "slice coil y x"]


def noise_samples(kspace: KSpace, mask: Bool[Tensor, "slice #y x"]) -> Complex[Tensor, "coil n"]:
    """Measured samples that are nearly free of signal; only what ``mask`` keeps is read.

    The tenth of the measured samples that is furthest from the centre of k-space; or, where whole lines are measured and these
    are quieter, the ends of the readout's field of view (after a Fourier transform along it), which oversampling leaves
    empty. Where the object has signal there too, the noise is overestimated.
    """
    far = torch.cat([k[:, _far_from_centre(m.expand(k.shape[-2:]))] for k, m in zip(kspace, mask, strict=True)], 1)
    if mask.shape[1] != 1:
        return far
    width = max(1, round(EDGE * kspace.shape[-2]))
    ends = [torch.cat([line[:, :width], line[:, -width:]], 1) for line in (ifftc(k, (-2,)) for k in kspace)]
    empty = torch.cat([end[..., m[0]].flatten(1) for end, m in zip(ends, mask, strict=True)], 1)
    return min(far, empty, key=lambda samples: float(samples.abs().square().mean()))


def covariance(samples: Complex[Tensor, "coil n"]) -> Complex[Tensor, "coil coil"]:
    """E[n n^H], divided by the number of samples; ``samples`` stay as they are."""
    return samples @ samples.mH / samples.shape[1]


def noise_std(samples: Complex[Tensor, "*coil n"]) -> Float[Tensor, "*coil"]:
    """Standard deviation of a real component, from the median: signal in a minority of the samples hardly matters."""
    return torch.view_as_real(samples).abs().flatten(-2).median(-1).values * 1.4826


def coil_weights(
    samples: Complex[Tensor, "coil n"], noise_scan: bool, whiten: str = "auto"
) -> tuple[Complex[Tensor, "coil coil"], Float[Tensor, ""], str]:
    """The matrix that is applied to the coils, the noise's std (of a real component) behind it, and a word for what was done.

    samples: of a noise scan, or those of :func:`noise_samples`. With a noise scan the noise becomes white. Without one, what
    looks like its correlation is the object's: taking that out would make weak coils as strong as strong ones, and compression
    would then lose part of the image. So each coil is only scaled to the same noise level, which is an upper bound. whiten:
    `none` leaves all coils as they are. The mean variance of the coils stays, and so do the file's units.
    """
    if noise_scan and whiten != "none":
        level, done = samples.abs().square().mean().sqrt(), "noise scan"
        weights = level * whitener(covariance(samples))
    else:
        std = samples.abs().square().mean(1).sqrt()  # steadier than by the median: the image is shaded by it
        alive = std > 1e-6 * std.max()
        scaled = whiten != "none" and bool(alive.any())
        done = "each coil scaled" if scaled else "none"
        level = std[alive].square().mean().sqrt()
        weights = torch.diag(torch.where(alive, level / std, 0) if scaled else torch.ones_like(std)).to(samples.dtype)
    if not torch.isfinite(weights.abs()).all():  # no noise at all
        weights, done = torch.eye(len(samples), dtype=samples.dtype), "none"
    alive = weights.diagonal() != 0  # dead coils have no noise to take the level from
    return weights, noise_std((weights @ samples)[alive].flatten()), done


def whitener(noise: Complex[Tensor, "coil coil"]) -> Complex[Tensor, "coil coil"]:
    """W with W Psi W^H = 1 for the noise covariance Psi: unit variance of a complex sample, no correlation between coils.

    W = L^-1 of the Cholesky factor L of Psi (Roemer et al., MRM 16:192, 1990). A dead coil, which has no noise, is kept at 0.
    """
    std = noise.diagonal().real.sqrt()
    alive = std > 1e-6 * std.max()
    unit = torch.where(alive, std, 1.0)
    correlation = noise / (unit[:, None] * unit[None]) * (alive[:, None] & alive[None])
    correlation = correlation + torch.diag((~alive).to(noise.dtype))
    values, vectors = torch.linalg.eigh(correlation)
    correlation = (vectors * values.clamp_min(SMALLEST_CORRELATION * values[-1])) @ vectors.mH
    lower = torch.linalg.cholesky(correlation)
    identity = torch.eye(len(noise), dtype=noise.dtype)
    return torch.linalg.solve_triangular(lower, identity, upper=False) * (alive / unit)[None]


def unweighted(weights: Complex[Tensor, "coil coil"]) -> Complex[Tensor, "coil coil"]:
    """The pseudo-inverse of :func:`coil_weights`: dead coils stay at 0."""
    return torch.linalg.pinv(weights.to(torch.complex128), rtol=1e-6).to(weights.dtype)


def _far_from_centre(mask: Bool[Tensor, "y x"]) -> Bool[Tensor, "y x"]:
    rows, columns = mask.shape
    y = (torch.arange(rows) - rows // 2).abs() / rows
    x = (torch.arange(columns) - columns // 2).abs() / columns
    distance = torch.where(mask, torch.hypot(y[:, None], x[None]), -1.0)
    return distance >= torch.quantile(distance[distance >= 0], 0.9)
