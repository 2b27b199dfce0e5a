"""The calibration region of a slice, the kernels of its signal, and the settings of both.

The neighbourhoods of k-space in the calibration region span a subspace (their signal kernels), from which
:mod:`mri_ambient.data_prep.coils.espirit` gets the maps.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Complex, Float
from torch import Generator, Tensor

from mri_ambient.data_prep.acs import box_of

FLOOR = 0.1  # the lowest tenth of the singular values is noise, whatever the signal


@dataclass(frozen=True)
class EspiritSettings:
    """How coil maps are estimated from the ACS (Uecker et al., MRM 71:990, 2014).

    Attributes:
        largest_box: rows and columns to calibrate on, at most: more of them add noise and time, and hardly any knowledge.
        kernel: rows and columns of the kernels; about half of a smaller box.
        threshold: singular values below this share of the largest are left out even without noise; sigpy's.
        edge: so are those below so many times the largest one of noise, of which one draw is made; others differ by a few per
            cent.
        crop: where the eigenvalue is below it there is no object, and the maps are 0. For heads, 4 to 16 coils, SNR 10 to 60:
            the whole head is inside, with about as much air as at BART's 0.8.
        toolbox_crop: the same for sigpy's and BART's maps: BART's own.
    """

    largest_box: int = 48
    kernel: int = 6
    threshold: float = 0.02
    edge: float = 1.1
    crop: float = 0.84
    toolbox_crop: float = 0.8


ESPIRIT = EspiritSettings()


@dataclass(frozen=True)
class Calibration:
    """What the maps of one slice follow from, on the device of ``box``.

    Attributes:
        box: the centre of k-space, all of it measured.
        matrix: rows and columns of the slice.
        noise_std: of a real component of a sample, or an upper bound of it; None if nothing is known.
        settings: of ESPIRiT.
    """

    box: Complex[Tensor, "coil r c"]
    matrix: tuple[int, int]
    noise_std: float | None = None
    settings: EspiritSettings = ESPIRIT

    @property
    def kspace(self) -> Complex[Tensor, "coil y x"]:
        """All of the slice's k-space, 0 outside the box."""
        whole = self.box.new_zeros(len(self.box), *self.matrix)
        box_of(whole, (self.box.shape[1], self.box.shape[2])).copy_(self.box)
        return whole

    @cached_property
    def reference(self) -> Complex[Tensor, " coil"]:
        """What maps take their phase from."""
        return principal_coil(self.box)

    @cached_property
    def correlation(self) -> Complex[Tensor, "coil coil p q"]:
        """Of the signal kernels; what costs most is computed once."""
        return kernel_correlation(self.box, self.noise_std, self.settings)


def calibrate(
    kspace: Complex[Tensor, "coil y x"],
    acs: tuple[int, int],
    noise_std: float | None = None,
    settings: EspiritSettings = ESPIRIT,
) -> Calibration:
    """Of a slice's k-space, of which only the ACS, ``acs`` rows and columns, is read and kept."""
    box = box_of(kspace, calibration_box(acs, settings.largest_box)).clone()
    return Calibration(box, (kspace.shape[1], kspace.shape[2]), noise_std, settings)


def calibration_box(acs: tuple[int, int], largest: int = ESPIRIT.largest_box) -> tuple[int, int]:
    """Rows and columns to calibrate on: no more than the true ACS, and at most ``largest`` of each."""
    return min(acs[0], largest), min(acs[1], largest)


def principal_coil(box: Complex[Tensor, "coil r c"]) -> Complex[Tensor, " coil"]:
    """The combination of coils that holds most of the box's energy, its largest weight real and positive."""
    signals = box.flatten(1)
    weights = torch.linalg.eigh(signals @ signals.mH).eigenvectors[:, -1]
    return weights * torch.exp(-1j * weights[weights.abs().argmax()].angle())


