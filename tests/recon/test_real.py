"""Real scans, from the folder that MRI_AMBIENT_REAL_DATA names; skipped without it."""

import os
from pathlib import Path

import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.reconstruct import reconstruct, reference_image

FOLDER = Path(os.environ.get("MRI_AMBIENT_REAL_DATA", "absent")) / "kspace"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="needs real scans: MRI_AMBIENT_REAL_DATA/kspace/*.h5"),
]


def test_a_full_multi_coil_scan_at_four():
    """The bundled prior, trained on simulated scans only, beats zero-filled and CG-SENSE on a real brain it never saw."""
    scan = read_scan(FOLDER / "brain_t2_8ch_256x256_full.h5")
    volume = prepare(scan, PrepareSettings(accel=4))
    reference = reference_image(complete(scan, volume)).abs().numpy()
    errors = {
        name: nrmse(reference, reconstruct(volume, name, prior, 1, 0).mean.abs().numpy())
        for name, prior in {"zero-filled": None, "cg-sense": None, "aos": find_prior(("masked",), BUNDLED)}.items()
    }
    assert errors["aos"] < errors["cg-sense"] < errors["zero-filled"]


def test_a_poisson_scan_without_reference():
    scan = read_scan(FOLDER / "brain_t1_8ch_230x180_poisson.h5")
    volume = prepare(scan, PrepareSettings())
    assert volume.mask.shape == (1, 230, 180)
    assert 7 < volume.accel < 9
    found = reconstruct(volume, "aos", find_prior(("masked",), BUNDLED), 1, 0)
    assert found.matrix == (230, 180)
    assert found.samples.shape[-2:] == (230, 180)
    assert torch.isfinite(found.mean.real).all()


def test_a_single_coil_scan_with_stray_zeros():
    scan = read_scan(FOLDER / "head_t1_sagittal_1ch_256x256_full.h5")
    volume = prepare(scan, PrepareSettings(accel=4))
    assert volume.accel == pytest.approx(4)
    assert (volume.sens_maps.abs() > 0).float().mean() > 0.9
