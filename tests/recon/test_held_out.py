from dataclasses import replace

import pytest
import torch

from data_prep.prepare import complete
from data_prep.readers import read_scan
from mri_ambient.errors import UserError
from mri_ambient.physics.masks import acs_mask
from recon.held_out import SHARE, held_out_error, hide, unusual
from recon.reconstruct import reconstruct, reference_image
from tests.conftest import ACS


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
    best = held_out_error(undersampled, hidden, truth)
    usual = held_out_error(undersampled, hidden, reconstruct(shown, "cg-sense", None, 1, 0).mean)
    assert (best < 0.7 * usual).all()
    torch.testing.assert_close(held_out_error(undersampled, hidden, 0 * truth), torch.ones(4))
    poisoned = replace(undersampled, kspace=torch.where(undersampled.mask[:, None], undersampled.kspace, torch.nan))
    torch.testing.assert_close(held_out_error(poisoned, hidden, truth), best)


def test_a_scan_beyond_the_limit_is_told_of(undersampled):
    said = unusual(undersampled, "cg-sense", None, None, 0.01, 0)
    assert said is not None
    assert "above 0.01" in said
    assert unusual(undersampled, "cg-sense", None, None, 2.0, 0) is None


def test_nothing_to_hide(undersampled):
    only_acs = replace(undersampled, mask=acs_mask(48, ACS).expand(4, 1, 48))
    with pytest.raises(UserError, match="no measured lines outside its ACS"):
        hide(only_acs, 0)
    assert unusual(only_acs, "cg-sense", None, None, 0.01, 0) is None
