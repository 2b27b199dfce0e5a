"""Kinds of ISMRMRD files that converters and scanners write."""

import h5py
import numpy as np
import pytest

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.errors import UserError
from tests.data_prep.mrd_files import CALIBRATION, OTHERS, REFERENCE, N, head, ismrmrd, lines_of, measured, write, xml

__all__ = ["head"]  # a fixture


@pytest.fixture(scope="module")
def stack(head) -> np.ndarray:
    """4 slices, all different."""
    return np.concatenate([head, 2 * head[:, ::-1]])


def test_resolution_is_no_oversampling(head, tmp_path):
    """Encoded and image space are judged by field of view."""
    small = xml(recon=(32, 32, 1))
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head), small))
    assert (scan.recon_rows, scan.field_of_view, scan.notes) == (None, (230, 230), ())
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["kspace"], file["ismrmrd_header"] = head, small
    scan = read_scan(tmp_path / "b.h5")
    assert (scan.recon_rows, scan.field_of_view) == (None, (230, 230))
    half = xml(recon=(N // 2, N // 2, 1), view=(460, 230), recon_view=(230, 115))
    scan = read_scan(write(tmp_path / "c.h5", lines_of(head), half))
    assert (scan.recon_rows, scan.field_of_view) == (N // 2, (230, 230))
    assert "the phase encodes are oversampled: 230 mm are kept" in "".join(scan.notes)
    interpolated = xml(recon=(96, 96, 1), view=(460, 230), recon_view=(230, 230))
    assert read_scan(write(tmp_path / "d.h5", lines_of(head), interpolated)).recon_rows == N // 2
    absurd = xml(recon=(N, N, 1), view=(460, 230), recon_view=(50, 230))
    scan = read_scan(write(tmp_path / "e.h5", lines_of(head), absurd))
    assert scan.recon_rows is None
    assert "can't be oversampling" in "".join(scan.notes)


@pytest.mark.parametrize(
    "view", [(0, 230), (float("nan"), 230), ("1e999", 230), (-230, 230), (23000, 230), (230, 0.002)]
)
def test_an_impossible_field_of_view_is_ignored(view, head, tmp_path):
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head), xml(view=view, recon_view=view)))
    assert scan.field_of_view is None
    assert "can't be: it is ignored" in "".join(scan.notes)


def test_metres_are_millimetres(head, tmp_path):
    scan = read_scan(
        write(tmp_path / "a.h5", lines_of(head), xml(view=(0.46, 0.23), recon=(24, N, 1), recon_view=(0.23, 0.23)))
    )
    assert scan.recon_rows == 24
    assert scan.field_of_view == pytest.approx((230, 230))
    assert "is in metres" in "".join(scan.notes)


@pytest.mark.parametrize("centre", [0, 5, 40, 47, 4000, None])
@pytest.mark.parametrize("which", [range(N), [*range(0, N, 2), 23, 25]])
def test_a_wrong_centre_is_mended_by_the_echo(centre, which, head, tmp_path):
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head, which), xml(limits=(0, N - 1, centre))))
    assert measured(scan) == sorted(which)
    np.testing.assert_array_equal(scan.kspace[..., list(which)], head[..., list(which)])
    assert scan.acquired.all()
    assert ("is taken for the centre" in "".join(scan.notes)) == (centre is not None)


def test_a_wrong_centre_of_partial_fourier(head, tmp_path):
    """30 lines of 48, the centre their line 6; the header has the middle of the matrix."""
    kept = range(18, N)
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head, kept, first=18), xml(limits=(0, 29, 24))))
    assert abs(measured(scan)[0] - 18) <= 1  # the head's own phase moves its echo by so much
    assert scan.acquired.sum() == 30
    right = read_scan(write(tmp_path / "b.h5", lines_of(head, kept, first=18), xml(limits=(0, 29, 6))))
    assert measured(right) == list(kept)
    assert right.notes == ()


def test_a_centre_that_the_matrix_does_not_allow_is_refused(head, tmp_path):
    rolled = np.roll(head, -14, axis=-1)  # 48 lines, their echo in line 10: the matrix would need 76
    with pytest.raises(UserError, match="put line 24 in the middle of k-space, but the strongest line is (9|10|11)"):
        read_scan(write(tmp_path / "a.h5", lines_of(rolled), xml()))
    blank = np.full_like(head, 1 + 1j)
    with pytest.raises(UserError, match="no line stands out"):
        read_scan(write(tmp_path / "b.h5", lines_of(blank, range(40)), xml(limits=(0, 39, 0))))


