from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator

from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.errors import UserError
from mri_ambient.held_out import SHARE
from mri_ambient.physics.acs import acs_mask
from mri_ambient.physics.masks import slice_mask
from mri_ambient.physics.sense import Sense
from mri_ambient.recon.evaluate import held_out
from mri_ambient.recon.evaluate.held_out import (
    LEAST,
    HeldOut,
    hide,
    judge,
    relative_error,
    some_slices,
    unusual,
    verdicts,
)
from mri_ambient.recon.methods.classical import CgSettings
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct, reference_image
from mri_ambient.store import PreparedVolume
from tests.conftest import ACS
from tests.recon.results import made
from tests.recon.test_reconstruct import short, untrained


def reconstructed(volume: PreparedVolume, *methods: str, samples: int = 3) -> dict[str, Reconstruction]:
    return {name: reconstruct(volume, name, None, samples, 0) for name in methods}


def judged(differences: list[float], noise: float = 0.0) -> HeldOut:
    """`b` is off by 0.01 on each line, `a` by that less the differences, in squares."""
    squares = {"a": 0.01 - torch.tensor(differences), "b": torch.full((len(differences),), 0.01)}
    errors = {name: square.sum().sqrt()[None] for name, square in squares.items()}
    return HeldOut((0,), errors, errors, squares, torch.tensor([noise]), 0.0)


def test_outer_lines_are_hidden_and_only_those(undersampled):
    shown, hidden = hide(undersampled, seed=0)
    outer = undersampled.mask[0, 0] & ~acs_mask(48, ACS)
    assert hidden.sum((-2, -1)).tolist() == [round(SHARE * int(outer.sum()))] * 4
    assert not (hidden & acs_mask(48, ACS)).any()
    assert torch.equal(shown.mask | hidden, undersampled.mask)
    assert (shown.kspace[hidden[:, None].expand_as(shown.kspace)] == 0).all()
    assert torch.equal(hide(undersampled, 0)[1], hidden)
    assert not torch.equal(hide(undersampled, 1)[1], hidden)


def test_the_truth_predicts_hidden_lines_nothing_does_not(undersampled, scans):
    shown, hidden = hide(undersampled, seed=0)
    truth = reference_image(complete(read_scan(scans / "subject_0.h5"), undersampled))
    best = relative_error(undersampled, hidden, truth)
    usual = relative_error(undersampled, hidden, reconstruct(shown, "cg-sense", None, 1, 0).mean)
    assert (best < 0.7 * usual).all()
    torch.testing.assert_close(relative_error(undersampled, hidden, 0 * truth), torch.ones(4))
    poisoned = replace(undersampled, kspace=torch.where(undersampled.mask[:, None], undersampled.kspace, torch.nan))
    torch.testing.assert_close(relative_error(poisoned, hidden, truth), best)


def test_methods_are_judged_on_the_same_lines_by_what_they_were_not_shown(undersampled):
    """As if each had been given the scan without them; twice the same; without what is not measured."""
    results = reconstructed(undersampled, "zero-filled", "cg-sense")
    held = judge(undersampled, results, {}, 0)
    part = some_slices(undersampled, torch.tensor(held.slices))
    shown, hidden = hide(part, 0)
    for name in results:
        expected = relative_error(part, hidden, reconstruct(shown, name, None, 1, 0).mean)
        torch.testing.assert_close(held.errors[name], expected)
        torch.testing.assert_close(held.one[name], expected)
        torch.testing.assert_close(held.squares[name].sum(), expected.square().sum())
    assert held.slices == (1, 2)
    assert held.lines == int(hidden.sum())
    poisoned = replace(undersampled, kspace=torch.where(undersampled.mask[:, None], undersampled.kspace, torch.nan))
    again = judge(poisoned, results, {}, 0)
    assert all(torch.equal(again.squares[name], held.squares[name]) for name in results)
    assert not torch.equal(judge(undersampled, results, {}, 1).squares["cg-sense"], held.squares["cg-sense"])


