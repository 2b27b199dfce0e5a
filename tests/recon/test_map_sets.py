"""A head wider than the field of view, reconstructed with two sets of maps."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.measurement import Measurement, magnitude, measurement_of, resized_images
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.physics.sense import apart, whole_image
from mri_ambient.physics.solvers import regularised_solution
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.e_step import e_step
from mri_ambient.recon.evaluate.determined import SPREAD, determined_share
from mri_ambient.recon.evaluate.held_out import hide, relative_error
from mri_ambient.recon.evaluate.lesions.insert import lesion_kspace, place_lesions
from mri_ambient.recon.evaluate.lesions.invented import invent
from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.methods.classical import TvSettings, cg_sense, l1_wavelet, tv
from mri_ambient.recon.methods.classical_bart import call, pics
from mri_ambient.recon.methods.denoising import denoiser_for
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings
from mri_ambient.recon.reconstruct import reconstruct, reference_image
from mri_ambient.recon.result import read_result
from mri_ambient.recon.result_data import about_of, result_data
from mri_ambient.recon.result_file import write_result
from mri_ambient.recon.show.series import every_series
from mri_ambient.recon.show.summary import notes, table
from mri_ambient.store import PreparedVolume
from tests.folded import ACS, folded_scan
from tests.operators import random_complex
from tests.recon.test_reconstruct import EVERY_METHOD, NEEDS_BART, short, untrained

ROWS = 80


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    whole = folded_scan(tmp_path_factory.mktemp("folded"))
    return replace(whole, kspace=whole.kspace[:1])


@pytest.fixture(scope="module")
def folded(scan) -> PreparedVolume:
    """One slice at R=2."""
    return prepare(scan, PrepareSettings(accel=2, acs=ACS))


@pytest.fixture(scope="module")
def truth(scan, folded) -> torch.Tensor:
    return magnitude(reference_image(complete(scan, folded)), ROWS)


@pytest.fixture(scope="module")
def measurement(folded) -> Measurement:
    return measurement_of(folded)


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_every_method_beats_zero_filled(method, folded, truth):
    """By both sets' images together, in as few steps as do."""
    kinds = METHODS[method].kinds
    prior = find_prior(kinds, BUNDLED) if kinds else None
    steps = {"adps": 60, "adps-scaled": 60, "aald": 40}.get(method, 7)
    found = reconstruct(folded, method, prior, 1, 0, short(method, steps))
    assert found.samples.shape == found.second.shape == (1, 1, *folded.kspace.shape[-2:])
    assert found.mean_of_sets.shape == (1, 2 * ROWS, folded.kspace.shape[-1])
    error = nrmse(truth.numpy(), found.magnitudes[1].numpy())
    zero_filled = nrmse(truth.numpy(), magnitude(reference_image(folded), ROWS).numpy())
    assert error < (0.95 if method != "zero-filled" else 1.001) * zero_filled


def test_one_set_is_worse(scan, folded, truth):
    """Against the root sum of squares over coils, which no map has a say in."""
    full = complete(scan, folded)
    rss = ifft2c(full.kspace).norm(dim=1)
    tissue = rss > 0.1 * rss.max()

    def error(volume: PreparedVolume, solver) -> float:
        image = magnitude(solver(measurement_of(volume)), ROWS)
        return float((image - rss)[tissue].norm() / rss[tissue].norm())

    one = prepare(scan, PrepareSettings(accel=2, acs=ACS, map_sets="1"))
    for solver in (cg_sense, l1_wavelet, tv):
        assert error(folded, solver) < 0.8 * error(one, solver)


def test_magnitudes_of_complete_data_are_the_folded_root_sum_of_squares(scan, folded, truth):
    rss = ifft2c(complete(scan, folded).kspace).norm(dim=1) * folded.scale[:, None, None]
    tissue = rss > 0.2 * rss.max()
    assert (truth - rss)[tissue].norm() / rss[tissue].norm() < 0.05
    image = random_complex((2, 3, 5), 0)
    torch.testing.assert_close(magnitude(image, 3), image.abs())


