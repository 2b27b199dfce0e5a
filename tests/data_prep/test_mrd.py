import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readers.subject import pseudonym
from mri_ambient.data_prep.readout import crop_readout
from mri_ambient.errors import UserError
from mri_ambient.physics.fourier import ifft2c
from tests.operators import random_complex

ismrmrd = pytest.importorskip("ismrmrd", reason="needs the ismrmrd package: pip install 'mri-ambient[raw]'")

SLICES, COILS, ROWS, COLUMNS = 2, 3, 32, 24
HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<acquisitionSystemInformation>
<relativeReceiverNoiseBandwidth>0.8</relativeReceiverNoiseBandwidth>
</acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding>
<encodedSpace>
<matrixSize><x>32</x><y>24</y><z>1</z></matrixSize>
<fieldOfView_mm><x>400</x><y>210</y><z>5</z></fieldOfView_mm>
</encodedSpace>
<reconSpace>
<matrixSize><x>16</x><y>24</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>210</y><z>5</z></fieldOfView_mm>
</reconSpace>
<encodingLimits>
<kspace_encoding_step_1><minimum>0</minimum><maximum>23</maximum><center>12</center></kspace_encoding_step_1>
</encodingLimits>
<trajectory>cartesian</trajectory>
</encoding>
</ismrmrdHeader>"""


def kspace(seed: int = 0) -> np.ndarray:
    return random_complex((SLICES, COILS, ROWS, COLUMNS), seed, torch.complex64).numpy()


def acquisition(samples: np.ndarray, line: int = 0, flags: tuple[str, ...] = (), dwell: float = 5.0, **idx: int):
    """``samples`` [coil, sample], the echo in the middle."""
    made = ismrmrd.Acquisition.from_array(
        np.ascontiguousarray(samples), center_sample=samples.shape[1] // 2, sample_time_us=dwell
    )
    for name, value in {"kspace_encode_step_1": line, **idx}.items():
        setattr(made.idx, name, value)
    for flag in flags:
        made.set_flag(getattr(ismrmrd, f"ACQ_IS_{flag}"))
    return made


def acquisitions(
    data: np.ndarray, lines=range(COLUMNS), flags: tuple[str, ...] = (), first: int = 0, **idx: int
) -> list:
    """Those columns of ``data`` [slice, coil, y, x]; column ``first`` has line number 0."""
    return [
        acquisition(image[:, :, line], line - first, flags, slice=number, **idx)
        for number, image in enumerate(data)
        for line in lines
    ]


def write(path: Path, made: list, header: str = HEADER, group: str = "dataset") -> Path:
    with ismrmrd.Dataset(path, group) as file:
        file.write_xml_header(header.encode())
        for each in made:
            file.append_acquisition(each)
    return path


def test_phase_correction_of_a_spin_echo_train_is_left_out(tmp_path):
    made = [*acquisitions(kspace()), acquisition(kspace()[0, :, :, 0], 0, ("PHASECORR_DATA",))]
    scan = read_scan(write(tmp_path / "a.h5", made))
    assert np.array_equal(scan.kspace.numpy(), kspace())
    assert "1 phase-correction readouts are left out" in scan.notes


def test_lines_land_where_their_counters_say(tmp_path):
    data = kspace()
    made = acquisitions(data)
    np.random.default_rng(0).shuffle(made)
    scan = read_scan(write(tmp_path / "a.dat", made, group="measurement"))
    assert scan.format == "ISMRMRD"
    assert torch.equal(scan.kspace, torch.from_numpy(data))
    assert scan.mask.shape == (1, COLUMNS)
    assert scan.fully_sampled
    assert scan.acquired.all()
    assert scan.recon_rows == 16
    assert scan.field_of_view == (200.0, 210.0)
    assert scan.noise is None
    assert scan.notes == ()


def test_many_blocks_of_records(tmp_path, monkeypatch):
    monkeypatch.setattr("mri_ambient.data_prep.readers.mrd.BLOCK", 5)
    data = kspace()
    aside = acquisition(data[0, :, :, 0], flags=("NAVIGATION_DATA",))
    made = [*[aside] * 11, *acquisitions(data)]
    assert torch.equal(read_scan(write(tmp_path / "a.h5", made)).kspace, torch.from_numpy(data))


def test_kspace_at_the_root_is_read_first(tmp_path):
    path = write(tmp_path / "a.h5", acquisitions(kspace()))
    with h5py.File(path, "a") as file:
        file["kspace"] = kspace(1)
    assert read_scan(path).format == "HDF5 with kspace and no header"


def test_noise_is_scaled_to_the_bandwidth_of_imaging(tmp_path):
    data = kspace()
    noise = random_complex((2, COILS, 50), 1, torch.complex64).numpy()
    made = [acquisition(scan, flags=("NOISE_MEASUREMENT",), dwell=10.0) for scan in noise]
    scan = read_scan(write(tmp_path / "a.h5", made + acquisitions(data)))
    wanted = np.concatenate(list(noise), axis=1) * np.sqrt(10 / (5 * 0.8))
    np.testing.assert_allclose(scan.noise, wanted, rtol=1e-6)
    assert torch.equal(scan.kspace, torch.from_numpy(data))
    for each in made:
        each.sample_time_us = 0.0
    header = HEADER.replace("<relativeReceiverNoiseBandwidth>0.8</relativeReceiverNoiseBandwidth>", "")
    scan = read_scan(write(tmp_path / "b.h5", made + acquisitions(data), header))
    np.testing.assert_array_equal(scan.noise, np.concatenate(list(noise), axis=1))


def test_averages_are_averaged_and_their_noise_with_them(tmp_path):
    data = [kspace(seed) for seed in range(4)]
    noise = acquisition(np.full((COILS, 8), 1 + 1j, np.complex64), flags=("NOISE_MEASUREMENT",))
    header = HEADER.replace("0.8", "1.0")
    made = [noise, *(each for i in range(4) for each in acquisitions(data[i], average=i))]
    scan = read_scan(write(tmp_path / "a.h5", made, header))
    np.testing.assert_allclose(scan.kspace, np.mean(data, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scan.noise, np.full((COILS, 8), 0.5 + 0.5j), rtol=1e-6)
    assert scan.notes == ("each line is the mean of 4 averages",)
    made = acquisitions(data[0]) + acquisitions(data[1], range(8, 16), average=1)
    scan = read_scan(write(tmp_path / "b.h5", made))
    np.testing.assert_allclose(scan.kspace[..., 8:16], ((data[0] + data[1]) / 2)[..., 8:16], rtol=1e-5, atol=1e-6)
    assert torch.equal(scan.kspace[..., :8], torch.from_numpy(data[0][..., :8]))
    assert scan.notes == ("lines have 1 to 2 averages: their noise differs",)


def test_repetitions_and_contrasts_follow_each_other(tmp_path):
    data = {(contrast, repetition): kspace(2 * contrast + repetition) for contrast in (0, 1) for repetition in (0, 1)}
    made = [each for (c, r), images in data.items() for each in acquisitions(images, contrast=c, repetition=r)]
    scan = read_scan(write(tmp_path / "a.h5", made[::-1]))
    assert torch.equal(scan.kspace, torch.from_numpy(np.concatenate(list(data.values()))))
    assert scan.notes == ("2 contrasts of 2 repetitions of 2 slices follow each other: 8 images",)


def test_reversed_readouts_are_flipped(tmp_path):
    data = kspace()
    odd = range(1, COLUMNS, 2)
    made = acquisitions(data, range(0, COLUMNS, 2)) + acquisitions(data[:, :, ::-1], odd, ("REVERSE",))
    scan = read_scan(write(tmp_path / "a.h5", made))
    assert torch.equal(scan.kspace, torch.from_numpy(data))
    assert scan.notes == ("24 readouts were acquired backwards: they are flipped",)


def test_calibration_lines_fill_what_imaging_left_open(tmp_path):
    data = kspace()
    imaging = range(0, COLUMNS, 3)
    shared = [line for line in range(8, 16) if line in imaging]
    alone = [line for line in range(8, 16) if line not in imaging]
    made = (
        acquisitions(data, [line for line in imaging if line not in shared])
        + acquisitions(data, shared, ("PARALLEL_CALIBRATION_AND_IMAGING", "PARALLEL_CALIBRATION"))
        + acquisitions(data, alone, ("PARALLEL_CALIBRATION",))
    )
    scan = read_scan(write(tmp_path / "a.h5", made))
    lines = sorted({*imaging, *range(8, 16)})
    assert scan.mask[0].nonzero().squeeze(1).tolist() == lines
    assert scan.acquired.all()
    assert torch.equal(scan.kspace[..., lines], torch.from_numpy(data[..., lines]))
    again = made + acquisitions(data, shared, ("PARALLEL_CALIBRATION",))
    scan = read_scan(write(tmp_path / "b.h5", again))
    assert torch.equal(scan.kspace[..., lines], torch.from_numpy(data[..., lines]))
    assert scan.notes == (
        f"{2 * len(alone)} readouts flagged as calibration alone are used where imaging has no line",
        f"{2 * len(shared)} readouts flagged as calibration alone are left out",
    )


def test_calibration_of_some_images_alone_is_left_out(tmp_path):
    """One mask serves all images: a calibration before the first repetition can't be in the others."""
    lines = [*range(0, 8, 2), *range(8, COLUMNS, 2)]
    made = [each for r in range(2) for each in acquisitions(kspace(r), lines, repetition=r)]
    made += acquisitions(kspace(), [9, 11], ("PARALLEL_CALIBRATION",))
    scan = read_scan(write(tmp_path / "a.h5", made))
    assert scan.mask[0].nonzero().squeeze(1).tolist() == lines
    assert "4 readouts flagged as calibration alone are left out: not every image has them" in scan.notes


