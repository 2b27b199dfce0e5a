"""The ways to get sensitivity maps, behind one call: our ESPIRiT, sigpy's, BART's."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.bart import bart
from mri_ambient.data_prep.acs import box_of, only_acs
from mri_ambient.data_prep.coils.espirit import calibration_box, espirit, kernel_of, principal_coil

KSpace = Complex[Tensor, "coil y x"]
Maps = Complex[Tensor, "coil y x"]
CROP = 0.8  # of the other two: BART's own


def own_espirit(kspace: KSpace, acs: tuple[int, int], noise_std: float | None = None) -> Maps:
    return espirit(kspace, acs, noise_std)[0]


def sigpy_espirit(kspace: KSpace, acs: tuple[int, int], noise_std: float | None = None) -> Maps:
    """sigpy's ESPIRiT, whose calibration box is square: as wide as the ACS in both directions, at most 24. It does not know of
    noise."""
    from sigpy.mri.app import EspiritCalib

    width = min(*acs, 24)
    kernel = kernel_of((width, width))[0]
    found = EspiritCalib(kspace.numpy(), calib_width=width, kernel_width=kernel, crop=CROP, show_pbar=False).run()
    return _same_phase(torch.from_numpy(found), kspace, acs)


def bart_espirit(kspace: KSpace, acs: tuple[int, int], noise_std: float | None = None) -> Maps:
    """``bart ecalib``, one set of maps, calibration box as ours, its thresholds its own. Raises UserError if BART is not
    installed."""
    return bart_ecalib(kspace, acs, 1, CROP)[0]


def bart_ecalib(kspace: KSpace, acs: tuple[int, int], sets: int, crop: float) -> list[Maps]:
    """The same, one set or two."""
    box = calibration_box(acs)
    kernel = min(kernel_of(box))
    centre = only_acs(kspace, box)  # nothing else is shown
    command = f"ecalib -m {sets} -c {crop} -k {kernel} -r {box[0]}:{box[1]}:1"
    (found,) = bart(command, centre.permute(1, 2, 0)[:, :, None].numpy(), threads=torch.get_num_threads())
    found = found.reshape(*kspace.shape[1:], -1, sets)
    maps = [torch.from_numpy(np.ascontiguousarray(found[..., index])).permute(2, 0, 1) for index in range(sets)]
    norms = [one.abs().square().sum(0).sqrt() for one in maps]
    return [_same_phase(one / norm.clamp_min(1e-12), kspace, acs) for one, norm in zip(maps, norms, strict=True)]


def _same_phase(maps: Maps, kspace: KSpace, acs: tuple[int, int]) -> Maps:
    """Turn each pixel's maps to the phase reference of our own: the ACS' principal virtual coil is real."""
    reference = principal_coil(box_of(kspace, calibration_box(acs)))
    return (maps * torch.exp(-1j * (reference[:, None, None].conj() * maps).sum(0).angle())).to(torch.complex64)


ESTIMATORS: dict[str, Callable[[KSpace, tuple[int, int], float | None], Maps]] = {
    "espirit": own_espirit,
    "joint": own_espirit,  # from where :mod:`mri_ambient.data_prep.coils.refine` starts
    "sigpy": sigpy_espirit,
    "bart": bart_espirit,
}
