"""A prepared scan's sensitivity maps: the file's own, or estimated; one set or two; refined where that is better."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from mri_ambient.data_prep.coils.map_sets import WITH_TWO_SETS, needed_sets, two_sets
from mri_ambient.data_prep.coils.maps import ESTIMATORS
from mri_ambient.data_prep.coils.refine import refine_maps
from mri_ambient.data_prep.coils.refine_sets import refine_sets
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c

LARGEST_UNSEEN = 0.2  # share of the signal; masks drawn tightly around a head leave out less


@dataclass(frozen=True)
class Measured:
    """What maps are found from: normalised k-space behind the coils that ``transform`` makes of the scan's own, 0 where nothing
    was measured. acs: rows and columns of what calibrates. noise_std: of each slice. calibrations: each slice's ACS, 0
    elsewhere, anew at every call."""

    kspace: Complex[Tensor, "slice coil y x"]
    mask: Bool[Tensor, "slice #y x"]
    transform: Complex[Tensor, "slice coil receive"]
    acs: tuple[int, int]
    noise_std: Sequence[float]
    calibrations: Callable[[], Iterator[Complex[Tensor, "coil y x"]]]


@dataclass(frozen=True)
class FoundMaps:
    """The first set and, if there is one, the second; where they are from; the slices of which they were refined."""

    first: Complex[Tensor, "slice coil y x"]
    second: Complex[Tensor, "slice coil y x"] | None
    source: str
    refined: list[int]


def choose_source(scan: Scan, wanted: str | None, sets: str, accel: float | None) -> str:
    """``wanted``, or by default the file's own maps; else `joint`, those of all measured lines; but `espirit`, the ACS's, where
    training is to hide some of these, which `train --accel` does of a complete scan, or where another scan calibrates.

    Raises UserError if the scan or the source does not have what is wanted.
    """
    hides_lines = accel is None and scan.fully_sampled
    estimated = "espirit" if hides_lines or scan.reference is not None else "joint"
    source = wanted or ("file" if scan.sens_maps is not None else estimated)
    if source == "file" and scan.sens_maps is None:
        raise UserError(f"{scan.path}: holds no `sens_maps`; leave out --maps file to estimate them")
    if sets == "2" and source not in WITH_TWO_SETS:
        raise UserError(
            f"{scan.path}: --maps {source} has one set of maps; leave out --map-sets 2, or estimate maps with --maps espirit"
        )
    return source


def find_maps(scan: Scan, source: str, sets: str, measured: Measured) -> FoundMaps:
    """source: of :func:`choose_source`. sets: 1, 2 or auto. Raises UserError if the file's own maps can't be right."""
    if source == "file":
        return FoundMaps(_own_maps(scan, measured), None, source, [])
    acs, levels = measured.acs, measured.noise_std
    slices = zip(measured.calibrations(), levels, strict=True)
    asked = sets == "auto" and source in WITH_TWO_SETS
    if sets == "2" or (asked and needed_sets(measured.calibrations(), acs, levels) == 2):
        maps = torch.stack([two_sets(k, acs, source, level) for k, level in slices])
        refine, source_name = refine_sets, f"{source}, two sets"
    else:
        maps = torch.stack([ESTIMATORS[source](k, acs, level) for k, level in slices])
        refine, source_name = refine_maps, source
    if source != "joint":
        refined = maps
    else:
        of_slices = zip(measured.kspace, measured.mask, maps, levels, strict=True)
        refined = torch.stack([refine(k, m, found, level, acs) for k, m, found, level in of_slices])
    changed = (refined != maps).flatten(1).any(1).nonzero().flatten().tolist()
    if refined.ndim == 4:
        return FoundMaps(refined, None, source_name, changed)
    return FoundMaps(refined[:, 0], refined[:, 1], source_name, changed)


def _own_maps(scan: Scan, measured: Measured) -> Complex[Tensor, "slice coil y x"]:
    """The file's, behind the same coils as the data."""
    assert scan.sens_maps is not None
    rows, found = measured.kspace.shape[-2], []
    slices = zip(scan.sens_maps, measured.transform, measured.calibrations(), strict=True)
    for index, (own, transform, calibration) in enumerate(slices):
        found.append(transformed_maps(own, transform, rows))
        unseen = unseen_signal(calibration, found[-1])
        if unseen > LARGEST_UNSEEN:
            raise UserError(
                f"{scan.path}: the `sens_maps` of slice {index} are 0 where {unseen:.0%} of the signal is; correct them, "
                "or estimate maps with --maps espirit"
            )
    return torch.stack(found)


def transformed_maps(
    own: Complex[Tensor, "coil y x"], transform: Complex[Tensor, "virtual coil"], rows: int
) -> Complex[Tensor, "virtual rows x"]:
    """Maps behind other coils, the central ``rows`` of them, of unit norm where they are not 0."""
    top = own.shape[-2] // 2 - rows // 2
    maps = torch.einsum("vc,cyx->vyx", transform, own[:, top : top + rows])
    norm = maps.abs().square().sum(0).sqrt()
    return torch.where(norm > 1e-6 * norm.max(), maps / norm.clamp_min(1e-30), 0)


def unseen_signal(calibration: Complex[Tensor, "coil y x"], maps: Complex[Tensor, "coil y x"]) -> float:
    """The share of the ACS image's energy at pixels where the maps vanish."""
    energy = ifft2c(calibration).abs().square().sum(0)
    return float(energy[(maps == 0).all(0)].sum() / energy.sum())