def test_partial_fourier_is_not_acquired(tmp_path):
    """As converters write it: lines count from the first measured one, the centre's number is below the middle."""
    data = kspace()
    limits = "<minimum>0</minimum><maximum>17</maximum><center>6</center>"
    header = HEADER.replace("<minimum>0</minimum><maximum>23</maximum><center>12</center>", limits)
    lines = [6, 8, *range(10, 16), 18, 20, 22]
    scan = read_scan(write(tmp_path / "a.h5", acquisitions(data, lines, first=6), header))
    assert scan.acquired.nonzero().squeeze(1).tolist() == list(range(6, 24))
    assert scan.mask[0].nonzero().squeeze(1).tolist() == lines
    assert torch.equal(scan.kspace[..., lines], torch.from_numpy(data[..., lines]))
    assert (scan.kspace[..., :6] == 0).all()
    scan = read_scan(
        write(tmp_path / "b.h5", acquisitions(data, range(4, 24), first=6 - 2), header.replace("6<", "8<"))
    )
    assert scan.fully_sampled
    assert scan.acquired.sum() == 20
    assert scan.notes == ("the header's phase encodes end before the lines do: those of columns 4 to 23 are kept",)


def test_without_limits_a_line_is_a_column(tmp_path):
    data = kspace()
    limits = HEADER[HEADER.index("<kspace_encoding_step_1>") : HEADER.index("</encodingLimits>")]
    scan = read_scan(write(tmp_path / "a.h5", acquisitions(data), HEADER.replace(limits, "")))
    assert torch.equal(scan.kspace, torch.from_numpy(data))
    assert scan.acquired.all()