def kernel_correlation(
    box: Complex[Tensor, "coil r c"], noise_std: float | None = None, settings: EspiritSettings = ESPIRIT
) -> Complex[Tensor, "coil coil p q"]:
    """sum_k of the cross-correlation of the signal kernels of coils i and j: G's Fourier coefficients, (2 n - 1) an axis.

    The signal kernels are the right singular vectors of the calibration matrix (one row a k-space neighbourhood).
    """
    coils, kernel = len(box), kernel_of((box.shape[1], box.shape[2]), settings.kernel)
    matrix = calibration_matrix(box, kernel)
    wide = matrix.shape[0] < matrix.shape[1]  # many coils: the smaller of the two Gram matrices has the same values
    energy, vectors = torch.linalg.eigh(matrix @ matrix.mH if wide else matrix.mH @ matrix)
    kept = energy.clamp_min(0).sqrt() > signal_threshold(energy, box.shape, noise_std, settings)
    kept[-1] = True
    signals = matrix.mH @ (vectors[:, kept] / energy[kept].sqrt()) if wide else vectors[:, kept]
    signals = signals.mH.reshape(-1, coils, *kernel)
    small = torch.fft.ifftn(signals, s=[2 * n - 1 for n in kernel], dim=(-2, -1), norm="forward")
    product = torch.einsum("kiyx,kjyx->ijyx", small, small.conj())
    correlation = torch.fft.fftn(product, dim=(-2, -1), norm="forward") / (kernel[0] * kernel[1])
    return torch.fft.fftshift(correlation, dim=(-2, -1))


def kernel_of(box: tuple[int, int], largest: int = ESPIRIT.kernel) -> tuple[int, int]:
    """Rows and columns of the kernels: ``largest``, or about half of a smaller box."""
    return min(largest, (box[0] + 1) // 2), min(largest, (box[1] + 1) // 2)


def calibration_matrix(
    box: Complex[Tensor, "coil r c"], kernel: tuple[int, int]
) -> Complex[Tensor, "place coil_and_offset"]:
    """Every neighbourhood of ``kernel`` in the box as a row."""
    windows = box.unfold(1, kernel[0], 1).unfold(2, kernel[1], 1)
    return windows.permute(1, 2, 0, 3, 4).flatten(0, 1).flatten(1)


def signal_threshold(
    energy: Float[Tensor, " n"], box: tuple[int, ...], noise_std: float | None, settings: EspiritSettings = ESPIRIT
) -> Float[Tensor, ""]:
    """Below it a singular value (the root of ``energy``, ascending) of the calibration matrix of ``box`` is left out.

    The larger of ``threshold`` of the largest, and ``edge`` times the largest that noise of this level has in a matrix of this
    size. For a matrix of independent entries that is Marchenko and Pastur's edge, std (sqrt(m) + sqrt(n)); the rows here
    overlap, which moves it, so it is read off one draw of noise. The level is ``noise_std`` (without a noise scan it is an
    upper bound), or what the smallest singular values tell, if that is less: they are noise, or hold a little signal as well.
    (Iyer et al., MRM 84:3423, 2020, choose the threshold by SURE, a search; the edge needs none.)
    """
    of_noise = noise_energy(box, settings.kernel).to(energy.device)
    lowest = max(1, round(FLOOR * len(energy)))
    level = (energy[:lowest].clamp_min(0).mean() / of_noise[:lowest].mean()).sqrt()
    if noise_std is not None:
        level = level.clamp_max(math.sqrt(2) * noise_std)
    return torch.maximum(settings.threshold * energy[-1].sqrt(), settings.edge * level * of_noise[-1].sqrt())


@lru_cache(maxsize=16)
def noise_energy(box: tuple[int, ...], kernel: int) -> Float[Tensor, " n"]:
    """The squared singular values, ascending, of the calibration matrix of a ``box`` [coil, r, c] of unit complex noise."""
    noise = torch.randn(*box, dtype=torch.complex64, generator=Generator().manual_seed(0))
    matrix = calibration_matrix(noise, kernel_of((box[1], box[2]), kernel))
    wide = matrix.shape[0] < matrix.shape[1]
    return torch.linalg.eigvalsh(matrix @ matrix.mH if wide else matrix.mH @ matrix).clamp_min(0)
