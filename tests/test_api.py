"""The public face: the command's words give the command's numbers; what can't be used is one sentence."""

import inspect
import shutil
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import mri_ambient as ma
from mri_ambient import words
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.data_prep.simulation.simulate import SimulateSettings
from mri_ambient.priors.own import own_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.methods.method import Method
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.training.run_config import RunOptions

SIZE = 48


@pytest.fixture(scope="module")
def scan() -> ma.Scan:
    return ma.simulate(matrix=SIZE, slices=2, coils=4, seed=5)


def quick(scan, **changed):
    """A reconstruction in a second."""
    return ma.reconstruct(scan, **({"method": "cg-sense", "accel": 3, "acs": 8, "beside": ()} | changed))


def test_what_is_printed_is_a_line(scan):
    for one in (scan, ma.prepare(scan, accel=3, acs=8), ma.load_prior("bundled")):
        assert len(repr(one)) < 400
        assert "\n" not in repr(one)


def test_everything_public_is_there():
    assert set(ma.__all__) <= set(dir(ma))
    assert all(getattr(ma, name) is not None for name in ma.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        ma.nonsense  # noqa: B018


def test_options_are_the_settings_they_stand_for():
    def fields(settings: type) -> set[str]:
        return set(settings.__dataclass_fields__)  # pyright: ignore[reportAttributeAccessIssue]

    assert set(words.PrepareOptions.__annotations__) == fields(PrepareSettings) - {"accel", "espirit"}
    assert set(words.SimulateOptions.__annotations__) == fields(SimulateSettings)
    assert set(words.TrainOptions.__annotations__) == fields(RunOptions) - {"data"} | {"config", "device"}


@pytest.mark.parametrize("words", [("mmps", "--samples 2"), ("l1-wavelet", "--maps espirit --reference rss")])
def test_command_and_python_agree_to_the_bit(words, scans, typed, tmp_path):
    method, options = words
    code, said = typed(
        f"recon {scans / 'subject_0.h5'} --accel 3 --acs 8 --method {method} {options} --out {tmp_path}/a.h5"
    )
    assert code == 0, said
    given = {"samples": 2} if method == "mmps" else {"maps": "espirit", "reference": "rss"}
    result = ma.reconstruct(scans / "subject_0.h5", method, accel=3, acs=8, **given)
    result.save(tmp_path / "b.h5")
    with h5py.File(tmp_path / "a.h5") as one, h5py.File(tmp_path / "b.h5") as other:
        assert set(one) == set(other)
        for name in one:
            if isinstance(one[name], h5py.Dataset):
                assert np.array_equal(one[name], other[name], equal_nan=True), name
    for score in result.scores():
        assert f"{score.residual:.2f}" in said


def test_a_file_a_scan_and_its_arrays_are_the_same(scan, scans):
    from_file = quick(ma.read_scan(str(scans / "subject_0.h5")))
    assert np.array_equal(quick(str(scans / "subject_0.h5")).mean, from_file.mean)
    arrays = [scan.kspace, scan.kspace.numpy(), scan.kspace.numpy().astype(np.complex128)]
    found = [quick(array).mean for array in arrays]
    assert np.array_equal(found[0], found[1])
    assert np.allclose(found[0], found[2], rtol=1e-5, atol=1e-6 * np.abs(found[0]).max())
    assert quick(scan.kspace[0]).mean.shape == (1, SIZE, SIZE)
    volume = ma.prepare(scan, accel=3, acs=8)
    assert np.array_equal(ma.reconstruct(volume, "cg-sense", beside=()).mean, quick(scan, accel=3).mean)


def test_what_comes_back_is_numpys(scan, tmp_path):
    result = quick(scan, method="mmps", samples=2)
    shape = (2, SIZE, SIZE)
    assert (result.mean.shape, result.mean.dtype) == (shape, np.complex64)
    assert (result.std.shape, result.raw_std.shape) == (shape, shape)
    assert result.samples is not None
    assert result.samples.shape == (2, 2, SIZE, SIZE)
    ratio = result.std[result.raw_std > 0] / result.raw_std[result.raw_std > 0]
    assert ratio.min() == pytest.approx(ratio.max(), rel=1e-5)
    assert ratio.min() == pytest.approx(result.about.temperature, rel=1e-5)
    errors = {score.title: score.nrmse for score in result.scores()}
    assert errors["mmps, mean of 2"] < errors["mmps, one sample"]
    assert result.report(tmp_path / "page.html") == ()
    written = result.export("nifti", tmp_path / "images", series="mean,std")
    assert all(path.is_file() and path.name.endswith(".nii.gz") for path in written)
    assert len(written) == 2
    result.save(tmp_path / "a_recon.h5")
    assert np.array_equal(ma.read_result(tmp_path / "a_recon.h5").mean, result.mean)
    with pytest.raises(ma.UserError, match="already exists"):
        result.save(tmp_path / "a_recon.h5")
    with pytest.raises(ma.UserError, match="nowhere.h5: no such file; give a reconstruction"):
        ma.read_result("nowhere.h5")
    with pytest.raises(ma.UserError, match="nowhere: no such file or folder"):
        ma.compare("nowhere")


def gaussian(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """E[x | x + sigma z] of a white Gaussian prior of std 0.3."""
    return images * 0.09 / (0.09 + sigma**2)


def test_a_denoiser_of_ones_own(scan):
    """Asked with complex images and their levels; its answers are used, and what is not known of it is said."""
    asked = []

    def spy(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        asked.append((images.dtype, tuple(images.shape[1:]), tuple(sigma.shape[1:])))
        return gaussian(images, sigma)

    result = quick(scan, method="dds", prior=spy, samples=2)
    assert set(asked) == {(torch.complex64, (SIZE, SIZE), (1, 1))}
    assert "dds: the prior is the caller's own (spy): what it was trained on is not known" in result.notes
    assert not [note for note in result.notes if "tuned" in note or "images in training" in note]
    assert quick(scan, method="dds", prior=gaussian, samples=2).scores()[-1].nrmse == result.scores()[-1].nrmse


@pytest.mark.parametrize(("rows", "kept"), [(SIZE, SIZE), (SIZE // 2, SIZE // 2)], ids=["all", "oversampled"])
@pytest.mark.parametrize("columns", [SIZE, SIZE - 1])
def test_ones_own_denoiser_works_at_the_images_matrix(scan, rows, kept, columns):
    """Readout oversampling is removed before it, and nothing is resampled, odd or even."""
    shapes = set()

    def spy(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        shapes.add(tuple(images.shape[1:]))
        return gaussian(images, sigma)

    cut = ma.Scan.from_arrays(scan.kspace[..., :columns])
    quick(replace(cut, recon_rows=rows), method="dds", prior=spy, samples=1, force_model=True)
    assert shapes == {(kept, columns)}


def test_the_first_samples_are_the_same_however_many(scan):
    one, several = (quick(scan, method="daps", samples=samples, accel=3).samples for samples in (1, 3))
    assert one is not None
    assert several is not None
    np.testing.assert_allclose(several[:, :1], one, atol=1e-3 * np.abs(one).max())


def test_numbers_of_numpy_are_numbers(scan):
    plain = quick(scan, samples=2, accel=3, seed=1)
    unchecked, given = (
        inspect.unwrap(ma.reconstruct),
        {"samples": np.int64(2), "accel": np.float32(3), "seed": np.int32(1)},
    )
    numpys = unchecked(scan, "cg-sense", acs=np.int64(8), beside=(), **given)
    assert np.array_equal(plain.mean, numpys.mean)


def test_double_precision_as_torchs_default_changes_nothing(scan):
    before = quick(scan, method="dds", samples=1, accel=3).mean
    torch.set_default_dtype(torch.float64)
    try:
        assert np.array_equal(quick(scan, method="dds", samples=1, accel=3).mean, before)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_force_replaces_what_is_ours_alone(scan, tmp_path):
    result, scan_file = quick(scan), tmp_path / "scan.h5"
    scan_file.write_bytes(b"a scan")
    for attempt in (
        lambda: result.save(scan_file, force=True),
        lambda: result.export("h5", scan_file, series="mean", force=True),
        lambda: result.report(scan_file, force=True),
        lambda: result.save(tmp_path, force=True),
        lambda: ma.tune(tmp_path, scan_file, force=True),
    ):
        with pytest.raises(ma.UserError):
            attempt()
    assert scan_file.read_bytes() == b"a scan"
    result.save(tmp_path / "a_recon.h5")
    result.save(tmp_path / "a_recon.h5", force=True)


def test_one_slice_of_a_result(scan):
    result = quick(scan)
    assert np.array_equal(result[1].mean, result.mean[1:2])
    assert np.array_equal(result[-1].mean, result[1].mean)
    with pytest.raises(IndexError):
        result[2]
    with pytest.raises(
        ma.UserError, match=r"slice 1: is of a figure, and nifti has all; leave it out, or export result\[1\]"
    ):
        result.export("nifti", slice=1)


def test_a_prior_keeps_its_settings_wherever_the_program_goes(scan, tmp_path, monkeypatch):
    shutil.copytree(BUNDLED, tmp_path / "here" / "prior")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    prior = ma.load_prior("prior")
    monkeypatch.chdir(tmp_path / "there")
    found = quick(scan, method="daps", prior=prior, samples=2, accel=3)
    assert found.about.temperature is not None


def test_a_method_of_ones_own(scan, monkeypatch):
    """One that works in place spoils no other, and a name that files can't bear is refused."""

    def spoiling(measurement, prior, samples, settings, generators, callback):
        measurement.kspace.zero_()
        return measurement.adjoint[None]

    monkeypatch.setitem(METHODS, "spoiling", Method(spoiling))
    before = quick(scan, accel=3).mean
    assert np.array_equal(quick(scan, accel=3, beside=("spoiling",)).mean, before)
    for name in ("a/b", "mean", ""):
        with pytest.raises(ma.UserError, match="can't be called that"):
            METHODS[name] = Method(spoiling)


def test_the_pixel_of_ones_own_denoiser(scan):
    """Coarser pixels than its own are brought to its own."""
    shapes = set()

    def spy(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        shapes.add(tuple(images.shape[1:]))
        return gaussian(images, sigma)

    fov = scan.field_of_view
    assert fov is not None
    quick(scan, method="dds", prior=spy, samples=1, pixel_mm=(fov[0] / 64, fov[1] / 64))
    assert shapes == {(64, 64)}


def test_a_module_of_ones_own_is_left_as_it_is(scan):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return self.gain * gaussian(images, sigma)

    net = Net().train()
    quick(scan, method="dds", prior=net, samples=1)
    assert net.training
    assert net.gain.requires_grad


def test_a_prior_as_others_call_denoisers():
    prior = ma.load_prior("bundled")
    x = torch.randn(2, 2, 32, 32)
    image = torch.view_as_complex(x.movedim(1, -1).contiguous())
    of_module = prior.as_module()(x, torch.tensor([0.1, 0.5]))
    assert of_module.shape == x.shape
    expected = prior.denoise(image, torch.tensor([0.1, 0.5])[:, None, None])
    torch.testing.assert_close(torch.view_as_complex(of_module.movedim(1, -1).contiguous()), expected)
    torch.testing.assert_close(prior.denoise(image[:1], 0.1), expected[:1], rtol=1e-2, atol=1e-3)
    with pytest.raises(ma.UserError, match="is a prior of kind `masked`, which denoises k-space, not images"):
        ma.load_prior("bundled", "masked").denoise(image, 0.1)


def broken(shape: tuple[int, ...], value: complex = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    made = rng.normal(size=(*shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
    made.flat[0] = value
    return made


BAD = [
    (
        {"scan": broken((SIZE, SIZE))},
        r"array: `kspace` has shape \(48, 48\); pass \[coil, y, x\] or \[slice, coil, y, x\]",
    ),
    ({"scan": broken((2, 2, 4, SIZE, SIZE))}, r"array: `kspace` has shape \(2, 2, 4, 48, 48\); pass"),
    ({"scan": np.ones((4, SIZE, SIZE))}, "array: .*complex"),
    ({"scan": broken((4, SIZE, SIZE), complex("nan"))}, "array: .*(NaN|infinite|finite)"),
    ({"scan": "nowhere.h5"}, "nowhere.h5: no such file"),
    ({"method": "magic"}, "method magic: is not known; choose one of zero-filled"),
    ({"device": "cuda:9"}, "device cuda:9: is not here"),
    ({"device": "gpu"}, "device gpu: is none that PyTorch knows"),
    ({"samples": 0}, "samples 0: has to be greater than or equal to 1"),
    ({"kind": "random"}, "kind: is no option here; there are mask, acs"),
    ({"accel": 100}, "R=100 leaves 0 of 48 lines"),
    ({"prior": "nowhere", "method": "dds"}, "nowhere: holds no prior.json"),
    (
        {"prior": lambda x, s: x[:1], "method": "dds"},
        r"returned torch.complex64 of shape \(1, 48, 48\) for complex images",
    ),
    ({"prior": lambda x, s: x.abs(), "method": "dds"}, r"returned torch.float32 of shape"),
    ({"prior": lambda x, s: x / 0, "method": "dds"}, "returned NaN or infinite numbers at sigma"),
    ({"prior": lambda x, s: x.to("meta"), "method": "dds"}, "returned images on meta, not on cpu"),
]


@pytest.mark.parametrize(("given", "sentence"), BAD)
def test_what_cant_be_used_is_one_sentence(given, sentence, scan):
    with pytest.raises(ma.UserError, match=sentence) as error:
        quick(**({"scan": scan, "samples": 2} | given))
    assert "\n" not in str(error.value)


def test_a_prior_of_another_kind_is_refused_before_any_work(scan, monkeypatch):
    monkeypatch.setattr("mri_ambient.api.made_ready", lambda *_: pytest.fail("the scan was prepared"))
    for prior, name in ((gaussian, "gaussian"), (ma.load_prior("bundled"), "bundled/lap1")):
        with pytest.raises(
            ma.UserError, match=f"aos: needs a prior of kind masked and got {name}, of kind `image`; choose"
        ):
            quick(scan, method="aos", prior=prior)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("maps", broken((2, 4, SIZE, SIZE - 1))),
        ("mask", np.ones(SIZE + 1, bool)),
        ("noise", broken((3, 100))),
        ("maps", np.zeros((2, 4, SIZE, SIZE), np.complex64)),
    ],
)
def test_arrays_that_dont_fit(name, array, scan):
    with pytest.raises(ma.UserError, match=f"array: .*{name}") as error:
        ma.Scan.from_arrays(scan.kspace, **{name: array})
    assert "\n" not in str(error.value)


def test_prepared_volumes_are_not_prepared_again(scan):
    volume = ma.prepare(scan, acs=8)
    with pytest.raises(ma.UserError, match="is prepared already, and --coils is for raw scans"):
        ma.reconstruct(volume, "cg-sense", coils=2)
    with pytest.raises(ma.UserError, match="is already undersampled"):
        ma.reconstruct(ma.prepare(scan, accel=3, acs=8), "cg-sense", accel=2)


@pytest.mark.slow
def test_training_from_python_is_the_commands(prepared, typed, tmp_path):
    given = {"accel": 3, "images": 32, "laps": 0, "seed": 1}
    prior = ma.train(prepared, tmp_path / "python", **given)
    code, said = typed(f"train --data {prepared} --accel 3 --images 32 --laps 0 --seed 1 --out {tmp_path / 'command'}")
    assert code == 0, said
    weights = [(tmp_path / run / "prior.safetensors").read_bytes() for run in ("python", "command")]
    assert weights[0] == weights[1]
    assert prior.card.kind == "masked"
    assert (tmp_path / "python" / "prior.json").exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"mask": np.ones(SIZE, bool)},
            r"mask: is an array here; make a scan of it, ma.Scan.from_arrays\(kspace, mask=...\)",
        ),
        ({"maps": torch.ones(4, SIZE, SIZE)}, "maps: is an array here"),
        ({"samples": 2.5}, "samples 2.5: has to be a valid integer"),
        ({"accel": 0.5}, "accel 0.5: has to be greater than or equal to 1"),
        ({"reference": "sos"}, "reference 'sos': has to be 'mvue' or 'rss'"),
        ({"prior": 42, "method": "aos"}, "prior: is a int; pass a prior's folder, `bundled`, or a function"),
        ({"map_sets": 3}, "map_sets 3: has to match pattern"),
        ({"whiten": "foo"}, "whiten 'foo': has to match pattern"),
        ({"maps": "foo"}, "maps 'foo': has to match pattern"),
        ({"coils": 0}, "coils 0: has to be greater than or equal to 1"),
        ({"acs": 8.5}, "acs 8.5: has to be a valid integer"),
        ({"device": None}, "device None: has to be a valid string"),
        ({"beside": None}, "beside None: has to be a valid string"),
        ({"seed": "a"}, "seed 'a': has to be a valid integer"),
        ({"pixel_mm": (1, 2, 3), "prior": gaussian}, "pixel_mm .*: has to be"),
        ({"mask": "gaussian", "accel": None}, "mask gaussian: says how accel undersamples; give both, or neither"),
        ({"pixel_mm": 1.8}, "pixel_mm: is for a denoiser of your own"),
        ({"pixel_mm": -1, "prior": gaussian, "method": "dds"}, "pixel_mm -1: has to be above 0"),
    ],
)
def test_words_of_another_kind(given, sentence, scan, monkeypatch):
    """What type checkers find is told to those who have none."""
    unchecked, own = (inspect.unwrap(function) for function in (ma.reconstruct, own_prior))
    monkeypatch.setattr("mri_ambient.api.own_prior", own)
    with pytest.raises(ma.UserError, match=sentence) as error:
        unchecked(**({"scan": scan, "method": "cg-sense", "accel": 3, "acs": 8, "beside": ()} | given))
    assert "\n" not in str(error.value)


def test_names_may_be_one_text_or_several(scan):
    one, several = (quick(scan, beside=names).scores() for names in ("zero-filled, tv", ("zero-filled", "tv")))
    assert [score.method for score in one] == [score.method for score in several] == ["zero-filled", "tv", "cg-sense"]
    assert ma.simulate(matrix=32, slices=1, coils=2, contrasts="T1").kspace.shape[0] == 1


def test_the_bundled_prior_as_a_module_is_itself(scan):
    prior = ma.load_prior("bundled")
    found = [quick(scan, method="dds", prior=p, samples=1).mean for p in ("bundled", prior, prior.as_module())]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_a_script_without_a_guard_compares(scans, tmp_path):
    """In its own process: no worker imports the script again."""
    (tmp_path / "script.py").write_text(
        "import mri_ambient as ma\nprint('once')\n"
        f"found = ma.compare({str(scans / 'subject_0.h5')!r}, 'out', accel=3, methods='zero-filled,cg-sense', slices=1)\n"
        "print(len(found.rows), found.failed)\n"
    )
    made = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stdout.split("\n")[:2] == ["once", "2 []"]


def test_simulate_prepare_save_train(tmp_path):
    for subject in range(2):
        scan = ma.simulate(subject, matrix=48, slices=2, coils=2)
        ma.prepare(scan, acs=8).save(tmp_path / "prepared" / f"{scan.name}.h5")
    prior = ma.train(tmp_path / "prepared", tmp_path / "run", accel="3", images=16, laps=0)
    assert prior.card.training.accel == (3.0,)
    with pytest.raises(ma.UserError, match="images 0: has to be greater than or equal to 1"):
        ma.train(tmp_path / "prepared", tmp_path / "other", images=0)
    for options in ({"laps": 0}, {"laps": 0, "loss": "supervised"}, {"loss": "l1-edm"}):
        with pytest.raises(
            ma.UserError, match="R=100 leaves 0 of 48 lines, fewer than the 8 ACS lines; ask for a smaller"
        ):
            ma.train(tmp_path / "prepared", tmp_path / "other", accel=100, images=16, **options)
    assert not (tmp_path / "other").exists()


def test_numbers_of_numpy_are_numbers_to_a_comparison(scans, tmp_path):
    """Its rows and its plan are JSON, and a rerun knows them again."""
    unchecked, given = (
        inspect.unwrap(ma.compare),
        {"methods": "cg-sense", "accel": np.array([2.0, 3.0]), "samples": np.int64(1)},
    )
    for _ in range(2):
        found = unchecked(scans / "subject_0.h5", tmp_path / "out", slices=np.int32(1), seed=np.int64(0), **given)
    assert [(row.accel, row.samples) for row in found.rows] == [(2.0, 1), (3.0, 1)]
    plain = ma.compare(scans / "subject_0.h5", tmp_path / "out", methods="cg-sense", accel=(2, 3), samples=1, slices=1)
    assert plain.rows == found.rows
