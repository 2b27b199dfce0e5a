import subprocess
import sys

import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.physics.acs import acs_mask
from mri_ambient.physics.mask_kinds.kind import MaskKind
from mri_ambient.physics.mask_kinds.registry import MASK_KINDS, TRAINABLE
from mri_ambient.physics.masks import (
    line_count,
    line_mask,
    measured_probability,
    realised_accel,
    remove_lines,
)
from mri_ambient.physics.seeds import seed_of

LINE_KINDS = [name for name, kind in MASK_KINDS.items() if kind.trains]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", LINE_KINDS)
@pytest.mark.parametrize("columns", [320, 368, 372, 396])
@pytest.mark.parametrize("accel", range(2, 9))
def test_exact_count_with_acs(kind, columns, accel):
    acquired = torch.ones(columns, dtype=torch.bool)
    acs = acs_mask(columns, 20)
    for seed in range(5):
        mask = line_mask(kind, accel, 20, acquired, generator(seed))
        assert mask.sum() == columns // accel
        assert mask[acs].all()
        assert accel <= realised_accel(mask, acquired) < accel * (1 + accel / columns) + 0.2


@pytest.mark.parametrize("kind", LINE_KINDS)
def test_padding_is_never_chosen_nor_counted(kind):
    acquired = torch.ones(100, dtype=torch.bool)
    acquired[:13] = acquired[-7:] = False
    mask = line_mask(kind, 4, 8, acquired, generator())
    assert mask.sum() == 80 // 4
    assert not mask[~acquired].any()


def test_equispaced_is_equispaced_from_a_random_offset():
    acquired = torch.ones(128, dtype=torch.bool)
    firsts = set()
    for seed in range(20):
        mask = line_mask("equispaced", 4, 0, acquired, generator(seed))
        lines = mask.nonzero().squeeze(1)
        assert set(lines.diff().tolist()) == {4}
        firsts.add(int(lines[0]))
    assert firsts == {0, 1, 2, 3}


def test_too_large_an_acceleration_is_refused():
    acquired = torch.ones(64, dtype=torch.bool)
    with pytest.raises(ValueError, match="fewer than the 20 ACS lines"):
        line_mask("random", 8, 20, acquired, generator())
    with pytest.raises(ValueError, match="below 1"):
        line_mask("random", 0.5, 2, acquired, generator())


def test_same_mask_in_a_child_process():
    code = (
        "import torch;from mri_ambient.physics.masks import *;"
        "g=torch.Generator().manual_seed(seed_of('volume', 3, 4, 'random'));"
        "print(line_mask('random', 4, 12, torch.ones(128, dtype=torch.bool), g).int().tolist())"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = generator(seed_of("volume", 3, 4, "random"))
    assert (
        str(line_mask("random", 4, 12, torch.ones(128, dtype=torch.bool), here).int().tolist()) == child.stdout.strip()
    )
    assert seed_of("volume", 3, 4, "random") != seed_of("volume", 4, 4, "random")


def test_seeds_count_to_their_last_digit():
    assert len({seed_of("volume", 0, seed, "samples") for seed in (20260101, 20260102, 20260103)}) == 3
    assert seed_of("volume", 0, 4, "random") == seed_of("volume", 0, 4.0, "random")


def test_removal_stays_inside_the_mask_and_keeps_the_acs():
    acquired = torch.ones(128, dtype=torch.bool)
    mask = line_mask("random", 4, 10, acquired, generator())
    further = remove_lines(mask, 10, 7, generator(1))
    assert further.sum() == mask.sum() - 7
    assert not (further & ~mask).any()
    assert further[acs_mask(128, 10)].all()


@pytest.mark.parametrize("kind", LINE_KINDS)
def test_q_is_the_counted_frequency(kind):
    """Among many (M, M~) pairs that share an M~, how often each line is in M."""
    columns, acs, accel, removed = 12, 2, 2, 2
    acquired = torch.ones(columns, dtype=torch.bool)
    acquired[0] = False
    lines = line_count(11, accel)
    draw = generator(0)
    seen: dict[tuple, list] = {}
    for _ in range(8_000):
        mask = line_mask(kind, accel, acs, acquired, draw)
        further = remove_lines(mask, acs, removed, draw)
        seen.setdefault(tuple(further.tolist()), []).append(mask)
    further, masks = max(seen.items(), key=lambda item: len(item[1]))
    counted = torch.stack(masks).float().mean(0)
    q = measured_probability(kind, torch.tensor(further), acs, lines, acquired)
    deviation = (counted - q).abs().max().item()
    assert deviation < 4 * (0.25 / len(masks)) ** 0.5
    assert q[~acquired].sum() == 0


def test_a_kind_that_is_not_known_is_refused():
    acquired = torch.ones(16, dtype=torch.bool)
    further = acs_mask(16, 4)
    with pytest.raises(UserError, match="mask kind spiral: is not known; choose one of random, equispaced"):
        line_mask("spiral", 2, 4, acquired, generator())
    with pytest.raises(UserError, match="mask kind spiral"):
        measured_probability("spiral", further, 4, 8, acquired)
    with pytest.raises(ValueError, match="poisson masks have no known probability"):
        measured_probability("poisson", further, 4, 8, acquired)
    with pytest.raises(ValueError, match="poisson masks are not made of lines"):
        line_mask("poisson", 2, 4, acquired, generator())


def test_a_kind_of_ones_own_is_one_object(monkeypatch):
    """Without a probability it is drawn, and never trained on as if it were another."""
    every = MaskKind(lambda count, acs, acquired, rows, generator: (torch.arange(len(acquired)) < count)[None])
    monkeypatch.setitem(MASK_KINDS, "first", every)
    acquired = torch.ones(16, dtype=torch.bool)
    assert line_mask("first", 2, 0, acquired, generator()).nonzero().squeeze(1).tolist() == list(range(8))
    assert not MASK_KINDS["first"].trains
    with pytest.raises(ValueError, match="first masks have no known probability"):
        measured_probability("first", acs_mask(16, 4), 4, 8, acquired)


def test_help_lists_the_kinds_that_train():
    assert [name for name, kind in MASK_KINDS.items() if kind.trains] == list(TRAINABLE)
