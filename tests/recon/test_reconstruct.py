from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from mri_ambient.bart import installed
from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.devices import PRECISION
from mri_ambient.errors import UserError
from mri_ambient.priors.card import Card, Prior
from mri_ambient.priors.denoisers import Architecture, build_denoiser
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon import reconstruct as module
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.methods.samplers.annealing import Annealing
from mri_ambient.recon.reconstruct import reconstruct, reference_image, working_matrix
from mri_ambient.recon.show.summary import notes
from mri_ambient.store import PreparedVolume


def untrained(kind: str, matrix: int = 48) -> Prior:
    architecture = Architecture(denoiser="unet" if kind == "image" else "unrolled", widths=(8, 8))
    torch.manual_seed(0)
    card = Card(
        kind=kind,
        architecture=architecture,
        matrix=(matrix, matrix),
        pixel_mm=(230 / matrix, 230 / matrix),
        images_seen=0,
        training={},
        data="",
    )
    return Prior(build_denoiser(architecture), card, Path())


def first_slices(volume: PreparedVolume, count: int) -> PreparedVolume:
    keys = ("kspace", "mask", "sens_maps", "scale", "noise_std", "coil_transform", "coil_return")
    return replace(volume, **{key: getattr(volume, key)[:count] for key in keys})


NEEDS_BART = [
    pytest.mark.bart,
    pytest.mark.skipif(not installed(), reason="needs the BART toolbox: apt-get install bart"),
]
EVERY_METHOD = [pytest.param(name, marks=NEEDS_BART if name.startswith("bart") else ()) for name in METHODS]


def short(method: str, steps: int) -> Any:
    """The method's own settings but for a sampler's number of steps."""
    settings = METHODS[method].settings
    return replace(settings, steps=steps) if isinstance(settings, Annealing) else settings


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_every_method_answers_in_the_units_of_the_file(method, undersampled, scans):
    """Twice the k-space gives twice the image; the size is the scan's; the error is that of an image, not of noise."""
    kinds = METHODS[method].kinds
    prior = untrained(kinds[0]) if kinds else None
    first, settings = first_slices(undersampled, 1), short(method, 20 if method == "aald" else 8)
    found = reconstruct(first, method, prior, 2, 0, settings)
    assert found.samples.shape == (1, 2 if isinstance(settings, Annealing) else 1, 48, 48)
    again = reconstruct(replace(first, scale=2 * first.scale), method, prior, 2, 0, settings)
    torch.testing.assert_close(again.mean, 2 * found.mean)
    whole = reference_image(complete(read_scan(scans / "subject_0.h5"), undersampled))[:1]
    assert (found.mean.abs() - whole.abs()).norm() < 0.7 * whole.abs().norm()


@pytest.mark.parametrize("kind", ["image", "masked"])
def test_slices_do_not_depend_on_their_neighbours(undersampled, kind, monkeypatch):
    """Three slices at once, one at a time, the second alone: the same random numbers, and the same images to rounding."""
    prior, settings = untrained(kind), short("dds", 6)
    three = reconstruct(first_slices(undersampled, 3), "dds", prior, 2, 3, settings)
    with monkeypatch.context() as patch:
        patch.setattr(module, "PIXELS", 2 * 48**2)
        single = reconstruct(first_slices(undersampled, 3), "dds", prior, 2, 3, settings)
    two = reconstruct(first_slices(undersampled, 2), "dds", prior, 2, 3, settings)
    brightest = three.samples.abs().max()
    assert (single.samples - three.samples).abs().max() < 1e-4 * brightest
    assert (two.samples - three.samples[:2]).abs().max() < 1e-4 * brightest
    torch.testing.assert_close(single.measured_residual, three.measured_residual, rtol=1e-3, atol=0)
    if kind == "image":  # whose samples spread
        assert (three.samples[:, 0] - three.samples[:, 1]).abs().max() > 0.01 * brightest
        other = reconstruct(first_slices(undersampled, 1), "dds", prior, 2, 4, settings)
        assert (other.samples - three.samples[:1]).abs().max() > 0.01 * brightest


@pytest.mark.parametrize("method", ["dds", "aos"])
def test_bfloat16_is_no_other_image(method, undersampled, monkeypatch):
    """With the bundled priors."""
    found = {}
    for precision in ("float32", "bfloat16"):
        monkeypatch.setenv(PRECISION, precision)
        prior = find_prior(METHODS[method].kinds[:1], BUNDLED)
        found[precision] = reconstruct(first_slices(undersampled, 1), method, prior, 1, 0, short(method, 6)).mean
    apart = (found["bfloat16"] - found["float32"]).norm() / found["float32"].norm()
    assert 0 < apart < 0.01


