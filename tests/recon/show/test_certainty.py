import numpy as np
import pytest
import torch
from torch import Generator

from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.recon.reconstruct import Reconstruction
from mri_ambient.recon.show.certainty import LEVELS, around, coverage_figure, samples_figure


def drawn_from_one_posterior(factor: float) -> tuple[Reconstruction, torch.Tensor]:
    """Samples and truth around one image; the samples' spread is ``factor`` of what it should be."""
    generator = Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(*shape, dtype=torch.complex64, generator=generator)

    samples = 10 + factor * 0.1 * noise(1, 8, 48, 48)
    return Reconstruction("dds", samples, torch.ones(1), 1.0, (48, 48), 0, None), 10 + 0.1 * noise(1, 48, 48)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_coverage(factor):
    """A posterior's own samples keep their promise; half as wide ones don't until they are widened."""
    found, reference = drawn_from_one_posterior(factor)
    axis = coverage_figure(found, reference, torch.ones(1, 48, 48, dtype=torch.bool)).axes[0]
    _, plain, widened = axis.lines
    if factor == 1:
        np.testing.assert_allclose(plain.get_ydata(), LEVELS, atol=0.05)
    else:
        assert (plain.get_ydata() < LEVELS - 0.03).all()
    assert widened.get_ydata()[np.argmin(abs(LEVELS - 0.9))] == pytest.approx(0.9, abs=0.01)


def test_samples_and_crops():
    found, reference = drawn_from_one_posterior(1.0)
    titles = [axis.get_title() for axis in samples_figure(found, reference, 0).axes]
    assert titles[:5] == ["reference", "sample 1", "sample 2", "sample 3", "mean of all samples"]
    image = np.arange(40.0 * 40).reshape(40, 40)
    assert around(Lesion(0, (20, 20), 2, 1), image).shape == (24, 24)
    assert around(Lesion(0, (20, 20), 2, 1), image)[12, 12] == image[20, 20]
    assert around(Lesion(0, (39, 2), 2, 1), image).shape == (13, 24)
