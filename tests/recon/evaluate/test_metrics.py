import fastmri.evaluate
import numpy as np
import pytest
from scipy.ndimage import convolve

from mri_ambient.errors import UserError
from mri_ambient.recon.evaluate.metrics.hfen import hfen
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.evaluate.metrics.psnr import psnr
from mri_ambient.recon.evaluate.metrics.registry import LEADING, METRICS
from mri_ambient.recon.evaluate.metrics.ssim import ssim


@pytest.fixture
def volumes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    reference = rng.random((3, 24, 20)).astype(np.float32) * np.array([1, 0.3, 2], np.float32)[:, None, None]
    return reference, (reference + 0.1 * rng.standard_normal(reference.shape)).astype(np.float32)


def test_equal_to_fastmri(volumes):
    reference, estimate = volumes
    assert nrmse(*volumes) ** 2 == pytest.approx(fastmri.evaluate.nmse(reference, estimate), rel=1e-5)
    assert psnr(*volumes) == pytest.approx(fastmri.evaluate.psnr(reference, estimate), rel=1e-5)
    assert ssim(*volumes) == pytest.approx(fastmri.evaluate.ssim(reference, estimate).item(), rel=1e-5)


def test_the_range_is_that_of_the_volume_not_of_each_slice(volumes):
    reference, estimate = volumes
    by_slice = np.mean([psnr(r[None], e[None]) for r, e in zip(reference, estimate, strict=True)])
    assert abs(psnr(reference, estimate) - by_slice) > 1


def test_hfen_is_the_error_behind_a_15x15_laplacian_of_a_gaussian(volumes):
    """Ravishankar & Bresler's kernel, written out."""
    offset = np.arange(15) - 7
    square = offset[:, None] ** 2 + offset**2
    gauss = np.exp(-square / (2 * 1.5**2))
    kernel = (square / 1.5**4 - 2 / 1.5**2) * gauss / gauss.sum()
    reference, estimate = (np.stack([convolve(image, kernel) for image in volume]) for volume in volumes)
    assert hfen(*volumes) == pytest.approx(nrmse(reference, estimate), rel=0.01)
    assert hfen(*volumes) != pytest.approx(nrmse(*volumes), rel=0.1)


def test_a_metric_says_which_way_is_better(volumes):
    reference, estimate = volumes
    halfway = (reference + estimate) / 2
    for metric in METRICS.values():
        nearer, further = metric(reference, halfway), metric(reference, estimate)
        assert nearer < further if metric.better == "lower" else nearer > further
    assert METRICS[LEADING].better == "lower"  # tuning takes the least
    with pytest.raises(UserError, match="metric VIF: is not known; choose one of NRMSE, PSNR"):
        METRICS["VIF"]
