from dataclasses import replace

import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.physics.fourier import fftc, ifftc
from mri_ambient.recon.evaluate.lesions.insert import CONTRASTS, WIDTHS, lesion_kspace, place_lesions
from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.recon.evaluate.lesions.recover import contrast_recovery
from mri_ambient.recon.evaluate.plan import Case
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct, reference_image
from mri_ambient.workflows.comparing import open_source
from tests.operators import random_complex


@pytest.fixture(scope="module")
def everything(scans) -> Case:
    """The first scan with lesions; R=1 keeps all its lines."""
    source = open_source(scans / "subject_0.h5", mask="random", slices=2, lesions=True, seed=0)
    return source.case(1.0)


def as_reconstruction(images: torch.Tensor) -> Reconstruction:
    return Reconstruction("x", images, torch.ones(len(images)), 1.0, (48, 48), 0, None)


def test_all_comes_back_where_all_is_measured(everything):
    """Through preparation and reconstruction, each with the coils, maps and scale of its own scan."""
    without = reconstruct(everything.volume, "zero-filled", None, 1, 0)
    lesioned = everything.lesioned
    found = reconstruct(lesioned.volume, "zero-filled", None, 1, 0)
    rows = contrast_recovery(lesioned, found, without, everything.reference)
    assert {(row.width, row.contrast) for row in rows} == {(w, c) for w in WIDTHS for c in CONTRASTS}
    assert len(rows) >= 2 * len(WIDTHS)
    for row in rows:
        assert row.recovery == pytest.approx(1, abs=1e-2)  # the scan has noise, the truth has none
        assert row.low is row.high is None


def test_a_method_that_ignores_the_data_recovers_nothing(everything):
    always = as_reconstruction(everything.reference[:, None].repeat(1, 4, 1, 1))
    rows = contrast_recovery(everything.lesioned, always, always, everything.reference)
    assert all(row.recovery == 0 == row.low == row.high for row in rows)


def test_samples_that_differ_have_an_interval(everything):
    lesioned = everything.lesioned
    noise = torch.randn(2, 8, 48, 48, generator=torch.Generator().manual_seed(0)) * lesioned.reference.abs().max() / 20
    found = as_reconstruction(lesioned.reference[:, None] + noise)
    without = as_reconstruction(everything.reference[:, None])
    rows = contrast_recovery(lesioned, found, without, everything.reference)
    inside = [row.low < 1 < row.high for row in rows]
    assert sum(inside) > 0.7 * len(rows)
    spans = {(row.slice, row.contrast, row.width): row.high - row.low for row in rows}
    pairs = [(spans.get((s, c, min(WIDTHS))), spans.get((s, c, max(WIDTHS)))) for s in (0, 1) for c in CONTRASTS]
    both = [(small, large) for small, large in pairs if small and large]
    assert len(both) >= 3
    assert all(small > 1.5 * large for small, large in both)  # of the same contrast in the same slice


def test_the_contrast_is_what_was_asked_for(everything):
    """At a lesion's centre the complete image is brighter by its contrast."""
    for lesion in everything.lesioned.lesions:
        y, x = lesion.centre
        before = everything.reference[lesion.slice].abs()
        profile = lesion.profile((48, 48))
        tissue = (profile * before).sum() / profile.sum()
        gain = everything.lesioned.reference[lesion.slice].abs()[y, x] - before[y, x]
        assert float(gain / tissue) == pytest.approx(lesion.contrast, rel=0.1)


def test_lesions_keep_their_distance(everything):
    lesions = everything.lesioned.lesions
    for a in lesions:
        for b in lesions:
            if a is not b and a.slice == b.slice:
                assert torch.dist(torch.tensor(a.centre).float(), torch.tensor(b.centre).float()) > a.width + b.width
    whole = everything.volume
    assert place_lesions(whole, 5) == place_lesions(whole, 5) != place_lesions(whole, 6)


def test_an_oversampled_readout(scans):
    """Twice the rows, the object in the middle half: after preparation the lesion is where it was put, as bright as it was."""
    scan = read_scan(scans / "subject_0.h5")
    image = ifftc(scan.kspace[:1], (-2,))
    padded = torch.nn.functional.pad(torch.view_as_real(image), (0, 0, 0, 0, 24, 24))
    kspace = fftc(torch.view_as_complex(padded), (-2,))
    kspace += 1e-3 * kspace.abs().max() * random_complex(tuple(kspace.shape), 0, torch.complex64)
    wide = replace(scan, kspace=kspace, recon_rows=48, sens_maps=None, noiseless=None)
    whole = prepare(wide, PrepareSettings(coils=4))
    before = reference_image(whole)
    lesion = Lesion(0, (24, 26), 4.0, 0.5)
    ill = replace(wide, kspace=wide.kspace + lesion_kspace(whole, [lesion], 96))
    gain = reference_image(prepare(ill, PrepareSettings(coils=4))).abs()[0] - before.abs()[0]
    profile = lesion.profile((48, 48))
    tissue = (profile * before[0].abs()).sum() / profile.sum()
    close = profile > 0.2
    torch.testing.assert_close(gain[close], 0.5 * tissue * profile[close], rtol=0, atol=0.05 * float(tissue))
