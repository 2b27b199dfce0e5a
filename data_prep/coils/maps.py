"""The ways to get sensitivity maps, behind one call: our ESPIRiT, sigpy's, BART's."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient.bart import bart
from mri_ambient.data_prep.coils.calibration import Calibration, kernel_of
from mri_ambient.data_prep.coils.espirit import espirit_maps

Maps = Complex[Tensor, "coil y x"]
SIGPYS_BOX = 24  # at most


def own_espirit(calibration: Calibration) -> Maps:
    return espirit_maps(calibration)[0]


def sigpy_espirit(calibration: Calibration) -> Maps:
    """sigpy's ESPIRiT, whose calibration box is square: as wide as ours in both directions, at most 24. It does not know of
    noise."""
    from sigpy.mri.app import EspiritCalib

    settings, kspace = calibration.settings, calibration.kspace.cpu().numpy()
    width = min(*calibration.box.shape[1:], SIGPYS_BOX)
    kernel = kernel_of((width, width), settings.kernel)[0]
    app = EspiritCalib(kspace, calib_width=width, kernel_width=kernel, crop=settings.toolbox_crop, show_pbar=False)
    return _same_phase(torch.from_numpy(app.run()), calibration)


def bart_espirit(calibration: Calibration) -> Maps:
    """``bart ecalib``, one set of maps, calibration box as ours, its thresholds its own. Raises UserError if BART is not
    installed."""
    return bart_ecalib(calibration, 1, calibration.settings.toolbox_crop)[0]


def bart_ecalib(calibration: Calibration, sets: int, crop: float) -> list[Maps]:
    """The same, one set or two."""
    rows, columns = calibration.box.shape[1:]
    kernel = min(kernel_of((rows, columns), calibration.settings.kernel))
    command = f"ecalib -m {sets} -c {crop} -k {kernel} -r {rows}:{columns}:1"
    kspace = calibration.kspace.cpu().permute(1, 2, 0)[:, :, None]
    (found,) = bart(command, kspace.numpy(), threads=torch.get_num_threads())
    found = found.reshape(*calibration.matrix, -1, sets)
    maps = [torch.from_numpy(np.ascontiguousarray(found[..., index])).permute(2, 0, 1) for index in range(sets)]
    norms = [one.abs().square().sum(0).sqrt() for one in maps]
    return [_same_phase(one / norm.clamp_min(1e-12), calibration) for one, norm in zip(maps, norms, strict=True)]


def _same_phase(maps: Maps, calibration: Calibration) -> Maps:
    """Turn each pixel's maps to the phase reference of our own: the ACS' principal virtual coil is real."""
    reference = calibration.reference.cpu()
    return (maps * torch.exp(-1j * (reference[:, None, None].conj() * maps).sum(0).angle())).to(torch.complex64)


ESTIMATORS: dict[str, Callable[[Calibration], Maps]] = {
    "espirit": own_espirit,
    "joint": own_espirit,  # from where :mod:`mri_ambient.data_prep.coils.refine` starts
    "sigpy": sigpy_espirit,
    "bart": bart_espirit,
}
