"""Reference lines of ISMRMRD files: they fill the images' holes if they are of the same scan, else they calibrate alone."""

import numpy as np
import pytest

from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readers.same_scan import agree, consistent
from tests.data_prep.mrd_files import (
    CALIBRATION,
    OTHERS,
    REFERENCE,
    N,
    head,
    inverted,
    lines_of,
    measured,
    noisy,
    write,
    xml,
)

__all__ = ["head"]  # a fixture


@pytest.mark.parametrize("other", OTHERS)
def test_reference_lines_of_another_scan_calibrate_and_nothing_else(other, head, tmp_path):
    reference = OTHERS[other](head)
    imaging = range(0, N, 2)
    made = lines_of(reference, REFERENCE, CALIBRATION) + lines_of(head, imaging)
    scan = read_scan(write(tmp_path / "a.h5", made, xml()))
    assert measured(scan) == list(imaging)
    np.testing.assert_array_equal(scan.kspace[..., imaging], head[..., imaging])
    assert scan.reference is not None
    np.testing.assert_allclose(scan.reference[..., REFERENCE], reference[..., REFERENCE], rtol=1e-5)
    outside = [line for line in range(N) if line not in REFERENCE]
    assert (scan.reference[..., outside] == 0).all()
    assert "calibrate the coils and nothing else: they differ" in "".join(scan.notes)


def test_reference_lines_of_the_images_own_scan_fill_holes(head, tmp_path):
    """Measured twice, with noise of its own, though no flag or header says what they are."""
    made = lines_of(noisy(head), REFERENCE, CALIBRATION) + lines_of(head, range(0, N, 2))
    scan = read_scan(write(tmp_path / "a.h5", made, xml()))
    assert measured(scan) == sorted({*range(0, N, 2), *REFERENCE})
    assert scan.reference is None
    np.testing.assert_array_equal(scan.kspace[..., 20], head[..., 20])


@pytest.mark.parametrize("other", [None, *OTHERS])
def test_reference_lines_between_the_images_own_are_judged_together(other, head, tmp_path):
    between = [line for line in REFERENCE if line % 2]
    reference = head if other is None else OTHERS[other](head)
    made = lines_of(reference, between, CALIBRATION) + lines_of(head, range(0, N, 2))
    scan = read_scan(write(tmp_path / "a.h5", made, xml()))
    assert measured(scan) == sorted({*range(0, N, 2), *(between if other is None else ())})
    assert scan.reference is None  # every other line alone calibrates nothing
    told = "".join(scan.notes)
    assert ("used where imaging has no line" in told) == (other is None)
    assert ("nothing tells that they have the contrast" in told) == (other is not None)


def test_the_header_tells_of_a_separate_reference(head, tmp_path):
    mode = "<parallelImaging><calibrationMode> Separate </calibrationMode></parallelImaging>"
    header = xml().replace("</encoding>", f"{mode}</encoding>")
    made = lines_of(head, REFERENCE, CALIBRATION) + lines_of(head, range(0, N, 2))
    scan = read_scan(write(tmp_path / "a.h5", made, header))
    assert measured(scan) == list(range(0, N, 2))
    assert scan.reference is not None


def test_a_reference_of_another_encoding_space(head, tmp_path):
    """A smaller matrix over the same field of view is the same grid; over another one it isn't."""
    one = xml()
    small = xml(encoded=(16, 16, 1), recon=(16, 16, 1), limits=(0, 15, 8))
    second = small[small.index("<encoding>") : small.index("</ismrmrdHeader>")]
    centre = head[:, :, 16:32]
    made = lines_of(0.5 * centre, REFERENCE, CALIBRATION, first=16, space=1) + lines_of(head, range(1, N, 2))
    scan = read_scan(write(tmp_path / "a.h5", made, one.replace("</ismrmrdHeader>", second + "</ismrmrdHeader>")))
    assert measured(scan) == list(range(1, N, 2))
    np.testing.assert_allclose(scan.reference[:, :, 16:32, 16:32], 0.5 * centre[..., 16:32], rtol=1e-5)
    assert (scan.reference[:, :, :16] == 0).all()
    wider = second.replace("<x>230</x>", "<x>460</x>")
    scan = read_scan(write(tmp_path / "b.h5", made, one.replace("</ismrmrdHeader>", wider + "</ismrmrdHeader>")))
    assert scan.reference is None
    assert "32 readouts of further encoding spaces are left out" in scan.notes


def test_repetitions_share_the_reference_of_their_slice(head, tmp_path):
    imaging = [each for r in (0, 1) for each in lines_of(head, range(0, N, 2), repetition=r)]
    scan = read_scan(write(tmp_path / "a.h5", lines_of(2 * head, REFERENCE, CALIBRATION) + imaging, xml()))
    assert scan.kspace.shape[0] == 4
    for half in (scan.reference[:2], scan.reference[2:]):
        np.testing.assert_allclose(half[..., REFERENCE], 2 * head[..., REFERENCE], rtol=1e-5)


def test_a_reference_before_the_first_repetition_serves_all(head, tmp_path):
    """It can't fill what later repetitions lack, but the coils are the same."""
    imaging = [each for r in (0, 1) for each in lines_of(head, range(0, N, 2), repetition=r)]
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head, REFERENCE, CALIBRATION) + imaging, xml()))
    assert measured(scan) == list(range(0, N, 2))
    np.testing.assert_allclose(scan.reference[2:][..., REFERENCE], head[..., REFERENCE], rtol=1e-5)
    assert "calibrate the coils and nothing else: not every image has them" in "".join(scan.notes)


def test_noise_decides_what_agrees(head):
    ours = np.moveaxis(head[0][..., REFERENCE], -1, 0)
    assert agree(ours, noisy(ours))
    assert not agree(ours, 0.93 * ours)
    assert not agree(ours, np.moveaxis(inverted(head)[0][..., REFERENCE], -1, 0))
    every, odd = np.ones(N, bool), np.arange(N) % 2 == 1
    assert consistent(head[0], every, odd)
    assert not consistent(head[0][:1], every, odd)  # one coil has no redundancy to tell
    assert not consistent(np.where(odd, 1.05 * head[0], head[0]), every, odd)