def test_hidden_lines_are_not_read(undersampled, monkeypatch):
    """With NaN in their place the second pass gives the same images."""
    images = []

    def recorded(*given: Any) -> Reconstruction:
        images.append(reconstruct(*given))
        return images[-1]

    monkeypatch.setattr(held_out, "reconstruct", recorded)
    prior, settings = untrained("image"), short("dds", 3)
    results = reconstructed(undersampled, "cg-sense")
    results["dds"] = reconstruct(some_slices(undersampled, torch.arange(1)), "dds", prior, 2, 0, settings)
    held = judge(undersampled, results, {"dds": prior}, 0)
    hidden = torch.zeros_like(undersampled.mask)
    hidden[list(held.slices)] = hide(some_slices(undersampled, torch.tensor(held.slices)), 0)[1]
    poisoned = replace(undersampled, kspace=torch.where(hidden[:, None], torch.nan, undersampled.kspace))
    assert poisoned.kspace.isnan().any()
    judge(poisoned, results, {"dds": prior}, 0)
    for before, after in zip(images[:2], images[2:], strict=True):
        assert torch.equal(before.samples, after.samples)
        assert after.samples.isfinite().all()


@pytest.fixture
def known(undersampled):
    """Random images, and their exact k-space behind the mask, as a volume without noise."""
    images = torch.randn(4, 48, 48, dtype=torch.complex64, generator=Generator().manual_seed(0))
    kspace = Sense(undersampled.sens_maps, undersampled.mask)(images)
    truth = images * undersampled.scale[:, None, None]
    return truth, replace(undersampled, kspace=kspace, noise_std=torch.full((4,), 1e-9))


def answering(truth: torch.Tensor, scatter: float, scale: torch.Tensor) -> Any:
    """A method whose samples are the truth and so much noise, as `reconstruct` calls it."""
    generator = Generator().manual_seed(1)

    def answer(shown: PreparedVolume, method: str, _: Any, count: int, *rest: Any) -> Reconstruction:
        where = [scale.tolist().index(value) for value in shown.scale.tolist()]
        noise = torch.randn(len(where), count, 48, 48, dtype=torch.complex64, generator=generator)
        samples = truth[where, None] + scatter * scale[where, None, None, None] * noise
        return made(method, samples, torch.ones(len(where)), None, None)

    return answer


def test_the_error_of_a_mean_is_told_from_two_samples(known, monkeypatch):
    """A mean of 8 samples around the truth has 1/8 of a sample's variance."""
    truth, volume = known
    answer = answering(truth, 0.3, volume.scale)
    monkeypatch.setattr(held_out, "reconstruct", answer)
    held = judge(volume, {"dds": answer(volume, "dds", None, 8)}, {}, 0)
    assert (8 * held.errors["dds"].square() / held.one["dds"].square()).mean() == pytest.approx(1, abs=0.15)


def test_what_the_truth_leaves_is_the_noise_alone(known, monkeypatch):
    truth, volume = known
    noise = 0.5 * torch.randn(volume.kspace.shape, dtype=torch.complex64, generator=Generator().manual_seed(2))
    noisy = replace(volume, kspace=volume.kspace + noise, noise_std=torch.full((4,), 0.5 * 0.5**0.5))
    answer = answering(truth, 0, volume.scale)
    monkeypatch.setattr(held_out, "reconstruct", answer)
    held = judge(noisy, {"dds": answer(volume, "dds", None, 1)}, {}, 0)
    torch.testing.assert_close(held.noise, held.errors["dds"], rtol=0.1, atol=0)
    assert (held.noise > 0.2).all()


def test_scattered_samples_are_hidden_too(undersampled, scans):
    scan = read_scan(scans / "subject_0.h5")
    whole = complete(scan, undersampled)
    mask = torch.stack([slice_mask("a", i, "poisson", 3, (ACS, ACS), whole.acquired, 48) for i in range(4)])
    volume = replace(whole, mask=mask, kspace=torch.where(mask[:, None], whole.kspace, 0), acs=(ACS, ACS))
    held = judge(volume, reconstructed(volume, "zero-filled", "cg-sense"), {}, 0)
    assert (held.errors["cg-sense"] < held.errors["zero-filled"]).all()
    assert held.lines > 60


