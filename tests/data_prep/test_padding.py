"""Lines, bands of rows, padding, asymmetric echoes, left-overs: what counts as measured, and what R counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mri_ambient.data_prep.acs import find_acs
from mri_ambient.data_prep.info import scan_facts
from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readers.header import plausible_field_of_view
from mri_ambient.data_prep.readout import crop_mask, crop_readout, target_rows
from mri_ambient.data_prep.simulation.simulate import _header
from mri_ambient.errors import UserError
from mri_ambient.measurement import measurement_of
from mri_ambient.physics.fourier import fft2c
from mri_ambient.recon.evaluate.determined import determined_share
from mri_ambient.recon.evaluate.held_out import hide
from mri_ambient.recon.reconstruct import reconstruct
from mri_ambient.store import read_volume, write_volume
from tests.data_prep.raw import coil_maps, lines, object_of, padded, scan, spectrum, write


def facts(scan) -> dict[str, str]:
    return dict(scan_facts(scan))


# --- padding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(64, 60), (48, 60), (64, 40), (81, 71)])
def test_a_padded_complete_scan_is_complete(rows, columns, tmp_path):
    found = read_scan(write(tmp_path / "a.h5", kspace=padded(scan(), rows, columns)))
    assert found.fully_sampled
    assert found.acquired.sum() == 40
    assert found.kspace.shape[-2:] == (rows, columns)
    assert facts(found)["acceleration R"] == "1 (fully sampled)"
    assert facts(found)["sampling"] == "40 lines"
    for size, full, what in ((rows, 48, "rows"), (columns, 40, "columns")):
        assert any(what in note and "padding" in note for note in found.notes) == (size != full)


def test_a_padded_complete_scan_is_undersampled_as_asked(tmp_path):
    found = read_scan(write(tmp_path / "a.h5", kspace=padded(scan(), 64, 60)))
    volume = prepare(found, PrepareSettings(accel=2))
    assert volume.accel == 2
    assert volume.kspace.shape[-2:] == (64, 60)
    assert not volume.mask[:, :8].any()
    assert volume.mask[0, 10].sum() == 20
    write_volume(tmp_path / "v.h5", volume)
    assert read_volume(tmp_path / "v.h5").accel == 2
    whole = complete(found, volume)
    assert whole.fully_sampled
    with pytest.raises(UserError, match="rows that no readout fills; leave out --mask poisson"):
        prepare(found, PrepareSettings(accel=2, mask="poisson"))


@pytest.mark.parametrize("rows", [48, 96])
def test_of_padded_lines_r_counts_what_was_to_be_measured(rows, tmp_path):
    """Twice the matrix along both axes would make 15 of an R of 3.76."""
    kspace = scan() * lines(40)
    found = read_scan(write(tmp_path / "a.h5", kspace=padded(kspace, rows, 96)))
    volume = prepare(found, PrepareSettings())
    alone = prepare(read_scan(write(tmp_path / "b.h5", kspace=kspace)), PrepareSettings())
    assert volume.accel == pytest.approx(
        alone.accel, rel=0.08
    )  # the lines at the edge of the unpadded mask are not there
    assert facts(found)["acceleration R"] == f"{volume.accel:.2f}"
    assert facts(found)["sampling"] == "17 lines"


def test_an_unlucky_edge_is_not_padding(tmp_path):
    mask = lines(40)
    mask[:6] = False
    assert read_scan(write(tmp_path / "a.h5", kspace=scan() * mask)).acquired.all()


def test_partial_fourier_is_said(tmp_path):
    for every, columns in ((1, 40), (3, 64)):
        mask = lines(columns, every)
        mask[: columns // 2 - 7] = False
        found = read_scan(write(tmp_path / "a.h5", kspace=scan(columns=columns) * mask))
        assert found.acquired.nonzero().min() in (columns // 2 - 7, columns // 2 - 5)
        assert found.acquired[-1]
        assert "was not acquired" in facts(found)["phase encodes (x)"]
        assert any("partial Fourier" in note for note in found.notes)


def test_only_the_symmetric_part_of_partial_fourier_calibrates(tmp_path):
    kspace = scan()
    kspace[..., :10] = 0
    found = read_scan(write(tmp_path / "a.h5", kspace=kspace))
    with pytest.raises(UserError, match="has 21 fully sampled central lines; ask for 4 to 21"):
        find_acs(found, 24, 48)
    assert find_acs(found, 20, 48) == (48, 20)


# --- an asymmetric echo ------------------------------------------------------------------------------------------------


def oversampled(
    kept_rows: int = 48, columns: int = 40, first: int = 20, noise: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """k-space of twice the rows, of which those before ``first`` are 0, and the object in the middle half."""
    rows = 2 * kept_rows
    image = np.zeros((1, rows, columns), complex)
    image[:, kept_rows // 2 : kept_rows // 2 + kept_rows] = object_of(kept_rows, columns)
    rng = np.random.default_rng(1)
    kspace = spectrum(image[:, None] * coil_maps(6, rows, columns))
    kspace = kspace + noise * (rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape))
    kspace[:, :, :first] = 0
    return kspace.astype(np.complex64), np.abs(object_of(kept_rows, columns))


@pytest.mark.parametrize("sampling", [np.ones(40, bool), lines(40, 2, 14)])
def test_an_asymmetric_echo_is_a_band_of_lines_and_is_cropped(sampling, tmp_path):
    kspace, truth = oversampled()
    header = _header(40, 40).replace("<encodedSpace><matrixSize><x>40</x>", "<encodedSpace><matrixSize><x>96</x>")
    header = header.replace("<reconSpace><matrixSize><x>40</x>", "<reconSpace><matrixSize><x>48</x>")
    encoded, recon = header.split("<reconSpace>")
    header = encoded + "<reconSpace>" + recon.replace("<x>230.0</x>", "<x>115.0</x>")
    found = read_scan(write(tmp_path / "a.h5", kspace=kspace * sampling, ismrmrd_header=header))
    assert target_rows(found) == 48
    assert found.fully_sampled == sampling.all()
    assert any("rows 20 to 95 of 96" in note and "asymmetric echo" in note for note in found.notes)
    volume = prepare(found, PrepareSettings(maps="sigpy"))
    assert volume.accel == pytest.approx(40 / sampling.sum(), rel=0.1)
    assert volume.kspace.shape[-2:] == (48, 40)
    assert volume.mask[0].any(1).nonzero().min() in (10, 11)
    assert not volume.kspace[:, :, ~volume.mask[0].any(1)].any()
    image = reconstruct(volume, "cg-sense", None, 1, 0).mean[0].abs().numpy()
    image = image * (image * truth).sum() / (image * image).sum()
    assert np.linalg.norm(image - truth) < 0.16 * np.linalg.norm(truth)


def test_a_cropped_band_holds_what_cropping_makes_of_complete_rows(tmp_path):
    """But for what leaks at its edge."""
    kspace, _ = oversampled(first=0, noise=0)
    cut = kspace.copy()
    cut[:, :, :20] = 0
    found = read_scan(write(tmp_path / "a.h5", kspace=cut))
    found = replace(found, recon_rows=48)
    mask = crop_mask(found.mask, found)
    whole = crop_readout(torch.from_numpy(kspace), replace(found, mask=torch.ones(1, 40, dtype=torch.bool)))
    band = crop_readout(found.kspace, found)
    error = torch.where(mask, band - whole, 0).norm() / whole.norm()
    assert error < 0.03


def test_every_step_behind_a_band_works(tmp_path):
    kspace, _ = oversampled(first=40)
    volume = prepare(
        read_scan(write(tmp_path / "a.h5", kspace=kspace * lines(40, 2, 14))), PrepareSettings(maps="sigpy")
    )
    shown, hidden = hide(volume, 0)
    assert not (shown.mask & hidden).any()
    share = determined_share(measurement_of(volume), "a", 0)
    assert share.isfinite().all()
    for method in ("zero-filled", "cg-sense", "l1-wavelet"):
        found = reconstruct(volume, method, None, 1, 0)
        assert found.mean.isfinite().all()
        assert found.measured_residual.max() < 5


# --- lines along the rows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", ["nothing", "mask of lines", "mask of samples", "maps"])
def test_lines_along_x_are_turned(beside, tmp_path):
    mask = lines(48)
    upright = (scan(rows=48, columns=48) * mask).astype(np.complex64)
    extra = {"kspace": upright.swapaxes(-1, -2)}
    maps = np.broadcast_to(coil_maps(4, 48, 48), (2, 4, 48, 48)).astype(np.complex64)
    if beside == "mask of lines":
        extra["mask"] = mask
    if beside == "mask of samples":
        extra["mask"] = np.broadcast_to(mask[:, None], (48, 48))
    if beside == "maps":
        extra["sens_maps"] = maps.swapaxes(-1, -2)
    found = read_scan(write(tmp_path / "a.h5", **extra))
    assert torch.equal(found.kspace, torch.from_numpy(upright))
    assert torch.equal(found.mask, torch.from_numpy(mask)[None])
    assert any("lines run along x" in note and "transposed" in note for note in found.notes)
    if beside == "maps":
        assert found.sens_maps is not None
        assert torch.equal(found.sens_maps, torch.from_numpy(maps.copy()))


def test_a_grid_is_no_set_of_lines(tmp_path):
    mask = lines(40) & lines(48)[:, None]
    found = read_scan(write(tmp_path / "a.h5", kspace=scan() * mask))
    assert torch.equal(found.mask, torch.from_numpy(mask))
    assert "scattered" in facts(found)["sampling"]


# --- what unmeasured lines hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", ["lines", "rows", "scattered", "padding"])
@pytest.mark.parametrize("size", [1e-6, 1e-3])
@pytest.mark.parametrize("kind", ["noise", "constant"])
def test_tiny_values_are_not_taken_for_measured(sampling, size, kind, tmp_path):
    noise = 0.05
    shape = (48, 48)
    mask = {
        "lines": np.broadcast_to(lines(48), shape),
        "rows": np.broadcast_to(lines(48)[:, None], shape),
        "scattered": np.random.default_rng(3).random(shape) < 0.4,
        "padding": np.broadcast_to(np.abs(np.arange(48) - 24) < 16, shape),
    }[sampling].copy()
    mask[20:28, 20:28] = True
    if sampling != "scattered":
        mask = (
            np.broadcast_to(mask.all(0), shape) if sampling != "rows" else np.broadcast_to(mask.all(1)[:, None], shape)
        )
    rng = np.random.default_rng(2)
    kspace = scan(rows=48, columns=48, coils=8, noise=noise)
    tiny = rng.normal(size=(*kspace.shape, 2)).view(complex)[..., 0] if kind == "noise" else np.ones(kspace.shape)
    filled = np.where(mask, kspace, size * noise * tiny).astype(np.complex64)
    found = read_scan(write(tmp_path / "a.h5", kspace=filled))
    exact = read_scan(write(tmp_path / "b.h5", kspace=(kspace * mask).astype(np.complex64)))
    assert torch.equal(found.kspace, exact.kspace)
    assert torch.equal(found.mask, exact.mask)
    assert "times smaller than all others: they are taken for unmeasured" in found.notes[0]


def test_values_between_tiny_and_measured_are_refused(tmp_path):
    kspace = scan(columns=48, noise=0.05)
    filled = np.where(lines(48), kspace, 0.004)
    with pytest.raises(
        UserError, match="too weak to be measured and too strong to be nothing; set what was not measured to 0"
    ):
        read_scan(write(tmp_path / "a.h5", kspace=filled.astype(np.complex64)))


def test_a_mask_beside_them_decides(tmp_path):
    mask = lines(48)
    kspace = np.where(mask, scan(columns=48), 0.001).astype(np.complex64)
    found = read_scan(write(tmp_path / "a.h5", kspace=kspace, mask=mask))
    assert torch.equal(found.mask, torch.from_numpy(mask)[None])
    assert found.notes == ()


# --- small matrices and the field of view ------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [20, 32, 43])
def test_a_tiny_complete_scan_calibrates_on_four_lines(columns, tmp_path):
    found = read_scan(write(tmp_path / "a.h5", kspace=scan(rows=columns, columns=columns)))
    volume = prepare(found, PrepareSettings(accel=2))
    assert volume.acs == (columns, 4)
    assert volume.accel == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(
    ("stated", "right", "word"),
    [
        ((230.0, 210.0), (230.0, 210.0), None),
        ((0.23, 0.21), (230.0, 210.0), "metres"),
        ((0.0, 210.0), None, "can't be"),
        ((-230.0, 210.0), None, "can't be"),
        ((float("inf"), 210.0), None, "can't be"),
        ((float("nan"), 210.0), None, "can't be"),
        ((230000.0, 210000.0), None, "can't be"),
        ((0.23, 210.0), None, "can't be"),
        ((1900.0, 1900.0), (1900.0, 1900.0), None),
        ((4.0, 4.0), None, "can't be"),
    ],
)
def test_a_field_of_view_is_believed_or_not(stated, right, word):
    found, note = plausible_field_of_view(stated, (128, 128))
    assert found == pytest.approx(right) if right else found is None
    assert note is None if word is None else word in note


def test_a_field_of_view_in_metres_is_told(tmp_path):
    header = _header(40, 40).replace("230.0", "0.23")
    found = read_scan(write(tmp_path / "a.h5", kspace=scan(rows=40), ismrmrd_header=header))
    assert found.field_of_view == pytest.approx((230, 230))
    assert any("in metres" in note for note in found.notes)
    assert "metres" in facts(found)["note"]


def test_limits_that_leave_nothing_are_not_followed(tmp_path):
    kspace = scan()
    kspace[..., :20] = 0
    limits = "<minimum>0</minimum><maximum>9</maximum><center>20</center>"
    header = _header(40, 40).replace("<minimum>0</minimum><maximum>39</maximum><center>20</center>", limits)
    found = read_scan(write(tmp_path / "a.h5", kspace=kspace, ismrmrd_header=header))
    assert found.mask[0, 20:].all()
    assert any("phase encodes" in note for note in found.notes)


def test_a_crop_of_rows_matches_the_transform(tmp_path):
    """Rows of the cropped k-space that a band counts are those whose place lies inside of it."""
    kspace = fft2c(torch.randn(1, 2, 96, 40, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)))
    kspace[:, :, :30] = 0
    found = replace(read_scan(write(tmp_path / "a.h5", kspace=kspace.numpy())), recon_rows=48)
    rows = crop_mask(found.mask, found).any(1)
    places = (torch.arange(48) - 24) * 2 + 48
    assert torch.equal(rows.nonzero().flatten(), (places > 30).nonzero().flatten())