def test_a_center_sample_that_the_data_deny(head, tmp_path):
    cut = head[:, :, 10:]
    made = lines_of(cut)
    for each in made:
        each.center_sample = 19 + 5
    scan = read_scan(write(tmp_path / "a.h5", made, xml()))
    rows = scan.mask.all(1).nonzero().squeeze(1).tolist()
    assert abs(rows[0] - 10) <= 1
    assert len(rows) == N - 10
    assert "off the readouts' center_sample" in "".join(scan.notes)


@pytest.mark.parametrize("centre", [N // 2, N])
def test_readouts_whose_oversampling_was_removed(centre, head, tmp_path):
    made = lines_of(head)
    for each in made:
        each.center_sample = centre
    header = xml(encoded=(2 * N, N, 1), view=(460, 230))
    scan = read_scan(write(tmp_path / "a.h5", made, header))
    np.testing.assert_array_equal(scan.kspace, head)
    assert (scan.recon_rows, scan.field_of_view) == (None, (230, 230))
    assert "oversampling was removed before" in "".join(scan.notes)


def placed(made: list, places: list[float], normal=(0, 0.6, 0.8)) -> list:
    """Slice number n lies at places[n] mm along the normal."""
    for each in made:
        each.position[:] = [place * places[each.idx.slice] for place in normal]
        each.read_dir[:], each.phase_dir[:], each.slice_dir[:] = (1, 0, 0), (0, 0.8, -0.6), normal
    return made


def test_slices_are_sorted_by_their_positions(stack, tmp_path):
    places = [5.0, 15.0, 0.0, 10.0]
    made = [each for r in (0, 1) for each in placed(lines_of((1 + r) * stack, repetition=r), places)]
    scan = read_scan(write(tmp_path / "a.h5", made, xml()))
    np.testing.assert_array_equal(scan.kspace, np.concatenate([(1 + r) * stack[[2, 0, 3, 1]] for r in (0, 1)]))
    assert scan.geometry.heights() == pytest.approx([0, 5, 10, 15] * 2, abs=1e-5)
    assert scan.geometry.positions[1] == pytest.approx([0, 3, 4], abs=1e-5)
    assert "2 repetitions of 4 slices follow each other: 8 images" in scan.notes
    assert "sorted by their positions" in scan.notes[-1]
    provenance = prepare(scan, PrepareSettings(acs=12)).provenance
    assert provenance["geometry"]["heights_mm"] == pytest.approx([0, 5, 10, 15] * 2, abs=1e-3)


def test_slices_whose_numbers_go_along_stay(stack, tmp_path):
    for name, places in {"up": [0, 5, 10, 15], "down": [9, 6, 3, 0]}.items():
        scan = read_scan(write(tmp_path / f"{name}.h5", placed(lines_of(stack), places), xml()))
        np.testing.assert_array_equal(scan.kspace, stack)
        assert scan.notes == ()


def test_positions_that_tell_nothing(stack, tmp_path):
    """All at one place, two at one place, or slices of several orientations."""
    scout = placed(lines_of(stack), [0, 5, 10, 15])
    for each in scout:
        if each.idx.slice == 2:
            each.slice_dir[:] = (1, 0, 0)
    for name, made in {
        "none": lines_of(stack),
        "same": placed(lines_of(stack), [5, 5, 0, 10]),
        "scout": scout,
    }.items():
        scan = read_scan(write(tmp_path / f"{name}.h5", made, xml()))
        np.testing.assert_array_equal(scan.kspace, stack)
        assert "slices are in the order of their numbers" in "".join(scan.notes)


def test_surface_coil_flags_of_a_converter(head, tmp_path):
    flag = ("IS_SURFACECOILCORRECTIONSCAN_DATA",)
    scan = read_scan(write(tmp_path / "all.h5", lines_of(head, flags=flag), xml()))
    np.testing.assert_array_equal(scan.kspace, head)
    assert "all 96 readouts are flagged for surface-coil correction" in scan.notes[0]
    some = range(3, N, 5)
    rest = [line for line in range(N) if line not in some]
    scan = read_scan(write(tmp_path / "some.h5", lines_of(head, rest) + lines_of(head, some, flag), xml()))
    np.testing.assert_array_equal(scan.kspace, head)
    assert f"{2 * len(some)} readouts flagged for surface-coil correction are used" in scan.notes[0]


@pytest.mark.parametrize("other", OTHERS)
def test_a_scan_for_surface_coil_correction_is_none_of_the_image(other, head, tmp_path):
    flag = ("IS_SURFACECOILCORRECTIONSCAN_DATA",)
    made = lines_of(OTHERS[other](head), REFERENCE, flag) + lines_of(head, range(0, N, 2))
    scan = read_scan(write(tmp_path / "a.h5", made, xml()))
    assert measured(scan) == list(range(0, N, 2))
    np.testing.assert_array_equal(scan.kspace[..., ::2], head[..., ::2])
    assert "32 surface-coil correction readouts are left out, of which 16 have no other copy" in "".join(scan.notes)


def test_holes_that_a_flag_leaves_are_told(head, tmp_path):
    made = lines_of(head, [line for line in range(N) if line != 7]) + lines_of(head, [7], ("IS_NAVIGATION_DATA",))
    scan = read_scan(write(tmp_path / "a.h5", made, xml()))
    assert 7 not in measured(scan)
    assert scan.notes[0] == (
        "2 navigator readouts are left out, of which 2 have no other copy: those lines count as unmeasured"
    )
    with pytest.raises(
        UserError, match=r"no imaging acquisitions among its 96 \(96 navigator readouts by their flags\)"
    ):
        read_scan(write(tmp_path / "b.h5", lines_of(head, flags=("IS_NAVIGATION_DATA",)), xml()))


def test_flags_that_mean_nothing_here(head, tmp_path):
    flags = ("LAST_IN_MEASUREMENT", "LAST_IN_SLICE", "FIRST_IN_REPETITION", "USER3", "COMPRESSION2")
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head, flags=flags), xml()))
    np.testing.assert_array_equal(scan.kspace, head)
    assert scan.notes == ()
    scan = read_scan(write(tmp_path / "b.h5", lines_of(head, flags=CALIBRATION), xml()))
    np.testing.assert_array_equal(scan.kspace, head)
    assert "all 96 readouts are flagged as calibration alone" in scan.notes[0]


