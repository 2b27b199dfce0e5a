import torch

from mri_ambient.recon.evaluate.bootstrap import over_subjects


def test_scans_of_one_subject_stay_together():
    """Ten scans of each subject say no more than one: resampling scans would make the interval a third as wide."""
    values, names = [0.1, 0.2, 0.4, 0.5], ["a", "b", "c", "d"]
    once = over_subjects(values, names, seed=0)
    tenfold = over_subjects(values * 10, names * 10, seed=0)
    assert tenfold.subjects == 4
    for ours, theirs in zip((once.mean, once.low, once.high), (tenfold.mean, tenfold.low, tenfold.high), strict=True):
        assert abs(ours - theirs) < 1e-12
    assert once.low < 0.2
    assert once.high > 0.4


def test_fewer_than_three_subjects_have_no_interval():
    found = over_subjects([1.0, 2.0, 3.0], ["a", "b", "b"], seed=0)
    assert (found.mean, found.low, found.high, found.subjects) == (1.75, None, None, 2)


def test_order_does_not_matter_the_seed_does():
    values = torch.rand(12, generator=torch.Generator().manual_seed(0)).tolist()
    names = list("dacblkjihgfe")
    assert over_subjects(values, names, 0) == over_subjects(values[::-1], names[::-1], 0)
    assert over_subjects(values, names, 0) != over_subjects(values, names, 1)


def test_it_covers_the_mean_of_all_subjects():
    drawn = torch.randn(100, 30, generator=torch.Generator().manual_seed(0)).tolist()
    names = [f"{i}" for i in range(30)]
    found = [over_subjects(values, names, seed=i) for i, values in enumerate(drawn)]
    hits = sum(e.low <= 0 <= e.high for e in found)
    assert 87 <= hits <= 99
