"""The three ways to maps give the same ones."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mri_ambient.bart import installed
from mri_ambient.data_prep.acs import find_acs
from mri_ambient.data_prep.coils.calibration import calibrate
from mri_ambient.data_prep.coils.maps import ESTIMATORS
from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from tests.data_prep.coils.test_espirit import phantom  # noqa: F401  (a fixture)

REAL = Path(os.environ.get("MRI_AMBIENT_REAL_DATA", "absent")) / "kspace"
needs_bart = [
    pytest.mark.bart,
    pytest.mark.skipif(not installed(), reason="needs the BART toolbox: apt-get install bart, pip install mrbart"),
]
needs_real = [pytest.mark.real, pytest.mark.skipif(not REAL.is_dir(), reason="needs MRI_AMBIENT_REAL_DATA")]
OTHERS = ["sigpy", pytest.param("bart", marks=needs_bart)]


def angles(ours: torch.Tensor, theirs: torch.Tensor, where: torch.Tensor) -> np.ndarray:
    """Degrees between the two subspaces of each pixel that both say is inside; how many of ``where`` that are."""
    both = where & (ours.norm(dim=0) > 0) & (theirs.norm(dim=0) > 0)
    assert both.sum() > 0.9 * where.sum()
    cosine = (ours.conj() * theirs).sum(0).abs()[both] / (ours.norm(dim=0) * theirs.norm(dim=0))[both]
    return np.degrees(np.arccos(cosine.clamp_max(1).numpy()))


@pytest.mark.parametrize("other", OTHERS)
def test_the_same_subspace_on_a_simulated_scan(phantom, other):  # noqa: F811
    kspace, truth = phantom
    ours, theirs = (ESTIMATORS[name](calibrate(kspace, (24, 24))) for name in ("espirit", other))
    found = angles(ours, theirs, truth.norm(dim=0) > 0)
    assert np.quantile(found, 0.5) < 0.5
    assert np.quantile(found, 0.99) < 3
    both = (ours.norm(dim=0) > 0) & (theirs.norm(dim=0) > 0) & (truth.norm(dim=0) > 0)
    assert (ours.conj() * theirs).sum(0).angle().abs()[both].quantile(0.99) < 0.05
    norm = theirs.norm(dim=0)
    assert ((norm - 1).abs().lt(1e-3) | norm.eq(0)).all()


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("brain_t2_8ch_256x256_full.h5", marks=needs_real),
        pytest.param("brain_t1_8ch_230x180_poisson.h5", marks=needs_real),
    ],
)
def test_the_same_subspace_on_real_scans(name, other):
    scan = read_scan(REAL / name)
    height, width = find_acs(scan, 24 if scan.fully_sampled else None, scan.kspace.shape[-2])
    acs = (min(24, height, width), min(24, height, width))  # sigpy calibrates on a square
    kspace = scan.kspace[0] / scan.kspace.abs().max()
    ours, theirs = (ESTIMATORS[name](calibrate(kspace, acs)) for name in ("espirit", other))
    found = angles(ours, theirs, ours.norm(dim=0) > 0)
    assert np.quantile(found, 0.5) < 2
    assert np.quantile(found, 0.9) < 10


def test_bart_sees_the_acs_alone(scans):
    if not installed():
        pytest.skip("needs the BART toolbox: apt-get install bart")
    kspace = read_scan(scans / "subject_0.h5").kspace[1]
    hidden = torch.full_like(kspace, torch.nan)
    hidden[..., 16:32] = kspace[..., 16:32]
    assert torch.equal(*(ESTIMATORS["bart"](calibrate(k, (48, 16))) for k in (hidden, kspace)))


@pytest.mark.parametrize("maps", ["espirit", *OTHERS])
def test_each_serves_in_prep(scans, maps):
    volume = prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(acs=16, maps=maps))
    assert volume.provenance["maps"] == maps
    assert volume.sens_maps.norm(dim=1).gt(0.99).float().mean() > 0.3