def test_asymmetric_echo(tmp_path):
    """The echo starts late: the centre of k-space is sample 10 of 26, and goes to row 16."""
    data = kspace()
    made = acquisitions(data[:, :, 6:])
    for each in made:
        each.center_sample = 10
    scan = read_scan(write(tmp_path / "a.h5", made))
    assert scan.mask.shape == (ROWS, COLUMNS)
    assert scan.mask[6:].all()
    assert not scan.mask[:6].any()
    assert torch.equal(scan.kspace[:, :, 6:], torch.from_numpy(data[:, :, 6:]))
    assert (scan.kspace[:, :, :6] == 0).all()
    assert scan.notes == ("readouts fill rows 6 to 31 of 32 (an asymmetric echo): the rest is unmeasured",)


@pytest.mark.parametrize("rows", [ROWS, ROWS - 6])
def test_samples_to_discard(rows, tmp_path):
    data = kspace()
    padded = np.full((SLICES, COILS, rows + 7, COLUMNS), 1e6, np.complex64)
    padded[:, :, 4:-3] = data[:, :, ROWS - rows :]
    made = acquisitions(padded)
    for each in made:
        each.discard_pre, each.discard_post, each.center_sample = 4, 3, 4 + 16 - (ROWS - rows)
    scan = read_scan(write(tmp_path / "a.h5", made))
    assert torch.equal(scan.kspace[:, :, ROWS - rows :], torch.from_numpy(data[:, :, ROWS - rows :]))
    assert scan.fully_sampled  # rows that no readout fills do not count