@pytest.mark.parametrize("solver", [cg_sense, l1_wavelet, tv])
def test_an_empty_second_set_changes_nothing(folded, solver):
    """Maps that are 0 everywhere: the first image is that of one set, the second 0."""
    one = replace(folded, second_maps=None)
    empty = replace(folded, second_maps=torch.zeros_like(folded.sens_maps))
    first, second = apart(solver(measurement_of(empty)), 2).unbind(-3)
    torch.testing.assert_close(first, solver(measurement_of(one)), rtol=1e-4, atol=1e-5)
    assert (second == 0).all()


def test_variation_is_each_images_own(measurement):
    """Images that are constant have none, whatever the step from one set's last row to the next one's first."""
    found = tv(measurement, TvSettings(regularisation=0.1, iterations=300))
    turned = replace(measurement, operator=replace(measurement.sense, maps=swapped(measurement.sense.maps)))
    torch.testing.assert_close(swapped(tv(turned, TvSettings(0.1, 300))), found, rtol=0, atol=2e-3)


def swapped(stacked: torch.Tensor) -> torch.Tensor:
    return apart(stacked, 2).flip(-3).flatten(-3, -2)


def with_bart(test):
    for mark in NEEDS_BART:
        test = mark(test)
    return test


@with_bart
@pytest.mark.parametrize("weight", [1e-2, 1e-1])
def test_the_least_squares_image_is_that_of_pics_with_two_maps(measurement, weight):
    """bart pics -l2 minimises ||A x - y||^2 + r ||x||^2 by conjugate gradients, x of both sets."""
    theirs = pics(measurement, f"-l2 -r {weight} -i 200")
    ours = regularised_solution(measurement.operator, measurement.adjoint, None, weight, 200)
    assert (theirs - torch.where(measurement.operator.support, ours, 0)).norm() < 2e-3 * ours.norm()
    assert apart(ours, 2)[:, 1].norm() > 0.05 * ours.norm()


@with_bart
def test_maps_reach_bart_as_the_fifth_dimension(measurement, monkeypatch):
    seen = []

    def spy(options, kspace, maps, mask):
        seen.append(maps.shape)
        return call(options, kspace, maps, mask)

    monkeypatch.setattr("mri_ambient.recon.methods.classical_bart.call", spy)
    pics(measurement, "-l2 -r 0.1 -i 2")
    assert seen == [(*measurement.matrix, 1, 8, 2)]


def test_an_image_prior_sees_each_sets_image_alone(measurement):
    prior = untrained("image", ROWS)
    denoise = denoiser_for(prior, measurement, "scan", 2, [torch.Generator()])
    images = random_complex((2, 1, *measurement.image_shape), 3, torch.complex64)
    found = denoise(images, torch.full((1, 1, 1), 0.4))
    for sample in range(2):
        for index, image in enumerate(apart(images, 2)[sample, 0]):
            sense = whole_image(image[None])
            alone = prior.denoiser(sense(image[None]), sense, torch.tensor([0.4]))
            torch.testing.assert_close(apart(found, 2)[sample, 0, index], alone[0], rtol=1e-3, atol=1e-4)


def test_the_networks_of_a_masked_prior_see_each_sets_image_alone(measurement, monkeypatch):
    prior, shapes = untrained("masked", ROWS), []
    unet = prior.denoiser.unets[0]
    unet.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    sense = measurement.sense
    answer = prior.denoiser.from_measurements(measurement)
    assert answer.shape == (1, *measurement.image_shape)
    assert shapes[0] == (2, 4, *measurement.matrix)
    assert (answer[~sense.support] == 0).all()


def test_shares_are_those_of_the_matrix_of_both_images(measurement):
    """The diagonal of the dense operator, of a strip of a few rows."""
    rows = slice(38, 42)
    maps = apart(measurement.sense.maps, 2)[..., rows, :].flatten(-3, -2)
    few = Measurement(
        measurement.kspace[..., rows, :], replace(measurement.sense, maps=maps), measurement.noise_std, measurement.acs
    )
    size = few.image_shape[0] * few.image_shape[1]
    basis = torch.eye(size, dtype=torch.complex64).reshape(-1, 1, *few.image_shape)
    normal = (
        replace(few.operator, maps=maps.expand(size, -1, -1, -1)).gram(basis[:, 0]).flatten(1).T.to(torch.complex128)
    )
    weight = float(few.noise[0] / SPREAD) ** 2
    exact = 1 - weight * torch.linalg.inv(normal + weight * torch.eye(size)).diagonal().real
    share = determined_share(few, "a", 0)
    assert share.shape == (1, 4, few.image_shape[1])
    torch.testing.assert_close(share[0], exact.reshape(few.image_shape)[:4].float(), rtol=0, atol=2e-3)


