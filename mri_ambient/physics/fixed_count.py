"""Random subsets of a fixed size whose members are not equally likely: conditional Poisson sampling.

P(subset) is proportional to the product of its members' weights w (Hajek 1964; Chen, Dempster & Liu, Biometrika 81:457,
1994). Everything follows from e_k(w), the sum over all subsets of size k of their products, which is kept as a logarithm.
What makes this design right for masks: given some members, the others are again a conditional Poisson sample.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

Weights = Float[Tensor, " n"]


def draw_subset(log_weights: Weights, size: int, generator: Generator) -> Tensor:
    """Indices [size], ascending. log_weights: float64."""
    totals = _suffix_totals(log_weights, size)
    chance = torch.rand(len(log_weights), generator=generator, dtype=torch.float64).log()
    chosen, left = [], size
    for i in range(len(log_weights)):
        if left and chance[i] < log_weights[i] + totals[i + 1, left - 1] - totals[i, left]:
            chosen.append(i)
            left -= 1
    return torch.tensor(chosen, dtype=torch.long)


def inclusion_probability(log_weights: Weights, size: int) -> Weights:
    """P(member i is in a subset of ``size``) = w_i e_{size-1}(the others) / e_size(all)."""
    if size == 0:
        return torch.zeros_like(log_weights)
    after = _suffix_totals(log_weights, size)
    before = _suffix_totals(log_weights.flip(0), size).flip(0)
    others = torch.logsumexp(before[:-1, :size] + after[1:, :size].flip(1), 1)
    return torch.exp(log_weights + others - after[0, size])


def _suffix_totals(log_weights: Weights, size: int) -> Float[Tensor, "m k"]:
    """log e_k of the weights from i on, at [i, k]."""
    totals = torch.full((len(log_weights) + 1, size + 1), -torch.inf, dtype=torch.float64)
    totals[:, 0] = 0
    for i in range(len(log_weights) - 1, -1, -1):
        totals[i, 1:] = torch.logaddexp(totals[i + 1, 1:], log_weights[i] + totals[i + 1, :-1])
    return totals