def test_a_full_readout_has_one_place(tmp_path):
    data = kspace()
    made = acquisitions(data)
    for each in made:
        each.center_sample = 0
    scan = read_scan(write(tmp_path / "a.h5", made))
    assert torch.equal(scan.kspace, torch.from_numpy(data))
    assert scan.notes == ("readouts fill the matrix though their center_sample is not 16: that is not followed",)


def test_what_is_no_image_is_left_out(tmp_path):
    data = kspace()
    junk = np.full((COILS + 1, 7), np.nan, np.complex64)
    flags = [
        "NAVIGATION_DATA",
        "HPFEEDBACK_DATA",
        "RTFEEDBACK_DATA",
        "DUMMYSCAN_DATA",
        "SURFACECOILCORRECTIONSCAN_DATA",
    ]
    made = [acquisition(junk, 500, (flag,)) for flag in flags]
    elsewhere = acquisition(junk, 500)
    elsewhere.encoding_space_ref = 1
    scan = read_scan(write(tmp_path / "a.h5", [*made, elsewhere, *acquisitions(data)]))
    assert torch.equal(scan.kspace, torch.from_numpy(data))
    assert scan.notes == (
        "1 navigator readouts are left out",
        "1 feedback readouts are left out",
        "1 real-time feedback readouts are left out",
        "1 dummy readouts are left out",
        "1 surface-coil correction readouts are left out",
        "1 readouts of further encoding spaces are left out",
    )


PRIVATE = """<subjectInformation><patientName>Doe^Secret</patientName><patientID>SECRET17</patientID>
<patientBirthdate>1917-03-04</patientBirthdate></subjectInformation>
<studyInformation><studyDate>20240229-secret</studyDate><studyID>SECRET18</studyID>
<accessionNumber>secret-number</accessionNumber></studyInformation>
<measurementInformation><measurementID>SECRET19</measurementID><patientPosition>HFS</patientPosition>
<protocolName>SECRET20</protocolName></measurementInformation>
<acquisitionSystemInformation><institutionName>SECRET hospital</institutionName>"""


def test_nothing_private_of_the_header_is_kept_or_told(tmp_path):
    """Some of it is not even of its type, which the header's parser would quote."""
    header = HEADER.replace("<acquisitionSystemInformation>", PRIVATE)
    scan = read_scan(write(tmp_path / "a.h5", acquisitions(kspace()), header))
    assert not [word for word in ("secret", "1917") if word in repr(vars(scan)).lower()]
    assert scan.subject == pseudonym("SECRET17")  # by which scans of one patient stay together
    assert read_scan(write(tmp_path / "c.h5", acquisitions(kspace()))).subject is None
    broken = header.replace("<x>32</x>", "<x>wide</x>")
    with pytest.raises(UserError, match="wide") as error:
        read_scan(write(tmp_path / "b.h5", acquisitions(kspace()), broken))
    assert not [word for word in ("secret", "1917") if word in str(error.value).lower()]