def test_the_batch_is_bounded(undersampled, monkeypatch):
    """Never more than PIXELS at once, but at least one slice; all slices come back, in order."""
    seen = []

    def record(measurement, prior, samples, settings, generators, callback):
        seen.append(len(measurement.kspace))
        callback()
        return measurement.adjoint.expand(samples, -1, -1, -1)

    monkeypatch.setitem(METHODS, "zero-filled", replace(METHODS["zero-filled"], solve=record))
    image = undersampled.kspace.shape[-2] * undersampled.kspace.shape[-1]
    for batch, sizes in {8: [2, 2], 7: [1] * 4, 1: [1] * 4, 100: [4]}.items():
        seen.clear()
        monkeypatch.setattr(module, "PIXELS", batch * image)
        found = reconstruct(undersampled, "zero-filled", None, 4, seed=0)
        assert seen == sizes
        torch.testing.assert_close(found.mean, reference_image(undersampled))


def test_a_prior_of_coarser_pixels_works_at_the_scans_own(undersampled):
    """And that the pixels differ is told."""
    coarse, scan = untrained("image", matrix=32), first_slices(undersampled, 1)
    assert working_matrix(scan, coarse.card) == (48, 48)
    told = {
        prior.card.matrix[0]: " ".join(notes(scan, {"dds": reconstruct(scan, "dds", prior, 1, 0)}, {"dds": prior}))
        for prior in (coarse, untrained("image"))
    }
    assert "dds: the scan's pixels are 1.5 times finer than those of the prior's training" in told[32]
    assert "finer" not in told[48]


def test_a_prior_of_finer_pixels_and_back(undersampled):
    """The answer has the scan's matrix and its measured lines."""
    prior = untrained("image", matrix=64)
    assert working_matrix(undersampled, prior.card) == (64, 64)
    unknown = replace(undersampled, provenance=undersampled.provenance | {"field_of_view_mm": None})
    assert working_matrix(unknown, prior.card) == (64, 64)
    found = reconstruct(first_slices(undersampled, 1), "dds", prior, 2, seed=0)
    assert found.matrix == (64, 64)
    assert found.samples.shape[-2:] == (48, 48)
    assert (found.measured_residual < 2).all()
    assert "brought to 64x64, the finer pixel" in " ".join(notes(undersampled, {"dds": found}, {"dds": prior}))


def test_samples_mean_and_std(undersampled):
    found = reconstruct(first_slices(undersampled, 1), "dds", untrained("image"), 4, seed=0)
    torch.testing.assert_close(found.mean, found.samples.mean(1))
    torch.testing.assert_close(found.std**2, found.samples.real.var(1) + found.samples.imag.var(1), rtol=1e-3, atol=0)
    assert (reconstruct(undersampled, "cg-sense", None, 4, seed=0).std == 0).all()


def test_too_many_samples_for_the_memory(undersampled):
    """More than any machine's addresses: torch refuses at once."""
    with pytest.raises(
        UserError, match="dds, .* samples of 48x48 at once: there was not enough memory; lower --samples"
    ):
        reconstruct(undersampled, "dds", untrained("image"), 10**11, 0)


def test_the_wrong_prior(undersampled):
    with pytest.raises(UserError, match="needs a prior of kind masked"):
        reconstruct(undersampled, "aos", untrained("image"), 1, 0)
    with pytest.raises(UserError, match="got no prior"):
        reconstruct(undersampled, "dds", None, 1, 0)


def test_undersampled_on_both_axes(scans, tmp_path):
    """A 2-D mask without a fully sampled reference, as variable-density Poisson scans have."""
    mask = torch.rand(48, 48, generator=torch.Generator().manual_seed(0)) < 0.4
    mask[16:32, 16:32] = True
    with h5py.File(scans / "subject_0.h5") as file, h5py.File(tmp_path / "poisson.h5", "w") as out:
        out["kspace"] = file["kspace"][:1] * mask.numpy()
    volume = prepare(read_scan(tmp_path / "poisson.h5"), PrepareSettings())
    assert volume.mask.shape == (1, 48, 48)
    for method in ("aos", "dds", "l1-wavelet"):
        kinds = METHODS[method].kinds
        found = reconstruct(volume, method, untrained(kinds[0], 32) if kinds else None, 2, 0)
        assert torch.isfinite(found.mean.real).all()