def test_readouts_that_are_all_reversed(head, tmp_path):
    """Nothing tells whether the converter has turned them: the flag is followed, and that is said."""
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head[:, :, ::-1], flags=("IS_REVERSE",)), xml()))
    np.testing.assert_array_equal(scan.kspace, head)
    assert "96 readouts were acquired backwards: they are flipped, as all are" in "".join(scan.notes)


def test_encodings_counted_from_one(head, tmp_path):
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head, space=1), xml()))
    np.testing.assert_array_equal(scan.kspace, head)


def noise_of(coils: int, count: int = 5) -> list:
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(count, coils, N)) + 1j * rng.normal(size=(count, coils, N))).astype(np.complex64)
    made = [ismrmrd.Acquisition.from_array(one, sample_time_us=20.0) for one in samples]
    for each in made:
        each.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    return made


def test_the_dataset_with_images_and_the_noise_of_another(head, tmp_path):
    head = 1e5 * head  # far above its noise
    path = write(tmp_path / "a.h5", noise_of(4), xml(), "dataset_1")
    scan = read_scan(write(path, lines_of(head), xml(), "dataset_2"))
    np.testing.assert_array_equal(scan.kspace, head)
    assert scan.noise.shape == (4, 5 * N)
    assert float(scan.noise.abs().square().mean()) == pytest.approx(2 * 20 / 5, rel=0.1)  # of four times the bandwidth
    assert scan.notes[:2] == (
        "its dataset `dataset_2` is read, not dataset_1",
        "the noise is that of its dataset `dataset_1`",
    )
    path = write(tmp_path / "b.h5", noise_of(3), xml(), "dataset_1")
    assert read_scan(write(path, lines_of(head), xml(), "dataset_2")).noise is None
    path = write(tmp_path / "c.h5", noise_of(3), xml(), "one")
    with pytest.raises(UserError, match=r"no imaging acquisitions.*its datasets: one, two"):
        read_scan(write(path, noise_of(4), xml(), "two"))