def test_the_package_is_asked_for(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", acquisitions(kspace()))
    monkeypatch.setitem(sys.modules, "ismrmrd", None)
    with pytest.raises(UserError, match=r"needs the `ismrmrd` package; pip install 'mri-ambient\[raw\]'"):
        read_scan(path)


def altered(change) -> list:
    """A whole scan, one acquisition of slice 1 changed."""
    made = acquisitions(kspace())
    change(made[30])
    return made


def not_finite(each) -> None:
    each.data[0, 3] = np.inf


def as_partition(each) -> None:
    each.idx.kspace_encode_step_2 = 1


def beyond(each) -> None:
    each.idx.kspace_encode_step_1 = 24


def late(each) -> None:
    each.center_sample = 20


def twice() -> list:
    made = acquisitions(kspace())
    return [*made, made[30]]


def of_shape(*shape: int) -> list:
    return [*acquisitions(kspace()), acquisition(np.ones(shape, np.complex64), average=1)]


ALL = acquisitions(kspace())
INCOMPLETE = [each for r in (0, 1) for each in acquisitions(kspace()[: 2 - r], repetition=r)]
BAD = {
    "trajectory `radial`": (ALL, HEADER.replace(">cartesian<", ">radial<")),
    "trajectory `spiral`": (ALL, HEADER.replace(">cartesian<", ">spiral<")),
    "trajectory `epi`": (ALL, HEADER.replace(">cartesian<", ">epi<")),
    "3-D scan of 8 partitions": (ALL, HEADER.replace("<z>1</z>", "<z>8</z>", 1)),
    "it encodes partitions": (altered(as_partition), HEADER),
    "phase-correction and reversed readouts": (
        [*ALL, acquisition(kspace()[0, :, :, 0], 0, ("PHASECORR_DATA", "REVERSE"))],
        HEADER,
    ),
    "slice 1 lacks 3 lines": (ALL[:-3], HEADER),
    "2 repetitions of 2 slices make 4 images, and 3 are there": (INCOMPLETE, HEADER),
    "line 6 of slice 1 is there twice": (twice(), HEADER),
    "number of coils": (of_shape(COILS + 1, ROWS), HEADER),
    r"number of samples \(30 and 32\)": (of_shape(COILS, ROWS - 2), HEADER),
    "samples before the echo": (
        [*acquisitions(kspace()[:, :, 8:], [0]), *acquisitions(kspace()[:, :, 8:], [1])],
        HEADER,
    ),
    "do not fit a matrix of 16 rows": (ALL, HEADER.replace("<x>32</x>", "<x>16</x>")),
    "line 24 falls outside the matrix": (altered(beyond), HEADER),
    "no imaging acquisitions among its 1": ([acquisition(kspace()[0, :, :, 0], 0, ("NOISE_MEASUREMENT",))], HEADER),
    "XML header can't be read": (ALL, HEADER[:-5]),
    "NaN or infinite": (altered(not_finite), HEADER),
}
late(BAD["samples before the echo"][0][0])


@pytest.mark.parametrize("problem", BAD)
def test_bad_content_is_told_in_one_sentence(problem, tmp_path):
    made, header = BAD[problem]
    path = write(tmp_path / "scan.h5", made, header)
    with pytest.raises(UserError, match=problem) as error:
        read_scan(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_not_whole(tmp_path):
    path = write(tmp_path / "a.h5", acquisitions(kspace()))
    (tmp_path / "half.h5").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="truncated or damaged"):
        read_scan(tmp_path / "half.h5")
    (tmp_path / "garbled.h5").write_bytes(path.read_bytes().replace(b"center_sample", b"center_\xff\xff\xffple"))
    with pytest.raises(UserError, match="truncated or damaged"):
        read_scan(tmp_path / "garbled.h5")
    with h5py.File(path, "a") as file:
        stored = file["dataset/data"]
        record = stored[4]
        record["data"] = record["data"][:-6]
        stored[4] = record
    with pytest.raises(UserError, match="acquisition 4 is damaged: it holds 186 numbers"):
        read_scan(path)


@pytest.mark.parametrize(
    ("xml", "data", "problem"),
    [
        (HEADER, np.zeros(3, np.float32), "does not hold ISMRMRD acquisitions"),
        (HEADER, np.zeros(3, [("head", "i4"), ("data", "f4")]), "does not hold ISMRMRD acquisitions"),
        (HEADER, np.zeros(0, ismrmrd.hdf5.acquisition_dtype), "no imaging acquisitions among its 0"),
        (7, np.zeros(0, ismrmrd.hdf5.acquisition_dtype), "does not hold an XML header"),
        ("", np.zeros(0, ismrmrd.hdf5.acquisition_dtype), "XML header can't be read"),
        ("<other/>", np.zeros(0, ismrmrd.hdf5.acquisition_dtype), "XML header can't be read"),
    ],
)
def test_datasets_of_another_type(xml, data, problem, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dataset/xml"], file["dataset/data"] = xml, data
    with pytest.raises(UserError, match=problem):
        read_scan(tmp_path / "a.h5")


def test_the_first_of_several_datasets_is_read(tmp_path):
    path = write(tmp_path / "a.h5", acquisitions(kspace()))
    scan = read_scan(write(path, acquisitions(kspace(1)), group="dataset_2"))
    assert torch.equal(scan.kspace, torch.from_numpy(kspace()))
    assert scan.notes == ("its dataset `dataset` is read, not dataset_2",)


GENERATOR = "ismrmrd_generate_cartesian_shepp_logan"
needs_generator = pytest.mark.skipif(
    shutil.which(GENERATOR) is None, reason=f"needs {GENERATOR} on the PATH: apt-get install ismrmrd-tools"
)


def generate(path: Path, *options: str) -> Path:
    """64 x 64, 4 coils, the readout twice oversampled."""
    subprocess.run([GENERATOR, "-m", "64", "-c", "4", "-o", str(path), *options], check=True, capture_output=True)
    return path


def simply_read(path: Path) -> np.ndarray:
    """The RSS image [readout, phase encode] as a few lines of numpy have it."""
    with ismrmrd.Dataset(path, mode="r") as file:
        made = [file.read_acquisition(i) for i in range(file.number_of_acquisitions())]
    lines = np.stack([each.data for each in made if not each.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)], axis=-1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(lines, axes=(1, 2))), axes=(1, 2))
    return np.linalg.norm(images, axis=0)[32:96]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@needs_generator
