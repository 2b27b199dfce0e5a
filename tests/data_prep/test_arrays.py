"""Arrays in memory are a scan as a file of them is, or it is said what to pass."""

import numpy as np
import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from tests.data_prep.raw import coil_maps, image_of, lines, scan, write

KSPACE = scan()  # 2 slices, 4 coils, 48 x 40
MAPS = np.broadcast_to(coil_maps(4, 48, 40), KSPACE.shape).astype(np.complex64)
NOISE = 0.01 * (np.random.default_rng(1).normal(size=(4, 50)) + 0j)
SETTINGS = PrepareSettings(acs=10)


@pytest.mark.parametrize("made", [np.asarray, torch.from_numpy])
def test_as_a_file_of_the_same_arrays(tmp_path, made):
    mask = lines(40)
    parts = {"kspace": KSPACE * mask, "mask": mask, "noise": NOISE, "sens_maps": MAPS}
    of_file = read_scan(str(write(tmp_path / "array.h5", **parts)))
    kspace, mask, noise, maps = (made(part) for part in parts.values())
    of_arrays = Scan.from_arrays(kspace, mask, maps, noise, fov_mm=(240, 200))
    for name in ("kspace", "mask", "acquired", "noise", "sens_maps"):
        assert torch.equal(getattr(of_arrays, name), getattr(of_file, name))
    assert of_arrays.field_of_view == (240, 200)
    one, other = (prepare(each, SETTINGS, "cpu") for each in (of_arrays, of_file))
    assert one.name == other.name == "array"
    assert torch.equal(one.sens_maps, other.sens_maps)
    assert torch.equal(one.kspace, other.kspace)


def test_the_name_is_a_files_stem(tmp_path):
    """It names the volume and seeds its masks."""
    drawn = PrepareSettings(accel=2, acs=8)
    of_file = prepare(read_scan(write(tmp_path / "head.h5", kspace=KSPACE)), drawn)
    of_arrays, other = (prepare(Scan.from_arrays(KSPACE, name=name), drawn) for name in ("head", "neck"))
    assert torch.equal(of_arrays.mask, of_file.mask)
    assert not torch.equal(other.mask, of_file.mask)
    assert (of_arrays.name, of_arrays.provenance["source"]) == ("head", "head")


def test_a_slice_double_precision_and_read_only():
    given = KSPACE[0].astype(np.complex128)
    given.flags.writeable = False
    found = Scan.from_arrays(given, maps=MAPS[0], fov_mm=220)
    assert found.kspace.dtype == torch.complex64
    assert torch.equal(found.kspace, torch.from_numpy(KSPACE[:1]))
    assert found.sens_maps is not None
    assert found.sens_maps.shape == found.kspace.shape
    assert found.field_of_view == (220, 220)


@pytest.mark.parametrize("made", [np.array, torch.tensor])
def test_nothing_is_shared_with_what_was_given(made):
    given = made(KSPACE)
    found = Scan.from_arrays(given)
    given[:] = 0
    assert torch.equal(found.kspace, torch.from_numpy(KSPACE))


def test_what_the_looks_mend_is_mended_and_said():
    """DC in the corner; and lines along x, where the field of view turns with k-space."""
    corner = Scan.from_arrays(np.fft.ifftshift(KSPACE, axes=(-2, -1)))
    assert torch.equal(corner.kspace, torch.from_numpy(KSPACE))
    assert corner.notes
    turned = Scan.from_arrays((KSPACE * lines(40)).swapaxes(-1, -2), fov_mm=(200, 240))
    assert torch.equal(turned.kspace, torch.from_numpy(KSPACE * lines(40)))
    assert turned.field_of_view == (240, 200)


BAD = {
    "rank": ({"kspace": KSPACE[0, 0]}, r"`kspace` has shape \(48, 40\); pass \[coil, y, x\] or \[slice, coil, y, x\]"),
    "empty": ({"kspace": KSPACE[:0]}, r"`kspace` has shape \(0, 4, 48, 40\); pass \[coil"),
    "real": ({"kspace": KSPACE.real}, "`kspace` is float32, not complex; pass complex64"),
    "bfloat16": ({"kspace": torch.zeros(4, 48, 40, dtype=torch.bfloat16)}, r"is torch.bfloat16; pass complex64"),
    "NaN": (
        {"kspace": np.where(np.abs(KSPACE) > 1, np.nan, KSPACE)},
        "NaN or infinite entries; pass 0 where nothing",
    ),
    "coils last": (
        {"kspace": KSPACE.transpose(0, 2, 3, 1)},
        r"in another order .* pass kspace.transpose\(0, 3, 1, 2\)",
    ),
    "one slice's": (
        {"kspace": torch.from_numpy(KSPACE[0].transpose(1, 2, 0))},
        r"shape \(48, 40, 4\) .* pass kspace.permute\(2, 0, 1\)",
    ),
    "slices": (
        {"kspace": scan(5, 1)[:, 0]},
        r"see the same image, as slices of one coil do; give it as \(slice, 1, y, x\)",
    ),
    "images": ({"kspace": image_of(KSPACE).astype(np.complex64)}, "holds images, not k-space; give their transform"),
    "mask": (
        {"mask": lines(48)},
        r"`mask` has shape \(48,\), which does not fit k-space of \(48, 40\); give one entry",
    ),
    "weights": (
        {"mask": 0.5 * lines(40)},
        r"`mask` is float64 with other values than 0 and 1; pass bool, \[x\] or \[y, x\]",
    ),
    "maps": ({"maps": MAPS[0]}, r"`maps` is complex64 of shape \(4, 48, 40\), which does not fit .* pass complex maps"),
    "real maps": ({"maps": MAPS.real}, "`maps` is float32 of shape"),
    "no maps": ({"maps": 0 * MAPS}, "`maps` is 0 everywhere, or not finite; pass none"),
    "noise": ({"noise": NOISE[:3]}, r"`noise` is complex128 of shape \(3, 50\); give it complex, \[coil, sample\]"),
    "metres": ({"fov_mm": 0.24}, r"`fov_mm`, 0.24 x 0.24 of 48 x 40 pixels, can't be; pass \(y, x\) in mm"),
    "three": ({"fov_mm": [240, 240, 5]}, r"`fov_mm` is \[240, 240, 5\]; pass \(y, x\) in mm"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_that_says_what_to_pass(case):
    given, problem = BAD[case]
    with pytest.raises(UserError, match=f"^array: .*{problem}") as raised:
        Scan.from_arrays(**({"kspace": KSPACE} | given))
    assert "\n" not in str(raised.value)
