import subprocess
import sys

import pytest
import torch

from mri_ambient.physics.acs import centre_box
from mri_ambient.physics.masks import line_count, slice_mask
from mri_ambient.physics.poisson_disc import (
    poisson_disc_mask,
    relative_spacing,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def everything(columns: int) -> torch.Tensor:
    return torch.ones(columns, dtype=torch.bool)


@pytest.mark.parametrize("accel", [2, 3.5, 4, 8])
def test_exact_count_with_acs(accel):
    count = line_count(60 * 50, accel)
    for seed in range(3):
        mask = poisson_disc_mask(count, (12, 10), 60, everything(50), generator(seed))
        assert mask.sum() == count
        assert mask[centre_box((12, 10), 60, 50)].all()


def test_padding_is_never_chosen():
    acquired = everything(50)
    acquired[:7] = acquired[-4:] = False
    mask = poisson_disc_mask(300, (8, 8), 40, acquired, generator())
    assert mask.sum() == 300
    assert not mask[:, ~acquired].any()


def test_samples_keep_a_distance_that_grows_outwards():
    mask = poisson_disc_mask(64 * 64 // 8, (8, 8), 64, everything(64), generator())
    outer = (mask & ~centre_box((8, 8), 64, 64)).nonzero().double()
    distance = torch.cdist(outer, outer).fill_diagonal_(torch.inf).amin(1)
    spacing = torch.from_numpy(relative_spacing(64, 64))[outer[:, 0].long(), outer[:, 1].long()]
    inner, rim = distance[spacing < 1.7], distance[spacing > 2.7]
    assert rim.min() > 1.5
    assert rim.mean() > 1.5 * inner.mean()


def test_nothing_left_out_and_too_much_asked_for():
    assert poisson_disc_mask(400, (4, 4), 20, everything(20), generator()).all()
    with pytest.raises(ValueError, match="fewer than the 64 of the ACS"):
        poisson_disc_mask(50, (8, 8), 20, everything(20), generator())


def test_the_same_mask_in_another_process():
    code = (
        "import torch; from mri_ambient.physics.masks import slice_mask;"
        "m = slice_mask('volume', 3, 'poisson', 4, (8, 8), torch.ones(40, dtype=torch.bool), 32);"
        "print(m.flatten().nonzero().squeeze(1).tolist())"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = slice_mask("volume", 3, "poisson", 4, (8, 8), everything(40), 32)
    assert str(here.flatten().nonzero().squeeze(1).tolist()) == child.stdout.strip()