def test_lines_of_a_band_are_hidden_whole(undersampled, scans):
    """Readouts that fill some rows only: scattered samples beside the hidden ones would tell of these."""
    band = torch.zeros(48, 1, dtype=torch.bool)
    band[:31] = True
    mask = undersampled.mask & band
    volume = replace(undersampled, mask=mask, kspace=torch.where(mask[:, None], undersampled.kspace, 0))
    shown, hidden = hide(volume, seed=0)
    lines = hide(undersampled, seed=0)[1]
    assert torch.equal(hidden, lines & band)
    assert torch.equal(shown.mask, mask & ~lines)
    assert not shown.kspace[hidden[:, None].expand_as(shown.kspace)].any()
    held = judge(volume, reconstructed(volume, "zero-filled", "cg-sense"), {}, 0)
    assert held.lines == int(lines[list(held.slices)].sum())
    truth = reference_image(complete(read_scan(scans / "subject_0.h5"), undersampled))
    usual = relative_error(volume, hidden, reconstruct(shown, "cg-sense", None, 1, 0).mean)
    assert (relative_error(volume, hidden, truth) < 0.8 * usual).all()


def test_better_means_beyond_chance_and_by_a_margin():
    steady = [0.005] * (LEAST - 1) + [0.006]
    assert judged(steady).better("a", "b")
    assert not judged(steady).better("b", "a")
    assert not judged(steady[1:]).better("a", "b")  # too few
    assert not judged([0.001] * 20 + [0.0011]).better("a", "b")  # by 5 % in the error
    assert judged([0.001] * 20 + [0.0011], noise=0.41).better("a", "b")  # most of which was noise
    assert not judged([0.05, *[-0.0005] * 20]).better("a", "b")  # a single line's doing


def test_a_prior_that_knows_nothing_of_the_anatomy_is_told_of(scans):
    """Untrained weights against CG-SENSE."""
    undersampled = prepare(read_scan(scans / "subject_0.h5"), PrepareSettings(accel=2, acs=ACS))
    prior = untrained("image")
    settings = replace(short("dds", 4), prior_spread=0.02)
    results = reconstructed(undersampled, "zero-filled", "cg-sense")
    results["dds"] = reconstruct(undersampled, "dds", prior, 2, 0, settings)
    held = judge(undersampled, results, {"dds": prior}, 0)
    (said,) = verdicts(held, results)
    assert said.startswith("warning: cg-sense predicts hidden measured lines better (")
    assert "prefer it for this scan, or look at both" in said
    assert f"{held.errors['cg-sense'].mean():.2f}" in said
    assert not list(verdicts(held, reconstructed(undersampled, "cg-sense")))


def test_few_lines_rank_nothing(undersampled):
    prior, one = untrained("image"), some_slices(undersampled, torch.arange(1))
    results = {"dds": reconstruct(one, "dds", prior, 1, 0, short("dds", 3)), **reconstructed(one, "cg-sense")}
    held = judge(one, results, {"dds": prior}, 0)
    assert held.lines < LEAST
    assert [f"only {held.lines} could be hidden, too few" in said for said in verdicts(held, results)] == [True]


def test_a_scan_beyond_the_limit_is_told_of(undersampled):
    held = judge(undersampled, {"cg-sense": reconstruct(undersampled, "cg-sense", None, 1, 0, CgSettings())}, {}, 0)
    said = unusual(held, "cg-sense", 0.01)
    assert said is not None
    assert "above 0.01" in said
    assert unusual(held, "cg-sense", 2.0) is None


def test_nothing_to_hide(undersampled):
    only_acs = replace(undersampled, mask=acs_mask(48, ACS).expand(4, 1, 48))
    with pytest.raises(UserError, match="no measured lines outside its ACS"):
        hide(only_acs, 0)
    with pytest.raises(UserError, match="no measured lines outside its ACS"):
        judge(only_acs, reconstructed(only_acs, "cg-sense"), {}, 0)
