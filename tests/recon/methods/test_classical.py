"""Each optimises what it says: against another library where there is one, and by the value of its objective."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sigpy.linop import FiniteDifference, Wavelet
from sigpy.mri.app import L1WaveletRecon, SenseRecon

from mri_ambient.bart import installed
from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.errors import UserError
from mri_ambient.measurement import Measurement, measurement_of
from mri_ambient.physics.fourier import fftc
from mri_ambient.physics.sense import Sense
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.methods.classical import CgSettings, L1WaveletSettings, TvSettings, cg_sense, l1_wavelet, tv
from mri_ambient.recon.methods.classical_bart import (
    BartL1WaveletSettings,
    BartTvSettings,
    bart_l1_wavelet,
    bart_tv,
    call,
    pics,
    threshold_of_bart,
)
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import reference_image

LAMBDA = 1e-2
GRID = L1WaveletSettings(LAMBDA, 100, "db2", spin=False)
BART_GRID = BartL1WaveletSettings(LAMBDA, 100, "dau2", spin=False)


NEEDS_BART = [
    pytest.mark.bart,
    pytest.mark.skipif(not installed(), reason="needs the BART toolbox: apt-get install bart, pip install mrbart"),
]


def needs_bart(test):
    for mark in NEEDS_BART:
        test = mark(test)
    return test


def with_bart(*values):
    """A parameter that is left out where BART is missing."""
    return pytest.param(*values, marks=NEEDS_BART)


CLASSICAL = [
    with_bart(name) if name.startswith("bart") else name for name, method in METHODS.items() if not method.kinds
]


@pytest.fixture(scope="module")
def measurement(undersampled) -> Measurement:
    return measurement_of(undersampled, slice(2, 3))


def solve(measurement: Measurement, name: str, settings=None) -> torch.Tensor:
    method = METHODS[name]
    return method.solve(measurement, None, 1, settings or method.settings, [], lambda *_: None)[0]


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def l1_of(image: torch.Tensor) -> float:
    return float(np.abs(Wavelet(image.shape[1:], wave_name="db2")(image[0].numpy())).sum())


def anisotropic(image: torch.Tensor) -> float:
    return float(np.abs(FiniteDifference(image.shape[1:])(image[0].numpy())).sum())


def isotropic(image: torch.Tensor) -> float:
    return float(np.linalg.norm(FiniteDifference(image.shape[1:])(image[0].numpy()), axis=0).sum())


def objective(measurement: Measurement, image: torch.Tensor, penalty) -> float:
    """1/2 ||A x - y||^2 + LAMBDA R(x)."""
    misfit = measurement.operator(image) - measurement.sense.apply_mask(measurement.kspace)
    return 0.5 * float(misfit.abs().square().sum()) + LAMBDA * penalty(image)


def test_cg_sense_equals_sigpy(measurement):
    mask = measurement.sense.mask[0].expand(measurement.matrix).float().numpy()
    app = SenseRecon(
        measurement.kspace[0].numpy(),
        measurement.sense.maps[0].numpy(),
        lamda=0.01,
        weights=mask,
        max_iter=60,
        show_pbar=False,
    )
    ours, theirs = cg_sense(measurement, CgSettings(0.01, 60))[0], app.run()
    assert np.linalg.norm(ours.numpy() - theirs) < 1e-3 * np.linalg.norm(theirs)


def test_l1_wavelet_equals_sigpy(measurement):
    mask = measurement.sense.mask[0].expand(measurement.matrix).float().numpy()
    maps = measurement.sense.maps[0].numpy()
    app = L1WaveletRecon(
        measurement.kspace[0].numpy(), maps, LAMBDA, mask, wave_name="db2", max_iter=100, show_pbar=False
    )
    theirs = torch.where(measurement.operator.support, torch.from_numpy(app.run()), 0)
    assert distance(l1_wavelet(measurement, GRID), theirs) < 1e-3


@pytest.mark.parametrize("accel", [2, 3, 4])
def test_better_than_zero_filled(accel, scans):
    scan = read_scan(scans / "subject_1.h5")
    volume = prepare(scan, PrepareSettings(accel=accel, acs=8))
    reference = (reference_image(complete(scan, volume)) / volume.scale[:, None, None]).abs().numpy()
    measurement = measurement_of(volume, slice(2, 3))

    def error(name: str) -> float:
        return nrmse(reference[2:3], solve(measurement, name).abs().numpy())

    names = [name for name, method in METHODS.items() if not method.kinds and name != "zero-filled"]
    for name in names if installed() else [name for name in names if not name.startswith("bart")]:
        assert error(name) < error("zero-filled"), name


@pytest.mark.parametrize("name", CLASSICAL)
def test_unmeasured_nan_does_not_matter_and_nothing_is_drawn_anew(measurement, name):
    hidden = torch.where(measurement.sense.mask, measurement.kspace, torch.nan)
    poisoned = Measurement(hidden, measurement.operator, measurement.noise_std, measurement.acs)
    settings = METHODS[name].settings and replace(METHODS[name].settings, iterations=5)
    assert torch.equal(solve(poisoned, name, settings), solve(measurement, name, settings))


def test_slices_do_not_depend_on_their_neighbours(undersampled):
    """Nor do the random shifts."""
    settings = L1WaveletSettings(iterations=5)
    alone, together = (l1_wavelet(measurement_of(undersampled, part), settings) for part in (slice(2, 3), slice(1, 3)))
    torch.testing.assert_close(together[1:], alone)


@pytest.mark.parametrize(
    ("name", "settings", "penalty"),
    [
        ("l1-wavelet", GRID, l1_of),
        ("tv", TvSettings(LAMBDA), anisotropic),
        with_bart("bart-l1-wavelet", BART_GRID, l1_of),
        with_bart("bart-tv", BartTvSettings(LAMBDA), isotropic),
    ],
)
def test_lambda_is_that_of_the_objective(measurement, name, settings, penalty):
    """The answer at lambda has a lower objective than those at half and twice lambda."""

    def value(factor: float) -> float:
        found = solve(measurement, name, replace(settings, regularisation=factor * LAMBDA))
        return objective(measurement, found, penalty)

    best = value(1)
    assert best < value(0.5)
    assert best < value(2)


@needs_bart
def test_barts_least_squares_are_ours():
    """Orientation, centre and scale, on a matrix that is odd and not square."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 3, 45, 38, dtype=torch.complex64, generator=generator)
    sense = Sense(maps / maps.norm(dim=1, keepdim=True), torch.rand(1, 1, 38, generator=generator) < 0.6)
    kspace = sense(torch.randn(1, 45, 38, dtype=torch.complex64, generator=generator))
    measurement = Measurement(kspace, sense, torch.tensor([0.01]), (4,))
    for strength in (1e-6, 0.1):
        assert (
            distance(pics(measurement, f"-l2 -r {strength} -i 100"), cg_sense(measurement, CgSettings(strength, 100)))
            < 1e-3
        )