def test_a_scanners_adjustment_is_no_image(head, tmp_path):
    protocol = "<measurementInformation><protocolName>AdjCoilSens</protocolName></measurementInformation>"
    path = write(tmp_path / "a.h5", lines_of(2 * head), xml(outside=protocol), "dataset_1")
    scan = read_scan(write(path, lines_of(head), xml(), "dataset_2"))
    np.testing.assert_array_equal(scan.kspace, head)


def test_two_dimensions_whatever_the_matrix_says(head, tmp_path):
    none = "<kspace_encoding_step_2><minimum>0</minimum><maximum>0</maximum><center>0</center></kspace_encoding_step_2>"
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head), xml(encoded=(N, N, 2), more=none)))
    np.testing.assert_array_equal(scan.kspace, head)
    assert "it is read as 2-D" in scan.notes[0]
    for limits in ("", none.replace("<maximum>0", "<maximum>1")):
        with pytest.raises(UserError, match="3-D scan of 2 partitions"):
            read_scan(write(tmp_path / f"{len(limits)}.h5", lines_of(head), xml(encoded=(N, N, 2), more=limits)))


@pytest.mark.parametrize(
    "header",
    [
        xml(trajectory="<trajectory>Cartesian</trajectory>"),
        xml(trajectory="<trajectory>\n CARTESIAN </trajectory>"),
        xml(trajectory=""),
        xml(namespace=""),
        xml(namespace=' xmlns="http://example.org/other"'),
        xml()
        .replace("<", "<m:")
        .replace("<m:/", "</m:")
        .replace("<m:ismrmrdHeader xmlns=", "<m:ismrmrdHeader xmlns:m="),
        "\n " + xml() + "\0\0",
        xml(limits=None),
        xml(limits=(None, N - 1, None)),
        xml(limits=(0, N + 40, N // 2)),
        xml(outside="<unheardOf>1</unheardOf>"),
    ],
)
def test_headers_as_converters_write_them(header, head, tmp_path):
    scan = read_scan(write(tmp_path / "a.h5", lines_of(head), header))
    np.testing.assert_array_equal(scan.kspace, head)
    assert scan.acquired.all()
    assert scan.field_of_view == (230, 230)


BAD = {
    "encodedSpace/matrixSize/x is `1e999`": xml(encoded=("1e999", N, 1)),
    "encodedSpace/matrixSize/y is `nan`": xml(encoded=(N, "nan", 1)),
    "encodedSpace/matrixSize/x is -48": xml(encoded=(-N, N, 1)),
    "kspace_encoding_step_1/center is `1e999`": xml(limits=(0, N - 1, "1e999")),
    "has no matrixSize/y": xml().replace(f"<y>{N}</y>", ""),
    "longer than": xml(outside="<a>" + "x" * 10_000_001 + "</a>"),
    "defines entities": '<!DOCTYPE a [<!ENTITY b "c">]>' + xml(),
    "far more than the file holds": xml(encoded=(65535, 65535, 1)),
    "trajectory `unknown`": xml(trajectory="<trajectory> </trajectory>"),
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_headers_are_told_in_one_sentence(problem, head, tmp_path):
    made = lines_of(head[:1])
    if "unknown" in problem:
        made = [ismrmrd.Acquisition.from_array(np.ones((4, N), np.complex64), np.ones((N, 2), np.float32))]
    path = write(tmp_path / "a.h5", made, BAD[problem])
    with pytest.raises(UserError, match=problem) as error:
        read_scan(path)
    assert "\n" not in str(error.value)


def test_limits_that_leave_out_the_lines_of_an_array(head, tmp_path):
    """fastMRI's layout, where limits only tell padding; they do as long as the data agree."""
    for name, limits in {"off": (0, 10, 10), "half": (0, 20, 20), "beyond": (0, N - 1, 0)}.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["kspace"], file["ismrmrd_header"] = head, xml(limits=limits)
        scan = read_scan(tmp_path / f"{name}.h5")
        assert scan.fully_sampled
        assert scan.mask.all()
        assert "the data tell what is padding" in "".join(scan.notes)
