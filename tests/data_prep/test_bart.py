"""BART as an oracle; skipped where it is not installed."""

import contextlib
import shutil

import numpy as np
import pytest
import torch

from data_prep.maps import espirit
from tests.data_prep.test_maps import phantom  # noqa: F401  (a fixture)

pytestmark = [
    pytest.mark.bart,
    pytest.mark.skipif(shutil.which("bart") is None, reason="needs the BART toolbox: apt-get install bart"),
]


def test_espirit_spans_what_ecalib_does(phantom):  # noqa: F811
    """The angle between the two maps of a pixel, where both see the object."""
    from bart import bart

    kspace, truth = phantom
    with contextlib.redirect_stdout(None):
        found = bart(1, "ecalib -m 1 -c 0.8 -r 24", kspace.permute(1, 2, 0)[:, :, None].numpy())
    theirs = torch.from_numpy(np.ascontiguousarray(found[:, :, 0])).permute(2, 0, 1)
    ours = espirit(kspace, (24, 24))
    both = (truth.abs().amax(0) > 0) & (ours.abs().amax(0) > 0) & (theirs.abs().amax(0) > 0)
    assert both.sum() > 0.95 * (truth.abs().amax(0) > 0).sum()
    norms = ours.norm(dim=0) * theirs.norm(dim=0)
    cosine = (ours.conj() * theirs).sum(0).abs()[both] / norms[both]
    assert cosine.quantile(0.01) > 0.999