def test_resizing_keeps_the_sets_apart(measurement):
    larger = measurement.resized((96, 56))
    assert larger.image_shape == (192, 56)
    image = measurement.adjoint[None]
    back = resized_images(resized_images(image, 2, (96, 56)), 2, measurement.matrix)
    torch.testing.assert_close(back, image, rtol=0, atol=1e-4)
    first = apart(larger.sense.maps, 2)[:, :, 0]
    alone = replace(
        measurement, operator=replace(measurement.sense, maps=apart(measurement.sense.maps, 2)[:, :, 0], sets=1)
    )
    assert torch.equal(first, alone.resized((96, 56)).sense.maps)


def test_hidden_lines_are_predicted_by_both_images(scan, folded):
    _, hidden = hide(folded, 0)
    both = reference_image(complete(scan, folded))
    first = torch.cat([both[:, :ROWS], torch.zeros_like(both[:, :ROWS])], 1)
    assert relative_error(folded, hidden, both) < 0.8 * relative_error(folded, hidden, first)


def test_an_e_step_draws_both_images(folded):
    measurement = measurement_of(folded)
    streams = [[torch.Generator().manual_seed(0)]]
    drawn = e_step(
        untrained("image", ROWS),
        measurement,
        streams,
        sampler=MmpsSettings(steps=2),
    )
    assert drawn.shape == (1, 1, *measurement.image_shape)
    assert (drawn[0][~measurement.operator.support] == 0).all()


def test_lesions_lie_in_the_first_image(scan, folded):
    whole = prepare(scan, PrepareSettings(acs=ACS, coils=8))
    placed = place_lesions(whole, 0)
    added = lesion_kspace(whole, placed, scan.kspace.shape[-2])
    seen = whole.sense.adjoint(torch.einsum("svr,sryx->svyx", whole.coil_transform, added))
    first, second = apart(seen, 2).unbind(-3)
    assert second.norm() < 0.1 * first.norm()
    images = reconstruct(folded, "cg-sense", None, 1, 0).mean_of_sets
    found = invent(folded, images, Lesion(0, placed[0].centre, 4.0, 1.0))
    assert found.drawn.shape == (ROWS, folded.kspace.shape[-1])
    assert 0 <= found.left < 1


def test_the_file_shows_the_first_set_and_keeps_the_second(scan, folded, tmp_path):
    found = reconstruct(folded, "mmps", untrained("image", ROWS), 2, 0, MmpsSettings(steps=2))
    results = {"cg-sense": reconstruct(folded, "cg-sense", None, 1, 0), "mmps": found}
    said = tuple(notes(folded, results, {}))
    assert "larger than the field of view" in said[0]
    assert "second_set" in said[0]
    reference = reference_image(complete(scan, folded))
    share = determined_share(measurement_of(folded), "a", 0)
    path = tmp_path / "a_recon.h5"
    made = result_data(about_of(folded, found, None, "", said, "mvue"), results, share, reference)
    write_result(path, made)
    result = read_result(path)
    np.testing.assert_allclose(result.mean, found.samples.mean(1), rtol=1e-5)
    np.testing.assert_allclose(result.second_set, found.second.mean(1), rtol=1e-5)
    np.testing.assert_allclose(result.reference, reference[:, :ROWS].abs(), rtol=1e-5)
    shapes = {tuple(series.images.shape[-2:]) for series in every_series(result).values()}
    assert shapes == {tuple(folded.kspace.shape[-2:])}
    assert table(made).row_count == 3


def test_one_set_leaves_no_trace_in_the_file(undersampled, tmp_path):
    results = {"cg-sense": reconstruct(undersampled, "cg-sense", None, 1, 0)}
    path, share = tmp_path / "a_recon.h5", torch.zeros(4, 48, 48)
    write_result(path, result_data(about_of(undersampled, results["cg-sense"], None, "", (), "mvue"), results, share))
    with h5py.File(path) as file:
        assert "second_set" not in file
        assert np.array_equal(file["mean"][:], results["cg-sense"].mean.numpy())
    assert read_result(path).second_set is None
    assert not any("field of view" in note for note in notes(undersampled, results, {}))
