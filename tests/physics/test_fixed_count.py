from itertools import combinations
from math import prod

import pytest
import torch

from mri_ambient.physics.fixed_count import draw_subset, inclusion_probability

WEIGHTS = torch.tensor([0.2, 1.0, 3.0, 0.7, 2.0, 0.1, 1.5], dtype=torch.float64)


def exact(size: int) -> torch.Tensor:
    """Inclusion probabilities by listing every subset."""
    chances = {subset: prod(float(WEIGHTS[i]) for i in subset) for subset in combinations(range(len(WEIGHTS)), size)}
    total = sum(chances.values())
    return torch.tensor([sum(p for s, p in chances.items() if i in s) / total for i in range(len(WEIGHTS))]).double()


@pytest.mark.parametrize("size", [0, 1, 3, 6, 7])
def test_inclusion_probability_is_that_of_all_subsets(size):
    torch.testing.assert_close(inclusion_probability(WEIGHTS.log(), size), exact(size))


@pytest.mark.parametrize("size", [1, 3, 7])
def test_drawn_subsets_have_the_size_and_the_frequencies(size):
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(len(WEIGHTS), dtype=torch.float64)
    for _ in range(4000):
        subset = draw_subset(WEIGHTS.log(), size, generator)
        assert len(subset.unique()) == size
        counts[subset] += 1
    torch.testing.assert_close(counts / 4000, exact(size), rtol=0, atol=0.03)


def test_many_lines_do_not_overflow():
    log_weights = -torch.linspace(-3, 3, 600, dtype=torch.float64).square()
    q = inclusion_probability(log_weights, 250)
    assert q.sum().item() == pytest.approx(250)
    assert ((q > 0) & (q < 1)).all()
    assert len(draw_subset(log_weights, 250, torch.Generator().manual_seed(1))) == 250