def test_another_writers_phantom(tmp_path):
    path = generate(tmp_path / "a.h5", "-C", "-k")
    scan = read_scan(path)
    assert scan.kspace.shape == (1, 4, 128, 64)
    assert scan.recon_rows == 64
    assert scan.field_of_view == (300.0, 300.0)
    assert scan.fully_sampled
    rss = np.linalg.norm(ifft2c(crop_readout(scan.kspace, scan))[0].numpy(), axis=0)
    assert correlation(rss, simply_read(path)) > 0.9999
    with h5py.File(path) as file:
        phantom, coils = (file[f"dataset/{name}"][0].view(np.complex64) for name in ("phantom", "csm"))
    truth = np.abs(phantom) * np.linalg.norm(coils, axis=0)
    assert correlation(rss, truth.T) > 0.95  # theirs is [phase encode, readout]
    assert all(correlation(rss, flipped) < 0.85 for flipped in (truth, truth.T[::-1], truth.T[:, ::-1]))
    assert all(correlation(rss, np.roll(truth.T, 1, axis)) < 0.85 for axis in (0, 1))
    volume = prepare(scan, PrepareSettings(acs=16))
    assert volume.kspace.shape == (1, 4, 64, 64)


@needs_generator
def test_another_writers_noise(tmp_path):
    """Repetitions of one phantom differ by noise alone, of which the noise scan must have the variance."""
    scan = read_scan(generate(tmp_path / "a.h5", "-C", "-r", "3"))
    assert scan.kspace.shape == (3, 4, 128, 64)
    assert scan.notes == ("3 repetitions of 1 slice follow each other: 3 images",)
    found, told = scan.kspace.var(0).mean(), scan.noise.abs().square().mean()
    assert float(found) == pytest.approx(float(told), rel=0.1)


@needs_generator
def test_another_writers_undersampling(tmp_path):
    """It shifts the lines from one repetition to the next; alone, each is an accelerated scan."""
    path = generate(tmp_path / "a.h5", "-a", "2", "-w", "16")
    with pytest.raises(UserError, match="repetition 0, slice 0 lacks 24 lines that others have"):
        read_scan(path)
    for repetition in range(2):
        with ismrmrd.Dataset(path, mode="r") as file:
            made = [file.read_acquisition(i) for i in range(file.number_of_acquisitions())]
            made = [each for each in made if each.idx.repetition == repetition]
            alone = write(tmp_path / f"{repetition}.h5", made, file.read_xml_header().decode())
        scan = read_scan(alone)
        assert scan.mask[0].nonzero().squeeze(1).tolist() == sorted({*range(repetition, 64, 2), *range(24, 40)})
        assert scan.acquired.sum() / scan.mask.sum() == pytest.approx(64 / 40)
        assert prepare(scan, PrepareSettings()).acs[1] in (16, 17)  # a regular line may adjoin