@needs_bart
def test_bart_and_sigpy_agree(measurement):
    """Wavelets differ at the edges (sigpy pads with zeros, BART is periodic; on 128 pixels 1.5 %) and by BART's last gradient
    step. With the differences along each axis penalised apart, TV is the same; together, each is best by its own penalty."""
    assert distance(bart_l1_wavelet(measurement, BART_GRID), l1_wavelet(measurement, GRID)) < 0.06
    along_axes = pics(measurement, f"-u 0.01 -i 200 -R T:1:0:{LAMBDA} -R T:2:0:{LAMBDA}")
    assert distance(along_axes, tv(measurement, TvSettings(LAMBDA))) < 0.01
    both, ours = bart_tv(measurement, BartTvSettings(LAMBDA)), tv(measurement, TvSettings(LAMBDA))
    assert objective(measurement, both, isotropic) < objective(measurement, ours, isotropic)
    assert objective(measurement, ours, anisotropic) < objective(measurement, both, anisotropic)


@needs_bart
def test_what_bart_thresholds_singular_values_at():
    """Complete data, one `map` of 1: the minimiser z is the singular value thresholding of each block of the data u, and
    BART returns z + 0.95 (u - z)."""
    shape, block, coils, strength = (32, 40), 8, 4, 0.3
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(*shape, coils, dtype=torch.complex64, generator=generator)
    kspace = fftc(images, (0, 1))
    ones = np.ones((*shape, 1, 1), np.complex64)
    as_time = kspace.numpy().reshape(*shape, *[1] * 8, coils)
    found = call(f"-n -i 50 -b {block} -R L:3:3:{strength}", as_time, ones, np.ones_like(as_time))

    def blocks(image: torch.Tensor) -> torch.Tensor:
        split = image.reshape(shape[0] // block, block, shape[1] // block, block, coils).transpose(1, 2)
        return split.reshape(-1, block**2, coils)

    left, values, right = torch.linalg.svd(blocks(images), full_matrices=False)
    shrunk = (values - strength * threshold_of_bart(shape, block, coils)).clamp_min(0)
    wanted = 0.05 * left @ (shrunk[:, :, None] * right) + 0.95 * blocks(images)
    assert distance(blocks(torch.from_numpy(found.reshape(*shape, coils).copy())), wanted) < 1e-5


def test_without_bart(measurement, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("BART_TOOLBOX_PATH", raising=False)
    with pytest.raises(UserError, match="bart: the program is not on the PATH; install it"):
        bart_tv(measurement)
